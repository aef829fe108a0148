//! `$Secure`: security descriptors that files share by a number.
//!
//! Format: libyal libfsntfs, "New Technologies File System (NTFS)", section "Access control"; linux-ntfs
//! documentation, "$Secure". The stream `$SDS` holds every descriptor twice, in blocks of 256 KiB of which each
//! second one is the copy of the one before. The index `$SII` finds a descriptor by its number, `$SDH` by its hash.
//! Nothing here is ever written: a new file takes a number that exists, or carries its own descriptor (WIN-112,
//! WIN-103).

use super::attribute::AttributeKind;
use super::file::File;
use super::index::{Collation, Index};
use super::index_view::IndexView;
use super::standard_information::StandardInformation;
use super::units::MftRecordNumber;
use super::volume::Volume;
use crate::bytes::arith::{len_u64, to};
use crate::bytes::field::{Short, le_u32, le_u64};
use crate::error::{Corrupt, Error, Result};
use std::ops::ControlFlow;

/// Longest security descriptor in bytes: what fits a list of 64 KiB, and its header.
pub(crate) const DESCRIPTOR_BYTES_MAX: u64 = 256 * 1024;
const ENTRY_HEADER_BYTES: usize = 20;
/// `$SII`, `$SDH`, `$SDS`.
const ID_INDEX: [u16; 4] = [0x24, 0x53, 0x49, 0x49];
const HASH_INDEX: [u16; 4] = [0x24, 0x53, 0x44, 0x48];
const DESCRIPTORS: [u16; 4] = [0x24, 0x53, 0x44, 0x53];
/// Bound on the descriptors that are compared with a new one, as they have the same hash.
const SAME_HASH_MAX: usize = 64;

/// What can be wrong with a shared descriptor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecureDefect {
    #[error("no security descriptor with id {0}")]
    NoId(u32),
    #[error("entry of {found:?} does not agree with the index, which has {expected:?}")]
    Entry { expected: DescriptorEntry, found: DescriptorEntry },
    #[error("security descriptor {id} has hash {found:#010x}, should have {expected:#010x}")]
    Hash { id: u32, expected: u32, found: u32 },
    #[error("security descriptor {id} has {bytes} bytes")]
    Size { id: u32, bytes: u32 },
    #[error("has no stream $SDS")]
    NoDescriptors,
    #[error(transparent)]
    Short(#[from] Short),
}

impl From<SecureDefect> for Error {
    fn from(defect: SecureDefect) -> Self {
        Corrupt::new("$Secure", defect).into()
    }
}

/// Where a shared descriptor lies: the data of `$SII` and `$SDH`, and the header of the descriptor in `$SDS`.
///
/// | offset | size | field | here |
/// |-------:|-----:|-------|------|
/// | 0x00 | 4 | hash | hash |
/// | 0x04 | 4 | id | id |
/// | 0x08 | 8 | offset in `$SDS` | offset_bytes |
/// | 0x10 | 4 | size with this header | size_bytes |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DescriptorEntry {
    pub(crate) hash: u32,
    pub(crate) id: u32,
    pub(crate) offset_bytes: u64,
    pub(crate) size_bytes: u32,
}

impl DescriptorEntry {
    fn parse(bytes: &[u8]) -> Result<Self, SecureDefect> {
        Ok(Self {
            hash: le_u32(bytes, 0)?,
            id: le_u32(bytes, 4)?,
            offset_bytes: le_u64(bytes, 8)?,
            size_bytes: le_u32(bytes, 16)?,
        })
    }
}

/// The hash of a descriptor: its 32-bit numbers, each added to what was there, rotated left by three bits
/// (linux-ntfs documentation, "$Secure").
fn descriptor_hash(descriptor: &[u8]) -> u32 {
    let words = descriptor.chunks_exact(4).filter_map(|word| le_u32(word, 0).ok());
    words.fold(0u32, |hash, word| hash.rotate_left(3).wrapping_add(word))
}

