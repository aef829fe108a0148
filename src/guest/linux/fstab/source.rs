//! Which volume a mount means: sources of fstab against the names that volumes have (fstab(5), mount(8), and the
//! links that udev makes below /dev/disk; VOL-17).
//!
//! | source                                     | compared with                                  |
//! |--------------------------------------------|------------------------------------------------|
//! | `UUID=`, `/dev/disk/by-uuid/`              | UUID of the file system, whatever the case      |
//! | `LABEL=`, `/dev/disk/by-label/`            | its label                                       |
//! | `PARTUUID=`, `/dev/disk/by-partuuid/`      | UUID of the partition, whatever the case        |
//! | `PARTLABEL=`, `/dev/disk/by-partlabel/`    | name of the partition                           |
//! | `/dev/mapper/...`, `/dev/disk/by-id/dm-name-...`, `/dev/GROUP/VOLUME` | paths that are the same on every machine |
//! | any other `/dev/...`                       | nothing: such names shift between machines      |
//!
//! Names below /dev/disk have `\x20` and the like for what a path should not have.

/// The names of a volume that are the same on every machine. Empty ones name nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeNames {
    /// UUID of the file system, as its own tools print it.
    pub uuid: String,
    /// Label of the file system.
    pub label: Vec<u8>,
    /// UUID of the partition.
    pub part_uuid: String,
    /// Name of the partition.
    pub part_label: Vec<u8>,
    /// Its paths below /dev, as in `/dev/mapper/vg-root` and `/dev/vg/root`.
    pub paths: Vec<Vec<u8>>,
}

impl VolumeNames {
    /// Adds the paths of a logical volume of LVM. In `/dev/mapper` a dash of a name is doubled.
    #[must_use]
    pub fn with_logical_volume(mut self, group: &[u8], volume: &[u8]) -> Self {
        let doubled = |name: &[u8]| {
            let parts: Vec<&[u8]> = name.split(|&byte| byte == b'-').collect();
            parts.join(b"--".as_slice())
        };
        self.paths.push([b"/dev/", group, b"/", volume].concat());
        self.paths
            .push([b"/dev/mapper/", doubled(group).as_slice(), b"-", &doubled(volume)].concat());
        self
    }
}

/// What a source means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The volume with this index.
    Volume(usize),
    /// A volume that is not among them.
    Missing,
    /// Any of these: they share the name.
    Several(Vec<usize>),
    /// The name of a device, which says nothing on another machine.
    DeviceName,
    /// No volume at all, as in `tmpfs` or `host:/path`.
    NoVolume,
}

/// Finds the volume that `source` means.
pub(super) fn find(source: &[u8], volumes: &[VolumeNames]) -> Found {
    let which = |fits: &dyn Fn(&VolumeNames) -> bool| {
        let found = volumes.iter().enumerate().filter(|(_, names)| fits(names));
        let found: Vec<usize> = found.map(|(index, _)| index).collect();
        match found.as_slice() {
            [] => Found::Missing,
            [index] => Found::Volume(*index),
            _ => Found::Several(found),
        }
    };
    match Source::parse(source) {
        Source::Uuid(uuid) => which(&|names| same_uuid(&names.uuid, &uuid)),
        Source::PartUuid(uuid) => which(&|names| same_uuid(&names.part_uuid, &uuid)),
        Source::Label(label) => which(&|names| !label.is_empty() && names.label == label),
        Source::PartLabel(label) => which(&|names| !label.is_empty() && names.part_label == label),
        Source::Path(path) => which(&|names| names.paths.contains(&path)),
        Source::Device => Found::DeviceName,
        Source::None => Found::NoVolume,
    }
}

fn same_uuid(one: &str, other: &[u8]) -> bool {
    !one.is_empty() && one.as_bytes().eq_ignore_ascii_case(other)
}

enum Source {
    Uuid(Vec<u8>),
    Label(Vec<u8>),
    PartUuid(Vec<u8>),
    PartLabel(Vec<u8>),
    /// A path that is the same on every machine, or could be one.
    Path(Vec<u8>),
    Device,
    None,
}

impl Source {
    fn parse(source: &[u8]) -> Self {
        if let Some(path) = source.strip_prefix(b"/dev/") {
            return Self::of_path(path, source);
        }
        let Some(equals) = source.iter().position(|&byte| byte == b'=') else { return Self::None };
        let (tag, value) = source.split_at(equals);
        let value = without_quotes(value.get(1..).unwrap_or_default()).to_vec();
        match tag {
            b"UUID" => Self::Uuid(value),
            b"LABEL" => Self::Label(value),
            b"PARTUUID" => Self::PartUuid(value),
            b"PARTLABEL" => Self::PartLabel(value),
            // The number that a disk was given by its maker, as device names no property of the volume.
            b"ID" => Self::Device,
            _ => Self::None,
        }
    }

