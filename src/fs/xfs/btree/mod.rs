//! The B+trees of XFS: one engine for all kinds.
//!
//! Format: "XFS Algorithms & Data Structures", chapters "Fixed Length Record B+trees" and those of the kinds.
//!
//! | kind | records by | root |
//! |------|------------|------|
//! | [`Bnobt`] | free space by block | AGF |
//! | [`Cntbt`] | free space by length | AGF |
//! | [`Rmapbt`] | owners of blocks | AGF |
//! | [`Refcountbt`] | shared blocks | AGF |
//! | [`Inobt`] | inode chunks | AGI |
//! | [`Finobt`] | inode chunks with free inodes | AGI |
//! | [`Bmbt`] | extents of a fork | inode |
//!
//! A [`Tree`] reads and edits the blocks of a [`NodeStore`], which knows where they are, where the root is, and who
//! gives and takes blocks; see there for what may happen in between. Records are only checked by themselves and
//! against their neighbours in a leaf; what they mean is for the users of the tree.
//!
//! Not handled: realtime trees (rtrmapbt, rtrefcountbt), whose volumes are not written.

mod check;
#[cfg(test)]
mod damage_tests;
mod edit;
mod entries;
mod expected;
mod file_map;
mod free_space;
mod group;
mod inode_chunk;
mod inode_root;
#[cfg(test)]
mod kernel_tests;
mod kind;
mod node;
mod reference_count;
mod reverse_map;
mod settle;
mod store;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use check::Summary;
pub(crate) use file_map::{Bmbt, EXTENT_BLOCKS_MAX, EXTENT_BYTES, Extent};
pub(crate) use free_space::{Bnobt, Cntbt, FreeExtent};
pub(crate) use group::GroupSource;
pub(crate) use inode_chunk::{Finobt, INODES_PER_CHUNK, INODES_PER_HOLE, Inobt, InodeChunk};
pub(crate) use kind::TreeKind;
pub(crate) use reference_count::{Refcountbt, ReferenceCount, ReferenceCountKey};
pub(crate) use reverse_map::{
    OWNER_AG, OWNER_COW, OWNER_FILE_SYSTEM, OWNER_INOBT, OWNER_INODES, OWNER_LOG, OWNER_REFCOUNT,
    ReverseMap, Rmapbt,
};
pub(crate) use store::{Bounds, NodeSource, NodeStore, Pointer, Root, Shape};
pub(crate) use tree::Tree;
