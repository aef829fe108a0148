//! `$REPARSE_POINT`: links, and content that something else than NTFS provides.
//!
//! Format: Microsoft, [MS-FSCC] sections 2.1.2 "Reparse Point Data Structures" and 2.1.2.1 "Reparse Tags"; libyal
//! libfsntfs, "New Technologies File System (NTFS)", section "The reparse point".
//!
//! Only links inside the volume are followed: a target with a drive letter, a volume GUID or a share names something
//! that a detached disk cannot tell, and is refused.

use super::name::{to_wtf8, units_from_le};
use crate::bytes::field::{self, Short, le_u16, le_u32};

/// Longest value of the attribute ([MS-FSCC] 2.1.2): 16 KiB of data, and the header.
pub(crate) const REPARSE_BYTES_MAX: u64 = 16 * 1024 + 24;
const HEADER_BYTES: usize = 8;
const MOUNT_POINT: u32 = 0xa000_0003;
const SYMLINK: u32 = 0xa000_000c;
const SYMLINK_RELATIVE: u32 = 1;
/// Longest target in bytes, as for every symbolic link.
const TARGET_BYTES_MAX: usize = 4096;
const BACKSLASH: u16 = 0x5c;

/// What a reparse point makes of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reparse {
    /// A symbolic link or junction: the substitute name, and whether it starts at the directory of the link.
    Link {
        /// UTF-16, with backslashes.
        target: Vec<u16>,
        /// True if it stays on its volume.
        is_relative: bool,
    },
    /// Anything else.
    Other {
        /// The tag.
        tag: u32,
    },
}

/// What can be wrong with a reparse point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReparseDefect {
    #[error("names of a link do not fit")]
    Names,
    #[error(transparent)]
    Short(#[from] Short),
}

/// Why a link is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotFollowed {
    /// The target leads out of the volume, or may.
    Elsewhere,
    /// The target is not a path.
    NotAPath,
}

impl Reparse {
    /// Parses the value of the attribute, little-endian.
    ///
    /// | offset | size | field | valid when |
    /// |-------:|-----:|-------|------------|
    /// | 0x00 | 4 | tag | |
    /// | 0x04 | 2 | length of the data | |
    /// | 0x08 | 2, 2 | offset and length of the substitute name | of a link; bytes, inside the name buffer |
    /// | 0x0c | 2, 2 | offset and length of the print name | of a link |
    /// | 0x10 | 4 | flags | of a symbolic link; 1 is relative |
    /// | 0x14, 0x10 | | name buffer | symbolic link, junction |
    ///
    /// # Errors
    /// [`ReparseDefect`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ReparseDefect> {
        let tag = le_u32(bytes, 0)?;
        let (is_relative, buffer_at) = match tag {
            SYMLINK => (le_u32(bytes, 0x10)? & SYMLINK_RELATIVE != 0, 0x14usize),
            MOUNT_POINT => (false, 0x10),
            _ => return Ok(Self::Other { tag }),
        };
        let (offset, len) = (le_u16(bytes, HEADER_BYTES)?, le_u16(bytes, 0x0a)?);
        let at = buffer_at.saturating_add(usize::from(offset));
        let name = field::slice(bytes, at, usize::from(len)).map_err(|_| ReparseDefect::Names)?;
        if !len.is_multiple_of(2) {
            return Err(ReparseDefect::Names);
        }
        Ok(Self::Link { target: units_from_le(name), is_relative })
    }

    /// What provides the content, for a refusal.
    pub(crate) fn provider(tag: u32) -> String {
        let name = match tag {
            0x8000_0017 => "compressed by the Windows Overlay Filter (WOF)",
            0x8000_0013 => "kept by data deduplication",
            0x8000_0018 => "kept by the Windows container isolation filter",
            0xc000_0004 | 0x8000_0006 | 0x8000_0014 | 0xc000_0014 => {
                "kept by hierarchical storage management"
            }
            0x8000_0007 => "kept by single-instance storage",
            0x9000_001a | 0x9000_101a..=0x9000_f01a => "kept by a cloud file provider",
            0xa000_001d => "a link of the Windows Subsystem for Linux",
            0x8000_001b => "a link to a packaged application",
            _ => "kept by a file-system filter",
        };
        format!("{name} (reparse tag {tag:#010x})")
    }
}

