//! Looking up extents, and going through all of a fork.

use super::super::btree::Extent;
use super::super::inode::{ForkFormat, ForkKind, Inode, flag};
use super::super::units::FileBlock;
use super::super::volume::Volume;
use super::extent::ExtentDefect;
use super::list::{Checker, parse_list};
use super::{corrupt, name};
use crate::error::{Error, Result};
use std::ops::ControlFlow;

/// Bound on the extents that are gone through in one fork: those of a badly fragmented disk image.
const EXTENTS_MAX: u64 = 1 << 24;

impl Volume {
    /// The extent that maps file block `at`, if one does.
    ///
    /// # Errors
    /// `Corrupt` with [`ExtentDefect`] or from the tree.
    pub(crate) fn find_extent(
        &self,
        inode: &Inode,
        kind: ForkKind,
        at: FileBlock,
    ) -> Result<Option<Extent>> {
        let next = self.next_extent(inode, kind, at)?;
        Ok(next.filter(|extent| extent.covers(at)))
    }

    /// The extent that maps file block `at` or, if none does, the first behind it.
    ///
    /// # Errors
    /// `Corrupt` with [`ExtentDefect`] or from the tree.
    pub(crate) fn next_extent(
        &self,
        inode: &Inode,
        kind: ForkKind,
        at: FileBlock,
    ) -> Result<Option<Extent>> {
        match self.extent_list(inode, kind)? {
            Some(extents) => Ok(extents.into_iter().find(|extent| extent.end() > at.0)),
            None => self.next_in_tree(inode, kind, at),
        }
    }

    /// The last extent that starts before file block `at`.
    ///
    /// # Errors
    /// `Corrupt` with [`ExtentDefect`] or from the tree.
    pub(crate) fn extent_before(
        &self,
        inode: &Inode,
        kind: ForkKind,
        at: FileBlock,
    ) -> Result<Option<Extent>> {
        match self.extent_list(inode, kind)? {
            Some(extents) => Ok(extents.into_iter().rev().find(|extent| extent.file_block < at)),
            None => self.before_in_tree(inode, kind, at),
        }
    }

    /// Calls `visit` for every extent of a fork, in the order of the file, until it breaks.
    ///
    /// Each is checked before it is passed on: it lies inside the data part of one allocation group, behind the
    /// one before, and at the end there were as many as the core of the inode says.
    ///
    /// # Errors
    /// `Corrupt` with [`ExtentDefect`] or from the tree; `Limit`; the error of `visit`.
    pub(crate) fn visit_extents(
        &self,
        inode: &Inode,
        kind: ForkKind,
        visit: &mut dyn FnMut(Extent) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let count = inode.extent_count(kind);
        if count > EXTENTS_MAX {
            let what = format!("number of extents in the {} of {}", name(kind), inode.number);
            return Err(Error::limit(what, EXTENTS_MAX, count));
        }
        let mut checker = Checker::new(self.superblock(), inode, kind)?;
        let mut is_whole = true;
        let mut pass = |extent: Extent| -> Result<ControlFlow<()>> {
            checker.check(&extent)?;
            let flow = visit(extent)?;
            is_whole &= flow.is_continue();
            Ok(flow)
        };
        match self.extent_list(inode, kind)? {
            Some(extents) => {
                for extent in extents {
                    if pass(extent)?.is_break() {
                        break;
                    }
                }
            }
            None => self.visit_tree(inode, kind, &mut pass)?,
        }
        if is_whole { checker.finish() } else { Ok(()) }
    }

    /// The extents of a fork that lists them in the inode; `None` if they are in a tree.
    fn extent_list(&self, inode: &Inode, kind: ForkKind) -> Result<Option<Vec<Extent>>> {
        match mapped_format(inode, kind)? {
            ForkFormat::Extents => parse_list(self.superblock(), inode, kind).map(Some),
            ForkFormat::Btree => Ok(None),
            ForkFormat::Local | ForkFormat::Device => {
                Err(corrupt(inode, kind, ExtentDefect::NoExtents))
            }
        }
    }
}

/// The format of a fork whose extents count blocks of this volume.
pub(super) fn mapped_format(inode: &Inode, kind: ForkKind) -> Result<ForkFormat> {
    if kind == ForkKind::Data && inode.has_flag(flag::REALTIME) {
        let what = format!("content on a realtime device ({})", inode.number);
        return Err(Error::unsupported(what));
    }
    inode.format(kind)
}
