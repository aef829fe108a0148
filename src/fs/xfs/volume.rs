//! The volume under all structures: the disk and its superblock, with access by block number.
//!
//! Nothing but the superblock is kept in memory between two calls: the overlay below is the one place where
//! an edit lives.

use super::inode::Inode;
use super::superblock::Superblock;
use super::units::{AgBlock, AgNumber, FsBlock, InodeNumber};
use crate::bytes::arith::{OutOfRange, add, div_ceil, len_u64, mul, to};
use crate::disk::{DiskEdit, SECTOR_BYTES};
use crate::error::Result;
use crate::fs::Timestamp;
use std::sync::Arc;

/// Bound on the blocks that are read or written in one call: as many bytes as a small file may have.
const TRANSFER_BYTES_MAX: u64 = crate::fs::FILE_BYTES_MAX;

/// The sectors at the start of an allocation group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgSector {
    /// The superblock; in all groups but the first one a copy.
    Superblock,
    /// Free space.
    Agf,
    /// Inodes.
    Agi,
    /// The free list.
    Agfl,
}

impl AgSector {
    fn index(self) -> u64 {
        match self {
            Self::Superblock => 0,
            Self::Agf => 1,
            Self::Agi => 2,
            Self::Agfl => 3,
        }
    }
}

/// A disk with an XFS superblock.
#[derive(Debug)]
pub(crate) struct Volume {
    disk: Arc<dyn DiskEdit>,
    superblock: Superblock,
    clock: Timestamp,
}

impl Volume {
    /// Reads the superblock of `disk`; `clock` is the time that edits are made at.
    ///
    /// # Errors
    /// As [`Superblock::parse`].
    pub(crate) fn open(disk: Arc<dyn DiskEdit>, clock: Timestamp) -> Result<Self> {
        let superblock = read_superblock(disk.as_ref())?;
        Ok(Self { disk, superblock, clock })
    }

    pub(crate) fn disk(&self) -> &Arc<dyn DiskEdit> {
        &self.disk
    }

    pub(crate) fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The time of the edit.
    pub(crate) fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Reads the superblock again, after a replay changed it below us.
    ///
    /// # Errors
    /// As [`Superblock::parse`].
    pub(crate) fn reload_superblock(&mut self) -> Result<()> {
        self.superblock = read_superblock(self.disk.as_ref())?;
        Ok(())
    }

    /// Applies `change` to the superblock and stores it.
    ///
    /// # Errors
    /// Those of `change`.
    pub(crate) fn update_superblock(
        &mut self,
        change: impl FnOnce(&mut Superblock) -> Result<()>,
    ) -> Result<()> {
        change(&mut self.superblock)?;
        self.disk.write_at(0, &self.superblock.encode()?, "superblock")
    }

    /// Reads `count` whole blocks that lie in one allocation group.
    ///
    /// # Errors
    /// `Corrupt` if they do not exist; `Limit` if they are too many.
    pub(crate) fn read_blocks(&self, start: FsBlock, count: u32) -> Result<Vec<u8>> {
        self.superblock.check_run(start, count)?;
        let len = mul(u64::from(count), self.superblock.block_size())?;
        if len > TRANSFER_BYTES_MAX {
            let what = "number of bytes to read at once";
            return Err(crate::error::Error::limit(what, TRANSFER_BYTES_MAX, len));
        }
        self.disk.read_vec(self.superblock.block_offset(start)?, to(len)?)
    }

    /// Writes `bytes` from the start of a block on; they end in the same allocation group.
    ///
    /// # Errors
    /// `Corrupt` if the blocks do not exist.
    pub(crate) fn write_blocks(&self, start: FsBlock, bytes: &[u8], what: &str) -> Result<()> {
        let count = div_ceil(len_u64(bytes.len()), self.superblock.block_size())?;
        self.superblock.check_run(start, to(count)?)?;
        self.disk.write_at(self.superblock.block_offset(start)?, bytes, what)
    }

    /// Where a header sector of `ag` starts, in bytes from the start of the volume.
    ///
    /// # Errors
    /// `Corrupt` if there is no such group.
    pub(crate) fn sector_offset(&self, ag: AgNumber, sector: AgSector) -> Result<u64> {
        let start = self.superblock.block_offset(self.superblock.join(ag, AgBlock(0))?)?;
        let sector_size = u64::from(self.superblock.sector_size_bytes);
        Ok(add(start, mul(sector.index(), sector_size)?)?)
    }

    /// Reads a header sector of `ag`.
    ///
    /// # Errors
    /// `Corrupt` if there is no such group.
    pub(crate) fn read_sector(&self, ag: AgNumber, sector: AgSector) -> Result<Vec<u8>> {
        let offset = self.sector_offset(ag, sector)?;
        self.disk.read_vec(offset, to(self.superblock.sector_size_bytes)?)
    }

    /// Writes a whole header sector of `ag`.
    ///
    /// # Errors
    /// `Corrupt` if there is no such group, or `bytes` is not one sector.
    pub(crate) fn write_sector(
        &self,
        ag: AgNumber,
        sector: AgSector,
        bytes: &[u8],
        what: &str,
    ) -> Result<()> {
        if len_u64(bytes.len()) != u64::from(self.superblock.sector_size_bytes) {
            return Err(OutOfRange.into());
        }
        self.disk.write_at(self.sector_offset(ag, sector)?, bytes, what)
    }

    /// Where an inode starts, in bytes from the start of the volume.
    ///
    /// # Errors
    /// `Corrupt` if its block does not exist.
    pub(crate) fn inode_offset(&self, number: InodeNumber) -> Result<u64> {
        let (block, from) = self.superblock.inode_place(number)?;
        Ok(add(self.superblock.block_offset(block)?, from)?)
    }

    /// Reads and checks an inode. Whether it is in use is for the inode trees to say.
    ///
    /// # Errors
    /// `Corrupt` if it does not exist or makes no sense.
    pub(crate) fn load_inode(&self, number: InodeNumber) -> Result<Inode> {
        let offset = self.inode_offset(number)?;
        let bytes = self.disk.read_vec(offset, usize::from(self.superblock.inode_size_bytes))?;
        Inode::parse(&self.superblock, number, bytes, offset)
    }

    /// Stores an inode with a checksum that fits it.
    ///
    /// # Errors
    /// `Corrupt` if it does not exist.
    pub(crate) fn store_inode(&self, inode: &mut Inode) -> Result<()> {
        let offset = self.inode_offset(inode.number)?;
        let what = inode.number.to_string();
        self.disk.write_at(offset, inode.seal()?, &what)
    }
}

fn read_superblock(disk: &dyn DiskEdit) -> Result<Superblock> {
    let mut first = [0; SECTOR_BYTES];
    disk.read_at(0, &mut first)?;
    let bytes = disk.read_vec(0, Superblock::sector_size(&first)?)?;
    Superblock::parse(&bytes, disk.len_bytes())
}
