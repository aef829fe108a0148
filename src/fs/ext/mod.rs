//! ext2, ext3 and ext4.

pub mod journal;
pub mod mmp;
pub mod orphan;
pub mod quota;
pub mod verify;
