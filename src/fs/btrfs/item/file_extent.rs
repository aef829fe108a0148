//! EXTENT_DATA: where a range of a file lies.

use super::ItemDefect;
use crate::bytes::arith::{add, len_u64};
use crate::bytes::field::{le_u16, le_u64, u8_at};

/// Offset of inline content, and of the address of an extent.
const HEADER_BYTES: usize = 21;

/// A range of a file, whose start is the offset of the key.
///
/// `btrfs_file_extent_item`, 53 bytes, or 21 and inline content:
///
/// | offset | size | spec           | here        | valid when                                        |
/// |-------:|-----:|----------------|-------------|---------------------------------------------------|
/// |      0 |    8 | generation     | generation  | transaction                                       |
/// |      8 |    8 | ram_bytes      | ram_bytes   | size of the whole extent when decompressed        |
/// |     16 |    1 | compression    | compression | [`Compression`]                                   |
/// |     17 |    1 | encryption     | encryption  | 0                                                 |
/// |     18 |    2 | other_encoding | other_encoding | 0                                              |
/// |     20 |    1 | type           | placement   | 0 inline, 1 regular, 2 preallocated               |
/// |     21 |    8 | disk_bytenr    | logical     | 0 is a hole, else a multiple of the sector size   |
/// |     29 |    8 | disk_num_bytes | disk_bytes  | size of the extent on the disk                    |
/// |     37 |    8 | offset         | offset_bytes | where the range starts in the decompressed extent |
/// |     45 |    8 | num_bytes      | len_bytes   | length of the range                               |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileExtent {
    pub(crate) generation: u64,
    pub(crate) ram_bytes: u64,
    pub(crate) compression: Compression,
    pub(crate) encryption: u8,
    pub(crate) other_encoding: u16,
    pub(crate) placement: Placement,
}

/// Where the content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Placement {
    /// In the item itself; `ram_bytes` when decompressed.
    Inline(Vec<u8>),
    /// Nowhere: zeros.
    Hole {
        /// Length of the range.
        len_bytes: u64,
    },
    /// In an extent.
    Regular(Stored),
    /// In an extent that was allocated but never written: zeros.
    Preallocated(Stored),
}

/// An extent, and the part of it that the range shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Logical address of the extent.
    pub(crate) logical: u64,
    /// Its size on the disk.
    pub(crate) disk_bytes: u64,
    /// Where the range starts in it, decompressed.
    pub(crate) offset_bytes: u64,
    /// Length of the range.
    pub(crate) len_bytes: u64,
}

/// How an extent is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// zlib.
    Zlib,
    /// LZO, in segments of a sector.
    Lzo,
    /// Zstandard.
    Zstd,
    /// Another number.
    Unknown(u8),
}

impl Compression {
    fn parse(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Zlib,
            2 => Self::Lzo,
            3 => Self::Zstd,
            other => Self::Unknown(other),
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Zlib => 1,
            Self::Lzo => 2,
            Self::Zstd => 3,
            Self::Unknown(other) => other,
        }
    }
}

