//! The root of a bmbt in the fork of an inode.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Data Extents", section "B+tree Extent List"
//! (`xfs_bmdr_block`), big-endian. The array of pointers follows the place for the last key that the fork has
//! room for, so it moves when the fork changes its size.
//!
//! | offset | size | spec | here | valid when |
//! |-------:|-----:|------|------|------------|
//! | 0x0 | 2 | bb_level | level | 1 or more |
//! | 0x2 | 2 | bb_numrecs | (length) | 1 or more; fits |
//! | 0x4 | 8 each | keys | entries | ascending |
//! | 0x4 + 8 * room | 8 each | pointers | entries | |

use super::entries::{Child, Entries};
use super::entries::{keys_bytes, parse_children, pointer_bytes, put_children};
use super::expected::{Expected, check_children};
use super::kind::TreeKind;
use super::node::{LEVELS_MAX, Node, TreeDefect, corrupt};
use super::store::Shape;
use crate::bytes::field::{be_u16, put_be_u16};
use crate::error::Result;

const HEADER_BYTES: usize = 4;

/// Entries that a fork of `fork_bytes` has room for.
pub(super) fn capacity<K: TreeKind>(fork_bytes: usize) -> usize {
    let child_bytes = keys_bytes::<K>().saturating_add(pointer_bytes(K::FORM));
    fork_bytes.saturating_sub(HEADER_BYTES).checked_div(child_bytes).unwrap_or(0)
}

/// Parses and checks the root in `fork`.
pub(super) fn parse<K: TreeKind>(fork: &[u8], shape: &Shape) -> Result<Node<K>> {
    let (level, count) = (be_u16(fork, 0x0)?, usize::from(be_u16(fork, 0x2)?));
    let levels = u32::from(level).saturating_add(1);
    if level == 0 || levels > LEVELS_MAX {
        return Err(corrupt::<K>(TreeDefect::Levels(levels), shape, None));
    }
    let max = capacity::<K>(fork.len());
    if count == 0 || count > max {
        let defect = TreeDefect::Entries { actual: count, min: 1, max };
        return Err(corrupt::<K>(defect, shape, None));
    }
    let body = fork.get(HEADER_BYTES..).unwrap_or_default();
    let children: Vec<Child<K>> = parse_children(body, count, max)?;
    check_children(&children, &Expected::root(level))
        .map_err(|defect| corrupt::<K>(defect, shape, None))?;
    let entries = Entries::Children(children);
    Ok(Node { level, left: None, right: None, entries, raw: fork.to_vec() })
}

/// The bytes of a fork with `node` as the root.
pub(super) fn encode<K: TreeKind>(node: &Node<K>) -> Result<Vec<u8>> {
    let mut fork = node.raw.clone();
    let max = capacity::<K>(fork.len());
    put_be_u16(&mut fork, 0x0, node.level)?;
    put_be_u16(&mut fork, 0x2, crate::bytes::arith::to(node.entries.len())?)?;
    let body = fork.get_mut(HEADER_BYTES..).unwrap_or_default();
    put_children(node.entries.children(), body, max)?;
    Ok(fork)
}
