//! Changing the extents of a fork: the list in the inode, the tree, and the way from one to the other.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Data Extents". A fork is a list as long as the list fits
//! (xfs_repair calls a tree of so few extents damage), so a full list becomes a tree, and back. Neighbours that
//! continue each other are always one record, as the kernel keeps them.

use super::super::btree::Extent;
use super::super::inode::{ForkFormat, ForkKind, Inode};
use super::super::units::FileBlock;
use super::super::volume::Volume;
use super::corrupt;
use super::extent::ExtentDefect;
use super::list::{list_room, parse_list, put_list};
use crate::bytes::arith::{add, len_u64, sub};
use crate::error::Result;
use std::ops::ControlFlow;

impl Volume {
    /// Puts an extent where the fork has a hole, and joins it with its neighbours.
    pub(super) fn add_extent(
        &mut self,
        inode: &mut Inode,
        kind: ForkKind,
        new: Extent,
    ) -> Result<()> {
        let left = self.extent_before(inode, kind, new.file_block)?;
        let right = self.next_extent(inode, kind, new.file_block)?;
        let clash = left.filter(|left| left.end() > new.file_block.0);
        let clash = clash.or(right.filter(|right| right.file_block.0 < new.end()));
        if let Some(clash) = clash {
            let (file_block, end) = (new.file_block.0, clash.end());
            return Err(corrupt(inode, kind, ExtentDefect::Order { file_block, end }));
        }
        let with_left = left.and_then(|left| left.joined(&new));
        let whole = with_left.unwrap_or(new);
        let with_right = right.and_then(|right| Some((right, whole.joined(&right)?)));
        match (with_left, with_right) {
            (Some(left), Some((right, whole))) => {
                self.remove_extent(inode, kind, &right)?;
                self.replace_extent(inode, kind, left.file_block, &whole)
            }
            (Some(whole), None) => self.replace_extent(inode, kind, whole.file_block, &whole),
            (None, Some((right, whole))) => {
                self.replace_extent(inode, kind, right.file_block, &whole)
            }
            (None, None) => self.insert_extent(inode, kind, &new),
        }
    }

    /// Takes the blocks of `part`, which is a part of the extent `whole`, out of a fork.
    pub(super) fn take_out_of_fork(
        &mut self,
        inode: &mut Inode,
        kind: ForkKind,
        whole: &Extent,
        part: &Extent,
    ) -> Result<()> {
        let head = whole.part(whole.file_block, part.file_block)?;
        let tail = whole.part(FileBlock(part.end()), FileBlock(whole.end()))?;
        match (head, tail) {
            (None, None) => self.remove_extent(inode, kind, whole),
            (Some(left), None) | (None, Some(left)) => {
                self.replace_extent(inode, kind, whole.file_block, &left)
            }
            (Some(head), Some(tail)) => {
                self.replace_extent(inode, kind, whole.file_block, &head)?;
                self.insert_extent(inode, kind, &tail)
            }
        }
    }

    fn insert_extent(&mut self, inode: &mut Inode, kind: ForkKind, new: &Extent) -> Result<()> {
        let count = add(inode.extent_count(kind), 1)?;
        if inode.format(kind)? == ForkFormat::Btree {
            self.edit_tree(inode, kind)?.insert(*new)?;
            return inode.set_extent_count(kind, count);
        }
        let mut extents = parse_list(self.superblock(), inode, kind)?;
        let at = extents.partition_point(|extent| extent.file_block < new.file_block);
        extents.insert(at, *new);
        inode.set_extent_count(kind, count)?;
        if extents.len() <= list_room(inode, kind) {
            return put_list(inode, kind, &extents);
        }
        inode.set_format(kind, ForkFormat::Btree)?;
        self.build_tree(inode, kind, extents)
    }

    fn remove_extent(&mut self, inode: &mut Inode, kind: ForkKind, old: &Extent) -> Result<()> {
        let count = sub(inode.extent_count(kind), 1)?;
        let is_tree = inode.format(kind)? == ForkFormat::Btree;
        if is_tree && count > len_u64(list_room(inode, kind)) {
            self.edit_tree(inode, kind)?.remove(&old.file_block)?;
            return inode.set_extent_count(kind, count);
        }
        let mut extents = self.fork_extents(inode, kind)?;
        extents.retain(|extent| extent.file_block != old.file_block);
        if is_tree {
            self.free_tree(inode, kind)?;
            inode.set_format(kind, ForkFormat::Extents)?;
        }
        put_list(inode, kind, &extents)?;
        inode.set_extent_count(kind, count)
    }

    /// Replaces the record that starts at `old` by one between the same neighbours.
    fn replace_extent(
        &mut self,
        inode: &mut Inode,
        kind: ForkKind,
        old: FileBlock,
        new: &Extent,
    ) -> Result<()> {
        if inode.format(kind)? == ForkFormat::Btree {
            return self.edit_tree(inode, kind)?.replace(&old, *new);
        }
        let mut extents = parse_list(self.superblock(), inode, kind)?;
        for extent in &mut extents {
            if extent.file_block == old {
                *extent = *new;
            }
        }
        put_list(inode, kind, &extents)
    }

    /// All extents of a fork.
    pub(super) fn fork_extents(&self, inode: &Inode, kind: ForkKind) -> Result<Vec<Extent>> {
        let mut extents = Vec::new();
        self.visit_extents(inode, kind, &mut |extent| {
            extents.push(extent);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(extents)
    }
}
