//! Finding one entry, and going through all of them.

use super::block::Block;
use super::collation::{Collation, compare_names, name_bytes, units};
use super::defect::{IndexDefect, in_block, in_entry, in_root};
use super::entry::Entry;
use super::format::{IndexFormat, IndexRoot};
use super::host::{IndexBlock, IndexSource};
use super::node::Node;
use crate::bytes::field::Short;
use crate::error::Result;
use crate::fs::ntfs::units::Vcn;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Levels that an index may have, with the root. Three levels hold more than 10,000 names.
pub(super) const LEVELS_MAX: usize = 32;

/// Where a key is, seen from an entry: [`Ordering::Less`] if the entry comes before what is looked for.
pub(crate) type Probe<'a> = dyn Fn(&[u8]) -> Result<Ordering, IndexDefect> + 'a;

/// An index that is read.
#[derive(Clone)]
pub(crate) struct Index<'a> {
    source: &'a dyn IndexSource,
    format: IndexFormat,
    collation: Collation<'a>,
    root: Node,
}

impl std::fmt::Debug for Index<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("format", &self.format).field("root", &self.root).finish()
    }
}

/// The keys between which all keys of a node lie.
#[derive(Debug, Clone, Default)]
pub(super) struct Range {
    lower: Option<Vec<u8>>,
    upper: Option<Vec<u8>>,
}

impl Range {
    /// The range of the sub-node at `position` of `node`, whose own range is `self`.
    pub(super) fn of_sub_node(&self, node: &Node, position: usize) -> Self {
        let key = |entry: Option<&Entry>| entry.map(|entry| entry.key().to_vec());
        let before = position.checked_sub(1).and_then(|before| node.entries.get(before));
        Self {
            lower: key(before).or_else(|| self.lower.clone()),
            upper: key(node.entries.get(position)).or_else(|| self.upper.clone()),
        }
    }

    /// Checks that the entries of `node` ascend and lie in this range: a search relies on both.
    pub(super) fn check(&self, node: &Node, collation: Collation<'_>) -> Result<(), IndexDefect> {
        let mut before = self.lower.as_deref();
        let mut defect = IndexDefect::Separator;
        for entry in &node.entries {
            if let Some(before) = before
                && collation.compare(before, entry.key())? != Ordering::Less
            {
                return Err(defect);
            }
            before = Some(entry.key());
            defect = IndexDefect::Order;
        }
        match (node.entries.last(), &self.upper) {
            (Some(last), Some(upper))
                if collation.compare(last.key(), upper)? != Ordering::Less =>
            {
                Err(IndexDefect::Separator)
            }
            _ => Ok(()),
        }
    }
}

/// Reads and parses the block that `vcn` leads to.
pub(super) fn load(
    source: &dyn IndexSource,
    format: IndexFormat,
    vcn: Vcn,
) -> Result<(IndexBlock, Block)> {
    let block = format.block(vcn).map_err(in_entry)?;
    let bytes = source.read_block(block, format.block_len())?;
    if bytes.len() != format.block_len() {
        let defect = Short { needed: format.block_len(), available: bytes.len() };
        return Err(in_block(block, defect));
    }
    let parsed = Block::parse(bytes, vcn).map_err(|defect| in_block(block, defect))?;
    Ok((block, parsed))
}

/// Reads the index root and checks that its keys are ordered by `collation`.
pub(super) fn load_root(
    source: &dyn IndexSource,
    cluster_size_bytes: u32,
    collation: Collation<'_>,
) -> Result<(IndexRoot, IndexFormat)> {
    let root = IndexRoot::parse(&source.root_value()?).map_err(in_root)?;
    let (found, attribute) = (root.rule, root.attribute_type);
    let expected = collation.rule();
    if (found, attribute) != (expected, collation.attribute_type()) {
        return Err(in_root(IndexDefect::Rule { found, attribute, expected }));
    }
    let format = IndexFormat::new(root.block_size_bytes, cluster_size_bytes).map_err(in_root)?;
    Ok((root, format))
}

/// The first entry that is not before what `probe` looks for, and whether it is the one.
pub(super) fn position(node: &Node, probe: &Probe<'_>) -> Result<(usize, bool), IndexDefect> {
    for (position, entry) in node.entries.iter().enumerate() {
        match probe(entry.key())? {
            Ordering::Less => {}
            Ordering::Equal => return Ok((position, true)),
            Ordering::Greater => return Ok((position, false)),
        }
    }
    Ok((node.entries.len(), false))
}

