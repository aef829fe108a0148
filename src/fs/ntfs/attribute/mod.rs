//! One attribute inside one MFT record.
//!
//! Sources: linux-ntfs documentation, "Attribute Header" and "Attributes"; libyal libfsntfs, "MFT attribute". A
//! stream or index whose parts lie in several records is put together elsewhere, through $ATTRIBUTE_LIST.

pub(crate) mod edit;

use super::record::RecordDefect;
use super::units::Vcn;
use crate::bytes::arith;
use crate::bytes::field;
use std::fmt;

/// Length of the header of a resident attribute, in bytes.
pub(crate) const RESIDENT_HEADER_BYTES: usize = 0x18;
/// Length of the header of a non-resident attribute, in bytes.
pub(crate) const NON_RESIDENT_HEADER_BYTES: usize = 0x40;
/// The same with the size of the compressed clusters.
const COMPRESSED_HEADER_BYTES: usize = 0x48;
/// Largest compression unit, as an exponent of two.
const COMPRESSION_UNIT_LOG2_MAX: u8 = 16;

/// Name of the index of a directory: `$I30`.
pub(crate) const INDEX_NAME: [u16; 4] = [0x24, 0x49, 0x33, 0x30];

/// The type of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AttributeKind(pub(crate) u32);

macro_rules! kinds {
    ($($name:ident $number:literal $text:literal;)*) => {
        impl AttributeKind {
            $(#[doc = $text] pub(crate) const $name: Self = Self($number);)*
        }

        impl fmt::Display for AttributeKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $($number => f.write_str($text),)*
                    0xd0 => f.write_str("$EA_INFORMATION"),
                    0xe0 => f.write_str("$EA"),
                    number => write!(f, "attribute type {number:#x}"),
                }
            }
        }
    };
}

kinds! {
    STANDARD_INFORMATION 0x10 "$STANDARD_INFORMATION";
    ATTRIBUTE_LIST 0x20 "$ATTRIBUTE_LIST";
    FILE_NAME 0x30 "$FILE_NAME";
    OBJECT_ID 0x40 "$OBJECT_ID";
    SECURITY_DESCRIPTOR 0x50 "$SECURITY_DESCRIPTOR";
    VOLUME_NAME 0x60 "$VOLUME_NAME";
    VOLUME_INFORMATION 0x70 "$VOLUME_INFORMATION";
    DATA 0x80 "$DATA";
    INDEX_ROOT 0x90 "$INDEX_ROOT";
    INDEX_ALLOCATION 0xa0 "$INDEX_ALLOCATION";
    BITMAP 0xb0 "$BITMAP";
    REPARSE_POINT 0xc0 "$REPARSE_POINT";
    LOGGED_UTILITY_STREAM 0x100 "$LOGGED_UTILITY_STREAM";
}

/// Flags of an attribute.
pub(crate) mod flag {
    /// Bits that name the method of compression; 1 is LZNT1.
    pub(crate) const COMPRESSION_MASK: u16 = 0x00ff;
    /// Cipher text of EFS.
    pub(crate) const ENCRYPTED: u16 = 0x4000;
    /// Has or may have holes.
    pub(crate) const SPARSE: u16 = 0x8000;
}

/// An attribute of a record.
///
/// Common header, 16 bytes, little-endian:
///
/// | offset | size | field                   | here      | valid when                                  |
/// |-------:|-----:|-------------------------|-----------|---------------------------------------------|
/// |    0x0 |    4 | type                    | kind      | ascending inside a record                   |
/// |    0x4 |    4 | length                  | len_bytes | multiple of 8, inside the bytes in use      |
/// |    0x8 |    1 | non-resident flag       | body      | 0 or 1                                      |
/// |    0x9 |    1 | length of the name      | name      | in 16-bit units                             |
/// |    0xa |    2 | offset of the name      | name      | name inside the attribute                   |
/// |    0xc |    2 | flags                   | flags     | see [`flag`]                                |
/// |    0xe |    2 | id                      | id        | unique in the record                        |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    /// Place in the record, in bytes.
    pub(crate) offset: usize,
    /// Length in the record, in bytes.
    pub(crate) len_bytes: usize,
    /// Type.
    pub(crate) kind: AttributeKind,
    /// Flags.
    pub(crate) flags: u16,
    /// Number that no other attribute of the record has.
    pub(crate) id: u16,
    /// UTF-16 name; empty for the main one.
    pub(crate) name: Vec<u16>,
    /// The rest.
    pub(crate) body: Body<'a>,
}

