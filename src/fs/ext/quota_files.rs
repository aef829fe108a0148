//! The hidden quota files of a volume, for the `quota` module, and what an edit changes in them.

use super::feature::ro_compat;
use super::inode::{Inode, InodeDefect};
use super::quota::{QUOTA_BLOCK_BYTES, QuotaBlocks, QuotaKind, UsageChange, change_usage};
use super::units::InodeNumber;
use super::volume::Volume;
use crate::bytes::arith::{add, div, len_u64, mul, to};
use crate::error::Result;

/// Who pays for an inode, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charge {
    uid: u32,
    gid: u32,
    project: u32,
    space_bytes: i64,
}

impl Charge {
    /// The charge for `inode` as it is now.
    pub(crate) fn of(inode: &Inode) -> Result<Self> {
        let space_bytes = to(mul(inode.sectors()?, 512)?)?;
        let (uid, gid, project) = (inode.uid(), inode.gid(), inode.project());
        Ok(Self { uid, gid, project, space_bytes })
    }

    fn payer(&self, kind: QuotaKind) -> u32 {
        match kind {
            QuotaKind::User => self.uid,
            QuotaKind::Group => self.gid,
            QuotaKind::Project => self.project,
        }
    }
}

/// One quota file.
struct QuotaFile<'a> {
    volume: &'a mut Volume,
    inode: Inode,
    kind: QuotaKind,
    block_count: u32,
}

impl QuotaFile<'_> {
    fn offset(&self, quota_block: u32) -> Result<u64> {
        if quota_block >= self.block_count {
            return Err(self.inode.corrupt(InodeDefect::Size(self.inode.size_bytes())));
        }
        Ok(mul(u64::from(quota_block), len_u64(QUOTA_BLOCK_BYTES))?)
    }

    fn label(&self) -> String {
        format!("{} quota", self.kind)
    }
}

impl QuotaBlocks for QuotaFile<'_> {
    fn block_count(&self) -> u32 {
        self.block_count
    }

    fn read(&self, quota_block: u32) -> Result<Vec<u8>> {
        let offset = self.offset(quota_block)?;
        self.volume.read_content(&self.inode, offset, QUOTA_BLOCK_BYTES)
    }

    fn write(&mut self, quota_block: u32, bytes: &[u8]) -> Result<()> {
        let (offset, label) = (self.offset(quota_block)?, self.label());
        self.volume.write_content(&mut self.inode, offset, bytes, &label)?;
        self.volume.store_inode(&mut self.inode)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<u32> {
        let (number, label) = (self.block_count, self.label());
        let offset = mul(u64::from(number), len_u64(QUOTA_BLOCK_BYTES))?;
        self.volume.write_content(&mut self.inode, offset, bytes, &label)?;
        self.inode.set_size_bytes(add(offset, len_u64(QUOTA_BLOCK_BYTES))?)?;
        self.volume.store_inode(&mut self.inode)?;
        self.block_count = number.saturating_add(1);
        Ok(number)
    }
}

impl Volume {
    /// Moves what an inode is charged for: `None` before it exists and after it is gone.
    ///
    /// # Errors
    /// As [`change_usage`].
    pub(crate) fn recharge(&mut self, before: Option<Charge>, after: Option<Charge>) -> Result<()> {
        let features = self.superblock().features;
        if before == after || !features.has_ro_compat(ro_compat::QUOTA | ro_compat::PROJECT) {
            return Ok(());
        }
        let kinds = [QuotaKind::User, QuotaKind::Group, QuotaKind::Project];
        let inodes = self.superblock().quota_inodes;
        for (kind, number) in kinds.into_iter().zip(inodes) {
            if number == 0 {
                continue;
            }
            let old = before.map(|charge| (charge.payer(kind), charge.space_bytes));
            let new = after.map(|charge| (charge.payer(kind), charge.space_bytes));
            let mut changes = Vec::new();
            match (old, new) {
                (Some((from, old)), Some((to, new))) if from == to => {
                    changes.push((to, new.saturating_sub(old), 0));
                }
                _ => {
                    changes.extend(old.map(|(id, space)| (id, space.saturating_neg(), -1)));
                    changes.extend(new.map(|(id, space)| (id, space, 1)));
                }
            }
            for (id, space_bytes, inode_count) in changes {
                let change = UsageChange { space_bytes, inode_count };
                self.change_quota(InodeNumber(number), kind, id, change)?;
            }
        }
        Ok(())
    }

    fn change_quota(
        &mut self,
        number: InodeNumber,
        kind: QuotaKind,
        id: u32,
        change: UsageChange,
    ) -> Result<()> {
        let inode = self.read_inode(number)?;
        let size = inode.size_bytes();
        let count = div(size, len_u64(QUOTA_BLOCK_BYTES))?;
        let block_count =
            u32::try_from(count).map_err(|_| inode.corrupt(InodeDefect::Size(size)))?;
        change_usage(&mut QuotaFile { volume: self, inode, kind, block_count }, kind, id, change)
    }
}
