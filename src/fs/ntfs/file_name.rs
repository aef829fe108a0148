//! `$FILE_NAME`: one name of a file, in its record and, as the key, in the index of its directory.
//!
//! Format: libyal libfsntfs, "New Technologies File System (NTFS)", section "The file name attribute". The copy in
//! the index is what Windows keeps up to date; sizes and times in the record may be old.

use super::name::{NAME_UNITS_MAX, units_from_le, units_to_le};
use super::units::FileReference;
use crate::bytes::arith::to;
use crate::bytes::field::{self, le_u32, le_u64, put, put_le_u32, put_le_u64, u8_at};
use crate::error::{Corrupt, Error, Result};

/// Bytes in front of the name.
pub(crate) const FILE_NAME_HEADER_BYTES: usize = 0x42;
/// Longest `$FILE_NAME` in bytes.
pub(crate) const FILE_NAME_BYTES_MAX: usize = FILE_NAME_HEADER_BYTES + 2 * NAME_UNITS_MAX;

/// What kind of name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NameSpace {
    /// 0: any name; case counts when Windows is asked to.
    Posix,
    /// 1: the long name; a [`NameSpace::Dos`] name goes with it.
    Win32,
    /// 2: the short name (8.3) of a file that has a [`NameSpace::Win32`] name in the same directory.
    Dos,
    /// 3: a long name that is a short name as well.
    Win32AndDos,
}

impl NameSpace {
    /// Reads the stored number.
    pub(crate) fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            0 => Some(Self::Posix),
            1 => Some(Self::Win32),
            2 => Some(Self::Dos),
            3 => Some(Self::Win32AndDos),
            _ => None,
        }
    }

    /// The stored number.
    pub(crate) fn to_raw(self) -> u8 {
        match self {
            Self::Posix => 0,
            Self::Win32 => 1,
            Self::Dos => 2,
            Self::Win32AndDos => 3,
        }
    }
}

/// What can be wrong with a `$FILE_NAME`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileNameDefect {
    #[error("{available} bytes do not hold a name of {units} UTF-16 units")]
    Short { units: u8, available: usize },
    #[error("the name is empty")]
    Empty,
    #[error("name space {0} is not known")]
    NameSpace(u8),
    #[error(transparent)]
    Field(#[from] field::Short),
}

/// One name, little-endian.
///
/// | offset | size | field | here | valid when |
/// |-------:|-----:|-------|------|------------|
/// | 0x00 | 8 | parent directory | parent | a directory |
/// | 0x08 | 8 | creation time | created | FILETIME |
/// | 0x10 | 8 | modification time | modified | FILETIME |
/// | 0x18 | 8 | record change time | changed | FILETIME |
/// | 0x20 | 8 | access time | accessed | FILETIME |
/// | 0x28 | 8 | allocated size | allocated_bytes | often old in the record |
/// | 0x30 | 8 | data size | size_bytes | often old in the record |
/// | 0x38 | 4 | file attribute flags | flags | |
/// | 0x3c | 4 | packed EA size, or reparse tag | extended | |
/// | 0x40 | 1 | name length in units | name | 1 to 255 |
/// | 0x41 | 1 | name space | name_space | 0 to 3 (WIN-108) |
/// | 0x42 | 2 each | name | name | UTF-16 |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(crate) parent: FileReference,
    pub(crate) created: u64,
    pub(crate) modified: u64,
    pub(crate) changed: u64,
    pub(crate) accessed: u64,
    pub(crate) allocated_bytes: u64,
    pub(crate) size_bytes: u64,
    pub(crate) flags: u32,
    pub(crate) extended: u32,
    pub(crate) name_space: NameSpace,
    pub(crate) name: Vec<u16>,
}

