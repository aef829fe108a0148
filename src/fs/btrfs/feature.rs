//! The feature words of the superblock: understood for writing, for reading only, and unknown.
//!
//! Format: Btrfs documentation, "On-disk format", fields `incompat_flags` and `compat_ro_flags` of the superblock; the
//! names are those of `btrfs inspect-internal dump-super`.

use crate::error::{Error, Refusal, Result};
use crate::fs::feature::Support::{Neither, Read, Write};
use crate::fs::feature::{Feature, named, unknown};

/// Bits of `incompat_flags`.
pub(crate) mod incompat {
    /// References of extents are of the mixed kind, as since Linux 2.6.31.
    pub(crate) const MIXED_BACKREF: u32 = 0x1;
    /// Data and metadata share block groups.
    pub(crate) const MIXED_GROUPS: u32 = 0x4;
    /// `INODE_EXTREF` items may occur.
    pub(crate) const EXTENDED_IREF: u32 = 0x40;
    /// Tree blocks are `METADATA_ITEM`s in the extent tree.
    pub(crate) const SKINNY_METADATA: u32 = 0x100;
    /// Files need no items for holes.
    pub(crate) const NO_HOLES: u32 = 0x200;
    /// Tree blocks carry `metadata_uuid` in place of the UUID of the file system.
    pub(crate) const METADATA_UUID: u32 = 0x400;
}

/// Bits of `compat_ro_flags`.
pub(crate) mod compat_ro {
    /// There is a free space tree.
    pub(crate) const FREE_SPACE_TREE: u32 = 0x1;
    /// ... and it is right.
    pub(crate) const FREE_SPACE_TREE_VALID: u32 = 0x2;
    /// Block groups have a tree of their own.
    pub(crate) const BLOCK_GROUP_TREE: u32 = 0x8;
}

const INCOMPAT: &[Feature] = &[
    (incompat::MIXED_BACKREF, "MIXED_BACKREF", Write),
    (0x2, "DEFAULT_SUBVOL", Write),
    (incompat::MIXED_GROUPS, "MIXED_GROUPS", Write),
    (0x8, "COMPRESS_LZO", Write),
    (0x10, "COMPRESS_ZSTD", Write),
    (0x20, "BIG_METADATA", Write),
    (incompat::EXTENDED_IREF, "EXTENDED_IREF", Write),
    (0x80, "RAID56", Read),
    (incompat::SKINNY_METADATA, "SKINNY_METADATA", Write),
    (incompat::NO_HOLES, "NO_HOLES", Write),
    (incompat::METADATA_UUID, "METADATA_UUID", Write),
    (0x800, "RAID1C34", Read),
    (0x1000, "ZONED", Read),
    (0x2000, "EXTENT_TREE_V2", Neither),
    (0x4000, "RAID_STRIPE_TREE", Neither),
    (0x10000, "SIMPLE_QUOTA", Read),
];

const COMPAT_RO: &[Feature] = &[
    (compat_ro::FREE_SPACE_TREE, "FREE_SPACE_TREE", Write),
    (compat_ro::FREE_SPACE_TREE_VALID, "FREE_SPACE_TREE_VALID", Write),
    (0x4, "VERITY", Write),
    (compat_ro::BLOCK_GROUP_TREE, "BLOCK_GROUP_TREE", Write),
];

/// The feature words. Bits above the 32nd are unknown as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Features {
    /// `incompat_flags`.
    pub(crate) incompat: u64,
    /// `compat_ro_flags`.
    pub(crate) compat_ro: u64,
}

impl Features {
    /// True if this bit of [`incompat`] is set.
    pub(crate) fn has_incompat(self, bit: u32) -> bool {
        self.incompat & u64::from(bit) != 0
    }

    /// True if this bit of [`compat_ro`] is set.
    pub(crate) fn has_compat_ro(self, bit: u32) -> bool {
        self.compat_ro & u64::from(bit) != 0
    }

    /// Checks that the volume can be read: no incompatible feature is foreign.
    ///
    /// # Errors
    /// `Unsupported` with the names.
    pub(crate) fn check_readable(self) -> Result<()> {
        let mut names = foreign("incompat", self.incompat, INCOMPAT);
        names.extend(named(low(self.incompat), INCOMPAT, Neither));
        if names.is_empty() {
            return Ok(());
        }
        Err(Error::unsupported(format!("file-system feature {}", names.join(", "))))
    }

    /// Checks that every feature is proven for writing. Unknown compat bits do not matter, by definition.
    ///
    /// # Errors
    /// `Refused` with the names.
    pub(crate) fn check_writable(self) -> Result<()> {
        let words =
            [("incompat", self.incompat, INCOMPAT), ("compat_ro", self.compat_ro, COMPAT_RO)];
        let names: Vec<String> =
            words.into_iter().flat_map(|(name, word, list)| foreign(name, word, list)).collect();
        if !names.is_empty() {
            return Err(Refusal::UnknownFeature { names }.into());
        }
        let mut read_only: Vec<String> = Vec::new();
        for (_, word, list) in words {
            read_only.extend(named(low(word), list, Read));
            read_only.extend(named(low(word), list, Neither));
        }
        if !read_only.is_empty() {
            return Err(Refusal::NotWritable { feature: read_only.join(", ") }.into());
        }
        if !self.has_incompat(incompat::MIXED_BACKREF) {
            let feature = "back references of the first kind".to_owned();
            return Err(Refusal::NotWritable { feature }.into());
        }
        let has_tree = self.has_compat_ro(compat_ro::FREE_SPACE_TREE);
        if has_tree && !self.has_compat_ro(compat_ro::FREE_SPACE_TREE_VALID) {
            let feature = "a free space tree that is not marked as valid".to_owned();
            return Err(Refusal::NotWritable { feature }.into());
        }
        Ok(())
    }
}

fn low(word: u64) -> u32 {
    crate::bytes::field::low_u32(word)
}

/// The bits that are in no list, all 64 of them.
fn foreign(name: &str, word: u64, list: &[Feature]) -> Vec<String> {
    let mut names = unknown(name, low(word), list);
    let high = word & !u64::from(u32::MAX);
    if high != 0 {
        names.push(format!("{name} {high:#x}"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mkfs_makes_today_is_writable() {
        Features { incompat: 0x361, compat_ro: 0xb }.check_writable().unwrap();
        Features { incompat: 0x341, compat_ro: 0 }.check_writable().unwrap();
    }

    #[test]
    fn foreign_bits_are_named() {
        let word = Features { incompat: 0x1_0004_0000_0341, compat_ro: 0x10 };
        let error = word.check_readable().unwrap_err().to_string();
        assert_eq!(error, "file-system feature incompat 0x1000400000000");
        let error = Features { incompat: 0x80341, ..word }.check_writable().unwrap_err();
        let expected = "unknown file-system feature incompat 0x80000, compat_ro 0x10";
        assert_eq!(error.to_string(), expected);
        let error = Features { incompat: 0x2341, compat_ro: 0 }.check_readable().unwrap_err();
        assert_eq!(error.to_string(), "file-system feature EXTENT_TREE_V2");
    }

    #[test]
    fn what_is_not_proven_is_named() {
        let error = Features { incompat: 0x11341, compat_ro: 0 }.check_writable().unwrap_err();
        assert_eq!(error.to_string(), "editing with ZONED, SIMPLE_QUOTA is not supported");
        let error = Features { incompat: 0x341, compat_ro: 1 }.check_writable().unwrap_err();
        assert!(error.to_string().contains("free space tree that is not marked as valid"));
    }
}
