//! INODE_ITEM: everything about a file but its names and content.

use super::ItemDefect;
use crate::bytes::field::{array, le_u32, le_u64, low_u16, put, put_le_u32, put_le_u64};
use crate::fs::{NodeKind, Timestamp};

/// Size of the item in bytes.
pub(crate) const INODE_ITEM_BYTES: usize = 160;

/// `btrfs_inode_item`, 160 bytes.
///
/// | offset | size | spec        | here        | valid when                                     |
/// |-------:|-----:|-------------|-------------|------------------------------------------------|
/// |      0 |    8 | generation  | generation  | transaction that made the inode                |
/// |      8 |    8 | transid     | transid     | transaction that changed it last               |
/// |     16 |    8 | size        | size_bytes  | of a directory: twice the length of all names  |
/// |     24 |    8 | nbytes      | stored_bytes | sum of the extents, inline content counted exactly |
/// |     32 |    8 | block_group | block_group | unused                                         |
/// |     40 |    4 | nlink       | link_count  | of a directory always 1                        |
/// |     44 |    4 | uid         | uid         | any                                            |
/// |     48 |    4 | gid         | gid         | any                                            |
/// |     52 |    4 | mode        | mode        | file type and permissions                      |
/// |     56 |    8 | rdev        | device      | 0 but for devices                              |
/// |     64 |    8 | flags       | flags       | [`InodeFlags`]; bits 32 and up are read-only ones |
/// |     72 |    8 | sequence    | sequence    | counts changes (`i_version`)                   |
/// |     80 |   32 | reserved    | reserved    | zero                                           |
/// |    112 |   12 | atime       | accessed    | 8 bytes of seconds, 4 of nanoseconds           |
/// |    124 |   12 | ctime       | changed     |                                                |
/// |    136 |   12 | mtime       | modified    |                                                |
/// |    148 |   12 | otime       | created     |                                                |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct InodeItem {
    pub(crate) generation: u64,
    pub(crate) transid: u64,
    pub(crate) size_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) block_group: u64,
    pub(crate) link_count: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
    pub(crate) device: u64,
    pub(crate) flags: InodeFlags,
    pub(crate) sequence: u64,
    pub(crate) reserved: [u8; 32],
    pub(crate) accessed: Timestamp,
    pub(crate) changed: Timestamp,
    pub(crate) modified: Timestamp,
    pub(crate) created: Timestamp,
}

impl InodeItem {
    /// Parses an item, or the inode at the start of a ROOT_ITEM.
    ///
    /// # Errors
    /// `Short`; `Nanoseconds` of a second or more.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ItemDefect> {
        Ok(Self {
            generation: le_u64(bytes, 0)?,
            transid: le_u64(bytes, 8)?,
            size_bytes: le_u64(bytes, 16)?,
            stored_bytes: le_u64(bytes, 24)?,
            block_group: le_u64(bytes, 32)?,
            link_count: le_u32(bytes, 40)?,
            uid: le_u32(bytes, 44)?,
            gid: le_u32(bytes, 48)?,
            mode: le_u32(bytes, 52)?,
            device: le_u64(bytes, 56)?,
            flags: InodeFlags(le_u64(bytes, 64)?),
            sequence: le_u64(bytes, 72)?,
            reserved: array(bytes, 80)?,
            accessed: timestamp(bytes, 112)?,
            changed: timestamp(bytes, 124)?,
            modified: timestamp(bytes, 136)?,
            created: timestamp(bytes, 148)?,
        })
    }

    /// The item that [`InodeItem::parse`] reads back.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; INODE_ITEM_BYTES];
        // Every offset lies inside the buffer.
        let _ = self.store(&mut bytes);
        bytes
    }

    fn store(&self, bytes: &mut [u8]) -> Result<(), ItemDefect> {
        put_le_u64(bytes, 0, self.generation)?;
        put_le_u64(bytes, 8, self.transid)?;
        put_le_u64(bytes, 16, self.size_bytes)?;
        put_le_u64(bytes, 24, self.stored_bytes)?;
        put_le_u64(bytes, 32, self.block_group)?;
        put_le_u32(bytes, 40, self.link_count)?;
        put_le_u32(bytes, 44, self.uid)?;
        put_le_u32(bytes, 48, self.gid)?;
        put_le_u32(bytes, 52, self.mode)?;
        put_le_u64(bytes, 56, self.device)?;
        put_le_u64(bytes, 64, self.flags.0)?;
        put_le_u64(bytes, 72, self.sequence)?;
        put(bytes, 80, &self.reserved)?;
        put_timestamp(bytes, 112, self.accessed)?;
        put_timestamp(bytes, 124, self.changed)?;
        put_timestamp(bytes, 136, self.modified)?;
        put_timestamp(bytes, 148, self.created)
    }

    /// What the inode is.
    ///
    /// # Errors
    /// `Mode` if its type is none.
    pub(crate) fn kind(&self) -> Result<NodeKind, ItemDefect> {
        NodeKind::of_mode(low_u16(self.mode)).ok_or(ItemDefect::Mode(self.mode))
    }
}

