//! Node numbers that are unique over all members of a tree.
//!
//! The upper 8 bits hold the member, the others the node inside it, so that the nodes of the first member keep
//! their numbers. What does not fit, as numbers of more than 56 bits, has an entry in a table instead.

use crate::bytes::arith::{len_u64, to};
use crate::error::{Error, Result};
use crate::fs::NodeId;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Bits of a number that hold the node inside the member.
const INNER_BITS: u32 = 56;
/// The tag of numbers that are places in the table.
const TABLE_TAG: u64 = 0xff;
/// Bound on the table.
const TABLE_MAX: usize = 1 << 22;

/// A node of a member: index of the member, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inside {
    /// Index of the member.
    pub member: usize,
    /// The node inside it.
    pub node: NodeId,
}

#[derive(Debug, Default)]
struct Table {
    nodes: Vec<Inside>,
    places: BTreeMap<Inside, u64>,
}

/// The numbers given out so far.
#[derive(Debug, Default)]
pub(super) struct NodeIds {
    table: RefCell<Table>,
}

impl NodeIds {
    /// The number for a node of a member.
    ///
    /// # Errors
    /// `Limit` if the table is full.
    pub(super) fn outside(&self, inside: Inside) -> Result<NodeId> {
        let tag = to::<usize, u64>(inside.member)?;
        if tag < TABLE_TAG && inside.node.0 >> INNER_BITS == 0 {
            return Ok(NodeId(tag << INNER_BITS | inside.node.0));
        }
        let mut table = self.table.borrow_mut();
        let next = len_u64(table.nodes.len());
        let place = match table.places.get(&inside) {
            Some(&place) => place,
            None if table.nodes.len() >= TABLE_MAX => {
                let what = "number of nodes with large numbers";
                return Err(Error::limit(what, len_u64(TABLE_MAX), next.saturating_add(1)));
            }
            None => {
                table.nodes.push(inside);
                table.places.insert(inside, next);
                next
            }
        };
        Ok(NodeId(TABLE_TAG << INNER_BITS | place))
    }

    /// The node of a member behind a number.
    ///
    /// # Errors
    /// `NotFound` for a number that was never given out.
    pub(super) fn inside(&self, outside: NodeId) -> Result<Inside> {
        let tag = outside.0 >> INNER_BITS;
        let rest = outside.0 & !(TABLE_TAG << INNER_BITS);
        if tag < TABLE_TAG {
            return Ok(Inside { member: to(tag)?, node: NodeId(rest) });
        }
        let found = self.table.borrow().nodes.get(to::<u64, usize>(rest)?).copied();
        found.ok_or_else(|| Error::not_found(format!("node {}", outside.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nodes_of_the_first_member_keep_their_numbers() {
        let ids = NodeIds::default();
        for node in [0, 2, (1 << 56) - 1] {
            let inside = Inside { member: 0, node: NodeId(node) };
            assert_eq!(ids.outside(inside).unwrap(), NodeId(node));
        }
        assert_eq!(ids.inside(NodeId(u64::MAX)).unwrap_err().kind_name(), "not_found");
    }

    proptest! {
        #[test]
        fn numbers_are_unique_and_lead_back(
            nodes in proptest::collection::btree_set(
                (prop_oneof![0usize..4, 250usize..260], prop_oneof![any::<u64>(), 0u64..300, Just(u64::MAX)]),
                0..64,
            ),
        ) {
            let ids = NodeIds::default();
            let mut seen = std::collections::BTreeSet::new();
            for &(member, node) in &nodes {
                let inside = Inside { member, node: NodeId(node) };
                let outside = ids.outside(inside).unwrap();
                prop_assert!(seen.insert(outside));
                prop_assert_eq!(ids.outside(inside).unwrap(), outside);
                prop_assert_eq!(ids.inside(outside).unwrap(), inside);
            }
        }
    }
}
