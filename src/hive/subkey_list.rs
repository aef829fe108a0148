//! Lists of subkeys: `lf`, `lh`, `li`, and `ri` over them.

use super::cell::Cell;
use super::defect::{Defect, corrupt};
use super::key_node::KeyNode;
use super::pages::Pages;
use super::units::CellOffset;
use crate::bytes::arith::len_u64;
use crate::bytes::field;
use crate::error::{Error, Result};

/// Bound on the subkeys of one key. The largest key of Windows (`Classes\Interface`) has about 30,000.
pub(super) const SUBKEYS_MAX: u64 = 262_144;

const STRUCTURE: &str = "subkey list";

/// Kinds of lists of key nodes.
///
/// Document: "Windows registry file format specification" (M. Suhanov), sections "Index leaf", "Fast leaf",
/// "Hash leaf", "Index root". Little-endian (WIN-99).
///
/// | offset | size     | spec               | valid when                                              |
/// |-------:|---------:|--------------------|---------------------------------------------------------|
/// |      0 |        2 | Signature          | `li`, `lf`, `lh`, `ri`                                  |
/// |      2 |        2 | Number of elements | fits the cell                                           |
/// |      4 | 4 or 8 * | List elements      | offset u32; in `lf` then 4 characters, in `lh` the hash |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeafKind {
    /// `li`: offsets.
    Index,
    /// `lf`: offsets and the first four characters.
    Fast,
    /// `lh`: offsets and hashes.
    Hash,
}

impl LeafKind {
    /// Bytes of an element.
    fn element_bytes(self) -> u32 {
        match self {
            Self::Index => 4,
            Self::Fast | Self::Hash => 8,
        }
    }
}

/// An element of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) key: CellOffset,
    /// The hash in `lh`, the first four characters in `lf`, 0 in `li`.
    pub(super) hint: u32,
}

/// A list of key nodes.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) cell: Cell,
    pub(super) kind: LeafKind,
    pub(super) elements: Vec<Element>,
}

/// The lists of one key, in order.
#[derive(Debug, Clone)]
pub(super) struct SubkeyLists {
    /// The index root, if there is one.
    pub(super) root: Option<Cell>,
    pub(super) leaves: Vec<Leaf>,
}

impl SubkeyLists {
    /// Reads the lists of `node`.
    ///
    /// # Errors
    /// * `Corrupt` - a list is damaged, or there are more or fewer elements than the key node says.
    /// * `Limit` - more than [`SUBKEYS_MAX`].
    pub(super) fn read(pages: &Pages<'_>, node: &KeyNode) -> Result<Self> {
        if node.subkey_count == 0 {
            return Ok(Self { root: None, leaves: Vec::new() });
        }
        if u64::from(node.subkey_count) > SUBKEYS_MAX {
            return Err(too_many(node.subkey_count.into()));
        }
        let lists = match read_list(pages, node.subkey_list)? {
            List::Leaf(leaf) => Self { root: None, leaves: vec![leaf] },
            List::Root(cell, offsets) => {
                Self { root: Some(cell), leaves: read_leaves(pages, &offsets)? }
            }
        };
        let found = lists.leaves.iter().map(|leaf| len_u64(leaf.elements.len())).sum();
        if found != u64::from(node.subkey_count) {
            let defect = Defect::SubkeyCount { expected: node.subkey_count, found };
            return Err(corrupt(STRUCTURE, node.cell.at, defect));
        }
        Ok(lists)
    }

    /// The keys of all elements, in order, and their hashes where they have one.
    pub(super) fn keys(&self) -> impl Iterator<Item = (CellOffset, Option<u32>)> {
        self.leaves.iter().flat_map(|leaf| {
            let has_hash = leaf.kind == LeafKind::Hash;
            leaf.elements.iter().map(move |key| (key.key, has_hash.then_some(key.hint)))
        })
    }
}

enum List {
    Leaf(Leaf),
    Root(Cell, Vec<CellOffset>),
}

fn read_leaves(pages: &Pages<'_>, offsets: &[CellOffset]) -> Result<Vec<Leaf>> {
    let mut leaves = Vec::new();
    let mut count = 0u64;
    for offset in offsets {
        match read_list(pages, *offset)? {
            List::Leaf(leaf) => {
                count = count.saturating_add(len_u64(leaf.elements.len()));
                if count > SUBKEYS_MAX {
                    return Err(too_many(count));
                }
                leaves.push(leaf);
            }
            List::Root(cell, _) => return Err(corrupt(STRUCTURE, cell.at, Defect::ListNested)),
        }
    }
    Ok(leaves)
}

fn read_list(pages: &Pages<'_>, at: CellOffset) -> Result<List> {
    let cell = Cell::open(pages, at, STRUCTURE)?;
    let head = cell.read(pages, STRUCTURE, 0, 4)?;
    let signature: [u8; 2] = field::array(&head, 0)?;
    let count = field::le_u16(&head, 2)?;
    let kind = match &signature {
        b"li" => LeafKind::Index,
        b"lf" => LeafKind::Fast,
        b"lh" => LeafKind::Hash,
        b"ri" => {
            let offsets = read_elements(pages, cell, count, LeafKind::Index)?;
            return Ok(List::Root(cell, offsets.iter().map(|element| element.key).collect()));
        }
        _ => return Err(corrupt(STRUCTURE, at, Defect::ListSignature(signature))),
    };
    Ok(List::Leaf(Leaf { cell, kind, elements: read_elements(pages, cell, count, kind)? }))
}

fn read_elements(
    pages: &Pages<'_>,
    cell: Cell,
    count: u16,
    kind: LeafKind,
) -> Result<Vec<Element>> {
    let size = usize::try_from(kind.element_bytes()).unwrap_or(8);
    // At most 512 KiB.
    let bytes = cell.read(pages, STRUCTURE, 4, usize::from(count).saturating_mul(size))?;
    let mut elements = Vec::with_capacity(count.into());
    for element in bytes.chunks_exact(size) {
        let key = CellOffset(field::le_u32(element, 0)?);
        let hint = match kind {
            LeafKind::Index => 0,
            LeafKind::Fast | LeafKind::Hash => field::le_u32(element, 4)?,
        };
        elements.push(Element { key, hint });
    }
    Ok(elements)
}

fn too_many(actual: u64) -> Error {
    Error::limit("number of subkeys of a key", SUBKEYS_MAX, actual)
}
