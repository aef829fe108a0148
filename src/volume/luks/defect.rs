//! What can be wrong with a header.

/// Why a header cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// The size of a copy is none that the format allows.
    #[error("its size of {0} bytes is none that the format has")]
    Size(u64),
    /// A copy is not where it says.
    #[error("it says that it is at byte {said}")]
    Elsewhere {
        /// The offset in the header.
        said: u64,
    },
    /// A checksum of a kind that is not known.
    #[error("its checksum is of the unknown kind {0}")]
    ChecksumKind(
        /// The kind, escaped.
        String,
    ),
    /// The checksum is wrong.
    #[error("its checksum is wrong")]
    Checksum,
    /// The JSON cannot be parsed.
    #[error("its JSON is damaged: {0}")]
    Json(
        /// What the parser says, escaped.
        String,
    ),
    /// A number in the header makes no sense.
    #[error("{what} is {value}")]
    Number {
        /// Which one.
        what: &'static str,
        /// What it is.
        value: u64,
    },
    /// A value of the JSON makes no sense.
    #[error("{what} is no {wanted}")]
    Value {
        /// Where, as in "keyslot 0".
        what: String,
        /// What it has to be.
        wanted: &'static str,
    },
}
