//! What quotas count: blocks and inodes of each user, group and project.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Internal Inodes", section "Quota Inodes". Each kind of
//! quota has a file that no directory names; a block of it holds as many dquots as fit, and the dquot of an id
//! lies at the place that the id gives.
//!
//! Not handled: making dquots that do not exist yet (the next mount then has to count anew), limits and
//! their timers (the superuser's edits may go beyond them; the kernel starts a timer at its next change).

pub(super) mod dquot;

#[cfg(test)]
pub(super) mod tests;

use super::inode::{ForkKind, Inode};
use super::units::FileBlock;
use super::volume::Volume;
use crate::bytes::arith::{add, div, mul, rem, to};
use crate::bytes::field::{put, slice};
use crate::error::{Context as _, Corrupt, Result};
use dquot::{DQUOT_BYTES, Dquot, DquotDefect};
use std::fmt;

/// `sb_versionnum`: the quota fields of the superblock mean something.
const VERSION_HAS_QUOTA: u16 = 0x40;

/// Who quotas count for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuotaKind {
    User,
    Group,
    Project,
}

const KINDS: [QuotaKind; 3] = [QuotaKind::User, QuotaKind::Group, QuotaKind::Project];

impl QuotaKind {
    /// Bits of `sb_qflags`: counted, and the counts were checked.
    fn flags(self) -> u16 {
        match self {
            Self::User => 0x1 | 0x4,
            Self::Group => 0x40 | 0x100,
            Self::Project => 0x8 | 0x400,
        }
    }

    /// Index into `quota_inodes` of the superblock.
    fn index(self) -> usize {
        match self {
            Self::User => 0,
            Self::Group => 1,
            Self::Project => 2,
        }
    }

    /// The kind in `d_flags`.
    fn dquot_type(self) -> u8 {
        match self {
            Self::User => 0x1,
            Self::Project => 0x2,
            Self::Group => 0x4,
        }
    }
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user quota",
            Self::Group => "group quota",
            Self::Project => "project quota",
        })
    }
}

/// Who pays for an inode, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charge {
    uid: u32,
    gid: u32,
    project: u32,
    blocks: u64,
}

impl Charge {
    /// The charge for `inode` as it is now.
    pub(crate) fn of(inode: &Inode) -> Self {
        Self {
            uid: inode.uid(),
            gid: inode.gid(),
            project: inode.project(),
            blocks: inode.block_count(),
        }
    }

    fn payer(&self, kind: QuotaKind) -> u32 {
        match kind {
            QuotaKind::User => self.uid,
            QuotaKind::Group => self.gid,
            QuotaKind::Project => self.project,
        }
    }
}

/// Whether a dquot gets more or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Add,
    Subtract,
}

impl Volume {
    /// Counts an inode, whose charge was `before` and is `after`; `None` where it does not exist. If a dquot
    /// that is needed does not exist, the next mount is made to count anew.
    ///
    /// # Errors
    /// `Corrupt` if a dquot makes no sense.
    pub(crate) fn recharge(&mut self, before: Option<Charge>, after: Option<Charge>) -> Result<()> {
        let is_trusted = self.superblock().features.version & VERSION_HAS_QUOTA != 0
            && self.superblock().has_checked_quotas();
        if before == after || !is_trusted || self.count_charge(before, after)? {
            return Ok(());
        }
        self.update_superblock(|superblock| {
            superblock.forget_checked_quotas();
            Ok(())
        })
    }

    /// Changes the dquots whose counts the next mount would trust; false if one of them does not exist.
    fn count_charge(&self, before: Option<Charge>, after: Option<Charge>) -> Result<bool> {
        for kind in KINDS {
            let flags = kind.flags();
            if self.superblock().quota_flags & flags != flags {
                continue;
            }
            let Some(number) = self.superblock().quota_inodes.get(kind.index()).copied() else {
                return Ok(false);
            };
            let file = self.load_inode(number).context(|| kind.to_string())?;
            let changes = [(before, Direction::Subtract), (after, Direction::Add)];
            for (charge, direction) in changes {
                let Some(charge) = charge else { continue };
                if !self.change_dquot(kind, &file, &charge, direction)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Adds a charge to the dquot that it belongs to, or subtracts it; false if there is none.
    fn change_dquot(
        &self,
        kind: QuotaKind,
        file: &Inode,
        charge: &Charge,
        direction: Direction,
    ) -> Result<bool> {
        let id = charge.payer(kind);
        let what = || format!("{kind} of {id}");
        let in_block = div(self.superblock().block_size(), to(DQUOT_BYTES)?)?;
        let file_block = FileBlock(div(id.into(), in_block)?);
        let extent = self.find_extent(file, ForkKind::Data, file_block).context(what)?;
        let Some(extent) = extent.filter(|extent| !extent.is_unwritten) else { return Ok(false) };
        let block = extent.block_at(file_block)?;
        let mut bytes = self.read_blocks(block, 1)?;
        let at: usize = to(mul(rem(id.into(), in_block)?, to(DQUOT_BYTES)?)?)?;
        let offset = add(self.superblock().block_offset(block)?, to(at)?)?;
        let wrong = |defect: DquotDefect| Corrupt::new("dquot", defect).at(offset).of(what());
        let uuid = self.superblock().meta_uuid.0;
        let stored = slice(&bytes, at, DQUOT_BYTES)?;
        let mut dquot = Dquot::parse(stored, id, kind.dquot_type(), &uuid).map_err(wrong)?;
        let change = |count: u64, by: u64| match direction {
            Direction::Add => count.checked_add(by),
            Direction::Subtract => count.checked_sub(by),
        };
        let counts = (change(dquot.blocks, charge.blocks), change(dquot.inodes, 1));
        let (Some(blocks), Some(inodes)) = counts else {
            return Err(
                wrong(DquotDefect::Count { blocks: dquot.blocks, inodes: dquot.inodes }).into()
            );
        };
        (dquot.blocks, dquot.inodes) = (blocks, inodes);
        put(&mut bytes, at, &dquot.encode()?)?;
        self.write_blocks(block, &bytes, &what())?;
        Ok(true)
    }
}