/// Where the value of an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    /// In the record.
    Resident(Resident<'a>),
    /// In clusters of its own.
    NonResident(NonResident<'a>),
}

/// A value inside the record. Follows the common header, little-endian:
///
/// | offset | size | field             | here         | valid when                       |
/// |-------:|-----:|-------------------|--------------|----------------------------------|
/// |   0x10 |    4 | length of value   | value        | inside the attribute             |
/// |   0x14 |    2 | offset of value   | value_offset | behind the header                |
/// |   0x16 |    1 | indexed flag      | is_indexed   | 1 for $FILE_NAME                 |
/// |   0x17 |    1 | padding           |              |                                  |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resident<'a> {
    /// The value.
    pub(crate) value: &'a [u8],
    /// Where it starts, in bytes from the start of the attribute.
    pub(crate) value_offset: usize,
    /// True if an index holds a copy of the value.
    pub(crate) is_indexed: bool,
}

/// A value in clusters. Follows the common header, little-endian:
///
/// | offset | size | field                | here                  | valid when                           |
/// |-------:|-----:|----------------------|-----------------------|--------------------------------------|
/// |   0x10 |    8 | first VCN            | first                 | 0 in the first part                  |
/// |   0x18 |    8 | last VCN             | last                  | at least first - 1                   |
/// |   0x20 |    2 | offset of the runs   | runs                  | behind the header                    |
/// |   0x22 |    2 | compression unit     | compression_unit_log2 | 0, or 4 for LZNT1; clusters as 2^n   |
/// |   0x24 |    4 | padding              |                       |                                      |
/// |   0x28 |    8 | allocated size       | sizes.allocated       | bytes; whole clusters; first part only|
/// |   0x30 |    8 | size of the value    | sizes.value           | at most allocated; first part only   |
/// |   0x38 |    8 | initialised size     | sizes.initialised     | at most the size; first part only    |
/// |   0x40 |    8 | compressed size      | sizes.compressed      | only with a compression unit or sparse|
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NonResident<'a> {
    /// First cluster of this part.
    pub(crate) first: Vcn,
    /// Last cluster of this part; first - 1 (wrapping) if there is none.
    pub(crate) last: Vcn,
    /// Clusters that are compressed together, as an exponent of two; 0 without compression.
    pub(crate) compression_unit_log2: u8,
    /// Sizes; they only count in the first part.
    pub(crate) sizes: Sizes,
    /// Where the runs start, in bytes from the start of the attribute.
    pub(crate) runs_offset: usize,
    /// The encoded run list, up to the end of the attribute.
    pub(crate) runs: &'a [u8],
}

/// The sizes of a non-resident attribute in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sizes {
    /// Whole clusters, holes included.
    pub(crate) allocated: u64,
    /// The value.
    pub(crate) value: u64,
    /// What was ever written; the value is zero behind it.
    pub(crate) initialised: u64,
    /// Clusters without holes, where the attribute is compressed or sparse.
    pub(crate) compressed: Option<u64>,
}

impl Attribute<'_> {
    /// True if this is the attribute, or a part of it, of `kind` with `name`.
    pub(crate) fn is(&self, kind: AttributeKind, name: &[u16]) -> bool {
        self.kind == kind && self.name == name
    }
}

impl<'a> Attribute<'a> {
    /// The value, if it is in the record.
    pub(crate) fn resident(&self) -> Option<Resident<'a>> {
        match self.body {
            Body::Resident(resident) => Some(resident),
            Body::NonResident(_) => None,
        }
    }

    /// The value's place, if it is in clusters.
    pub(crate) fn non_resident(&self) -> Option<NonResident<'a>> {
        match self.body {
            Body::Resident(_) => None,
            Body::NonResident(non_resident) => Some(non_resident),
        }
    }
}

