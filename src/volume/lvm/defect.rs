//! What can be wrong with the structures of LVM2.

use super::uuid::LvmUuid;

/// Why the structures of a physical volume, or of its group, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// The checksum of a structure is wrong.
    #[error("its checksum is {stored:#010x}, its bytes have {computed:#010x}")]
    Checksum {
        /// What the structure says.
        stored: u32,
        /// What its bytes have.
        computed: u32,
    },
    /// A label is not in the sector that it names.
    #[error("it says that it is sector {said}, and it is sector {actual}")]
    WrongSector {
        /// The sector in the label.
        said: u64,
        /// Where it was found.
        actual: u64,
    },
    /// An identifier has other characters than letters and digits.
    #[error("its identifier is no LVM identifier")]
    BadUuid,
    /// A list of areas has no end.
    #[error("the list of its areas does not end in the sector")]
    EndlessAreas,
    /// A metadata area does not lie on the disk, or is not where it says.
    #[error("the area of {size_bytes} bytes at {start_bytes:#x} is none")]
    BadArea {
        /// Where it starts, in bytes.
        start_bytes: u64,
        /// Its size in bytes.
        size_bytes: u64,
    },
    /// The magic of a metadata area is missing.
    #[error("it has no magic number")]
    NoMagic,
    /// A metadata area of another version.
    #[error("its version is {0}, not 1")]
    Version(u32),
    /// The text lies outside the metadata area.
    #[error("its text of {size_bytes} bytes at {offset_bytes:#x} is not inside")]
    TextOutside {
        /// Where the text starts in the area, in bytes.
        offset_bytes: u64,
        /// Its size in bytes.
        size_bytes: u64,
    },
    /// The text cannot be parsed.
    #[error("line {line}: {what}")]
    Syntax {
        /// Line of the text, from 1.
        line: u32,
        /// What was expected or is too much.
        what: &'static str,
    },
    /// A value that is needed is missing or of another type.
    #[error("{section}: \"{key}\" is missing or is no {wanted}")]
    Value {
        /// The section, escaped.
        section: String,
        /// The key.
        key: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
    /// The text is not one volume group.
    #[error("it describes {0} volume groups")]
    GroupCount(usize),
    /// Two things have the same name or identifier.
    #[error("{what} occurs twice")]
    Twice {
        /// The name, escaped, or the identifier.
        what: String,
    },
    /// Two copies of the metadata contradict each other.
    #[error("two copies of sequence number {seqno} of the volume group {uuid} differ")]
    Contradiction {
        /// The group.
        uuid: LvmUuid,
        /// The sequence number that both have.
        seqno: u64,
    },
}