/// The target of a link as a path of the volume, with slashes: relative to the directory of the link, or from the root
/// of the volume if it starts with a backslash.
///
/// # Errors
/// [`NotFollowed`].
pub(crate) fn path_of(target: &[u16], is_relative: bool) -> Result<Vec<u8>, NotFollowed> {
    // `\\server` would be a share, `\??\` the names of all devices.
    let leads_out = [[BACKSLASH, BACKSLASH], [BACKSLASH, 0x3f]];
    if !is_relative || leads_out.iter().any(|start| target.starts_with(start)) {
        return Err(NotFollowed::Elsewhere);
    }
    let mut path = Vec::new();
    for (index, component) in target.split(|unit| *unit == BACKSLASH).enumerate() {
        let is_name = |unit: &u16| !matches!(unit, 0 | 0x2f | 0x3a);
        if !component.iter().all(is_name) {
            return Err(NotFollowed::NotAPath);
        }
        if index > 0 {
            path.push(b'/');
        }
        path.extend(to_wtf8(component));
    }
    if path.is_empty() || path.len() > TARGET_BYTES_MAX {
        return Err(NotFollowed::NotAPath);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn link(tag: u32, flags: Option<u32>, substitute: &str) -> Vec<u8> {
        let name: Vec<u8> = units(substitute).iter().flat_map(|u| u.to_le_bytes()).collect();
        let len = u16::try_from(name.len()).unwrap();
        let mut bytes = tag.to_le_bytes().to_vec();
        let flags = flags.map(|flags| flags.to_le_bytes().to_vec()).unwrap_or_default();
        let data_len = u16::try_from(8 + flags.len() + name.len()).unwrap();
        for field in [data_len, 0, 0, len, len, 0] {
            bytes.extend(field.to_le_bytes());
        }
        [bytes, flags, name].concat()
    }

    #[test]
    fn links_are_told_from_other_reparse_points() {
        let parsed = Reparse::parse(&link(SYMLINK, Some(1), r"..\x")).unwrap();
        assert_eq!(parsed, Reparse::Link { target: units(r"..\x"), is_relative: true });
        let parsed = Reparse::parse(&link(SYMLINK, Some(0), r"\??\C:\x")).unwrap();
        assert_eq!(parsed, Reparse::Link { target: units(r"\??\C:\x"), is_relative: false });
        let parsed = Reparse::parse(&link(MOUNT_POINT, None, r"\??\C:\x")).unwrap();
        assert_eq!(parsed, Reparse::Link { target: units(r"\??\C:\x"), is_relative: false });
        let wof = Reparse::parse(&0x8000_0017u32.to_le_bytes()).unwrap();
        assert_eq!(wof, Reparse::Other { tag: 0x8000_0017 });
    }

    #[test]
    fn broken_links_are_refused() {
        let good = link(SYMLINK, Some(1), r"..\x");
        for (at, value) in [(8, 1), (10, 9), (10, 7), (9, 0xff)] {
            let mut bytes = good.clone();
            bytes[at] = value;
            assert_eq!(Reparse::parse(&bytes), Err(ReparseDefect::Names), "{at}");
        }
        assert!(matches!(Reparse::parse(&good[..9]), Err(ReparseDefect::Short(_))));
        assert!(matches!(Reparse::parse(&good[..3]), Err(ReparseDefect::Short(_))));
    }

    #[test]
    fn targets_become_paths_of_the_volume_or_nothing() {
        let elsewhere = || Err(NotFollowed::Elsewhere);
        let not_a_path = || Err(NotFollowed::NotAPath);
        for (target, is_relative, expected) in [
            (r"a.txt", true, Ok(b"a.txt".to_vec())),
            (r"..\dir\a.txt", true, Ok(b"../dir/a.txt".to_vec())),
            (r"\Windows\x", true, Ok(b"/Windows/x".to_vec())),
            (r"dir\", true, Ok(b"dir/".to_vec())),
            (r"\", true, Ok(b"/".to_vec())),
            (r"\\server\share", true, elsewhere()),
            (r"\??\C:\x", true, elsewhere()),
            (r"\??\C:\x", false, elsewhere()),
            (r"\??\Volume{0}\", false, elsewhere()),
            (r"C:\x", true, not_a_path()),
            (r"a/b", true, not_a_path()),
            ("a\0b", true, not_a_path()),
            ("", true, not_a_path()),
        ] {
            assert_eq!(path_of(&units(target), is_relative), expected, "{target}");
        }
        assert_eq!(path_of(&[0x61; 5000], true), not_a_path());
    }
}
