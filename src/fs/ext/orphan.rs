//! Orphans: inodes that were deleted or being truncated when the machine stopped.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Orphan file", and
//! the fields `s_last_orphan` of the superblock and `i_dtime` of the inode. They are left to the kernel, which
//! finishes them at the next mount: their blocks and inodes stay marked as used, so that nothing else gets
//! them. Only one that is edited is finished before, or the edit refused (see `pending`).

use crate::bytes::arith::len_u64;
use crate::bytes::checksum::{agrees, crc32c_raw};
use crate::bytes::field::{Short, le_u32, put_le_u32, slice, slice_mut};
use crate::error::{Corrupt, Error, Result};
use std::collections::BTreeSet;

/// Bound on the orphans of one file system.
pub(super) const ORPHANS_MAX: usize = 65_536;
/// Magic number in the tail of a block of the orphan file.
const ORPHAN_BLOCK_MAGIC: u32 = 0x0b10_ca04;
/// Length of that tail in bytes.
const TAIL_BYTES: usize = 8;

/// What is wrong with the orphans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrphanDefect {
    /// There is no such inode.
    #[error("inode {inode} in a file system of {inode_count}")]
    Inode {
        /// The number.
        inode: u32,
        /// Inodes of the file system.
        inode_count: u32,
    },
    /// The list comes back to an inode that is in it already.
    #[error("the list returns to inode {0}")]
    Loop(u32),
    /// A block of the orphan file has no magic number.
    #[error("magic {0:#010x}")]
    Magic(u32),
    /// The checksum is wrong.
    #[error("checksum {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// As stored.
        stored: u32,
        /// As computed.
        computed: u32,
    },
    /// A block is too short.
    #[error(transparent)]
    Short(#[from] Short),
}

/// The orphans of a file system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Orphans(BTreeSet<u32>);

impl Orphans {
    /// Follows the list from `last_orphan` (`s_last_orphan`; 0 if there is none). `next_of` gives
    /// the `i_dtime` of an inode, which holds the next one.
    ///
    /// # Errors
    /// `Corrupt` - a loop, or no such inode; `Limit` - more than 65,536; the error of `next_of`.
    pub fn follow(
        &mut self,
        last_orphan: u32,
        inode_count: u32,
        next_of: &mut dyn FnMut(u32) -> Result<u32>,
    ) -> Result<()> {
        let mut seen = BTreeSet::new();
        let mut inode = last_orphan;
        while inode != 0 {
            let defect = if inode > inode_count {
                OrphanDefect::Inode { inode, inode_count }
            } else if seen.insert(inode) {
                self.insert(inode)?;
                inode = next_of(inode)?;
                continue;
            } else {
                OrphanDefect::Loop(inode)
            };
            return Err(Corrupt::new("orphan list", defect).into());
        }
        Ok(())
    }

    /// Adds the orphans in `block`, a block of the orphan file, which lies at block `fs_block` of
    /// the file system. `inode_seed` is the checksum seed of the orphan file's inode; `None`
    /// without metadata_csum.
    ///
    /// |         offset | size | spec        | here      | valid when                        |
    /// |---------------:|-----:|-------------|-----------|-----------------------------------|
    /// |              0 |  4 n | (entries)   | inodes    | 0 or an inode number              |
    /// | block size - 8 |    4 | ob_magic    | (checked) | equals `ORPHAN_BLOCK_MAGIC`       |
    /// | block size - 4 |    4 | ob_checksum | (checked) | CRC-32C of inode seed, own number |
    /// |                |      |             |           | in 64 bits (observed) and entries |
    ///
    /// # Errors
    /// `Corrupt` - magic, checksum or a number is wrong; `Limit` - more than 65,536 orphans.
    pub fn add_file_block(
        &mut self,
        block: &[u8],
        fs_block: u64,
        inode_seed: Option<u32>,
        inode_count: u32,
    ) -> Result<()> {
        let inodes = file_block(block, fs_block, inode_seed, inode_count)
            .map_err(|defect| Corrupt::new("orphan file block", defect))?;
        inodes.into_iter().try_for_each(|inode| self.insert(inode))
    }

    fn insert(&mut self, inode: u32) -> Result<()> {
        self.0.insert(inode);
        if self.0.len() > ORPHANS_MAX {
            let (limit, actual) = (len_u64(ORPHANS_MAX), len_u64(self.0.len()));
            return Err(Error::limit("number of orphan inodes", limit, actual));
        }
        Ok(())
    }

