//! Which release of OpenSSH an sshd is (LOGIN-9): the string `OpenSSH_<major>.<minor>p<n>` that is
//! compiled into it.

use crate::bytes::arith::len_u64;
use crate::error::Result;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind};
use std::collections::{BTreeSet, HashMap};
use std::fmt;

/// Bound on the bytes of one program that are looked through.
const PROGRAM_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 128 * 1024;
/// Bytes of a chunk that are looked at again with the next one: no word that we look for is longer.
const OVERLAP_BYTES: usize = 64;
/// What stands before the number. Patterns for old peers have it too, but no `p<n>` behind the number.
const PREFIX: &[u8] = b"OpenSSH_";

/// A release of OpenSSH, as in 9.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The number before the dot.
    pub major: u16,
    /// The number behind it.
    pub minor: u16,
}

impl Version {
    /// The release `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What is known about the release of the guest's sshd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The program itself says so.
    Known(Version),
    /// What the distribution is known to ship; the program was not found or does not say (LOGIN-9).
    Assumed(Version),
    /// Neither.
    Unknown,
}

impl Release {
    /// True if sshd is `major.minor` or newer; `None` if the volume does not tell (LOGIN-9).
    pub fn at_least(self, major: u16, minor: u16) -> Option<bool> {
        match self {
            Self::Known(version) => Some(version >= Version::new(major, minor)),
            Self::Assumed(_) | Self::Unknown => None,
        }
    }

    /// The most likely release: a current one if nothing is known. For what must be chosen somehow; whether
    /// the choice matters is asked with [`Release::at_least`].
    fn likely(self) -> Version {
        match self {
            Self::Known(version) | Self::Assumed(version) => version,
            Self::Unknown => Version::new(9, 2),
        }
    }

    /// True if the likely release is `major.minor` or newer.
    pub fn is_likely(self, major: u16, minor: u16) -> bool {
        self.likely() >= Version::new(major, minor)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(version) => write!(f, "OpenSSH {version}"),
            Self::Assumed(version) => write!(f, "probably OpenSSH {version}"),
            Self::Unknown => f.write_str("an unknown release of OpenSSH"),
        }
    }
}

/// The release that the program at `path` says it is; `None` if there is no program or it does not say.
///
/// # Errors
/// As the file system; a path that leads nowhere is no error.
pub fn of_program(fs: &dyn FileSystem, path: &GuestPath) -> Result<Option<Version>> {
    let mut found = None;
    scan(fs, path, &mut |chunk| {
        found = version_in(chunk);
        found.is_some()
    })?;
    Ok(found)
}

/// How a word stands in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// It does not, so the program cannot know it.
    Absent,
    /// Only as the end of a longer string, which may be chance or thrift of the linker.
    AsEnd,
    /// As a string of its own.
    Whole,
}

/// Which of `words` stand in the program at `path` as C strings or as ends of such; `None` as in
/// [`presence_in_program`].
///
/// # Errors
/// As [`of_program`].
pub fn words_in_program(
    fs: &dyn FileSystem,
    path: &GuestPath,
    words: &[&str],
) -> Result<Option<Vec<bool>>> {
    let found = presence_in_program(fs, path, words)?;
    Ok(found.map(|found| found.into_iter().map(|word| word != Presence::Absent).collect()))
}

/// How each of `words` stands in the program at `path`; `None` if it cannot be told, since there is no program
/// or it is larger than the bound.
///
/// # Errors
/// As [`of_program`].
pub fn presence_in_program(
    fs: &dyn FileSystem,
    path: &GuestPath,
    words: &[&str],
) -> Result<Option<Vec<Presence>>> {
    let mut found: HashMap<&[u8], Presence> =
        words.iter().map(|word| (word.as_bytes(), Presence::Absent)).collect();
    let lens: BTreeSet<usize> = words.iter().map(|word| word.len()).collect();
    let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let is_whole = scan(fs, path, &mut |chunk| {
        for (end, _) in chunk.iter().enumerate().filter(|(_, byte)| **byte == 0) {
            if !end.checked_sub(1).and_then(|last| chunk.get(last)).is_some_and(is_text) {
                continue;
            }
            for len in &lens {
                let Some(start) = end.checked_sub(*len) else { continue };
                let Some(known) = chunk.get(start..end).and_then(|text| found.get_mut(text)) else {
                    continue;
                };
                let before = start.checked_sub(1).and_then(|before| chunk.get(before));
                let is_end = before.is_some_and(is_text);
                let here = if is_end { Presence::AsEnd } else { Presence::Whole };
                *known = here.max(*known);
            }
        }
        false
    })?;
    let in_order = words.iter().map(|word| found.get(word.as_bytes()).copied());
    Ok(is_whole.then(|| in_order.map(|presence| presence.unwrap_or(Presence::Absent)).collect()))
}

