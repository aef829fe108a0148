//! What is known about a block of a tree before it is read, and the check of its entries against it.

use super::entries::Child;
use super::kind::TreeKind;
use super::node::{Node, TreeDefect};
use super::store::{Bounds, Pointer};

/// What is known about a sibling from above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sibling {
    /// Nothing.
    Unknown,
    /// There is none: the block is the first or last of its level.
    None,
    /// There is one, under another parent.
    Some,
    /// It is this one.
    At(Pointer),
}

impl Sibling {
    pub(super) fn suits(self, actual: Option<Pointer>) -> bool {
        match self {
            Self::Unknown => true,
            Self::None => actual.is_none(),
            Self::Some => actual.is_some(),
            Self::At(pointer) => actual == Some(pointer),
        }
    }
}

/// What is known about a block before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected<K: TreeKind> {
    pub(super) level: u16,
    pub(super) is_root: bool,
    /// No key is less.
    pub(super) low: Option<K::Key>,
    /// Every key is less.
    pub(super) below: Option<K::Key>,
    /// No high key is more.
    pub(super) high: Option<K::Key>,
    pub(super) left: Sibling,
    pub(super) right: Sibling,
}

impl<K: TreeKind> Expected<K> {
    /// Of a root at `level`.
    pub(super) fn root(level: u16) -> Self {
        let (left, right) = (Sibling::None, Sibling::None);
        Self { level, is_root: true, low: None, below: None, high: None, left, right }
    }

    /// Of a block about which only its level is known.
    pub(super) fn neighbour(level: u16) -> Self {
        let (left, right) = (Sibling::Unknown, Sibling::Unknown);
        Self { is_root: false, left, right, ..Self::root(level) }
    }

    /// Of entry `index` of `node`, of which `self` was expected.
    pub(super) fn child(&self, node: &Node<K>, index: usize) -> Option<(Pointer, Self)> {
        let children = node.entries.children();
        let child = children.get(index)?;
        let previous = index.checked_sub(1).and_then(|index| children.get(index));
        let next = children.get(index.saturating_add(1));
        let beside = |inner: Option<&Child<K>>, outer: Sibling| match (inner, outer) {
            (Some(child), _) => Sibling::At(child.pointer),
            (None, Sibling::At(_)) => Sibling::Some,
            (None, outer) => outer,
        };
        let expected = Self {
            level: node.level.checked_sub(1)?,
            is_root: false,
            low: Some(K::order(&child.low)),
            below: next.map(|next| K::order(&next.low)).or(self.below),
            high: K::HAS_HIGH_KEYS.then(|| K::order(&child.high)),
            left: beside(previous, self.left),
            right: beside(next, self.right),
        };
        Some((child.pointer, expected))
    }

    fn holds(&self, low: &K::Key, high: &K::Key) -> bool {
        self.low.is_none_or(|limit| *low >= limit)
            && self.below.is_none_or(|limit| *low < limit)
            && self.high.is_none_or(|limit| *high <= limit)
    }
}

/// Checks the records of a leaf.
pub(super) fn check_records<K: TreeKind>(
    records: &[K::Record],
    expected: &Expected<K>,
    bounds: &Bounds,
) -> Result<(), TreeDefect> {
    let mut previous: Option<&K::Record> = None;
    for (index, record) in records.iter().enumerate() {
        K::check(record, bounds).map_err(|defect| TreeDefect::Record { index, defect })?;
        let key = K::key(record);
        let follows = |before| K::key(before) < key && K::may_follow(before, record);
        if !previous.is_none_or(follows) {
            return Err(TreeDefect::Order(index));
        }
        if !expected.holds(&key, &K::order(&K::high_key(record))) {
            return Err(TreeDefect::Range(index));
        }
        previous = Some(record);
    }
    Ok(())
}

/// Checks the entries of an inner node.
pub(super) fn check_children<K: TreeKind>(
    children: &[Child<K>],
    expected: &Expected<K>,
) -> Result<(), TreeDefect> {
    let mut previous: Option<K::Key> = None;
    for (index, child) in children.iter().enumerate() {
        let (low, high) = (K::order(&child.low), K::order(&child.high));
        if previous.is_some_and(|previous| previous >= low) || high < low {
            return Err(TreeDefect::Order(index));
        }
        if !expected.holds(&low, &high) {
            return Err(TreeDefect::Range(index));
        }
        previous = Some(low);
    }
    Ok(())
}
