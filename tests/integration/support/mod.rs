//! What the tests are built from: images, outside readers and checkers, and the program under test.

#[allow(unreachable_pub, reason = "the fuzz targets use it too")]
pub(crate) mod attempt;
pub(crate) mod btrfs_image;
pub(crate) mod digest;
pub(crate) mod hive_build;
pub(crate) mod hive_check;
pub(crate) mod image;
#[allow(dead_code, reason = "the unit tests of the journal use it too")]
pub(crate) mod jbd2;
pub(crate) mod login_server;
pub(crate) mod login_tree;
pub(crate) mod luks;
pub(crate) mod lvm;
#[allow(dead_code, reason = "the unit tests of LVM use it too")]
pub(crate) mod lvm_build;
#[allow(dead_code, reason = "the unit tests of RAID use it too")]
pub(crate) mod md_build;
pub(crate) mod model;
pub(crate) mod mount;
pub(crate) mod mounted_disk;
pub(crate) mod ntfs_bench;
pub(crate) mod ntfs_check;
pub(crate) mod ntfs_image;
pub(crate) mod ntfs_mount;
pub(crate) mod ntfs_sequence;
pub(crate) mod ntfs_tools;
pub(crate) mod ntfs_tree;
pub(crate) mod oracle;
pub(crate) mod packed;
pub(crate) mod populated;
pub(crate) mod regain;
pub(crate) mod rng;
pub(crate) mod root;
pub(crate) mod rooted;
pub(crate) mod scratch;
pub(crate) mod sequence;
pub(crate) mod shapes;
pub(crate) mod sparse;
pub(crate) mod stack_bench;
pub(crate) mod structures;
pub(crate) mod tools;
pub(crate) mod tree;
pub(crate) mod windows_disk;
pub(crate) mod xfs_bench;
pub(crate) mod xfs_build;
pub(crate) mod xfs_image;
pub(crate) mod xfs_mount;
pub(crate) mod xfs_structures;
#[allow(dead_code, reason = "the unit tests of XFS use it too")]
pub(crate) mod xfs_tools;
pub(crate) mod xfs_tree;
