//! `/etc/fstab`: which part of the tree comes from another file system (fstab(5); LOGIN-95,
//! VOL-17).
//!
//! Not handled: `.mount` and `.automount` units, autofs maps.

use super::text::{TEXT_BYTES_MAX, lines, required};
use crate::error::Result;
use crate::fs::path::GuestPath;
use crate::fs::{FileSystem, Identity};

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
    fn parse(line: &[u8]) -> Option<Self> {
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
        Some(Self { source, target, type_name, options })
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
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
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

/// Reads the mounts of `/etc/fstab`; a missing file has none.
///
/// # Errors
/// As [`required`].
pub fn read(fs: &dyn FileSystem) -> Result<Vec<Mount>> {
    let content = required(fs, "/etc/fstab", TEXT_BYTES_MAX)?.unwrap_or_default();
    Ok(lines(&content).filter_map(Mount::parse).take(MOUNTS_MAX).collect())
}

/// The mount that `path` lies in: the longest target that is a prefix of it, and the last of equal
/// ones.
pub fn mount_of<'a>(mounts: &'a [Mount], path: &GuestPath) -> Option<&'a Mount> {
    let covers = |mount: &&Mount| is_below(path, &mount.target);
    mounts.iter().filter(covers).max_by_key(|mount| mount.target.as_bytes().len())
}

/// True if `path` is `directory` or lies below it.
pub fn is_below(path: &GuestPath, directory: &GuestPath) -> bool {
    let rest = path.as_bytes().strip_prefix(directory.as_bytes());
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.starts_with(b"/") || directory.parent().is_none()
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
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn the_longest_mount_decides_login_95() {
        let mut tree = MemoryTree::new();
        let fstab = b"# c\nUUID=3B28B8A8-9a3c-4c5e-8f2e-111111111111 / ext4 defaults 0 1\n\
            LABEL=home /home xfs defaults 0 2\n/dev/sdb1 /home/my\\040data ext4\nnone swap swap\n\
            nas:/x /net nfs\nLABEL=\"root\" /same ext4\n";
        tree.file("/etc/fstab", 0, 0o644, fstab);
        let mounts = read(&tree).unwrap();
        let identity = tree.identity();
        for (path, target, same) in [
            ("/root/.ssh", "/", SameVolume::Yes),
            ("/homes/x", "/", SameVolume::Yes),
            ("/home/admin", "/home", SameVolume::No),
            ("/home", "/home", SameVolume::No),
            ("/home/my data/x", "/home/my data", SameVolume::Unknown),
            ("/net/x", "/net", SameVolume::No),
            ("/same/x", "/same", SameVolume::Yes),
        ] {
            let mount = mount_of(&mounts, &GuestPath::new(path)).unwrap();
            assert_eq!(mount.target, GuestPath::new(target), "{path}");
            assert_eq!(mount.is_volume(&identity), same, "{path}");
        }
    }
}
