//! Files of systemd units: where they are, what they say with their drop-ins, and what masks them
//! (systemd.unit(5)).

use super::text::{TEXT_BYTES_MAX, lines, sorted_names};
use crate::fs::path::{GuestPath, Resolution, find, resolve};
use crate::fs::{FileSystem, NodeKind};

/// Where units are, in the order in which they hide one another. `/run` is empty offline.
pub const UNIT_DIRECTORIES: [&str; 4] = [
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Bound on the lines of a unit with its drop-ins.
const LINES_MAX: usize = 20_000;
/// Bound on the drop-ins of one unit.
const DROP_INS_MAX: usize = 256;

/// The real path of the file of a unit; `None` if there is none, or it is masked. An instance is found by
/// its template.
pub fn find_unit(fs: &dyn FileSystem, unit: &str) -> Option<GuestPath> {
    let template = unit.split_once('@').and_then(|(name, rest)| {
        let (_, suffix) = rest.rsplit_once('.')?;
        Some(format!("{name}@.{suffix}"))
    });
    for name in std::iter::once(unit.to_owned()).chain(template) {
        for directory in UNIT_DIRECTORIES {
            let path = GuestPath::new(directory).join(&name);
            if is_null(fs, &path) {
                return None;
            }
            if let Ok(Some(found)) = find(fs, &path)
                && fs.metadata(found.node).is_ok_and(|metadata| metadata.kind == NodeKind::File)
            {
                return Some(found.real_path);
            }
        }
    }
    None
}

/// One assignment of a unit: the file and line where it stands, its key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// As in `/etc/systemd/system/ssh.socket.d/a.conf:2`.
    pub place: String,
    /// As in `ListenStream`.
    pub key: Vec<u8>,
    /// What stands behind `=`.
    pub value: Vec<u8>,
}

/// The assignments of a unit and its drop-ins, in the order in which they count. Lines that are continued
/// with `\` are one.
pub fn assignments(fs: &dyn FileSystem, unit: &str) -> Vec<Assignment> {
    let mut files: Vec<GuestPath> = find_unit(fs, unit).into_iter().collect();
    let mut drop_ins: Vec<(Vec<u8>, GuestPath)> = Vec::new();
    for directory in UNIT_DIRECTORIES {
        let directory = GuestPath::new(directory).join(format!("{unit}.d"));
        let Ok(Some(found)) = find(fs, &directory) else { continue };
        for name in sorted_names(fs, found.node).unwrap_or_default() {
            if name.ends_with(b".conf") && !drop_ins.iter().any(|(known, _)| *known == name) {
                let path = directory.join(&name);
                drop_ins.push((name, path));
            }
        }
    }
    drop_ins.sort();
    files.extend(drop_ins.into_iter().take(DROP_INS_MAX).map(|(_, path)| path));
    let mut found = Vec::new();
    for path in files {
        let content = crate::fs::path::read_file(fs, &path, TEXT_BYTES_MAX).ok().flatten();
        take_assignments(&content.unwrap_or_default(), &path, &mut found);
    }
    found
}

fn take_assignments(content: &[u8], path: &GuestPath, found: &mut Vec<Assignment>) {
    let mut whole: Vec<u8> = Vec::new();
    let mut start = None;
    for (line, number) in lines(content).zip(1u64..) {
        if found.len() >= LINES_MAX {
            return;
        }
        let text = line.trim_ascii();
        if text.starts_with(b"#") || text.starts_with(b";") {
            continue;
        }
        start.get_or_insert(number);
        if let Some(part) = text.strip_suffix(b"\\") {
            whole.extend_from_slice(part);
            whole.push(b' ');
            continue;
        }
        whole.extend_from_slice(text);
        let line = std::mem::take(&mut whole);
        let number = start.take().unwrap_or(number);
        let Some(equals) = line.iter().position(|&byte| byte == b'=') else { continue };
        let (key, value) = line.split_at(equals);
        found.push(Assignment {
            place: format!("{path}:{number}"),
            key: key.trim_ascii().to_vec(),
            value: value.get(1..).unwrap_or_default().trim_ascii().to_vec(),
        });
    }
}

/// True for a link to `/dev/null` or an empty file, which masks a unit or a generator.
pub fn is_null(fs: &dyn FileSystem, path: &GuestPath) -> bool {
    let Ok(Resolution::Found(found)) = resolve(fs, path, false) else { return false };
    let Ok(metadata) = fs.metadata(found.node) else { return false };
    match metadata.kind {
        NodeKind::Symlink => {
            let target = fs.read_link(found.node).unwrap_or_default();
            GuestPath::new(target) == GuestPath::new("/dev/null")
        }
        NodeKind::File => metadata.size_bytes == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn drop_ins_follow_the_unit_in_the_order_of_their_names() {
        let mut tree = MemoryTree::new();
        tree.file(
            "/usr/lib/systemd/system/a@.service",
            0,
            0o644,
            b"[S]\n# no\nA = 1 \\\n  2\nB=\n",
        )
        .file("/usr/lib/systemd/system/a@x.service.d/9.conf", 0, 0o644, b"A=9\n")
        .file("/etc/systemd/system/a@x.service.d/5.conf", 0, 0o644, b"A=5\n")
        .file("/etc/systemd/system/a@x.service.d/9.conf", 0, 0o644, b";\nA=own\n")
        .file("/etc/systemd/system/a@x.service.d/readme", 0, 0o644, b"A=no\n");
        let found = assignments(&tree, "a@x.service");
        let shown: Vec<String> = found
            .iter()
            .map(|a| {
                let value = String::from_utf8_lossy(&a.value);
                format!("{} {}={value}", a.place, String::from_utf8_lossy(&a.key))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "/usr/lib/systemd/system/a@.service:3 A=1  2",
                "/usr/lib/systemd/system/a@.service:5 B=",
                "/etc/systemd/system/a@x.service.d/5.conf:1 A=5",
                "/etc/systemd/system/a@x.service.d/9.conf:2 A=own",
            ]
        );
        tree.link("/etc/systemd/system/a@.service", "/dev/null");
        assert_eq!(find_unit(&tree, "a@x.service"), None);
    }
}
