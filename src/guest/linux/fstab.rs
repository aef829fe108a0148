//! Which part of the tree comes from another file system: `/etc/fstab`, units of systemd and maps of autofs
//! (fstab(5), systemd.mount(5), auto.master(5); LOGIN-95, VOL-17).
//!
//! Not handled: drop-ins of mount units, and maps of autofs that are programs or come from a directory service,
//! which may hold any name.

mod autofs;
pub mod mounting;
mod source;
mod units;

pub use source::{Found, VolumeNames};

use super::text::{TEXT_BYTES_MAX, lines, required};
use crate::error::Result;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, Identity, Missing};

/// Bound on the mounts that are kept.
const MOUNTS_MAX: usize = 1024;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted, as written: `UUID=...`, `LABEL=...`, `/dev/...`, `host:/path`.
    pub source: Vec<u8>,
    /// Where.
    pub target: GuestPath,
    /// Type, as in `ext4`.
    pub type_name: Vec<u8>,
    /// Options.
    pub options: Vec<u8>,
    /// What says so: file, and line where there is one.
    pub place: String,
    /// When it is mounted.
    pub start: Start,
}

/// When something is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At boot, or when the directory is used.
    Boot,
    /// At boot if the source is there (`nofail`).
    IfPresent,
    /// Only when somebody asks for it (`noauto`, a unit that is not enabled).
    ByHand,
}

impl Start {
    fn of(options: &[u8]) -> Self {
        let has = |wanted: &[u8]| split_options(options).any(|option| option == wanted);
        let is_automount = has(b"x-systemd.automount") || has(b"comment=systemd.automount");
        if has(b"noauto") && !is_automount {
            Self::ByHand
        } else if has(b"nofail") {
            Self::IfPresent
        } else {
            Self::Boot
        }
    }
}

/// Whether a mount is a given file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameVolume {
    /// Its UUID or label says so.
    Yes,
    /// It is something else.
    No,
    /// The name does not tell, as device names do not (VOL-17).
    Unknown,
}

impl Mount {
    fn parse(line: &[u8], number: u64) -> Option<Self> {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let source = unescape(fields.next()?);
        if source.starts_with(b"#") {
            return None;
        }
        let target = unescape(fields.next()?);
        let type_name = fields.next().unwrap_or_default().to_vec();
        let options = fields.next().unwrap_or_default().to_vec();
        // `none` and `swap` are no directories.
        let target = target.starts_with(b"/").then(|| GuestPath::new(target))?;
        let start = Start::of(&options);
        Some(Self {
            source,
            target,
            type_name,
            options,
            place: format!("/etc/fstab:{number}"),
            start,
        })
    }

    /// True for file systems without a volume, as in `tmpfs`.
    pub fn is_virtual(&self) -> bool {
        matches!(
            self.type_name.as_slice(),
            b"tmpfs" | b"ramfs" | b"overlay" | b"proc" | b"sysfs" | b"devtmpfs"
        )
    }

    /// The directory of the same system that a bind mount shows.
    pub fn bound_from(&self) -> Option<GuestPath> {
        let is_bind = split_options(&self.options)
            .any(|option| matches!(option, b"bind" | b"rbind"))
            || matches!(self.type_name.as_slice(), b"bind" | b"rbind");
        (is_bind && self.source.starts_with(b"/")).then(|| GuestPath::new(&self.source))
    }

    /// The value of the last option `name=value`, without its quotes.
    pub fn option(&self, name: &str) -> Option<&[u8]> {
        let value = |option: &'_ [u8]| {
            let rest = option.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(option.len().saturating_sub(rest.len()))
        };
        let options = split_options(&self.options);
        let found = options.filter_map(|option| option.get(value(option)?..)).last()?;
        Some(source::without_quotes(found))
    }

    /// Compares the source with the identity of a file system.
    pub fn is_volume(&self, identity: &Identity) -> SameVolume {
        let Some(equals) = self.source.iter().position(|&byte| byte == b'=') else {
            return if self.source.starts_with(b"/dev/disk/by-uuid/") {
                same_uuid(self.source.get(18..).unwrap_or_default(), &identity.uuid)
            } else if self.source.starts_with(b"/dev/") {
                SameVolume::Unknown
            } else {
                SameVolume::No
            };
        };
        let (tag, value) = self.source.split_at(equals);
        let value = value.get(1..).unwrap_or_default();
        let value = source::without_quotes(value);
        match tag {
            b"UUID" => same_uuid(value, &identity.uuid),
            b"LABEL" if value == identity.label => SameVolume::Yes,
            b"LABEL" => SameVolume::No,
            _ => SameVolume::Unknown,
        }
    }
}

fn same_uuid(value: &[u8], uuid: &str) -> SameVolume {
    if !uuid.is_empty() && value.eq_ignore_ascii_case(uuid.as_bytes()) {
        SameVolume::Yes
    } else {
        SameVolume::No
    }
}

/// Reads the mounts of `/etc/fstab`, of units and of autofs; a missing file has none. Targets are real paths, as
/// far as they exist.
///
/// # Errors
/// As [`required`], for fstab.
pub fn read(fs: &dyn FileSystem) -> Result<Vec<Mount>> {
    let content = required(fs, "/etc/fstab", TEXT_BYTES_MAX)?.unwrap_or_default();
    // A unit of /etc stands before the one that systemd makes of fstab, but both mean the same directory.
    let mut mounts = units::read(fs);
    mounts.extend(autofs::read(fs));
    mounts.extend(
        lines(&content).zip(1u64..).filter_map(|(line, number)| Mount::parse(line, number)),
    );
    mounts.truncate(MOUNTS_MAX);
    for mount in &mut mounts {
        if let Ok(Some(found)) = find(fs, &mount.target) {
            mount.target = found.real_path;
        }
    }
    Ok(mounts)
}

/// The mount that `path` lies in: the longest target that is a prefix of it, and the last of equal
/// ones.
pub fn mount_of<'a>(mounts: &'a [Mount], path: &GuestPath) -> Option<&'a Mount> {
    let covers = |mount: &&Mount| is_below(path, &mount.target);
    mounts.iter().filter(covers).max_by_key(|mount| mount.target.as_bytes().len())
}

/// Why what `mount` names is not part of the tree `fs`; `Ok` if it is, and an error without a reason if nobody
/// looked for it.
///
/// # Errors
/// Why it is not.
pub fn is_in_tree<'a>(fs: &'a dyn FileSystem, mount: &Mount) -> Result<(), Option<&'a Missing>> {
    match fs.mount_points().iter().find(|point| point.path == mount.target) {
        Some(point) => point.missing.as_ref().map_or(Ok(()), |why| Err(Some(why))),
        None => Err(None),
    }
}

/// True if `path` is `directory` or lies below it.
pub fn is_below(path: &GuestPath, directory: &GuestPath) -> bool {
    let rest = path.as_bytes().strip_prefix(directory.as_bytes());
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.starts_with(b"/") || directory.parent().is_none()
    })
}

/// The options; a comma between quotes belongs to its option.
fn split_options(options: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    options.split(move |&byte| {
        is_quoted ^= byte == b'"';
        byte == b',' && !is_quoted
    })
}

/// Turns `\040` and the like back (getmntent(3)).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| first == b'\\');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
    bytes
}

#[cfg(test)]
mod tests;