impl FileExtent {
    /// Parses an item.
    ///
    /// # Errors
    /// `Short`, `ExtentType`; `ExtentSizes` if a range is empty, or leaves its extent.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ItemDefect> {
        let mut extent = Self {
            generation: le_u64(bytes, 0)?,
            ram_bytes: le_u64(bytes, 8)?,
            compression: Compression::parse(u8_at(bytes, 16)?),
            encryption: u8_at(bytes, 17)?,
            other_encoding: le_u16(bytes, 18)?,
            placement: Placement::Inline(Vec::new()),
        };
        let number = u8_at(bytes, 20)?;
        if number == 0 {
            extent.placement =
                Placement::Inline(bytes.get(HEADER_BYTES..).unwrap_or_default().to_vec());
            return Ok(extent);
        }
        let stored = Stored {
            logical: le_u64(bytes, 21)?,
            disk_bytes: le_u64(bytes, 29)?,
            offset_bytes: le_u64(bytes, 37)?,
            len_bytes: le_u64(bytes, 45)?,
        };
        extent.placement = match (number, stored.logical) {
            (1 | 2, 0) => Placement::Hole { len_bytes: stored.len_bytes },
            (1, _) => Placement::Regular(stored),
            (2, _) => Placement::Preallocated(stored),
            _ => return Err(ItemDefect::ExtentType(number)),
        };
        extent.check(stored)?;
        Ok(extent)
    }

    fn check(&self, stored: Stored) -> Result<(), ItemDefect> {
        let end =
            add(stored.offset_bytes, stored.len_bytes).map_err(|_| ItemDefect::ExtentSizes)?;
        let is_hole = stored.logical == 0;
        let is_plain = self.compression == Compression::None;
        let holds = if is_plain { stored.disk_bytes } else { self.ram_bytes };
        if stored.len_bytes == 0 || !is_hole && end > holds {
            return Err(ItemDefect::ExtentSizes);
        }
        Ok(())
    }

    /// Length of the range in bytes; of an inline extent that of its content.
    pub(crate) fn len_bytes(&self) -> u64 {
        match &self.placement {
            Placement::Inline(_) => self.ram_bytes,
            Placement::Hole { len_bytes } => *len_bytes,
            Placement::Regular(stored) | Placement::Preallocated(stored) => stored.len_bytes,
        }
    }

    /// An inline extent that is not compressed.
    pub(crate) fn inline(generation: u64, content: &[u8]) -> Self {
        Self {
            generation,
            ram_bytes: len_u64(content.len()),
            compression: Compression::None,
            encryption: 0,
            other_encoding: 0,
            placement: Placement::Inline(content.to_vec()),
        }
    }

    /// The item that [`FileExtent::parse`] reads back.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (number, stored) = match &self.placement {
            Placement::Inline(_) => (0, None),
            Placement::Hole { len_bytes } => {
                let (logical, disk_bytes, offset_bytes) = (0, 0, 0);
                (1, Some(Stored { logical, disk_bytes, offset_bytes, len_bytes: *len_bytes }))
            }
            Placement::Regular(stored) => (1, Some(*stored)),
            Placement::Preallocated(stored) => (2, Some(*stored)),
        };
        let mut bytes = self.generation.to_le_bytes().to_vec();
        bytes.extend(self.ram_bytes.to_le_bytes());
        bytes.extend([self.compression.number(), self.encryption]);
        bytes.extend(self.other_encoding.to_le_bytes());
        bytes.push(number);
        if let Placement::Inline(content) = &self.placement {
            bytes.extend(content);
        }
        if let Some(stored) = stored {
            for value in [stored.logical, stored.disk_bytes, stored.offset_bytes, stored.len_bytes]
            {
                bytes.extend(value.to_le_bytes());
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regular(stored: Stored, ram_bytes: u64, compression: Compression) -> FileExtent {
        let placement = Placement::Regular(stored);
        FileExtent { ram_bytes, compression, placement, ..FileExtent::inline(9, b"") }
    }

    const STORED: Stored =
        Stored { logical: 1 << 20, disk_bytes: 8192, offset_bytes: 4096, len_bytes: 4096 };

    #[test]
    fn encode_and_parse_agree() {
        let plain = regular(STORED, 8192, Compression::None);
        let hole = Placement::Hole { len_bytes: 4096 };
        let ahead = Placement::Preallocated(STORED);
        for extent in [
            FileExtent::inline(7, b"content"),
            FileExtent::inline(7, b""),
            plain.clone(),
            regular(Stored { disk_bytes: 4096, ..STORED }, 8192, Compression::Zstd),
            FileExtent { placement: hole, ..plain.clone() },
            FileExtent { placement: ahead, compression: Compression::Unknown(9), ..plain.clone() },
        ] {
            assert_eq!(FileExtent::parse(&extent.encode()), Ok(extent));
        }
        assert_eq!(plain.encode().len(), 53);
    }

    #[test]
    fn ranges_outside_their_extent_are_damage() {
        for (stored, ram_bytes, compression) in [
            (Stored { len_bytes: 4097, ..STORED }, 8192, Compression::None),
            (Stored { len_bytes: 0, ..STORED }, 8192, Compression::None),
            (Stored { offset_bytes: u64::MAX, ..STORED }, 8192, Compression::None),
            (STORED, 8191, Compression::Zlib),
        ] {
            let bytes = regular(stored, ram_bytes, compression).encode();
            assert_eq!(FileExtent::parse(&bytes), Err(ItemDefect::ExtentSizes), "{stored:?}");
        }
        let mut bytes = regular(STORED, 8192, Compression::None).encode();
        bytes[20] = 3;
        assert_eq!(FileExtent::parse(&bytes), Err(ItemDefect::ExtentType(3)));
        assert!(matches!(FileExtent::parse(&bytes[..52]), Err(ItemDefect::Short(_))));
    }
}
