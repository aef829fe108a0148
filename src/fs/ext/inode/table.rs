//! Inodes in their tables: found, read, checked and stored with their checksums.

use super::{GOOD_OLD_BYTES, Inode, InodeDefect};
use crate::bytes::arith::{add, mul};
use crate::bytes::checksum::agrees;
use crate::bytes::field::{high_u16, low_u16, put_le_u16};
use crate::error::{Corrupt, Result};
use crate::fs::ext::checksum::{self, INODE_CHECKSUM_HIGH_AT, INODE_CHECKSUM_LOW_AT};
use crate::fs::ext::feature::incompat;
use crate::fs::ext::superblock::Superblock;
use crate::fs::ext::units::InodeNumber;
use crate::fs::ext::volume::Volume;

impl Inode {
    fn checksum(&self, seed: u32) -> Result<u32> {
        let inode_seed = checksum::inode_seed(seed, self.number, self.generation());
        let has_high = self.has_extra(INODE_CHECKSUM_HIGH_AT, 2);
        let sum = checksum::inode(inode_seed, &self.bytes, has_high)?;
        Ok(if has_high { sum } else { u32::from(low_u16(sum)) })
    }

    fn stored_checksum(&self) -> u32 {
        let low = u32::from(self.u16(INODE_CHECKSUM_LOW_AT));
        if !self.has_extra(INODE_CHECKSUM_HIGH_AT, 2) {
            return low;
        }
        (u32::from(self.u16(INODE_CHECKSUM_HIGH_AT)) << 16) | low
    }

    fn seal(&mut self, seed: u32) -> Result<()> {
        let sum = self.checksum(seed)?;
        put_le_u16(&mut self.bytes, INODE_CHECKSUM_LOW_AT, low_u16(sum))?;
        if self.has_extra(INODE_CHECKSUM_HIGH_AT, 2) {
            put_le_u16(&mut self.bytes, INODE_CHECKSUM_HIGH_AT, high_u16(sum))?;
        }
        Ok(())
    }

    fn check(&self, superblock: &Superblock) -> Result<()> {
        let (extra, size) = (self.extra_size(), self.bytes.len());
        let end = GOOD_OLD_BYTES.saturating_add(usize::from(extra));
        if size > GOOD_OLD_BYTES && (end > size || !extra.is_multiple_of(4)) {
            return Err(self.corrupt(InodeDefect::ExtraSize { extra, size }));
        }
        if let Some(seed) = superblock.checksum_seed {
            let (stored, computed) = (self.stored_checksum(), self.checksum(seed)?);
            if !agrees(stored, computed) {
                return Err(self.corrupt(InodeDefect::Checksum { stored, computed }));
            }
        }
        if self.size_bytes() > u64::MAX >> 1 {
            return Err(self.corrupt(InodeDefect::Size(self.size_bytes())));
        }
        Ok(())
    }
}

impl Volume {
    /// Where an inode starts, in bytes.
    fn inode_offset(&self, number: InodeNumber) -> Result<u64> {
        let superblock = self.superblock();
        if number.0 == 0 || number.0 > superblock.inodes_count {
            let defect = InodeDefect::Number(superblock.inodes_count);
            return Err(Corrupt::new("inode", defect).of(number.to_string()).into());
        }
        let (group, index) = superblock.inode_place(number)?;
        let table = self.read_group(group)?.inode_table()?;
        let inside = mul(u64::from(index), u64::from(superblock.inode_size_bytes))?;
        Ok(add(superblock.block_offset(table)?, inside)?)
    }

    /// Reads an inode without any check: one that is about to be made.
    pub(crate) fn read_raw_inode(&self, number: InodeNumber) -> Result<Inode> {
        let offset = self.inode_offset(number)?;
        let size = usize::from(self.superblock().inode_size_bytes);
        let bytes = self.disk().read_vec(offset, size)?;
        Ok(Inode::new(number, bytes, self.superblock()))
    }

    /// Reads and checks an inode that is in use.
    ///
    /// # Errors
    /// `Corrupt` with an [`InodeDefect`].
    pub(crate) fn read_inode(&self, number: InodeNumber) -> Result<Inode> {
        let inode = self.read_raw_inode(number)?;
        inode.check(self.superblock())?;
        if inode.raw_mode() == 0 {
            return Err(inode.corrupt(InodeDefect::Free));
        }
        Ok(inode)
    }

    /// Stores an inode with its checksum.
    pub(crate) fn store_inode(&self, inode: &mut Inode) -> Result<()> {
        if let Some(seed) = self.superblock().checksum_seed {
            inode.seal(seed)?;
        }
        let offset = self.inode_offset(inode.number)?;
        self.disk().write_at(offset, inode.bytes(), &inode.number.to_string())
    }

    /// The checksum seed of an inode's own blocks; `None` without `metadata_csum`.
    pub(crate) fn inode_seed(&self, inode: &Inode) -> Option<u32> {
        let seed = self.superblock().checksum_seed?;
        Some(checksum::inode_seed(seed, inode.number, inode.generation()))
    }

    /// True if new inodes map their content with extents.
    pub(crate) fn has_extents(&self) -> bool {
        self.superblock().features.has_incompat(incompat::EXTENTS)
    }
}
