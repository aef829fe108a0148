//! The extent tree: which space is in use, and who uses it.
//!
//! Format: Btrfs documentation, "On-disk format", sections "Extent item", "Back references"; the developer wiki, "Btrfs
//! design: extent block groups and back references".
//!
//! ```text
//!  apply     brings collected changes of references into the extent tree
//!  change    collects them: per extent, per user
//!  item      extent items with the references inside them, in bytes
//!  sharing   what copying a block does to the references of what it points to
//! ```

pub(crate) mod apply;
pub(crate) mod change;
pub(crate) mod item;
pub(crate) mod sharing;
