//! Finds room for tree blocks and data.
//!
//! Room is what was free before the edit: never what the edit gave up, so that the volume before the edit stays whole
//! below the new one. No chunk is ever made: a volume whose block groups are full is refused.

use super::super::chunk::{Chunk, block_group};
use super::super::extent::change::Extent;
use super::super::extent::item::Reference;
use super::super::feature::compat_ro;
use super::super::volume::Volume;
use super::group::{Defect, Group};
use crate::bytes::arith::{add, div, mul};
use crate::error::{Corrupt, Refusal, Result};

impl Volume {
    /// The chunks that hold this kind of block group.
    pub(super) fn groups_for(&self, kind: u64) -> Vec<Chunk> {
        let fits = |chunk: &&Chunk| chunk.kind & kind != 0 && chunk.is_writable();
        self.chunks().iter().filter(fits).cloned().collect()
    }

    /// Allocates a tree block of `tree`.
    ///
    /// # Errors
    /// `Refused` if no block group has room.
    pub(crate) fn allocate_block(&mut self, tree: u64, level: u8) -> Result<u64> {
        let bytes = self.node_bytes();
        let bytenr = self.allocate(block_group::METADATA, bytes, bytes)?.ok_or_else(|| {
            let what = format!("tree blocks of {bytes} bytes in the metadata block groups");
            Refusal::NoSpace { what, needed: 1, available: 0 }
        })?;
        self.pending().changes.allocated(bytenr, Extent::Block(level), Reference::Tree(tree));
        self.count_blocks(tree, 1);
        Ok(bytenr)
    }

    /// Allocates room for data: up to `bytes`, a multiple of the unit of data. Gives address and length; none if no
    /// block group has room.
    ///
    /// # Errors
    /// `Corrupt`; `Limit`.
    pub(crate) fn allocate_data(
        &mut self,
        bytes: u64,
        user: Reference,
    ) -> Result<Option<(u64, u64)>> {
        let unit = u64::from(self.superblock().sector_bytes);
        let mut wanted = bytes;
        let mut found = self.allocate(block_group::DATA, wanted, unit)?;
        if found.is_none() {
            // Not in one piece: the longest piece there is. All groups are loaded now.
            wanted = div(self.longest_free(block_group::DATA), unit)?;
            wanted = mul(wanted, unit)?;
            if wanted > 0 {
                found = self.allocate(block_group::DATA, wanted, unit)?;
            }
        }
        let Some(bytenr) = found else { return Ok(None) };
        self.pending().changes.allocated(bytenr, Extent::Data(wanted), user);
        Ok(Some((bytenr, wanted)))
    }

    /// Keeps data or a tree block from being allocated that is in no tree, because only a log knows it.
    ///
    /// # Errors
    /// `Corrupt` if it does not lie in free space of its kind.
    pub(crate) fn reserve(&mut self, kind: u64, logical: u64, bytes: u64) -> Result<()> {
        let chunk = self.chunks().chunk_of(logical)?.clone();
        let in_use = || Corrupt::new("space of the log", Defect::InUse(logical));
        if chunk.kind & kind == 0 {
            return Err(in_use().into());
        }
        self.load_free(&chunk)?;
        if !self.group(logical)?.take_at(logical, add(logical, bytes)?) {
            return Err(in_use().into());
        }
        Ok(())
    }

    fn longest_free(&mut self, kind: u64) -> u64 {
        let starts: Vec<u64> = self.groups_for(kind).iter().map(|chunk| chunk.logical).collect();
        let groups = &self.pending().groups;
        starts.iter().filter_map(|start| groups.get(start)).map(Group::longest).max().unwrap_or(0)
    }

    fn allocate(&mut self, kind: u64, bytes: u64, align: u64) -> Result<Option<u64>> {
        let has_tree = self.superblock().features.has_compat_ro(compat_ro::FREE_SPACE_TREE);
        for chunk in self.groups_for(kind) {
            let group = self.group(chunk.logical)?;
            if group.length.saturating_sub(group.used) < bytes {
                continue;
            }
            self.load_free(&chunk)?;
            let Some(at) = self.group(chunk.logical)?.take(bytes, align)? else { continue };
            if has_tree {
                self.check_unused(at, bytes)?;
            }
            return Ok(Some(at));
        }
        Ok(None)
    }
}
