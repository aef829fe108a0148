//! The feature words of the superblock, in three lists each: understood for writing, understood for reading
//! only, and unknown.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Super Block", tables of
//! `s_feature_compat`, `s_feature_incompat` and `s_feature_ro_compat`. The names are those that `dumpe2fs`
//! prints.

use crate::error::{Error, Refusal, Result};
use crate::fs::feature::Support::{Neither, Read, Write};
use crate::fs::feature::{Feature, named, unknown};

/// `s_feature_compat`.
pub(crate) mod compat {
    pub(crate) const HAS_JOURNAL: u32 = 0x4;
    pub(crate) const EXT_ATTR: u32 = 0x8;
    pub(crate) const DIR_INDEX: u32 = 0x20;
    pub(crate) const SPARSE_SUPER2: u32 = 0x200;
}

/// `s_feature_incompat`.
pub(crate) mod incompat {
    pub(crate) const FILETYPE: u32 = 0x2;
    pub(crate) const RECOVER: u32 = 0x4;
    pub(crate) const META_BG: u32 = 0x10;
    pub(crate) const EXTENTS: u32 = 0x40;
    pub(crate) const BIT64: u32 = 0x80;
    pub(crate) const MMP: u32 = 0x100;
    pub(crate) const CSUM_SEED: u32 = 0x2000;
    pub(crate) const LARGE_DIR: u32 = 0x4000;
}

/// `s_feature_ro_compat`.
pub(crate) mod ro_compat {
    pub(crate) const SPARSE_SUPER: u32 = 0x1;
    pub(crate) const HUGE_FILE: u32 = 0x8;
    pub(crate) const GDT_CSUM: u32 = 0x10;
    pub(crate) const DIR_NLINK: u32 = 0x20;
    pub(crate) const QUOTA: u32 = 0x100;
    pub(crate) const BIGALLOC: u32 = 0x200;
    pub(crate) const METADATA_CSUM: u32 = 0x400;
    pub(crate) const PROJECT: u32 = 0x2000;
    pub(crate) const ORPHAN_PRESENT: u32 = 0x1_0000;
}

const COMPAT: &[Feature] = &[
    (0x1, "dir_prealloc", Write),
    (0x2, "imagic_inodes", Read),
    (0x4, "has_journal", Write),
    (0x8, "ext_attr", Write),
    (0x10, "resize_inode", Write),
    (0x20, "dir_index", Write),
    (0x40, "lazy_bg", Read),
    (0x80, "snapshot_bitmap", Read),
    (0x100, "exclude_bitmap", Read),
    (0x200, "sparse_super2", Write),
    (0x400, "fast_commit", Write),
    (0x800, "stable_inodes", Write),
    (0x1000, "orphan_file", Write),
];

const INCOMPAT: &[Feature] = &[
    (0x1, "compression", Neither),
    (0x2, "filetype", Write),
    (0x4, "needs_recovery", Write),
    (0x8, "journal_dev", Neither),
    (0x10, "meta_bg", Write),
    (0x40, "extent", Write),
    (0x80, "64bit", Write),
    (0x100, "mmp", Write),
    (0x200, "flex_bg", Write),
    (0x400, "ea_inode", Write),
    (0x1000, "dirdata", Neither),
    (0x2000, "metadata_csum_seed", Write),
    (0x4000, "large_dir", Write),
    (0x8000, "inline_data", Write),
    (0x1_0000, "encrypt", Write),
    (0x2_0000, "casefold", Write),
];

const RO_COMPAT: &[Feature] = &[
    (0x1, "sparse_super", Write),
    (0x2, "large_file", Write),
    (0x4, "btree_dir", Read),
    (0x8, "huge_file", Write),
    (0x10, "uninit_bg", Write),
    (0x20, "dir_nlink", Write),
    (0x40, "extra_isize", Write),
    (0x80, "snapshot", Read),
    (0x100, "quota", Write),
    (0x200, "bigalloc", Write),
    (0x400, "metadata_csum", Write),
    (0x800, "replica", Read),
    (0x1000, "read-only", Read),
    (0x2000, "project", Write),
    (0x4000, "shared_blocks", Read),
    (0x8000, "verity", Write),
    (0x1_0000, "orphan_present", Write),
];