/// Gives a program to `look` piece by piece until that says true; true if nothing was left out.
fn scan(
    fs: &dyn FileSystem,
    path: &GuestPath,
    look: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<bool> {
    let Ok(Some(program)) = find(fs, path) else { return Ok(false) };
    let metadata = fs.metadata(program.node)?;
    if metadata.kind != NodeKind::File {
        return Ok(false);
    }
    let end_bytes = metadata.size_bytes.min(PROGRAM_BYTES_MAX);
    let mut offset_bytes = 0u64;
    let mut kept: Vec<u8> = Vec::new();
    while offset_bytes < end_bytes {
        let read = fs.read_at(program.node, offset_bytes, CHUNK_BYTES)?;
        if read.is_empty() {
            break;
        }
        offset_bytes = offset_bytes.saturating_add(len_u64(read.len()));
        kept.extend_from_slice(&read);
        if look(&kept) {
            return Ok(true);
        }
        let done = kept.len().saturating_sub(OVERLAP_BYTES);
        kept.drain(..done);
    }
    Ok(metadata.size_bytes <= PROGRAM_BYTES_MAX)
}

/// The first release that `bytes` names with its portable number.
fn version_in(bytes: &[u8]) -> Option<Version> {
    let mut rest = bytes;
    // Every round takes at least one byte away.
    while let Some(at) = rest.iter().position(|&byte| byte == b'O') {
        rest = rest.get(at..)?;
        if let Some(version) = rest.strip_prefix(PREFIX).and_then(numbers) {
            return Some(version);
        }
        rest = rest.get(1..)?;
    }
    None
}

/// `9.2p1...`.
fn numbers(text: &[u8]) -> Option<Version> {
    let (major, rest) = number(text)?;
    let (minor, rest) = number(rest.strip_prefix(b".")?)?;
    number(rest.strip_prefix(b"p")?)?;
    Some(Version { major, minor })
}

fn number(text: &[u8]) -> Option<(u16, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn the_release_stands_in_the_program_login_9() {
        for (content, expected) in [
            (b"\0OpenSSH_9.2p1 Debian-2+deb12u3\0".as_slice(), Some(Version::new(9, 2))),
            (b"OpenSSH_7.4p1", Some(Version::new(7, 4))),
            (b"OpenSSH_10.0p2\0", Some(Version::new(10, 0))),
            (
                b"OpenSSH_2.*,OpenSSH_3.0*\0OpenSSH_6.6.1*\0OpenSSH_8.7p1\0",
                Some(Version::new(8, 7)),
            ),
            (b"OpenSSH_2.*,OpenSSH_7.4*\0OpenSSH_9.9\0", None),
            (b"OpenSSH_99999.1p1", None),
            (b"#!/bin/sh\nexec sshd\n", None),
            (b"OOpenSSH_9.", None),
        ] {
            assert_eq!(version_in(content), expected, "{}", String::from_utf8_lossy(content));
        }
    }

    #[test]
    fn a_string_over_two_chunks_is_found_and_the_read_is_bounded() {
        let path = GuestPath::new("/usr/sbin/sshd");
        let text = b"OpenSSH_9.2p1\0usepam\0";
        for before in [0, CHUNK_BYTES - 5, CHUNK_BYTES - 15, 3 * CHUNK_BYTES] {
            let content = [vec![b'x'; before], text.to_vec()].concat();
            let mut tree = MemoryTree::new();
            tree.file("/usr/sbin/sshd", 0, 0o755, &content);
            assert_eq!(of_program(&tree, &path).unwrap(), Some(Version::new(9, 2)), "{before}");
            let wanted = ["usepam", "pam", "use", "port"];
            let words = presence_in_program(&tree, &path, &wanted).unwrap();
            let expected = [Presence::Whole, Presence::AsEnd, Presence::Absent, Presence::Absent];
            assert_eq!(words.as_deref(), Some(expected.as_slice()), "{before}");
        }
        let mut tree = MemoryTree::new();
        assert_eq!(of_program(&tree, &path).unwrap(), None);
        assert_eq!(words_in_program(&tree, &path, &["x"]).unwrap(), None);
        let large = [vec![0; 8 * 1024 * 1024], text.to_vec()].concat();
        tree.file("/usr/sbin/sshd", 0, 0o755, &large);
        assert_eq!(of_program(&tree, &path).unwrap(), None);
        assert_eq!(words_in_program(&tree, &path, &["usepam"]).unwrap(), None);
        tree.directory("/usr/sbin/sshd", 0, 0o755);
        assert_eq!(of_program(&tree, &path).unwrap(), None);
    }

    #[test]
    fn what_is_only_assumed_decides_nothing_login_9() {
        let version = Version::new(8, 2);
        assert_eq!(Release::Known(version).at_least(8, 2), Some(true));
        assert_eq!(Release::Known(version).at_least(8, 10), Some(false));
        assert_eq!(Release::Assumed(version).at_least(8, 2), None);
        assert!(
            Release::Assumed(version).is_likely(8, 2) && !Release::Assumed(version).is_likely(9, 0)
        );
        assert_eq!(Release::Unknown.at_least(1, 0), None);
        assert!(Version::new(10, 0) > Version::new(9, 9));
    }
}
