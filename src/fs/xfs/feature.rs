//! The feature words of the superblock: understood for writing, for reading only, and unknown.
//!
//! Format: "XFS Algorithms & Data Structures", section "Superblocks"; the newer bits as `xfs_db`'s `version`
//! command names them.

use crate::error::{Error, Refusal, Result};
use crate::fs::feature::Support::{Read, Write};
use crate::fs::feature::{Feature, named, unknown};

/// Bits of `sb_versionnum` above the number itself.
pub(crate) mod version {
    pub(crate) const NUMBER_MASK: u16 = 0xf;
    /// Some inode has, or had, attributes.
    pub(crate) const ATTRIBUTES: u16 = 0x10;
    pub(crate) const DIRV2: u16 = 0x2000;
    /// Names are compared without case (`mkfs.xfs -n version=ci`).
    pub(crate) const ASCII_CI: u16 = 0x4000;
}

/// Bits of `sb_features2`.
pub(crate) mod features2 {
    pub(crate) const LAZY_COUNTERS: u32 = 0x2;
    pub(crate) const FTYPE: u32 = 0x200;
}

/// Bits of `sb_features_ro_compat`.
pub(crate) mod ro_compat {
    pub(crate) const FINOBT: u32 = 0x1;
    pub(crate) const RMAPBT: u32 = 0x2;
    pub(crate) const REFLINK: u32 = 0x4;
    pub(crate) const INOBTCOUNT: u32 = 0x8;
}

/// Bits of `sb_features_incompat`.
pub(crate) mod incompat {
    pub(crate) const FTYPE: u32 = 0x1;
    pub(crate) const SPARSE_INODES: u32 = 0x2;
    pub(crate) const META_UUID: u32 = 0x4;
    pub(crate) const BIGTIME: u32 = 0x8;
    pub(crate) const NEEDS_REPAIR: u32 = 0x10;
    pub(crate) const NREXT64: u32 = 0x20;
    pub(crate) const PARENT: u32 = 0x80;
    pub(crate) const METADIR: u32 = 0x100;
}

const RO_COMPAT: &[Feature] = &[
    (ro_compat::FINOBT, "finobt", Write),
    (ro_compat::RMAPBT, "rmapbt", Write),
    (ro_compat::REFLINK, "reflink", Write),
    (ro_compat::INOBTCOUNT, "inobtcount", Write),
];

const INCOMPAT: &[Feature] = &[
    (incompat::FTYPE, "ftype", Write),
    (incompat::SPARSE_INODES, "sparse inodes", Write),
    (incompat::META_UUID, "meta_uuid", Write),
    (incompat::BIGTIME, "bigtime", Write),
    (incompat::NEEDS_REPAIR, "needsrepair", Write),
    (incompat::NREXT64, "nrext64", Write),
    (0x40, "exchange-range", Write),
    (incompat::PARENT, "parent pointers", Write),
    (incompat::METADIR, "metadir", Read),
];

/// `xattrs`: set while logged attribute updates may be in the log.
const LOG_INCOMPAT: &[Feature] = &[(0x1, "logged attributes", Write)];

/// The feature words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Features {
    /// `sb_versionnum`.
    pub(crate) version: u16,
    /// `sb_features2`; 0 where the version does not have it.
    pub(crate) features2: u32,
    /// `sb_features_ro_compat`; the next two as well are 0 before version 5.
    pub(crate) ro_compat: u32,
    /// `sb_features_incompat`.
    pub(crate) incompat: u32,
    /// `sb_features_log_incompat`.
    pub(crate) log_incompat: u32,
}

impl Features {
    /// The version of the format: 4 or 5.
    pub(crate) fn number(self) -> u16 {
        self.version & version::NUMBER_MASK
    }

    /// Version 5: every structure has a checksum and says where it belongs.
    pub(crate) fn has_crc(self) -> bool {
        self.number() >= 5
    }

    pub(crate) fn has_ro_compat(self, bit: u32) -> bool {
        self.ro_compat & bit != 0
    }

    pub(crate) fn has_incompat(self, bit: u32) -> bool {
        self.incompat & bit != 0
    }

    /// Directory entries carry the kind of file.
    pub(crate) fn has_file_type(self) -> bool {
        self.has_incompat(incompat::FTYPE)
            || (!self.has_crc() && self.features2 & features2::FTYPE != 0)
    }

    /// Names are compared without ASCII case.
    pub(crate) fn is_ascii_ci(self) -> bool {
        self.version & version::ASCII_CI != 0
    }

    /// The counters of the superblock are right only after an unmount.
    pub(crate) fn has_lazy_counters(self) -> bool {
        self.has_crc() || self.features2 & features2::LAZY_COUNTERS != 0
    }

    /// Checks that the file system can be read at all: no incompatible feature is foreign.
    ///
    /// # Errors
    /// `Unsupported` with the names.
    pub(crate) fn check_readable(self) -> Result<()> {
        if self.version & version::DIRV2 == 0 {
            return Err(Error::unsupported("XFS with version 1 directories"));
        }
        let names = unknown("incompat", self.incompat, INCOMPAT);
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
        if !self.has_crc() {
            let feature = format!("XFS version {}, which has no checksums,", self.number());
            return Err(Refusal::NotWritable { feature }.into());
        }
        let words = [
            ("incompat", self.incompat, INCOMPAT),
            ("ro_compat", self.ro_compat, RO_COMPAT),
            ("log_incompat", self.log_incompat, LOG_INCOMPAT),
        ];
        let names: Vec<String> =
            words.into_iter().flat_map(|(name, word, list)| unknown(name, word, list)).collect();
        if !names.is_empty() {
            return Err(Refusal::UnknownFeature { names }.into());
        }
        let read_only: Vec<String> =
            words.into_iter().flat_map(|(_, word, list)| named(word, list, Read)).collect();
        if !read_only.is_empty() {
            return Err(Refusal::NotWritable { feature: read_only.join(", ") }.into());
        }
        if self.has_incompat(incompat::NEEDS_REPAIR) {
            let detail = "it is marked as needing xfs_repair (needsrepair)".to_owned();
            return Err(Refusal::NeedsCheck { detail }.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(incompat: u32, ro_compat: u32, log_incompat: u32) -> Features {
        Features { version: 0xb4a5, features2: 0x18a, ro_compat, incompat, log_incompat }
    }

    #[test]
    fn what_mkfs_makes_today_is_writable() {
        features(0xeb, 0xf, 0).check_writable().unwrap();
        features(0x3, 0x5, 1).check_writable().unwrap();
    }

    #[test]
    fn foreign_bits_are_named() {
        let error = features(0x4000_0003, 0, 0).check_readable().unwrap_err();
        assert_eq!(error.to_string(), "file-system feature incompat 0x40000000");
        let error = features(0x3, 0x80, 0x2).check_writable().unwrap_err();
        let expected = "unknown file-system feature ro_compat 0x80, log_incompat 0x2";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_is_not_proven_is_named() {
        let error = features(0x103, 0, 0).check_writable().unwrap_err();
        assert_eq!(error.to_string(), "editing with metadir is not supported");
        let error = features(0x13, 0, 0).check_writable().unwrap_err();
        assert!(error.to_string().contains("needsrepair"), "{error}");
        let old = Features { version: 0xb4a4, ..features(0, 0, 0) };
        assert!(old.check_writable().unwrap_err().to_string().contains("XFS version 4"));
    }
}