    /// `path` below /dev; `whole` with it.
    fn of_path(path: &[u8], whole: &[u8]) -> Self {
        if let Some(path) = path.strip_prefix(b"disk/") {
            let mut parts = path.splitn(2, |&byte| byte == b'/');
            let (by, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let name = decoded(name);
            return match by {
                b"by-uuid" => Self::Uuid(name),
                b"by-label" => Self::Label(name),
                b"by-partuuid" => Self::PartUuid(name),
                b"by-partlabel" => Self::PartLabel(name),
                b"by-id" => match name.strip_prefix(b"dm-name-") {
                    Some(name) => Self::Path([b"/dev/mapper/", name].concat()),
                    None => Self::Device,
                },
                _ => Self::Device,
            };
        }
        // /dev/GROUP/VOLUME; directories of devices have none.
        let is_group = path.contains(&b'/') && !path.starts_with(b"md/");
        if is_group { Self::Path(whole.to_vec()) } else { Self::Device }
    }
}

/// Without a pair of quotes around it.
pub(super) fn without_quotes(value: &[u8]) -> &[u8] {
    for quote in [b"\"", b"'"] {
        let inside = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inside) = inside {
            return inside;
        }
    }
    value
}

/// Turns `\x20` and the like back.
fn decoded(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = rest.strip_prefix(b"\\x").and_then(|rest| rest.get(..2));
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { rest.get(4..).unwrap_or_default() } else { tail };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes() -> Vec<VolumeNames> {
        let root = VolumeNames {
            uuid: "3b28b8a8-9a3c-4c5e-8f2e-111111111111".to_owned(),
            label: b"root".to_vec(),
            part_uuid: "aaaaaaaa-0000-4000-8000-000000000001".to_owned(),
            part_label: b"Linux root".to_vec(),
            paths: Vec::new(),
        };
        let efi = VolumeNames { uuid: "ABCD-1234".to_owned(), ..VolumeNames::default() };
        let home = VolumeNames { label: b"my home".to_vec(), ..VolumeNames::default() };
        let home = home.with_logical_volume(b"vg-0", b"home");
        let twin = VolumeNames { label: b"root".to_vec(), ..VolumeNames::default() };
        vec![root, efi, home, twin, VolumeNames::default()]
    }

    #[test]
    fn sources_are_told_by_what_is_the_same_everywhere_vol_17() {
        use Found::{DeviceName, Missing, NoVolume, Several, Volume};
        for (source, expected) in [
            ("UUID=3B28B8A8-9a3c-4c5e-8f2e-111111111111", Volume(0)),
            ("UUID=\"3b28b8a8-9a3c-4c5e-8f2e-111111111111\"", Volume(0)),
            ("UUID='abcd-1234'", Volume(1)),
            ("UUID=", Missing),
            ("uuid=ABCD-1234", NoVolume),
            ("/dev/disk/by-uuid/ABCD-1234", Volume(1)),
            ("LABEL=root", Several(vec![0, 3])),
            ("LABEL=Root", Missing),
            ("LABEL=", Missing),
            ("LABEL=\"my home\"", Volume(2)),
            ("/dev/disk/by-label/my\\x20home", Volume(2)),
            ("/dev/disk/by-label/my\\x2", Missing),
            ("PARTUUID=AAAAAAAA-0000-4000-8000-000000000001", Volume(0)),
            ("/dev/disk/by-partuuid/aaaaaaaa-0000-4000-8000-000000000001", Volume(0)),
            ("PARTLABEL=\"Linux root\"", Volume(0)),
            ("/dev/disk/by-partlabel/Linux\\x20root", Volume(0)),
            ("/dev/mapper/vg--0-home", Volume(2)),
            ("/dev/mapper/vg-0-home", Missing),
            ("/dev/disk/by-id/dm-name-vg--0-home", Volume(2)),
            ("/dev/vg-0/home", Volume(2)),
            ("/dev/vg/home", Missing),
            ("/dev/sda1", DeviceName),
            ("/dev/nvme0n1p2", DeviceName),
            ("/dev/md/home", DeviceName),
            ("/dev/disk/by-path/pci-0000:00:1f.2-ata-1-part1", DeviceName),
            ("ID=wwn-0x5000", DeviceName),
            ("nas:/home", NoVolume),
            ("//nas/home", NoVolume),
            ("tmpfs", NoVolume),
        ] {
            assert_eq!(find(source.as_bytes(), &volumes()), expected, "{source}");
        }
    }
}
