//! What copying a tree block does to the references of what it points to.
//!
//! A block that several trees share is referenced in one of two ways: what it points to counts either the tree it was
//! made for (its owner), or, with FULL_BACKREF, the block itself. A tree that copies a shared block leaves it to the
//! others:
//!
//! | the old block                    | what it points to                                                     |
//! |----------------------------------|-----------------------------------------------------------------------|
//! | only ours, not full              | nothing changes: the references now stand for the copy                |
//! | shared, we own it, not full      | gains references by the old block, which becomes full; ours stand for the copy |
//! | shared, of another owner or full | gains references by our tree                                          |
//! | only ours, but full              | gains references by our tree, loses those by the old block            |
//!
//! In all cases the old block loses our reference. Only subvolumes share blocks.

use super::change::Extent;
use super::item::{ExtentItem, Reference, flag};
use crate::bytes::arith::add;
use crate::bytes::field::{le_u64, u8_at};
use crate::error::{Corrupt, Result};
use crate::fs::btrfs::key::{item, object};
use crate::fs::btrfs::node::{Defect as NodeDefect, Node};
use crate::fs::btrfs::volume::Volume;

/// A reference that a block makes: to what, and as what the user counts.
struct Use {
    bytenr: u64,
    extent: Extent,
    by_tree: Reference,
    by_block: Reference,
}

/// Everything that `node` points to, with the references that `tree` and the block at `parent` would have.
fn uses(node: &Node, tree: u64, parent: u64) -> Result<Vec<Use>> {
    let mut uses = Vec::new();
    for pointer in node.pointers() {
        uses.push(Use {
            bytenr: pointer.bytenr,
            extent: Extent::Block(node.level.saturating_sub(1)),
            by_tree: Reference::Tree(tree),
            by_block: Reference::SharedTree(parent),
        });
    }
    for found in node.items().iter().filter(|found| found.key.kind == item::EXTENT_DATA) {
        // Type 0 is inline.
        if u8_at(&found.data, 20)? == 0 || le_u64(&found.data, 21)? == 0 {
            continue;
        }
        let offset = found.key.offset.wrapping_sub(le_u64(&found.data, 37)?);
        uses.push(Use {
            bytenr: le_u64(&found.data, 21)?,
            extent: Extent::Data(le_u64(&found.data, 29)?),
            by_tree: Reference::Data { root: tree, inode: found.key.objectid, offset },
            by_block: Reference::SharedData(parent),
        });
    }
    Ok(uses)
}

impl Volume {
    /// Keeps the references right when `tree` copies the block `old`. The reference of the tree to `old` itself is the
    /// caller's.
    ///
    /// # Errors
    /// `Corrupt` if the references of `old` make no sense.
    pub(crate) fn share_references(&mut self, tree: u64, old: &Node) -> Result<()> {
        if !object::is_subvolume(tree) {
            return Ok(());
        }
        let (refs, is_full) = self.block_references(old)?;
        let is_owner = old.owner == tree;
        if refs == 1 && !is_full {
            if is_owner {
                return Ok(());
            }
            let defect = NodeDefect::Header { field: "owner", found: old.owner, wanted: tree };
            return Err(Corrupt::new("tree block", defect).at(old.bytenr).into());
        }
        let becomes_full = refs > 1 && is_owner && !is_full;
        for used in uses(old, tree, old.bytenr)? {
            let user = if becomes_full { used.by_block } else { used.by_tree };
            self.change_reference(used.bytenr, used.extent, user, 1);
            if refs == 1 {
                self.change_reference(used.bytenr, used.extent, used.by_block, -1);
            }
        }
        if becomes_full {
            self.pending().changes.set_full_backref(old.bytenr, Extent::Block(old.level));
        }
        Ok(())
    }

    /// The number of references of a block, and whether it has FULL_BACKREF, with all changes so far.
    fn block_references(&self, node: &Node) -> Result<(u64, bool)> {
        let extent = Extent::Block(node.level);
        let (mut refs, mut is_full) = (0, false);
        if let Some((key, data)) = self.extent_item(node.bytenr, extent)? {
            let found = ExtentItem::parse(key, &data)?;
            refs = found.refs;
            is_full = found.flags & flag::FULL_BACKREF != 0;
        }
        if let Some(change) = self.changes().and_then(|changes| changes.get(node.bytenr)) {
            let sum = change.sum();
            refs = if sum < 0 {
                refs.saturating_sub(sum.unsigned_abs())
            } else {
                add(refs, sum.unsigned_abs())?
            };
            is_full |= change.sets_full_backref;
        }
        if refs == 0 {
            let defect = super::item::Defect::Missing;
            let object = format!("tree block at {}", node.bytenr);
            return Err(Corrupt::new("extent tree", defect).of(object).into());
        }
        Ok((refs, is_full))
    }
}
