//! Btrfs: the volume with its trees.
//!
//! Format: the Btrfs documentation, chapter "On-disk format", which the module docs cite by section. Every address in a
//! tree is logical; the chunk map gives the physical ones of all copies.
//!
//! ```text
//!  file_system, edit        the operations
//!  subvolume, directory, inode, content, data_checksum
//!  view                     the trees with the log replayed over them -- log
//!  item                     what stands in items
//!  compress                 compressed extents
//!  write                    the copy-on-write transaction
//!  extent, space            who uses which space, and what is free
//!  tree                     items by key: one, a range, the root of a tree
//!  volume                   the disk with its superblock, chunks and checked tree blocks
//!  chunk, node, superblock  structures in bytes
//!  key, checksum, feature, place
//! ```
//!
//! Not handled: several devices and profiles that stripe over them, EXTENT_TREE_V2, RAID_STRIPE_TREE (all refused by
//! name).

mod checksum;
mod chunk;
mod compress;
mod content;
#[cfg(test)]
mod damage_tests;
mod data_checksum;
mod directory;
mod edit;
mod extent;
mod feature;
mod file_system;
mod inode;
mod item;
mod key;
mod log;
mod node;
mod place;
#[cfg(test)]
mod reader_tests;
mod space;
mod subvolume;
mod superblock;
#[cfg(test)]
pub(crate) mod testing;
mod tree;
mod view;
mod volume;
#[cfg(test)]
mod volume_tests;
mod write;

pub use file_system::{Btrfs, SubvolumeName, find_subvolume};