/// The three feature words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) compat: u32,
    pub(crate) incompat: u32,
    pub(crate) ro_compat: u32,
}

impl Features {
    pub(crate) fn has_compat(self, bit: u32) -> bool {
        self.compat & bit != 0
    }

    pub(crate) fn has_incompat(self, bit: u32) -> bool {
        self.incompat & bit != 0
    }

    pub(crate) fn has_ro_compat(self, bit: u32) -> bool {
        self.ro_compat & bit != 0
    }

    /// Group descriptors carry checksums of one kind or the other.
    pub(crate) fn has_group_checksums(self) -> bool {
        self.has_ro_compat(ro_compat::GDT_CSUM | ro_compat::METADATA_CSUM)
    }

    /// `ext2`, `ext3` or `ext4`, as `blkid` would call it: a journal makes ext3, any feature that ext3
    /// does not know makes ext4.
    pub(crate) fn type_name(self) -> &'static str {
        const EXT3_INCOMPAT: u32 = incompat::FILETYPE | incompat::RECOVER | incompat::META_BG;
        const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;
        if self.incompat & !EXT3_INCOMPAT != 0 || self.ro_compat & !EXT3_RO_COMPAT != 0 {
            "ext4"
        } else if self.has_compat(compat::HAS_JOURNAL) {
            "ext3"
        } else {
            "ext2"
        }
    }

    /// Checks that the file system can be read at all: no incompatible feature is foreign.
    ///
    /// # Errors
    /// `Unsupported` with the names.
    pub(crate) fn check_readable(self) -> Result<()> {
        let mut names = unknown("incompat", self.incompat, INCOMPAT);
        names.extend(named(self.incompat, INCOMPAT, Neither));
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
        let mut names = unknown("incompat", self.incompat, INCOMPAT);
        names.extend(unknown("ro_compat", self.ro_compat, RO_COMPAT));
        if !names.is_empty() {
            return Err(Refusal::UnknownFeature { names }.into());
        }
        let words = [(self.compat, COMPAT), (self.incompat, INCOMPAT), (self.ro_compat, RO_COMPAT)];
        let read_only: Vec<String> =
            words.into_iter().flat_map(|(word, list)| named(word, list, Read)).collect();
        if read_only.is_empty() {
            return Ok(());
        }
        Err(Refusal::NotWritable { feature: read_only.join(", ") }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(compat: u32, incompat: u32, ro_compat: u32) -> Features {
        Features { compat, incompat, ro_compat }
    }

    #[test]
    fn types_are_told_by_features() {
        assert_eq!(features(0x38, 0x2, 0x3).type_name(), "ext2");
        assert_eq!(features(0x3c, 0x6, 0x3).type_name(), "ext3");
        assert_eq!(features(0x3c, 0x2c2, 0x46b).type_name(), "ext4");
    }

    #[test]
    fn foreign_bits_are_named() {
        let error = features(0, 0x4000_0001, 0).check_readable().unwrap_err();
        assert_eq!(error.to_string(), "file-system feature incompat 0x40000000, compression");
        let error = features(0, 0x2, 0x8000_0000).check_writable().unwrap_err();
        assert_eq!(error.to_string(), "unknown file-system feature ro_compat 0x80000000");
        let error = features(0, 0x2, 0x5001).check_writable().unwrap_err();
        assert_eq!(error.to_string(), "editing with read-only, shared_blocks is not supported");
        features(0x8000_0000, 0x3_f7d6, 0xa7fb & !0x884).check_writable().unwrap();
    }
}
