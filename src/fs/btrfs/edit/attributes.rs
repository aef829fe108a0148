//! Extended attributes. Names with the same hash stand in one item.

use super::super::checksum::name_hash;
use super::super::file_system::Btrfs;
use super::super::inode::corrupt;
use super::super::item::{DirItem, EntryType, ItemDefect, NAME_BYTES_MAX};
use super::super::key::{Key, item};
use super::super::node::{ITEM_BYTES, room_bytes};
use super::super::place::Place;
use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};

impl Btrfs {
    /// Sets or removes an attribute. One that is not there can be removed.
    pub(super) fn put_attribute(
        &mut self,
        place: Place,
        name: &[u8],
        value: Option<&[u8]>,
    ) -> Result<()> {
        let damaged = |defect: ItemDefect| corrupt("extended attribute", place, defect);
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let what = "length of the name of an extended attribute in bytes";
            return Err(Error::limit(what, len_u64(NAME_BYTES_MAX), len_u64(name.len())));
        }
        let transid = self.generation();
        let key = Key::new(place.inode, item::XATTR_ITEM, name_hash(name));
        let known = self.view.get(place.subvolume, key)?;
        let mut items = match &known {
            Some(data) => DirItem::parse_all(data).map_err(damaged)?,
            None => Vec::new(),
        };
        items.retain(|item| item.name != name);
        if let Some(value) = value {
            items.push(DirItem {
                location: Key::MIN,
                transid,
                entry_type: EntryType::Xattr,
                name: name.to_vec(),
                value: value.to_vec(),
            });
        }
        let mut data = Vec::new();
        for item in &items {
            data.extend(item.encode().map_err(damaged)?);
        }
        let volume = self.view.volume_mut();
        let room = room_bytes(volume.superblock().node_bytes).saturating_sub(ITEM_BYTES);
        if data.len() > room {
            let what = "size of an extended attribute in bytes";
            return Err(Error::limit(what, len_u64(room), len_u64(data.len())));
        }
        match (known.is_some(), items.is_empty()) {
            (true, true) => volume.delete(place.subvolume, key),
            (true, false) => volume.replace(place.subvolume, key, data),
            (false, true) => Ok(()),
            (false, false) => volume.insert(place.subvolume, key, data),
        }
    }
}