/// The mode of an inode of `kind` with these permissions.
pub(crate) fn mode_of(kind: NodeKind, permissions: u32) -> u32 {
    u32::from(kind.mode_bits()) | permissions & 0o7777
}

/// `flags` of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct InodeFlags(pub(crate) u64);

impl InodeFlags {
    /// No checksums of the content.
    pub(crate) const NODATASUM: Self = Self(1 << 0);
    /// Content is written in place.
    pub(crate) const NODATACOW: Self = Self(1 << 1);
    /// Content is not compressed.
    pub(crate) const NOCOMPRESS: Self = Self(1 << 3);
    /// Extents were allocated ahead of the content.
    pub(crate) const PREALLOC: Self = Self(1 << 4);
    /// `chattr +i`.
    pub(crate) const IMMUTABLE: Self = Self(1 << 6);
    /// `chattr +a`.
    pub(crate) const APPEND: Self = Self(1 << 7);
    /// New content is to be compressed.
    pub(crate) const COMPRESS: Self = Self(1 << 11);
    /// fs-verity protects the content.
    pub(crate) const VERITY: Self = Self(1 << 32);

    /// True if all bits of `other` are set.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

fn timestamp(bytes: &[u8], offset: usize) -> Result<Timestamp, ItemDefect> {
    let nanoseconds = le_u32(bytes, offset.saturating_add(8))?;
    if nanoseconds >= 1_000_000_000 {
        return Err(ItemDefect::Nanoseconds(nanoseconds));
    }
    Ok(Timestamp { seconds: le_u64(bytes, offset)?.cast_signed(), nanoseconds })
}

fn put_timestamp(bytes: &mut [u8], offset: usize, time: Timestamp) -> Result<(), ItemDefect> {
    put_le_u64(bytes, offset, time.seconds.cast_unsigned())?;
    Ok(put_le_u32(bytes, offset.saturating_add(8), time.nanoseconds)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encode_and_parse_agree_on_every_field() {
        let bytes: Vec<u8> = (1..=160).collect();
        let mut bytes = bytes;
        for nanoseconds in [120, 132, 144, 156] {
            bytes[nanoseconds + 3] = 0;
        }
        let item = InodeItem::parse(&bytes).unwrap();
        assert_eq!(item.encode(), bytes);
        assert_eq!((item.generation, item.uid), (0x0807_0605_0403_0201, 0x302f_2e2d));
        assert_eq!(
            InodeItem::parse(&bytes[..159]).unwrap_err().to_string(),
            "needs 160 bytes, has 159"
        );
    }

    #[test]
    fn a_time_of_more_than_a_second_is_damage() {
        let mut bytes = InodeItem::default().encode();
        bytes[120..124].copy_from_slice(&1_000_000_000u32.to_le_bytes());
        assert_eq!(InodeItem::parse(&bytes), Err(ItemDefect::Nanoseconds(1_000_000_000)));
    }

    #[test]
    fn kinds_and_modes_are_each_others_inverse() {
        for kind in [NodeKind::File, NodeKind::Directory, NodeKind::Symlink] {
            let inode = InodeItem { mode: mode_of(kind, 0o14_755), ..InodeItem::default() };
            assert_eq!(inode.kind(), Ok(kind));
            assert_eq!(inode.mode & 0o7777, 0o4755);
        }
        let inode = InodeItem { mode: 0o644, ..InodeItem::default() };
        assert_eq!(inode.kind(), Err(ItemDefect::Mode(0o644)));
    }
}
