//! ROOT_ITEM: a tree; ROOT_REF and ROOT_BACKREF: where a subvolume stands in another one.

use super::{INODE_ITEM_BYTES, InodeItem, ItemDefect};
use crate::bytes::field::{array, le_u16, le_u32, le_u64, slice, u8_at};
use crate::bytes::guid::Uuid;

/// Length before UUIDs and times were added.
const FIRST_VERSION_BYTES: usize = 239;

/// Greatest level of a tree.
const LEVEL_MAX: u8 = 7;

/// `flags`: the subvolume must not be changed.
const READ_ONLY: u64 = 1 << 0;

/// `flags`: the subvolume is being deleted.
const DEAD: u64 = 1 << 48;

/// `btrfs_root_item`, 439 bytes; 239 when written before Linux 3.6.
///
/// | offset | size | spec          | here          | valid when                                       |
/// |-------:|-----:|---------------|---------------|--------------------------------------------------|
/// |      0 |  160 | inode         | inode         | [`InodeItem`]; only flags are used               |
/// |    160 |    8 | generation    | generation    | transaction that changed the tree last           |
/// |    168 |    8 | root_dirid    | root_inode    | 256 in a subvolume, else 0                       |
/// |    176 |    8 | bytenr        | logical       | address of the root node                         |
/// |    184 |    8 | byte_limit    |               | 0                                                |
/// |    192 |    8 | bytes_used    | used_bytes    | size of all nodes                                |
/// |    200 |    8 | last_snapshot | last_snapshot | transaction of the last snapshot of it           |
/// |    208 |    8 | flags         | is_read_only, is_dead | bits 0 and 48                            |
/// |    216 |    4 | refs          | ref_count     | 0 once it was deleted                            |
/// |    220 |   17 | drop_progress |               | how far deletion went                            |
/// |    237 |    1 | drop_level    |               |                                                  |
/// |    238 |    1 | level         | level         | of the root node, at most 7                      |
/// |    239 |    8 | generation_v2 | (checked)     | equals generation, else the rest means nothing   |
/// |    247 |   16 | uuid          | uuid          |                                                  |
/// |    263 |   16 | parent_uuid   | parent_uuid   | of the subvolume that it is a snapshot of        |
/// |    279 |   16 | received_uuid |               |                                                  |
/// |    295 |   64 | ctransid, otransid, ... |     |                                                  |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RootItem {
    pub(crate) inode: InodeItem,
    pub(crate) generation: u64,
    pub(crate) root_inode: u64,
    pub(crate) logical: u64,
    pub(crate) used_bytes: u64,
    pub(crate) last_snapshot: u64,
    pub(crate) is_read_only: bool,
    pub(crate) is_dead: bool,
    pub(crate) ref_count: u32,
    pub(crate) level: u8,
    pub(crate) uuid: Option<Uuid>,
    pub(crate) parent_uuid: Option<Uuid>,
}

impl RootItem {
    /// Parses an item.
    ///
    /// # Errors
    /// `Short`, `Level`, the defects of [`InodeItem::parse`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ItemDefect> {
        let generation = le_u64(bytes, 160)?;
        let flags = le_u64(bytes, 208)?;
        let level = u8_at(bytes, 238)?;
        if level > LEVEL_MAX {
            return Err(ItemDefect::Level(level));
        }
        let has_second_part =
            bytes.len() > FIRST_VERSION_BYTES && le_u64(bytes, 239)? == generation;
        let uuid = |offset| {
            if !has_second_part {
                return Ok(None);
            }
            let uuid = Uuid(array(bytes, offset)?);
            Ok::<_, ItemDefect>((!uuid.is_nil()).then_some(uuid))
        };
        Ok(Self {
            inode: InodeItem::parse(slice(bytes, 0, INODE_ITEM_BYTES)?)?,
            generation,
            root_inode: le_u64(bytes, 168)?,
            logical: le_u64(bytes, 176)?,
            used_bytes: le_u64(bytes, 192)?,
            last_snapshot: le_u64(bytes, 200)?,
            is_read_only: flags & READ_ONLY != 0,
            is_dead: flags & DEAD != 0,
            ref_count: le_u32(bytes, 216)?,
            level,
            uuid: uuid(247)?,
            parent_uuid: uuid(263)?,
        })
    }
}

/// `btrfs_root_ref`: a subvolume as an entry of a directory of another one. The same bytes stand in the ROOT_REF item
/// of the parent and in the ROOT_BACKREF item of the child.
///
/// | offset | size | spec     | here      | valid when                     |
/// |-------:|-----:|----------|-----------|--------------------------------|
/// |      0 |    8 | dirid    | directory | inode in the parent subvolume  |
/// |      8 |    8 | sequence | index     | offset of its DIR_INDEX        |
/// |     16 |    2 | name_len | (checked) | 1 to 255                       |
/// |     18 |    n | name     | name      |                                |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RootRef {
    /// The directory with the entry, an inode of the parent subvolume.
    pub(crate) directory: u64,
    /// Offset of the key of its DIR_INDEX item.
    pub(crate) index: u64,
    /// Its name.
    pub(crate) name: Vec<u8>,
}

impl RootRef {
    /// Parses an item.
    ///
    /// # Errors
    /// `Short`, `NameLength`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ItemDefect> {
        let len = usize::from(le_u16(bytes, 16)?);
        super::reference::check_name_len(len)?;
        let name = slice(bytes, 18, len)?.to_vec();
        Ok(Self { directory: le_u64(bytes, 0)?, index: le_u64(bytes, 8)?, name })
    }

    /// The item that [`RootRef::parse`] reads back.
    ///
    /// # Errors
    /// `NameLength`.
    #[cfg(test)]
    pub(crate) fn encode(&self) -> Result<Vec<u8>, ItemDefect> {
        let mut bytes = self.directory.to_le_bytes().to_vec();
        bytes.extend(self.index.to_le_bytes());
        super::reference::push_name(&mut bytes, &self.name)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes() -> Vec<u8> {
        let mut bytes = vec![0; 439];
        bytes[160] = 9;
        bytes[176] = 5;
        bytes[208] = 1;
        bytes[238] = 2;
        bytes[239] = 9;
        bytes[247..263].fill(0xaa);
        bytes
    }

    #[test]
    fn both_lengths_are_read() {
        let item = RootItem::parse(&bytes()).unwrap();
        assert_eq!((item.generation, item.logical, item.level), (9, 5, 2));
        assert!(item.is_read_only && !item.is_dead);
        assert_eq!((item.uuid, item.parent_uuid), (Some(Uuid([0xaa; 16])), None));
        let old = RootItem::parse(&bytes()[..239]).unwrap();
        assert_eq!((old.uuid, old.level), (None, 2));
    }

    /// An old kernel changed the tree and left the second part as it was.
    #[test]
    fn a_second_part_of_another_generation_means_nothing() {
        let mut stale = bytes();
        stale[239] = 8;
        assert_eq!(RootItem::parse(&stale).unwrap().uuid, None);
        stale[238] = 8;
        assert_eq!(RootItem::parse(&stale), Err(ItemDefect::Level(8)));
    }

    #[test]
    fn references_are_kept() {
        let reference = RootRef { directory: 256, index: 3, name: b"snapshot".to_vec() };
        let encoded = reference.encode().unwrap();
        assert_eq!(RootRef::parse(&encoded), Ok(reference));
        assert!(RootRef::parse(&encoded[..encoded.len() - 1]).is_err());
    }
}
