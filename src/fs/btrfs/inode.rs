//! Inodes of subvolumes: the item, attributes, and what they are to the rest of the program.

use super::checksum::name_hash;
use super::item::{DirItem, InodeFlags, InodeItem, ItemDefect, mode_of};
use super::key::{Key, item};
use super::place::{Place, STUB_INODE};
use super::view::View;
use crate::bytes::arith::len_u64;
use crate::error::{Corrupt, Error, Result};
use crate::fs::{Metadata, NodeFlags, NodeKind, Xattr};
use std::ops::ControlFlow;

/// Bound on the attributes of an inode, in bytes.
const XATTRS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// There is no item of an inode that something names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not there")]
pub(crate) struct Missing;

/// Damage in an item of an inode.
pub(crate) fn corrupt(structure: &'static str, place: Place, defect: ItemDefect) -> Error {
    Corrupt::new(structure, defect).of(place.describe()).into()
}

impl View {
    /// The item of an inode.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn inode(&self, place: Place) -> Result<InodeItem> {
        if place.inode == STUB_INODE {
            let mode = mode_of(NodeKind::Directory, 0o755);
            return Ok(InodeItem { mode, link_count: 1, ..InodeItem::default() });
        }
        let key = Key::new(place.inode, item::INODE_ITEM, 0);
        let data = self
            .get(place.subvolume, key)?
            .ok_or_else(|| Error::from(Corrupt::new("inode item", Missing).of(place.describe())))?;
        InodeItem::parse(&data).map_err(|defect| corrupt("inode item", place, defect))
    }

    /// What is known about an inode.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn metadata(&self, place: Place) -> Result<Metadata> {
        let inode = self.inode(place)?;
        Ok(Metadata {
            kind: inode.kind().map_err(|defect| corrupt("inode item", place, defect))?,
            mode: inode.mode & 0o7777,
            uid: inode.uid,
            gid: inode.gid,
            size_bytes: inode.size_bytes,
            link_count: inode.link_count,
            accessed: inode.accessed,
            modified: inode.modified,
            changed: inode.changed,
            flags: NodeFlags {
                is_immutable: inode.flags.contains(InodeFlags::IMMUTABLE),
                is_append_only: inode.flags.contains(InodeFlags::APPEND),
                is_verity: inode.flags.contains(InodeFlags::VERITY),
                is_encrypted: false,
                is_casefolded: false,
            },
        })
    }

    /// All attributes of an inode.
    ///
    /// # Errors
    /// `Corrupt`; `Limit` if there are too many.
    pub(crate) fn xattrs(&self, place: Place) -> Result<Vec<Xattr>> {
        let (mut xattrs, mut bytes) = (Vec::new(), 0usize);
        if place.inode == STUB_INODE {
            return Ok(xattrs);
        }
        let from = Key::new(place.inode, item::XATTR_ITEM, 0);
        let to = Key::new(place.inode, item::XATTR_ITEM, u64::MAX);
        self.for_each(place.subvolume, from, to, &mut |_, data| {
            bytes = bytes.saturating_add(data.len());
            if bytes > XATTRS_BYTES_MAX {
                let what = "size of the extended attributes in bytes";
                return Err(Error::limit(what, len_u64(XATTRS_BYTES_MAX), len_u64(bytes)));
            }
            let items = DirItem::parse_all(data)
                .map_err(|defect| corrupt("extended attribute", place, defect))?;
            xattrs.extend(items.into_iter().map(into_xattr));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(xattrs)
    }

    /// The value of one attribute.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn xattr(&self, place: Place, name: &[u8]) -> Result<Option<Vec<u8>>> {
        if place.inode == STUB_INODE {
            return Ok(None);
        }
        let key = Key::new(place.inode, item::XATTR_ITEM, name_hash(name));
        let Some(data) = self.get(place.subvolume, key)? else { return Ok(None) };
        let items = DirItem::parse_all(&data)
            .map_err(|defect| corrupt("extended attribute", place, defect))?;
        Ok(items.into_iter().find(|item| item.name == name).map(|item| item.value))
    }
}

fn into_xattr(item: DirItem) -> Xattr {
    Xattr { name: item.name, value: item.value }
}
