//! Quota: what users, groups and projects use, kept right in the hidden quota files.
//!
//! Format: "Disk quota system for Linux" (quotadoc of the quota tools), section "V0 quota format",
//! in its second revision (entries of 72 bytes); checked against what mke2fs writes and e2fsck
//! accepts. A quota file consists of blocks of 1 KiB: block 0 is the header, block 1 the root of a
//! tree with 4 levels of 256 numbers each (one byte of the id per level, the highest first), at
//! whose ends stand data blocks with up to 14 entries each. Everything is little-endian.
//!
//! Not handled: limits and grace times are kept as they are. As root we may exceed them, as root
//! may in a running system; a grace period starts when the running system next looks.

mod tree;

use crate::bytes::field::Short;
use crate::error::{Corrupt, Refusal, Result};
use std::fmt;
use tree::{Data, Header};

/// Size of a block of a quota file in bytes, whatever the file system's is.
pub const QUOTA_BLOCK_BYTES: usize = 1024;

/// A quota file in blocks of [`QUOTA_BLOCK_BYTES`].
pub trait QuotaBlocks {
    /// Number of blocks, from the size of the file.
    fn block_count(&self) -> u32;

    /// Reads a block.
    ///
    /// # Errors
    /// `Corrupt` if there is no such block; `Io`.
    fn read(&self, quota_block: u32) -> Result<Vec<u8>>;

    /// Writes a block that exists.
    ///
    /// # Errors
    /// `Corrupt` if there is no such block; `Io`.
    fn write(&mut self, quota_block: u32, bytes: &[u8]) -> Result<()>;

    /// Makes the file one block longer. Quota files themselves are not counted in any quota.
    ///
    /// # Errors
    /// `Refused` if the file cannot grow.
    fn append(&mut self, bytes: &[u8]) -> Result<u32>;
}

/// Whose usage a quota file counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuotaKind {
    /// Users (`s_usr_quota_inum`).
    User,
    /// Groups (`s_grp_quota_inum`).
    Group,
    /// Projects (`s_prj_quota_inum`).
    Project,
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Project => "project",
        })
    }
}

/// What an id uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Space in bytes, as `i_blocks` counts it.
    pub space_bytes: u64,
    /// Number of inodes.
    pub inode_count: u64,
}

/// How the usage of an id changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsageChange {
    /// Space in bytes.
    pub space_bytes: i64,
    /// Number of inodes.
    pub inode_count: i64,
}

/// What is wrong with a quota file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuotaDefect {
    /// The header is that of something else.
    #[error("magic {magic:#010x}, version {version}")]
    Header {
        /// As stored.
        magic: u32,
        /// As stored.
        version: u32,
    },
    /// A block number leads outside the file.
    #[error("block {block} in a file of {block_count}")]
    Block {
        /// The number.
        block: u32,
        /// Blocks of the file.
        block_count: u32,
    },
    /// The tree leads to a data block that does not have the id.
    #[error("no entry of id {id} in data block {block}")]
    NoEntry {
        /// The id.
        id: u32,
        /// The data block.
        block: u32,
    },
    /// A data block counts entries that it does not have, or is in the wrong list.
    #[error("data block {block} counts {count} entries, has {found}")]
    EntryCount {
        /// The data block.
        block: u32,
        /// As stored.
        count: u16,
        /// As found.
        found: u16,
    },
    /// A block is too short.
    #[error(transparent)]
    Short(#[from] Short),
}

pub(super) fn corrupt(kind: QuotaKind, defect: QuotaDefect) -> crate::error::Error {
    Corrupt::new("quota file", defect).of(format!("{kind} quota")).into()
}

/// The usage of `id`; zero if it has no entry.
///
/// # Errors
/// `Corrupt`, `Io`.
pub fn usage(file: &dyn QuotaBlocks, kind: QuotaKind, id: u32) -> Result<Usage> {
    Header::read(file, kind)?;
    match tree::find(file, kind, id)?.data_block {
        0 => Ok(Usage::default()),
        block => {
            let data = Data::read(file, kind, block)?;
            Ok(data.usage(data.find(id)?)?)
        }
    }
}

/// Changes the usage of `id`; gives it an entry if it has none.
///
/// An entry that falls to zero stays, which is what a file with limits has, too.
///
/// # Errors
/// * `Refused` - the file counts less than what is taken away ([`Refusal::NeedsCheck`]), or it
///   cannot grow.
/// * `Corrupt`, `Io`.
pub fn change_usage(
    file: &mut dyn QuotaBlocks,
    kind: QuotaKind,
    id: u32,
    change: UsageChange,
) -> Result<()> {
    if change == UsageChange::default() {
        return Ok(());
    }
    let mut header = Header::read(file, kind)?;
    let path = tree::find(file, kind, id)?;
    let (mut data, slot) = match path.data_block {
        0 => tree::insert(file, &mut header, &path, id)?,
        block => {
            let data = Data::read(file, kind, block)?;
            let slot = data.find(id)?;
            (data, slot)
        }
    };
    let before = data.usage(slot)?;
    let after = before.changed(change).ok_or_else(|| Refusal::NeedsCheck {
        detail: format!(
            "{kind} {id} uses {} bytes and {} inodes by its quota, less than the edit takes away",
            before.space_bytes, before.inode_count
        ),
    })?;
    data.set_usage(slot, id, after)?;
    data.store(file)
}

impl Usage {
    fn changed(self, change: UsageChange) -> Option<Self> {
        Some(Self {
            space_bytes: self.space_bytes.checked_add_signed(change.space_bytes)?,
            inode_count: self.inode_count.checked_add_signed(change.inode_count)?,
        })
    }
}

#[cfg(test)]
mod tests;