/// Parses the attribute at `offset` of a record of which `bytes` are in use.
pub(super) fn parse(bytes: &[u8], offset: usize) -> Result<Attribute<'_>, RecordDefect> {
    let kind = AttributeKind(field::le_u32(bytes, offset)?);
    let defect = |problem| RecordDefect::Attribute { offset, kind, problem };
    let declared: usize = arith::to(field::le_u32(bytes, offset.saturating_add(4))?)?;
    let is_non_resident = match field::u8_at(bytes, offset.saturating_add(8))? {
        0 => false,
        1 => true,
        _ => return Err(defect("neither resident nor non-resident")),
    };
    let least = if is_non_resident { NON_RESIDENT_HEADER_BYTES } else { RESIDENT_HEADER_BYTES };
    if declared < least {
        return Err(defect("length is shorter than its header"));
    }
    if !declared.is_multiple_of(8) {
        return Err(defect("length is no multiple of 8"));
    }
    let own = field::slice(bytes, offset, declared)
        .map_err(|_| defect("length leads behind the bytes in use"))?;
    // An end marker must follow.
    if offset.saturating_add(declared).saturating_add(4) > bytes.len() {
        return Err(defect("length leads behind the bytes in use"));
    }
    let name_bytes = usize::from(field::u8_at(own, 9)?).saturating_mul(2);
    let name_offset = usize::from(field::le_u16(own, 0xa)?);
    let mut name = Vec::new();
    if name_bytes > 0 {
        let stored =
            field::slice(own, name_offset, name_bytes).map_err(|_| defect("name lies outside"))?;
        if name_offset < least {
            return Err(defect("name lies outside"));
        }
        name.extend(stored.as_chunks::<2>().0.iter().map(|&unit| u16::from_le_bytes(unit)));
    }
    let flags = field::le_u16(own, 0xc)?;
    let body = if is_non_resident {
        Body::NonResident(parse_non_resident(own, flags).map_err(&defect)?)
    } else {
        Body::Resident(parse_resident(own).map_err(defect)?)
    };
    let id = field::le_u16(own, 0xe)?;
    Ok(Attribute { offset, len_bytes: declared, kind, flags, id, name, body })
}

fn parse_resident(own: &[u8]) -> Result<Resident<'_>, &'static str> {
    const OUTSIDE: &str = "value lies outside";
    let len = field::le_u32(own, 0x10).map_err(|_| OUTSIDE)?;
    let value_offset = usize::from(field::le_u16(own, 0x14).map_err(|_| OUTSIDE)?);
    if value_offset < RESIDENT_HEADER_BYTES {
        return Err(OUTSIDE);
    }
    let len = usize::try_from(len).map_err(|_| OUTSIDE)?;
    let value = field::slice(own, value_offset, len).map_err(|_| OUTSIDE)?;
    let is_indexed = field::u8_at(own, 0x16).map_err(|_| OUTSIDE)? & 1 != 0;
    Ok(Resident { value, value_offset, is_indexed })
}

fn parse_non_resident(own: &[u8], flags: u16) -> Result<NonResident<'_>, &'static str> {
    const SHORT: &str = "header is cut off";
    let u64_at = |offset| field::le_u64(own, offset).map_err(|_| SHORT);
    let compression_unit_log2 = field::u8_at(own, 0x22).map_err(|_| SHORT)?;
    if compression_unit_log2 > COMPRESSION_UNIT_LOG2_MAX {
        return Err("compression unit is too large");
    }
    let (first, last) = (Vcn(u64_at(0x10)?), Vcn(u64_at(0x18)?));
    // An attribute without clusters has first 0 and last -1.
    if last.0.wrapping_add(1) < first.0 || i64::try_from(first.0).is_err() {
        return Err("last VCN lies in front of the first");
    }
    let runs_offset = usize::from(field::le_u16(own, 0x20).map_err(|_| SHORT)?);
    // Only the first part has the compressed size.
    let has_compressed = first.0 == 0
        && (compression_unit_log2 != 0 || flags & (flag::COMPRESSION_MASK | flag::SPARSE) != 0);
    let header_len =
        if has_compressed { COMPRESSED_HEADER_BYTES } else { NON_RESIDENT_HEADER_BYTES };
    if runs_offset < header_len {
        return Err("runs overlap the header");
    }
    let runs = own.get(runs_offset..).ok_or("runs lie outside")?;
    let mut sizes = Sizes::default();
    if first.0 == 0 {
        sizes.allocated = u64_at(0x28)?;
        sizes.value = u64_at(0x30)?;
        sizes.initialised = u64_at(0x38)?;
        sizes.compressed = if has_compressed { Some(u64_at(0x40)?) } else { None };
        let is_valid = sizes.initialised <= sizes.value
            && sizes.value <= sizes.allocated
            && i64::try_from(sizes.allocated).is_ok();
        if !is_valid {
            return Err("sizes contradict each other");
        }
    }
    Ok(NonResident { first, last, compression_unit_log2, sizes, runs_offset, runs })
}
