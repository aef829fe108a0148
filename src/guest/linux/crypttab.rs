//! The names that a system gives to its encrypted volumes (crypttab(5)).
//!
//! | field | meaning                                                            |
//! |------:|--------------------------------------------------------------------|
//! |     1 | name of the clear volume below /dev/mapper                         |
//! |     2 | the encrypted volume: `UUID=...`, `/dev/disk/by-uuid/...`, a device |
//! | 3, 4  | key file and options, which say nothing here                       |
//!
//! Names of devices are not looked at: they differ between machines.

use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, read_file};

/// Bound on the size of the file in bytes.
const CRYPTTAB_BYTES_MAX: u64 = 256 * 1024;

/// A line that names its volume by the UUID of the LUKS header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedName {
    /// The UUID, as it stands there.
    pub uuid: Vec<u8>,
    /// The name below /dev/mapper.
    pub name: Vec<u8>,
}

/// The lines of /etc/crypttab; none if there is no such file, or it cannot be read.
pub fn read(fs: &dyn FileSystem) -> Vec<MappedName> {
    let path = GuestPath::new("/etc/crypttab");
    let content = read_file(fs, &path, CRYPTTAB_BYTES_MAX).ok().flatten().unwrap_or_default();
    content.split(|&byte| byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<MappedName> {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace();
    let mut fields = line.split(is_blank).filter(|field| !field.is_empty());
    let (name, source) = (fields.next()?, fields.next()?);
    if name.starts_with(b"#") {
        return None;
    }
    let uuid =
        source.strip_prefix(b"UUID=").or_else(|| source.strip_prefix(b"/dev/disk/by-uuid/"))?;
    let uuid = uuid.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")).unwrap_or(uuid);
    Some(MappedName { uuid: uuid.to_vec(), name: name.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn names_come_with_the_uuid_of_the_header() {
        let mut tree = MemoryTree::new();
        assert_eq!(read(&tree), []);
        let text = "# name source key options\nsda3_crypt UUID=1234-ab none luks,discard\n\
                    data\t/dev/disk/by-uuid/5678\nquoted UUID=\"9\"\n#off UUID=1\nswap /dev/sda4\nalone\n";
        tree.file("/etc/crypttab", 0, 0o600, text.as_bytes());
        let found: Vec<(Vec<u8>, Vec<u8>)> =
            read(&tree).into_iter().map(|it| (it.name, it.uuid)).collect();
        let expected = [("sda3_crypt", "1234-ab"), ("data", "5678"), ("quoted", "9")];
        let expected = expected.map(|(name, uuid)| (name.into(), uuid.into()));
        assert_eq!(found, expected);
    }
}
