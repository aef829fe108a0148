//! Free space: where new blocks and data go, and what has to be recorded of it.
//!
//! ```text
//!  allocate    finds room in the block groups
//!  group       block group items
//!  reserve     what must be left to Linux
//!  free        the free space of a group as it was before the edit
//!  tree        the free space tree
//! ```

pub(crate) mod allocate;
mod free;
pub(crate) mod group;
mod reserve;
pub(crate) mod tree;
