//! ext2, ext3 and ext4.

#[allow(dead_code, reason = "the operations on files that use it follow")]
pub(crate) mod directory;
#[allow(dead_code, reason = "the operations on files that use it follow")]
pub(crate) mod hash;
#[allow(dead_code, reason = "the operations on files that use it follow")]
mod htree;
pub mod journal;
pub mod mmp;
pub mod orphan;
pub mod quota;
pub mod verify;
#[allow(dead_code, reason = "the operations on files that use it follow")]
pub(crate) mod xattr;
