//! The border between the two forks of an inode.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "On-disk Inode", section "Attribute Fork". A fork that gets
//! smaller may have to become a tree, one that gets larger may have to become a list, and the pointers in the
//! root of a tree move.

use super::super::btree::EXTENT_BYTES;
use super::super::inode::{ForkFormat, ForkKind, Inode};
use super::super::volume::Volume;
use super::extent::ExtentDefect;
use super::list::put_list;
use super::{corrupt, mapped_format};
use crate::bytes::arith::{add, len_u64, mul, to};
use crate::bytes::field::{be_u16, slice};
use crate::error::Result;

/// Root of a tree: its header, where in it the number of entries is, and a key with a pointer.
const ROOT_HEADER_BYTES: u64 = 4;
const ROOT_ENTRIES_AT: usize = 2;
const ROOT_ENTRY_BYTES: u64 = 16;
/// A device number.
const DEVICE_BYTES: u64 = 4;

/// What a fork becomes.
#[derive(Debug)]
enum Content {
    /// These bytes at its start.
    Bytes(Vec<u8>),
    /// A list that was a tree.
    ListOfTree(Vec<super::Extent>),
    /// A tree that was a list.
    TreeOfList(Vec<super::Extent>),
}

impl Volume {
    /// Moves the start of the attribute fork to `offset` bytes inside the literal area; 0 if there is to be none.
    /// Extents and the roots of trees are put into the form that they have in forks of the new sizes.
    ///
    /// # Errors
    /// * `Corrupt` - the content of a local fork does not fit, or the offset makes no sense.
    /// * `Refused` - no space for a tree.
    pub(crate) fn set_fork_offset(&mut self, inode: &mut Inode, offset: usize) -> Result<()> {
        let literal = inode.literal_len();
        let data_len = if offset == 0 { literal } else { offset };
        let attribute_len = if offset == 0 { 0 } else { literal.saturating_sub(offset) };
        let had_attributes = inode.has_attribute_fork();
        let data = self.resized_fork(inode, ForkKind::Data, data_len)?;
        let attributes = if had_attributes {
            self.resized_fork(inode, ForkKind::Attribute, attribute_len)?
        } else {
            Content::Bytes(Vec::new())
        };
        inode.set_fork_offset_bytes(offset)?;
        if !had_attributes {
            inode.set_format(ForkKind::Attribute, ForkFormat::Extents)?;
        }
        self.put_resized_fork(inode, ForkKind::Data, data)?;
        if offset == 0 {
            return Ok(());
        }
        self.put_resized_fork(inode, ForkKind::Attribute, attributes)
    }

    /// What is in a fork, for a fork of `len` bytes.
    fn resized_fork(&mut self, inode: &mut Inode, kind: ForkKind, len: usize) -> Result<Content> {
        let count = inode.extent_count(kind);
        let does_not_fit = ExtentDefect::Room { count, room: len };
        let fits_list = count <= len_u64(len.checked_div(EXTENT_BYTES).unwrap_or(0));
        match (mapped_format(inode, kind)?, fits_list) {
            (ForkFormat::Btree, true) => {
                let extents = self.fork_extents(inode, kind)?;
                self.free_tree(inode, kind)?;
                return Ok(Content::ListOfTree(extents));
            }
            (ForkFormat::Btree, false) => {
                return Ok(Content::Bytes(self.resized_root(inode, kind, len)?));
            }
            (ForkFormat::Extents, false) => {
                return Ok(Content::TreeOfList(self.fork_extents(inode, kind)?));
            }
            (ForkFormat::Extents | ForkFormat::Local | ForkFormat::Device, _) => {}
        }
        let needed = fork_bytes_needed(inode, kind)?;
        if needed > len {
            return Err(corrupt(inode, kind, does_not_fit));
        }
        Ok(Content::Bytes(slice(inode.fork(kind), 0, needed)?.to_vec()))
    }

    fn put_resized_fork(
        &mut self,
        inode: &mut Inode,
        kind: ForkKind,
        content: Content,
    ) -> Result<()> {
        match content {
            Content::Bytes(bytes) => inode.put_fork(kind, &bytes),
            Content::ListOfTree(extents) => {
                inode.set_format(kind, ForkFormat::Extents)?;
                put_list(inode, kind, &extents)
            }
            Content::TreeOfList(extents) => {
                inode.set_format(kind, ForkFormat::Btree)?;
                self.build_tree(inode, kind, extents)
            }
        }
    }
}

/// Bytes at the start of a fork that hold something, in its present form.
///
/// # Errors
/// `Corrupt` if they are more than the fork has.
pub(super) fn fork_bytes_needed(inode: &Inode, kind: ForkKind) -> Result<usize> {
    let fork = inode.fork(kind);
    let count = inode.extent_count(kind);
    let needed = match (mapped_format(inode, kind)?, kind) {
        (ForkFormat::Extents, _) => mul(count, len_u64(EXTENT_BYTES))?,
        (ForkFormat::Btree, _) => {
            let entries = u64::from(be_u16(fork, ROOT_ENTRIES_AT)?);
            add(ROOT_HEADER_BYTES, mul(entries, ROOT_ENTRY_BYTES)?)?
        }
        (ForkFormat::Local, ForkKind::Data) => inode.size_bytes(),
        (ForkFormat::Local, ForkKind::Attribute) => u64::from(be_u16(fork, 0)?),
        (ForkFormat::Device, _) => DEVICE_BYTES,
    };
    if needed > len_u64(fork.len()) {
        return Err(corrupt(inode, kind, ExtentDefect::Room { count, room: fork.len() }));
    }
    Ok(to(needed)?)
}
