//! XFS: reading and editing.
//!
//! Format: "XFS Algorithms & Data Structures", 3rd edition, which the module docs cite by chapter. Edits are made
//! in place, without the log; a log that is not clean is replayed first, unless the edit touches nothing that it
//! names.
//!
//! Not handled: version 4 for writing, the realtime device, metadata directories (all refused by name).

mod ag;
mod attribute;
mod btree;
mod checksum;
mod cross_check;
mod da;
mod directory;
mod feature;
mod fork;
mod inode;
mod inodes;
pub mod log;
mod space;
mod superblock;
#[cfg(test)]
pub(crate) mod testing;
mod units;
mod volume;
