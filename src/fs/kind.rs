//! Kinds of nodes, and the numbers that stand for them on all volumes of Linux.

use crate::error::{Refusal, Result};
use std::fmt;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A socket.
    Socket,
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "regular file",
            Self::Directory => "directory",
            Self::Symlink => "symbolic link",
            Self::Fifo => "named pipe",
            Self::CharDevice => "character device",
            Self::BlockDevice => "block device",
            Self::Socket => "socket",
        })
    }
}

impl NodeKind {
    /// All kinds.
    const ALL: [Self; 7] = [
        Self::File,
        Self::Directory,
        Self::Symlink,
        Self::Fifo,
        Self::CharDevice,
        Self::BlockDevice,
        Self::Socket,
    ];

    /// The bits of a mode that say what the node is, without permissions.
    pub(crate) fn mode_bits(self) -> u16 {
        match self {
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::Directory => 0o040_000,
            Self::BlockDevice => 0o060_000,
            Self::File => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::Socket => 0o140_000,
        }
    }

    /// What a node of this mode is; `None` if its bits stand for nothing.
    pub(crate) fn of_mode(mode: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.mode_bits() == mode & 0o170_000)
    }

    /// The number that directory entries have for it.
    pub(crate) fn entry_type(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Directory => 2,
            Self::CharDevice => 3,
            Self::BlockDevice => 4,
            Self::Fifo => 5,
            Self::Socket => 6,
            Self::Symlink => 7,
        }
    }

    /// What a directory entry with this number names; `None` if it stands for nothing.
    pub(crate) fn of_entry_type(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.entry_type() == number)
    }

    /// Refuses a node that is not of the `wanted` kind; `path` names it.
    ///
    /// # Errors
    /// `Refused`.
    pub(crate) fn check(self, wanted: Self, path: impl fmt::Display) -> Result<()> {
        if self == wanted {
            return Ok(());
        }
        let reason = format!("is a {self}, not a {wanted}");
        Err(Refusal::UnsuitableFile { path: path.to_string(), reason }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of `stat(2)` and `readdir(3)`, as the manual pages have them.
    #[test]
    fn numbers_are_those_of_linux() {
        for (mode, entry_type, kind) in [
            (0o100_644, 1, NodeKind::File),
            (0o040_755, 2, NodeKind::Directory),
            (0o020_600, 3, NodeKind::CharDevice),
            (0o060_600, 4, NodeKind::BlockDevice),
            (0o010_600, 5, NodeKind::Fifo),
            (0o140_777, 6, NodeKind::Socket),
            (0o120_777, 7, NodeKind::Symlink),
        ] {
            assert_eq!(NodeKind::of_mode(mode), Some(kind));
            assert_eq!(kind.mode_bits(), mode & 0o170_000);
            assert_eq!(NodeKind::of_entry_type(entry_type), Some(kind));
            assert_eq!(kind.entry_type(), entry_type);
        }
        assert_eq!(NodeKind::of_mode(0o644), None);
        assert_eq!(NodeKind::of_mode(0o170_644), None);
        assert_eq!(NodeKind::of_entry_type(0), None);
        assert_eq!(NodeKind::of_entry_type(8), None);
    }

    #[test]
    fn another_kind_is_refused_by_name() {
        NodeKind::File.check(NodeKind::File, "a").unwrap();
        let error = NodeKind::Fifo.check(NodeKind::Directory, "a").unwrap_err();
        assert_eq!(error.to_string(), "a: is a named pipe, not a directory");
    }
}
