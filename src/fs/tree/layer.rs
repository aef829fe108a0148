//! What was edited, in memory: the objects that changed, and the names that came and went.

use super::is_same_name;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::{Error, Result};
use crate::fs::{Metadata, NodeId, Xattr};
use crate::image::directory::record::{PIECE_UNIT_BYTES, Side};
use std::collections::BTreeMap;

/// Bound on the content that an edit holds in memory, in bytes.
const EDITED_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Reads the content on the disk from an offset in bytes.
pub(super) type ReadBase<'a> = &'a dyn Fn(u64, usize) -> Result<Vec<u8>>;

/// The content of an edited object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edited {
    /// As on the disk.
    Same,
    /// All of it.
    Whole(Vec<u8>),
    /// Units of [`PIECE_UNIT_BYTES`] that changed, by their number; the last one of the file may be shorter.
    Units(BTreeMap<u64, Vec<u8>>),
}

/// An object that changed, as it is then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) metadata: Metadata,
    /// All that are known, the security descriptor of NTFS only if it was set.
    pub(super) xattrs: Vec<Xattr>,
    pub(super) content: Edited,
    /// The object on the disk; `None` for one that is new.
    pub(super) before: Option<Side>,
    /// Where a new object is.
    pub(super) place: Option<(NodeId, Vec<u8>)>,
}

impl Draft {
    pub(super) fn read_at(
        &self,
        offset_bytes: u64,
        len: usize,
        base: ReadBase<'_>,
    ) -> Result<Vec<u8>> {
        let left = self.metadata.size_bytes.saturating_sub(offset_bytes);
        let len: usize = arith::to(left.min(len_u64(len)))?;
        match &self.content {
            Edited::Same => base(offset_bytes, len),
            Edited::Whole(content) => {
                Ok(field::slice(content, arith::to(offset_bytes)?, len).map(<[u8]>::to_vec)?)
            }
            Edited::Units(units) => {
                let mut bytes = base(offset_bytes, len)?;
                bytes.resize(len, 0);
                read_units(units, offset_bytes, &mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// Writes `bytes` at `offset_bytes`, which may be the end of the file.
    pub(super) fn write_at(
        &mut self,
        offset_bytes: u64,
        bytes: &[u8],
        base: ReadBase<'_>,
    ) -> Result<()> {
        let end_bytes = arith::add(offset_bytes, len_u64(bytes.len()))?;
        let size_bytes = self.metadata.size_bytes.max(end_bytes);
        if let Edited::Whole(content) = &mut self.content {
            content.resize(arith::to(size_bytes)?, 0);
            field::put(content, arith::to(offset_bytes)?, bytes)?;
            self.metadata.size_bytes = size_bytes;
            return Ok(());
        }
        let unit_bytes = len_u64(PIECE_UNIT_BYTES);
        let first = arith::div(offset_bytes, unit_bytes)?;
        let start = arith::mul(first, unit_bytes)?;
        let whole = arith::to(arith::sub(end_bytes, start)?.next_multiple_of(unit_bytes))?;
        let mut window = self.read_at(start, whole, base)?;
        let used = arith::to(arith::sub(end_bytes, start)?)?;
        window.resize(window.len().max(used), 0);
        field::put(&mut window, arith::to(arith::sub(offset_bytes, start)?)?, bytes)?;
        if matches!(self.content, Edited::Same) {
            self.content = Edited::Units(BTreeMap::new());
        }
        let Edited::Units(units) = &mut self.content else { return Ok(()) };
        for (number, unit) in (first..).zip(window.chunks(PIECE_UNIT_BYTES)) {
            units.insert(number, unit.to_vec());
        }
        self.metadata.size_bytes = size_bytes;
        let held = arith::mul(len_u64(units.len()), unit_bytes)?;
        if held > EDITED_BYTES_MAX {
            let what = "changed bytes of a file";
            return Err(Error::limit(what, EDITED_BYTES_MAX, held));
        }
        Ok(())
    }
}

/// Puts the units that lie in `bytes`, which start at `offset_bytes` of the file, over them.
fn read_units(units: &BTreeMap<u64, Vec<u8>>, offset_bytes: u64, bytes: &mut [u8]) -> Result<()> {
    let unit_bytes = len_u64(PIECE_UNIT_BYTES);
    let first = arith::div(offset_bytes, unit_bytes)?;
    let end_bytes = arith::add(offset_bytes, len_u64(bytes.len()))?;
    let end = arith::div_ceil(end_bytes, unit_bytes)?;
    if first >= end {
        return Ok(());
    }
    for (number, unit) in units.range(first..end) {
        let start = arith::mul(*number, unit_bytes)?;
        let skip: usize = arith::to(offset_bytes.saturating_sub(start))?;
        let at: usize = arith::to(start.saturating_sub(offset_bytes))?;
        let rest = unit.get(skip..).unwrap_or_default();
        let len = rest.len().min(bytes.len().saturating_sub(at));
        field::put(bytes, at, field::slice(rest, 0, len)?)?;
    }
    Ok(())
}

/// All edits.
#[derive(Debug, Default)]
pub(super) struct Layer {
    drafts: BTreeMap<NodeId, Draft>,
    /// The drafts in the order in which they were begun.
    pub(super) order: Vec<NodeId>,
    /// Names that lead elsewhere than on the disk; `None` is nowhere.
    pub(super) names: BTreeMap<(NodeId, Vec<u8>), Option<NodeId>>,
}

impl Layer {
    pub(super) fn draft(&self, node: NodeId) -> Option<&Draft> {
        self.drafts.get(&node)
    }

    pub(super) fn draft_mut(&mut self, node: NodeId) -> Option<&mut Draft> {
        self.drafts.get_mut(&node)
    }

    pub(super) fn begin(&mut self, node: NodeId, draft: Draft) {
        self.order.push(node);
        self.drafts.insert(node, draft);
    }

    /// Forgets what became of an object whose name is gone.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.order.retain(|other| *other != node);
        self.drafts.remove(&node);
    }

    /// True if the object is not on the disk.
    pub(super) fn is_new(&self, node: NodeId) -> bool {
        self.draft(node).is_some_and(|draft| draft.before.is_none())
    }

    pub(super) fn place_of_new(&self, node: NodeId) -> Option<(NodeId, &[u8])> {
        let (directory, name) = self.draft(node)?.place.as_ref()?;
        Some((*directory, name))
    }

    /// What an edit made of `name` in `directory`; `None` if the disk decides.
    #[expect(clippy::option_option, reason = "not edited, gone, or there")]
    pub(super) fn named(
        &self,
        directory: NodeId,
        name: &[u8],
        ignores_case: bool,
    ) -> Option<Option<(Vec<u8>, NodeId)>> {
        let mut edited = self.in_directory(directory);
        let fits = |other: &[u8]| other == name || (ignores_case && is_same_name(other, name));
        let (name, node) = edited.find(|(other, _)| fits(other))?;
        Some(node.map(|node| (name.to_vec(), node)))
    }

    /// The names that lead to something else than on the disk.
    pub(super) fn new_names(&self, directory: NodeId) -> Vec<(Vec<u8>, NodeId)> {
        let edited = self.in_directory(directory);
        edited.filter_map(|(name, node)| Some((name.to_vec(), node?))).collect()
    }

    fn in_directory(&self, directory: NodeId) -> impl Iterator<Item = (&[u8], Option<NodeId>)> {
        let from = (directory, Vec::new());
        let all = self.names.range(from..);
        all.take_while(move |((other, _), _)| *other == directory)
            .map(|((_, name), node)| (name.as_slice(), *node))
    }
}