impl Volume {
    /// The security descriptor of a file, self-relative: the shared one if it has a number, else its own.
    ///
    /// # Errors
    /// `Corrupt` if the number leads nowhere.
    pub(crate) fn security_descriptor(&self, file: &File) -> Result<Option<Vec<u8>>> {
        let information = file.resident(AttributeKind::STANDARD_INFORMATION)?;
        if let Some(id) = StandardInformation::parse(information)?.security_id {
            return self.shared_descriptor(id).map(Some);
        }
        match file.stream(self, AttributeKind::SECURITY_DESCRIPTOR, &[])? {
            Some(own) => own.read_all(self, DESCRIPTOR_BYTES_MAX).map(Some),
            None => Ok(None),
        }
    }

    /// The shared descriptor with the number `id`.
    ///
    /// # Errors
    /// `Corrupt` if there is none, or its copies in index and stream do not agree.
    fn shared_descriptor(&self, id: u32) -> Result<Vec<u8>> {
        let secure = self.load_file(MftRecordNumber::SECURE)?;
        let view = IndexView::open(self, &secure, &ID_INDEX)?;
        let cluster_bytes = self.geometry().cluster_size_bytes;
        let index = Index::open(&view, cluster_bytes, Collation::U32)?;
        let found = index.find(&id.to_le_bytes())?.ok_or(SecureDefect::NoId(id))?;
        self.read_shared(&secure, DescriptorEntry::parse(found.data()?)?)
    }

    /// The number of the shared descriptor that equals `descriptor`, if there is one.
    ///
    /// # Errors
    /// `Corrupt` if `$Secure` is damaged.
    pub(crate) fn find_descriptor(&self, descriptor: &[u8]) -> Result<Option<u32>> {
        let secure = self.load_file(MftRecordNumber::SECURE)?;
        let view = IndexView::open(self, &secure, &HASH_INDEX)?;
        let cluster_bytes = self.geometry().cluster_size_bytes;
        let index = Index::open(&view, cluster_bytes, Collation::SecurityHash)?;
        let hash = descriptor_hash(descriptor);
        let mut same_hash = Vec::new();
        index.visit(&mut |entry| {
            let entry = DescriptorEntry::parse(entry.data()?)?;
            if entry.hash == hash {
                same_hash.push(entry);
            }
            let is_enough = entry.hash > hash || same_hash.len() >= SAME_HASH_MAX;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        for entry in same_hash {
            if self.read_shared(&secure, entry)? == descriptor {
                return Ok(Some(entry.id));
            }
        }
        Ok(None)
    }

    fn read_shared(&self, secure: &File, entry: DescriptorEntry) -> Result<Vec<u8>> {
        let stream = secure
            .stream(self, AttributeKind::DATA, &DESCRIPTORS)?
            .ok_or(SecureDefect::NoDescriptors)?;
        let (id, bytes) = (entry.id, entry.size_bytes);
        let size: usize = to(bytes)?;
        if len_u64(size) > DESCRIPTOR_BYTES_MAX || size <= ENTRY_HEADER_BYTES {
            return Err(SecureDefect::Size { id, bytes }.into());
        }
        let mut stored = stream.read(self, entry.offset_bytes, size)?;
        let found = DescriptorEntry::parse(&stored)?;
        if found != entry || stored.len() != size {
            return Err(SecureDefect::Entry { expected: entry, found }.into());
        }
        let descriptor = stored.split_off(ENTRY_HEADER_BYTES);
        let found = descriptor_hash(&descriptor);
        if found != entry.hash {
            return Err(SecureDefect::Hash { id, expected: entry.hash, found }.into());
        }
        Ok(descriptor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_rotates_and_adds() {
        for (words, expected) in [
            (vec![], 0),
            (vec![0x8000_0001u32], 0x8000_0001),
            (vec![0x8000_0001, 1], 0xd),
            (vec![u32::MAX, 2], 1),
        ] {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            assert_eq!(descriptor_hash(&bytes), expected);
        }
    }
}
