//! What a block of a tree holds behind its header: records in a leaf, keys and pointers above. The layout is in
//! [`super::node`].

use super::kind::{Form, TreeKind};
use super::node::TreeDefect;
use super::store::{Bounds, Pointer};
use crate::bytes::arith::to;
use crate::bytes::field::{self, be_u32, be_u64, put_be_u32, put_be_u64};
use crate::error::Result;

/// An entry of an inner node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Child<K: TreeKind> {
    pub(super) low: K::NodeKey,
    /// The same as `low` in trees without high keys.
    pub(super) high: K::NodeKey,
    pub(super) pointer: Pointer,
}

/// The entries of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entries<K: TreeKind> {
    Records(Vec<K::Record>),
    Children(Vec<Child<K>>),
}

impl<K: TreeKind> Entries<K> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Records(records) => records.len(),
            Self::Children(children) => children.len(),
        }
    }

    pub(super) fn records(&self) -> &[K::Record] {
        match self {
            Self::Records(records) => records,
            Self::Children(_) => &[],
        }
    }

    pub(super) fn children(&self) -> &[Child<K>] {
        match self {
            Self::Records(_) => &[],
            Self::Children(children) => children,
        }
    }

    /// The lowest and the highest key; `None` if there is no entry.
    pub(super) fn keys(&self) -> Option<(K::NodeKey, K::NodeKey)> {
        let (low, highs): (_, Vec<_>) = match self {
            Self::Records(all) => (K::low_key(all.first()?), all.iter().map(K::high_key).collect()),
            Self::Children(all) => (all.first()?.low, all.iter().map(|child| child.high).collect()),
        };
        let high = if K::HAS_HIGH_KEYS { highs.into_iter().max_by_key(K::order)? } else { low };
        Some((low, high))
    }

    /// Takes everything from `at` on.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        match self {
            Self::Records(all) => Self::Records(all.split_off(at.min(all.len()))),
            Self::Children(all) => Self::Children(all.split_off(at.min(all.len()))),
        }
    }

    /// Appends all entries of `other`, which is of the same level.
    pub(super) fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Records(all), Self::Records(more)) => all.extend(more),
            (Self::Children(all), Self::Children(more)) => all.extend(more),
            _ => {}
        }
    }
}

/// Size of a pointer in `form`.
pub(super) const fn pointer_bytes(form: Form) -> usize {
    match form {
        Form::Short => 4,
        Form::Long => 8,
    }
}

/// Size of the keys that go with one pointer.
pub(super) const fn keys_bytes<K: TreeKind>() -> usize {
    K::KEY_BYTES.saturating_mul(if K::HAS_HIGH_KEYS { 2 } else { 1 })
}

/// Parses a pointer; all ones stand for none.
pub(super) fn parse_pointer(
    form: Form,
    bytes: &[u8],
    at: usize,
) -> Result<Option<Pointer>, field::Short> {
    Ok(match form {
        Form::Short => Some(be_u32(bytes, at)?).filter(|at| *at != u32::MAX).map(u64::from),
        Form::Long => Some(be_u64(bytes, at)?).filter(|at| *at != u64::MAX),
    }
    .map(Pointer))
}

/// Encodes a pointer; all ones stand for none.
pub(super) fn put_pointer(
    form: Form,
    bytes: &mut [u8],
    at: usize,
    pointer: Option<Pointer>,
) -> Result<()> {
    let pointer = pointer.map(|pointer| pointer.0);
    match form {
        Form::Short => put_be_u32(bytes, at, pointer.map_or(Ok(u32::MAX), to)?)?,
        Form::Long => put_be_u64(bytes, at, pointer.unwrap_or(u64::MAX))?,
    }
    Ok(())
}

/// Parses the first `count` records of a body.
pub(super) fn parse_records<K: TreeKind>(
    body: &[u8],
    count: usize,
    bounds: &Bounds,
) -> Result<Vec<K::Record>, TreeDefect> {
    let records = body.chunks_exact(K::RECORD_BYTES).take(count).enumerate();
    let parse = |(index, bytes)| {
        K::parse(bytes, bounds).map_err(|defect| TreeDefect::Record { index, defect })
    };
    records.map(parse).collect()
}

/// Parses the first `count` keys and pointers of a body that has room for `max`.
pub(super) fn parse_children<K: TreeKind>(
    body: &[u8],
    count: usize,
    max: usize,
) -> Result<Vec<Child<K>>, field::Short> {
    let (keys, pointers) =
        body.split_at_checked(keys_bytes::<K>().saturating_mul(max)).ok_or(field::Short {
            needed: keys_bytes::<K>().saturating_mul(max),
            available: body.len(),
        })?;
    let pointers = pointers.chunks_exact(pointer_bytes(K::FORM));
    let pairs = keys.chunks_exact(keys_bytes::<K>()).zip(pointers).take(count);
    let parse = |(keys, pointer): (&[u8], &[u8])| {
        let low = K::parse_key(keys)?;
        let high = keys.get(K::KEY_BYTES..).filter(|_| K::HAS_HIGH_KEYS);
        let high = high.map_or(Ok(low), K::parse_key)?;
        let pointer = parse_pointer(K::FORM, pointer, 0)?.unwrap_or(Pointer(u64::MAX));
        Ok(Child { low, high, pointer })
    };
    pairs.map(parse).collect()
}

/// Encodes keys and pointers into a body that has room for `max`.
pub(super) fn put_children<K: TreeKind>(
    children: &[Child<K>],
    body: &mut [u8],
    max: usize,
) -> Result<()> {
    let available = body.len();
    let needed = keys_bytes::<K>().saturating_mul(max);
    let (keys, pointers) =
        body.split_at_mut_checked(needed).ok_or(field::Short { needed, available })?;
    let keys = keys.chunks_exact_mut(keys_bytes::<K>());
    let pointers = pointers.chunks_exact_mut(pointer_bytes(K::FORM));
    for ((keys, pointer), child) in keys.zip(pointers).zip(children) {
        K::encode_key(&child.low, keys)?;
        if K::HAS_HIGH_KEYS {
            K::encode_key(&child.high, keys.get_mut(K::KEY_BYTES..).unwrap_or_default())?;
        }
        put_pointer(K::FORM, pointer, 0, Some(child.pointer))?;
    }
    Ok(())
}
