//! Numbers of blocks and inodes: taken apart into group and place, put together, and turned into bytes.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Allocation Groups". A packed number has the group in its upper
//! bits; how many bits the place takes is in the superblock.

use super::Superblock;
use crate::bytes::arith::{add, mul, pow2, sub, to};
use crate::error::{Corrupt, Result};
use crate::fs::xfs::units::{AgBlock, AgInode, AgNumber, FsBlock, InodeNumber};

impl Superblock {
    /// Blocks of the group `ag`: `ag_blocks`, but for the last one.
    ///
    /// # Errors
    /// `Corrupt` if there is no such group.
    pub(crate) fn ag_length(&self, ag: AgNumber) -> Result<u32> {
        let before = mul(u64::from(ag.0), u64::from(self.ag_blocks))?;
        let left = sub(self.blocks, before)?;
        if ag.0 >= self.ag_count {
            return Err(Outside::Group(ag.0).into());
        }
        Ok(to(left.min(u64::from(self.ag_blocks)))?)
    }

    /// Takes a packed block number apart and checks that the block exists.
    ///
    /// # Errors
    /// `Corrupt` if it does not.
    pub(crate) fn split(&self, block: FsBlock) -> Result<(AgNumber, AgBlock)> {
        let log = u32::from(self.ag_block_log);
        let outside = || Outside::Block(block.0);
        let ag = AgNumber(u32::try_from(block.0 >> log).map_err(|_| outside())?);
        let ag_block: u32 = to(block.0 & sub(pow2(log)?, 1)?)?;
        if ag.0 >= self.ag_count || ag_block >= self.ag_length(ag)? {
            return Err(outside().into());
        }
        Ok((ag, AgBlock(ag_block)))
    }

    /// Packs a block number.
    ///
    /// # Errors
    /// `Corrupt` if the block does not exist.
    pub(crate) fn join(&self, ag: AgNumber, block: AgBlock) -> Result<FsBlock> {
        if block.0 >= self.ag_length(ag)? {
            return Err(Outside::AgBlock { ag: ag.0, block: block.0 }.into());
        }
        let start = mul(u64::from(ag.0), pow2(u32::from(self.ag_block_log))?)?;
        Ok(FsBlock(add(start, u64::from(block.0))?))
    }

    /// Checks that `count` blocks from `start` exist and lie in one group.
    ///
    /// # Errors
    /// `Corrupt` if they do not.
    pub(crate) fn check_run(&self, start: FsBlock, count: u32) -> Result<()> {
        let (ag, block) = self.split(start)?;
        match block.0.checked_add(count) {
            Some(end) if end <= self.ag_length(ag)? => Ok(()),
            _ => Err(Outside::Run { start: start.0, count }.into()),
        }
    }

    /// Where a block starts, in bytes from the start of the volume.
    ///
    /// # Errors
    /// `Corrupt` if the block does not exist.
    pub(crate) fn block_offset(&self, block: FsBlock) -> Result<u64> {
        let (ag, ag_block) = self.split(block)?;
        let start = mul(u64::from(ag.0), u64::from(self.ag_blocks))?;
        Ok(mul(add(start, u64::from(ag_block.0))?, self.block_size())?)
    }

    /// Where a block starts in units of 512 bytes, as the headers of structures name themselves.
    ///
    /// # Errors
    /// `Corrupt` if the block does not exist.
    pub(crate) fn daddr(&self, block: FsBlock) -> Result<u64> {
        Ok(self.block_offset(block)? >> 9)
    }

    /// Takes an inode number apart: group, inode in the group.
    ///
    /// # Errors
    /// `Corrupt` if its block does not exist.
    pub(crate) fn split_inode(&self, inode: InodeNumber) -> Result<(AgNumber, AgInode)> {
        let log = u32::from(self.ag_block_log).saturating_add(u32::from(self.inodes_per_block_log));
        let outside = || Outside::Inode(inode.0);
        let ag = AgNumber(u32::try_from(inode.0 >> log).map_err(|_| outside())?);
        let ag_inode: u32 = u32::try_from(inode.0 & sub(pow2(log)?, 1)?).map_err(|_| outside())?;
        let block = ag_inode >> u32::from(self.inodes_per_block_log);
        if ag.0 >= self.ag_count || block >= self.ag_length(ag)? {
            return Err(outside().into());
        }
        Ok((ag, AgInode(ag_inode)))
    }

    /// Packs an inode number.
    ///
    /// # Errors
    /// `Corrupt` if its block does not exist.
    pub(crate) fn join_inode(&self, ag: AgNumber, inode: AgInode) -> Result<InodeNumber> {
        let log = u32::from(self.ag_block_log).saturating_add(u32::from(self.inodes_per_block_log));
        let number = InodeNumber(add(mul(u64::from(ag.0), pow2(log)?)?, u64::from(inode.0))?);
        if self.split_inode(number)? != (ag, inode) {
            return Err(Outside::Inode(number.0).into());
        }
        Ok(number)
    }

    /// The block that holds an inode, and where in the block it starts, in bytes.
    ///
    /// # Errors
    /// `Corrupt` if the block does not exist.
    pub(crate) fn inode_place(&self, inode: InodeNumber) -> Result<(FsBlock, u64)> {
        let (ag, ag_inode) = self.split_inode(inode)?;
        let log = u32::from(self.inodes_per_block_log);
        let block = self.join(ag, AgBlock(ag_inode.0 >> log))?;
        let index = u64::from(ag_inode.0) & sub(pow2(log)?, 1)?;
        Ok((block, mul(index, u64::from(self.inode_size_bytes))?))
    }
}

/// A number leads outside the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Outside {
    #[error("there is no allocation group {0}")]
    Group(u32),
    #[error("there is no block {0}")]
    Block(u64),
    #[error("allocation group {ag} has no block {block}")]
    AgBlock { ag: u32, block: u32 },
    #[error("{count} blocks from {start} do not lie in one allocation group")]
    Run { start: u64, count: u32 },
    #[error("there is no inode {0}")]
    Inode(u64),
}

impl From<Outside> for crate::error::Error {
    fn from(outside: Outside) -> Self {
        Corrupt::new("address", outside).into()
    }
}
