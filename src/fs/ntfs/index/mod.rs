//! Indexes: directories, and the other sorted tables of NTFS.
//!
//! Sources: linux-ntfs documentation, "$INDEX_ROOT", "$INDEX_ALLOCATION" and "Index Record"; libyal libfsntfs,
//! "New Technologies File System (NTFS)", section "The index"; WIN-107.
//!
//! An index is a B-tree whose inner nodes hold entries as well. The root is the value of the resident
//! attribute `$INDEX_ROOT`; every other node is a block of `$INDEX_ALLOCATION`, found by its VCN. Each entry
//! of an inner node leads to the node with the keys between its left neighbour and itself, the end entry to
//! the keys behind the last.
//!
//! ```text
//!  read                       one entry by its key, all entries in order
//!  edit, path, settle         inserting, removing, changing; splits and joins
//!  check                      a whole tree, strictly
//!  collation                  the order of keys
//!  format, block, node, entry the structures
//!  host                       what an index needs from the record that it belongs to
//! ```
//!
//! Not handled: other collation rules than those of [`Collation`] ($Quota has one).

mod block;
mod check;
mod collation;
mod defect;
mod edit;
mod entry;
mod format;
mod host;
mod node;
mod path;
mod read;
mod settle;

pub(crate) use check::check;
pub(crate) use collation::Collation;
pub(crate) use edit::IndexEditor;
pub(crate) use entry::Entry;
pub(crate) use format::IndexRoot;
pub(crate) use host::{IndexBlock, IndexHost, IndexSource};
pub(crate) use read::Index;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod edit_tests;
#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod testing;
