//! The field types of the task values (WIN-70), read in order.

use super::{TaskDefect, VALUE_BYTES_MAX};
use crate::bytes::field::{self, Short};

/// Reads the fields of one value from its start to its end.
///
/// All numbers are little-endian. `aligned` types are padded to a multiple of 8; what the pads hold
/// is not looked at, as Windows leaves garbage there.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    name: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of the value `name`.
    pub(super) fn new(name: &'static str, bytes: &'a [u8]) -> Result<Self, TaskDefect> {
        let actual_bytes = bytes.len();
        if actual_bytes > VALUE_BYTES_MAX {
            return Err(TaskDefect::TooLarge { name, actual_bytes });
        }
        Ok(Self { name, bytes, at: 0 })
    }

    /// Offset of the next field.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// True if every byte was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn short(&self, short: Short) -> TaskDefect {
        TaskDefect::Short { name: self.name, short }
    }

    /// The defect of the field that starts at `offset_bytes`.
    pub(super) fn bad(&self, offset_bytes: usize, field: &'static str) -> TaskDefect {
        TaskDefect::Field { name: self.name, offset_bytes, field }
    }

    /// The next `count` bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], TaskDefect> {
        let bytes = field::slice(self.bytes, self.at, count).map_err(|short| self.short(short))?;
        self.at = self.at.saturating_add(count);
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TaskDefect> {
        let array = field::array(self.bytes, self.at).map_err(|short| self.short(short))?;
        self.at = self.at.saturating_add(N);
        Ok(array)
    }

    /// u2.
    pub(super) fn u16(&mut self) -> Result<u16, TaskDefect> {
        self.array().map(u16::from_le_bytes)
    }

    /// u4.
    pub(super) fn u32(&mut self) -> Result<u32, TaskDefect> {
        self.array().map(u32::from_le_bytes)
    }

    /// au1: one byte and 7 of padding.
    pub(super) fn aligned_u8(&mut self) -> Result<u8, TaskDefect> {
        self.array::<8>().map(|[value, ..]| value)
    }

    /// au1 that says yes or no.
    pub(super) fn aligned_bool(&mut self, field: &'static str) -> Result<bool, TaskDefect> {
        let start = self.at;
        match self.aligned_u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.bad(start, field)),
        }
    }

    /// au4: four bytes and 4 of padding.
    pub(super) fn aligned_u32(&mut self) -> Result<u32, TaskDefect> {
        let value = self.u32()?;
        self.bytes(4)?;
        Ok(value)
    }

    /// au4 whose padding must be 48 48 48 48.
    pub(super) fn strictly_aligned_u32(&mut self) -> Result<u32, TaskDefect> {
        let value = self.u32()?;
        let offset_bytes = self.at;
        match self.array()? {
            [0x48, 0x48, 0x48, 0x48] => Ok(value),
            _ => Err(TaskDefect::Pad { offset_bytes }),
        }
    }

    /// Padding up to the next multiple of 8.
    pub(super) fn align(&mut self) -> Result<(), TaskDefect> {
        let next = self.at.checked_next_multiple_of(8).unwrap_or(usize::MAX);
        self.bytes(next.saturating_sub(self.at)).map(drop)
    }

    /// abuf: au4 size, bytes, padding.
    pub(super) fn aligned_buffer(&mut self) -> Result<&'a [u8], TaskDefect> {
        let size_bytes = self.aligned_u32()?;
        let bytes = self.counted(size_bytes)?;
        self.align()?;
        Ok(bytes)
    }

    /// abstr: au4 size in bytes, UTF-16LE text, padding.
    pub(super) fn aligned_text(&mut self, field: &'static str) -> Result<String, TaskDefect> {
        let start = self.at;
        let bytes = self.aligned_buffer()?;
        text(bytes).ok_or_else(|| self.bad(start, field))
    }

    /// bstr: u4 size in bytes, UTF-16LE text.
    pub(super) fn text(&mut self, field: &'static str) -> Result<String, TaskDefect> {
        let start = self.at;
        let size_bytes = self.u32()?;
        text(self.counted(size_bytes)?).ok_or_else(|| self.bad(start, field))
    }

    fn counted(&mut self, size_bytes: u32) -> Result<&'a [u8], TaskDefect> {
        self.bytes(usize::try_from(size_bytes).unwrap_or(usize::MAX))
    }
}

/// UTF-16LE. A lone surrogate is possible in a name and stands for nothing that is compared here.
fn text(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    rest.is_empty().then(|| String::from_utf16_lossy(&units))
}