    /// The inodes, ascending.
    pub fn inodes(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of `inodes` that is an orphan: it must be settled before it is edited.
    pub fn touches(&self, inodes: &[u32]) -> Option<u32> {
        inodes.iter().copied().find(|inode| self.0.contains(inode))
    }
}

/// Clears the entry of `inode` in `block` of the orphan file, and seals the block again. False if there is none.
///
/// # Errors
/// `Corrupt` if the block is too short.
pub(super) fn clear_entry(
    block: &mut [u8],
    fs_block: u64,
    inode_seed: Option<u32>,
    inode: u32,
) -> Result<bool> {
    let tail = block.len().saturating_sub(TAIL_BYTES);
    let entries = slice_mut(block, 0, tail)?;
    let mut entry = entries.chunks_exact_mut(4).filter(|entry| **entry == inode.to_le_bytes());
    let Some(entry) = entry.next() else { return Ok(false) };
    entry.fill(0);
    if let Some(seed) = inode_seed {
        let sum = crc32c_raw(crc32c_raw(seed, &fs_block.to_le_bytes()), slice(block, 0, tail)?);
        put_le_u32(block, tail.saturating_add(4), sum)?;
    }
    Ok(true)
}

fn file_block(
    block: &[u8],
    fs_block: u64,
    inode_seed: Option<u32>,
    inode_count: u32,
) -> Result<Vec<u32>, OrphanDefect> {
    let tail = block.len().saturating_sub(TAIL_BYTES);
    let magic = le_u32(block, tail)?;
    if magic != ORPHAN_BLOCK_MAGIC {
        return Err(OrphanDefect::Magic(magic));
    }
    let entries = slice(block, 0, tail)?;
    if let Some(seed) = inode_seed {
        let stored = le_u32(block, tail.saturating_add(4))?;
        let computed = crc32c_raw(crc32c_raw(seed, &fs_block.to_le_bytes()), entries);
        if !agrees(stored, computed) {
            return Err(OrphanDefect::Checksum { stored, computed });
        }
    }
    let mut inodes = Vec::new();
    for entry in entries.chunks_exact(4) {
        match le_u32(entry, 0)? {
            0 => {}
            inode if inode > inode_count => return Err(OrphanDefect::Inode { inode, inode_count }),
            inode => inodes.push(inode),
        }
    }
    Ok(inodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::ext::testing::Image;

    /// Follows a list in which `next[i]` is the inode behind inode `i`.
    fn follow(next: &[u32], last: u32) -> Result<Orphans> {
        let mut orphans = Orphans::default();
        let count = next.len() as u32 - 1;
        orphans.follow(last, count, &mut |inode| Ok(next[inode as usize]))?;
        Ok(orphans)
    }

    #[test]
    fn the_list_is_followed_to_its_end() {
        let orphans = follow(&[0, 0, 1, 0, 2], 4).unwrap();
        assert_eq!(orphans.inodes().collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!((orphans.touches(&[3, 2]), orphans.touches(&[3])), (Some(2), None));
        assert!(follow(&[0, 0], 0).unwrap().is_empty());
    }

    #[test]
    fn loops_and_wild_numbers_are_corruption() {
        for (next, last, expected) in [
            (&[0, 2, 1][..], 1, "orphan list: the list returns to inode 1"),
            (&[0, 1], 1, "orphan list: the list returns to inode 1"),
            (&[0, 9], 1, "orphan list: inode 9 in a file system of 1"),
        ] {
            assert_eq!(follow(next, last).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_block_of_the_orphan_file_is_checked() {
        let mut block = vec![0; 1024];
        block[8..12].copy_from_slice(&12u32.to_le_bytes());
        block[1016..1020].copy_from_slice(&ORPHAN_BLOCK_MAGIC.to_le_bytes());
        let checksum = crc32c_raw(crc32c_raw(3, &77u64.to_le_bytes()), &block[..1016]);
        block[1020..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(file_block(&block, 77, Some(3), 16), Ok(vec![12]));
        assert_eq!(
            file_block(&block, 77, None, 11),
            Err(OrphanDefect::Inode { inode: 12, inode_count: 11 })
        );
        assert!(matches!(file_block(&block, 78, Some(3), 16), Err(OrphanDefect::Checksum { .. })));
        assert_eq!(file_block(&[0; 64], 0, None, 16), Err(OrphanDefect::Magic(0)));
    }

    /// The empty orphan file of mke2fs: every block with the magic and the right checksum.
    #[test]
    fn the_orphan_file_of_mke2fs_is_accepted() {
        let image = Image::make(4096, &["-t", "ext4", "-O", "orphan_file"]);
        let inode: u32 = 12;
        let seed = crc32c_raw(image.checksum_seed(), &inode.to_le_bytes());
        // The generation of the inode is 0.
        let seed = crc32c_raw(seed, &0u32.to_le_bytes());
        let bytes = image.bytes();
        let mut orphans = Orphans::default();
        for fs_block in image.blocks_of(inode) {
            let at = fs_block as usize * 4096;
            orphans.add_file_block(&bytes[at..at + 4096], fs_block, Some(seed), 8192).unwrap();
        }
        assert!(orphans.is_empty());
    }
}