impl FileName {
    /// Parses the value of the attribute, or the key of an index entry. Bytes behind the name are ignored.
    ///
    /// # Errors
    /// [`FileNameDefect`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FileNameDefect> {
        let units = u8_at(bytes, 0x40)?;
        if units == 0 {
            return Err(FileNameDefect::Empty);
        }
        let name_bytes = usize::from(units).saturating_mul(2);
        let Ok(name) = field::slice(bytes, FILE_NAME_HEADER_BYTES, name_bytes) else {
            return Err(FileNameDefect::Short { units, available: bytes.len() });
        };
        let raw_space = u8_at(bytes, 0x41)?;
        let name_space =
            NameSpace::from_raw(raw_space).ok_or(FileNameDefect::NameSpace(raw_space))?;
        Ok(Self {
            parent: FileReference::from_raw(le_u64(bytes, 0)?),
            created: le_u64(bytes, 0x08)?,
            modified: le_u64(bytes, 0x10)?,
            changed: le_u64(bytes, 0x18)?,
            accessed: le_u64(bytes, 0x20)?,
            allocated_bytes: le_u64(bytes, 0x28)?,
            size_bytes: le_u64(bytes, 0x30)?,
            flags: le_u32(bytes, 0x38)?,
            extended: le_u32(bytes, 0x3c)?,
            name_space,
            name: units_from_le(name),
        })
    }

    /// The stored form.
    ///
    /// # Errors
    /// `Corrupt` if the name is longer than 255 units.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; FILE_NAME_HEADER_BYTES];
        put_le_u64(&mut bytes, 0, self.parent.to_raw()?)?;
        put_le_u64(&mut bytes, 0x08, self.created)?;
        put_le_u64(&mut bytes, 0x10, self.modified)?;
        put_le_u64(&mut bytes, 0x18, self.changed)?;
        put_le_u64(&mut bytes, 0x20, self.accessed)?;
        put_le_u64(&mut bytes, 0x28, self.allocated_bytes)?;
        put_le_u64(&mut bytes, 0x30, self.size_bytes)?;
        put_le_u32(&mut bytes, 0x38, self.flags)?;
        put_le_u32(&mut bytes, 0x3c, self.extended)?;
        put(&mut bytes, 0x40, &[to::<usize, u8>(self.name.len())?, self.name_space.to_raw()])?;
        bytes.extend(units_to_le(&self.name));
        Ok(bytes)
    }
}

impl From<FileNameDefect> for Error {
    fn from(defect: FileNameDefect) -> Self {
        Corrupt::new("$FILE_NAME", defect).into()
    }
}

#[cfg(test)]
impl FileName {
    /// A POSIX name in the root directory; every field has another value.
    pub(super) fn for_tests(name: &[u16]) -> Self {
        let parent = FileReference { record: super::units::MftRecordNumber::ROOT, sequence: 5 };
        Self {
            parent,
            created: 1,
            modified: 2,
            changed: 3,
            accessed: 4,
            allocated_bytes: 4096,
            size_bytes: 5,
            flags: 0x20,
            extended: 0,
            name_space: NameSpace::Posix,
            name: name.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> FileName {
        let name: Vec<u16> = "run-once".encode_utf16().collect();
        FileName {
            extended: 0xa000_000c,
            name_space: NameSpace::Win32,
            ..FileName::for_tests(&name)
        }
    }

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let bytes = sample().encode().unwrap();
        assert_eq!(bytes.len(), FILE_NAME_HEADER_BYTES + 16);
        assert_eq!(&bytes[..8], &[5, 0, 0, 0, 0, 0, 5, 0]);
        assert_eq!(&bytes[0x40..0x44], &[8, 1, b'r', 0]);
        assert_eq!(FileName::parse(&bytes).unwrap(), sample());
        let padded = [bytes.as_slice(), &[0; 6]].concat();
        assert_eq!(FileName::parse(&padded).unwrap(), sample());
    }

    /// WIN-108.
    #[test]
    fn name_spaces_are_four() {
        for raw in 0..=3 {
            assert_eq!(NameSpace::from_raw(raw).unwrap().to_raw(), raw);
        }
        assert_eq!(NameSpace::from_raw(4), None);
    }

    #[test]
    fn every_defect_is_named() {
        let bytes = sample().encode().unwrap();
        assert_eq!(
            FileName::parse(&bytes[..bytes.len() - 1]),
            Err(FileNameDefect::Short { units: 8, available: bytes.len() - 1 })
        );
        assert!(matches!(FileName::parse(&bytes[..0x40]), Err(FileNameDefect::Field(_))));
        for (at, value, expected) in [
            (0x40, 0, FileNameDefect::Empty),
            (0x41, 4, FileNameDefect::NameSpace(4)),
            (0x40, 255, FileNameDefect::Short { units: 255, available: bytes.len() }),
        ] {
            let mut broken = bytes.clone();
            broken[at] = value;
            assert_eq!(FileName::parse(&broken), Err(expected));
        }
        let long = FileName { name: vec![0x61; 256], ..sample() };
        assert!(long.encode().is_err());
    }
}
