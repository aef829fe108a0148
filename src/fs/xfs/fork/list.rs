//! The list of extents in the inode.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Data Extents", section "Extent List": as many records as
//! the core counts, in the order of the file, at the start of the fork.

use super::super::btree::{EXTENT_BYTES, Extent};
use super::super::inode::{ForkKind, Inode};
use super::super::superblock::Superblock;
use super::extent::ExtentDefect;
use super::{corrupt, may_be_unwritten};
use crate::bytes::arith::to;
use crate::error::Result;

/// How many extents the fork has room for as a list.
pub(super) fn list_room(inode: &Inode, kind: ForkKind) -> usize {
    inode.fork(kind).len().checked_div(EXTENT_BYTES).unwrap_or(0)
}

/// The extents of a fork that is a list, all checked.
///
/// # Errors
/// `Corrupt` with [`ExtentDefect`].
pub(super) fn parse_list(
    superblock: &Superblock,
    inode: &Inode,
    kind: ForkKind,
) -> Result<Vec<Extent>> {
    let count = inode.extent_count(kind);
    let bytes = inode.fork(kind);
    let wrong = |_| ExtentDefect::Room { count, room: bytes.len() };
    let entries: usize = to(count).map_err(wrong).map_err(|wrong| corrupt(inode, kind, wrong))?;
    if entries > list_room(inode, kind) {
        return Err(corrupt(inode, kind, ExtentDefect::Room { count, room: bytes.len() }));
    }
    let mut checker = Checker::new(superblock, inode, kind)?;
    let mut extents = Vec::with_capacity(entries);
    for record in bytes.chunks_exact(EXTENT_BYTES).take(entries) {
        let extent = Extent::parse(record)?;
        checker.check(&extent)?;
        extents.push(extent);
    }
    Ok(extents)
}

/// Puts `extents` into the fork as a list. The format and the count in the core are the caller's.
///
/// # Errors
/// `Corrupt` if they do not fit.
pub(super) fn put_list(inode: &mut Inode, kind: ForkKind, extents: &[Extent]) -> Result<()> {
    let mut bytes = vec![0; extents.len().saturating_mul(EXTENT_BYTES)];
    for (extent, record) in extents.iter().zip(bytes.chunks_exact_mut(EXTENT_BYTES)) {
        extent.encode(record)?;
    }
    inode.put_fork(kind, &bytes)
}

/// Checks a row of extents as it comes by.
#[derive(Debug)]
pub(super) struct Checker<'a> {
    superblock: &'a Superblock,
    inode: &'a Inode,
    kind: ForkKind,
    may_be_unwritten: bool,
    end: u64,
    found: u64,
}

impl<'a> Checker<'a> {
    pub(super) fn new(
        superblock: &'a Superblock,
        inode: &'a Inode,
        kind: ForkKind,
    ) -> Result<Self> {
        let may_be_unwritten = may_be_unwritten(inode, kind)?;
        Ok(Self { superblock, inode, kind, may_be_unwritten, end: 0, found: 0 })
    }

    /// Checks the next extent: by itself, and that it lies behind the one before.
    pub(super) fn check(&mut self, extent: &Extent) -> Result<()> {
        let (file_block, end) = (extent.file_block.0, self.end);
        let wrong = if let Err(defect) = extent.check_place(self.superblock) {
            defect
        } else if file_block < end {
            ExtentDefect::Order { file_block, end }
        } else if extent.is_unwritten && !self.may_be_unwritten {
            ExtentDefect::Unwritten(file_block)
        } else {
            self.end = extent.end();
            self.found = self.found.saturating_add(1);
            if self.found > self.inode.extent_count(self.kind) {
                return self.finish();
            }
            return Ok(());
        };
        Err(corrupt(self.inode, self.kind, wrong))
    }

    /// Checks that there were as many as the core says.
    pub(super) fn finish(&self) -> Result<()> {
        let (stored, found) = (self.inode.extent_count(self.kind), self.found);
        if stored == found {
            return Ok(());
        }
        Err(corrupt(self.inode, self.kind, ExtentDefect::Count { stored, found }))
    }
}
