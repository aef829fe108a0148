//! The two forks of an inode: how each holds its content, where it lies, and how many extents it has.

use super::{CORE_BYTES, CORE_BYTES_OLD, Inode, InodeDefect, flag2};
use crate::bytes::arith::to;
use crate::bytes::field::{self, put_be_u16, put_be_u32, put_be_u64};
use crate::error::Result;

const FORMAT_AT: usize = 5;
const BIG_EXTENTS_AT: usize = 24;
const EXTENTS_AT: usize = 76;
const ATTRIBUTE_EXTENTS_AT: usize = 80;
const FORK_OFFSET_AT: usize = 82;
const ATTRIBUTE_FORMAT_AT: usize = 83;

/// Unit of `di_forkoff`, in bytes.
const FORK_OFFSET_UNIT: usize = 8;

/// How a fork holds its content (`di_format`, `di_aformat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForkFormat {
    /// A device number.
    Device,
    /// The content itself.
    Local,
    /// A list of extents.
    Extents,
    /// The root of a tree of extents.
    Btree,
}

impl ForkFormat {
    fn parse(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Device,
            1 => Self::Local,
            2 => Self::Extents,
            3 => Self::Btree,
            _ => return None,
        })
    }

    fn code(self) -> u8 {
        match self {
            Self::Device => 0,
            Self::Local => 1,
            Self::Extents => 2,
            Self::Btree => 3,
        }
    }
}

/// One of the two forks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ForkKind {
    /// Content.
    Data,
    /// Extended attributes.
    Attribute,
}

impl Inode {
    /// Number of extents of a fork.
    pub(crate) fn extent_count(&self, fork: ForkKind) -> u64 {
        match (fork, self.has_flag2(flag2::NREXT64)) {
            (ForkKind::Data, true) => self.u64(BIG_EXTENTS_AT),
            (ForkKind::Data, false) | (ForkKind::Attribute, true) => {
                u64::from(self.u32(EXTENTS_AT))
            }
            (ForkKind::Attribute, false) => u64::from(self.u16(ATTRIBUTE_EXTENTS_AT)),
        }
    }

    /// Stores the number of extents of a fork.
    ///
    /// # Errors
    /// `Corrupt` if the inode has no room for so large a number.
    pub(crate) fn set_extent_count(&mut self, fork: ForkKind, count: u64) -> Result<()> {
        let is_big = self.has_flag2(flag2::NREXT64);
        let bytes = &mut self.bytes;
        match (fork, is_big) {
            (ForkKind::Data, true) => put_be_u64(bytes, BIG_EXTENTS_AT, count)?,
            (ForkKind::Data, false) => {
                let count: i32 = to(count)?;
                put_be_u32(bytes, EXTENTS_AT, count.cast_unsigned())?;
            }
            (ForkKind::Attribute, true) => put_be_u32(bytes, EXTENTS_AT, to(count)?)?,
            (ForkKind::Attribute, false) => {
                let count: i16 = to(count)?;
                put_be_u16(bytes, ATTRIBUTE_EXTENTS_AT, count.cast_unsigned())?;
            }
        }
        Ok(())
    }

    /// Format of a fork. An inode without an attribute fork says `Extents` for it.
    ///
    /// # Errors
    /// `Corrupt` if it is unknown.
    pub(crate) fn format(&self, fork: ForkKind) -> Result<ForkFormat> {
        let code = match fork {
            ForkKind::Data => self.byte(FORMAT_AT),
            ForkKind::Attribute => self.byte(ATTRIBUTE_FORMAT_AT),
        };
        ForkFormat::parse(code).ok_or_else(|| self.corrupt(InodeDefect::Format(code)))
    }

    pub(crate) fn set_format(&mut self, fork: ForkKind, format: ForkFormat) -> Result<()> {
        let at = match fork {
            ForkKind::Data => FORMAT_AT,
            ForkKind::Attribute => ATTRIBUTE_FORMAT_AT,
        };
        Ok(field::put(&mut self.bytes, at, &[format.code()])?)
    }

    /// Where the attribute fork starts inside the literal area, in bytes; 0 if there is none.
    pub(crate) fn fork_offset_bytes(&self) -> usize {
        usize::from(self.byte(FORK_OFFSET_AT)).saturating_mul(FORK_OFFSET_UNIT)
    }

    /// Moves the start of the attribute fork. The content of both forks is the caller's.
    ///
    /// # Errors
    /// `Corrupt` if `bytes` is no multiple of 8 inside the literal area.
    pub(crate) fn set_fork_offset_bytes(&mut self, bytes: usize) -> Result<()> {
        let literal = self.literal_len();
        let fits = bytes < literal && bytes.is_multiple_of(FORK_OFFSET_UNIT);
        self.require(fits, InodeDefect::ForkOffset { offset: bytes, literal })?;
        let units: u8 = to(bytes >> 3)?;
        Ok(field::put(&mut self.bytes, FORK_OFFSET_AT, &[units])?)
    }

    /// True if there is an attribute fork, which may be empty.
    pub(crate) fn has_attribute_fork(&self) -> bool {
        self.byte(FORK_OFFSET_AT) != 0
    }

    fn core_len(&self) -> usize {
        if self.is_version_3() { CORE_BYTES } else { CORE_BYTES_OLD }
    }

    /// Length of the literal area, which both forks share, in bytes.
    pub(crate) fn literal_len(&self) -> usize {
        self.bytes.len().saturating_sub(self.core_len())
    }

    /// Start and length of a fork inside the inode.
    fn fork_place(&self, fork: ForkKind) -> (usize, usize) {
        let (core, literal, offset) =
            (self.core_len(), self.literal_len(), self.fork_offset_bytes());
        match fork {
            ForkKind::Data if offset == 0 => (core, literal),
            ForkKind::Data => (core, offset),
            ForkKind::Attribute if offset == 0 => (self.bytes.len(), 0),
            ForkKind::Attribute => (core.saturating_add(offset), literal.saturating_sub(offset)),
        }
    }

    /// All bytes of a fork, used or not; empty for an attribute fork that is not there.
    pub(crate) fn fork(&self, fork: ForkKind) -> &[u8] {
        let (at, len) = self.fork_place(fork);
        field::slice(&self.bytes, at, len).unwrap_or_default()
    }

    /// Puts `content` at the start of a fork and zeros behind it.
    ///
    /// # Errors
    /// `Corrupt` if it does not fit.
    pub(crate) fn put_fork(&mut self, fork: ForkKind, content: &[u8]) -> Result<()> {
        let (at, len) = self.fork_place(fork);
        let place = field::slice_mut(&mut self.bytes, at, len)?;
        place.fill(0);
        Ok(field::put(place, 0, content)?)
    }
}