impl<'a> Index<'a> {
    /// Opens the index of `source` on a volume with clusters of `cluster_size_bytes`.
    ///
    /// # Errors
    /// `Corrupt` if its root is damaged or its keys are of another kind.
    pub(crate) fn open(
        source: &'a dyn IndexSource,
        cluster_size_bytes: u32,
        collation: Collation<'a>,
    ) -> Result<Self> {
        let (root, format) = load_root(source, cluster_size_bytes, collation)?;
        Ok(Self { source, format, collation, root: root.node })
    }

    /// The entry with exactly this key. Of a file name only the name counts.
    ///
    /// # Errors
    /// `Corrupt` if a node on the way is damaged or not sorted; those of reading.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.probe(&|entry| self.collation.compare(entry, key))
    }

    /// The entry of a directory with this name: the one that is spelt the same, or else one that differs in
    /// case only (WIN-11).
    ///
    /// # Errors
    /// As [`find`](Self::find); `Corrupt` as well if this is no directory.
    pub(crate) fn find_name(&self, name: &[u16]) -> Result<Option<Entry>> {
        let Collation::FileName(upcase) = self.collation else {
            return Err(in_root(IndexDefect::Rule {
                found: self.collation.rule(),
                attribute: self.collation.attribute_type(),
                expected: Collation::FILE_NAME_RULE,
            }));
        };
        let wanted = || name.iter().copied();
        let any_case =
            self.probe(&|key| Ok(compare_names(upcase, units(name_bytes(key)?), wanted())))?;
        let Some(found) = any_case else { return Ok(None) };
        if units(name_bytes(found.key())?).eq(wanted()) {
            return Ok(Some(found));
        }
        let same_case = self.probe(&|key| {
            let stored = name_bytes(key)?;
            let order = compare_names(upcase, units(stored), wanted());
            Ok(order.then_with(|| units(stored).cmp(wanted())))
        })?;
        Ok(Some(same_case.unwrap_or(found)))
    }

    /// Goes down to the entry for which `probe` says that it is the one.
    fn probe(&self, probe: &Probe<'_>) -> Result<Option<Entry>> {
        let mut range = Range::default();
        let mut node = self.root.clone();
        let mut at = None;
        for _ in 0..LEVELS_MAX {
            let searched = range
                .check(&node, self.collation)
                .and_then(|()| position(&node, probe))
                .map_err(|defect| in_node(at, defect))?;
            let (position, is_found) = searched;
            if is_found {
                return Ok(node.entries.into_iter().nth(position));
            }
            let Some(vcn) = node.sub_node(position) else { return Ok(None) };
            range = range.of_sub_node(&node, position);
            let (block, loaded) = load(self.source, self.format, vcn)?;
            (at, node) = (Some(block), loaded.node);
        }
        Err(in_root(IndexDefect::Depth(LEVELS_MAX)))
    }

    /// Shows all entries to `visitor` in the order of the tree until it breaks.
    ///
    /// That keys ascend is not checked: a listing does not rely on it.
    ///
    /// # Errors
    /// `Corrupt` if a node is damaged or is reached twice; those of reading and of `visitor`.
    pub(crate) fn visit(
        &self,
        visitor: &mut dyn FnMut(&Entry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut visited = BTreeSet::new();
        let mut stack = vec![(self.root.clone(), 0)];
        self.descend(&mut stack, &mut visited)?;
        // Every round takes one entry or leaves one node; no node is visited twice.
        while let Some((node, next)) = stack.last_mut() {
            let Some(entry) = node.entries.get(*next) else {
                stack.pop();
                continue;
            };
            if visitor(entry)?.is_break() {
                return Ok(());
            }
            *next = next.saturating_add(1);
            self.descend(&mut stack, &mut visited)?;
        }
        Ok(())
    }

    /// Goes from the place on top of `stack` down to the leaf with the next entry.
    fn descend(
        &self,
        stack: &mut Vec<(Node, usize)>,
        visited: &mut BTreeSet<IndexBlock>,
    ) -> Result<()> {
        while let Some(vcn) = stack.last().and_then(|(node, next)| node.sub_node(*next)) {
            if stack.len() >= LEVELS_MAX {
                return Err(in_root(IndexDefect::Depth(LEVELS_MAX)));
            }
            let (block, loaded) = load(self.source, self.format, vcn)?;
            if !visited.insert(block) {
                return Err(in_block(block, IndexDefect::Visited(block.0)));
            }
            stack.push((loaded.node, 0));
        }
        Ok(())
    }
}

/// The error for a defect of the root (`None`) or of a block.
pub(super) fn in_node(at: Option<IndexBlock>, defect: IndexDefect) -> crate::error::Error {
    match at {
        Some(block) => in_block(block, defect),
        None => in_root(defect),
    }
}
