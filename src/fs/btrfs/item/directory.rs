//! DIR_ITEM, DIR_INDEX and XATTR_ITEM: names with what they name.

use super::ItemDefect;
use super::reference::{check_name_len, parse_packed};
use crate::bytes::field::{le_u16, le_u64, slice, u8_at};
use crate::fs::NodeKind;
use crate::fs::btrfs::key::Key;

const HEADER_BYTES: usize = 30;

/// Marks the type of an entry whose name is cipher text.
const ENCRYPTED: u8 = 0x80;

/// One name in a directory, or one extended attribute.
///
/// `btrfs_dir_item`, 30 bytes and the name. Names with the same [`name_hash`](crate::fs::btrfs::checksum::name_hash) stand one after the other in one
/// DIR_ITEM or XATTR_ITEM; a DIR_INDEX item holds one.
///
/// | offset | size | spec     | here     | valid when                                           |
/// |-------:|-----:|----------|----------|------------------------------------------------------|
/// |      0 |   17 | location | location | key of the INODE_ITEM, or of the ROOT_ITEM of a subvolume; zero for attributes |
/// |     17 |    8 | transid  | transid  | transaction that made the name                       |
/// |     25 |    2 | data_len | (checked) | length of the value; 0 but for attributes           |
/// |     27 |    2 | name_len | (checked) | 1 to 255                                            |
/// |     29 |    1 | type     | entry_type | [`EntryType`]                                      |
/// |     30 |    n | name     | name     | no slash and no NUL in the name of a file            |
/// |   30+n |    m | data     | value    | value of an attribute                                |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirItem {
    /// Key of what is named.
    pub(crate) location: Key,
    /// Transaction.
    pub(crate) transid: u64,
    /// What is named.
    pub(crate) entry_type: EntryType,
    /// The name.
    pub(crate) name: Vec<u8>,
    /// Value of an attribute.
    pub(crate) value: Vec<u8>,
}

/// Type of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryType {
    /// Type 0, written by no tool.
    Unknown,
    /// Types 1 to 7.
    Node(NodeKind),
    /// Type 8.
    Xattr,
    /// Any type of a name that is cipher text (fscrypt).
    Encrypted(u8),
}

impl EntryType {
    fn parse(number: u8) -> Result<Self, ItemDefect> {
        if number & ENCRYPTED != 0 {
            return Ok(Self::Encrypted(number));
        }
        match number {
            0 => Ok(Self::Unknown),
            8 => Ok(Self::Xattr),
            _ => {
                NodeKind::of_entry_type(number).map(Self::Node).ok_or(ItemDefect::EntryType(number))
            }
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Node(kind) => kind.entry_type(),
            Self::Xattr => 8,
            Self::Encrypted(number) => number,
        }
    }
}

impl DirItem {
    /// All names of an item.
    ///
    /// # Errors
    /// `Short`, `NameLength`, `NameBytes`, `EntryType`; `Empty` without any name.
    pub(crate) fn parse_all(bytes: &[u8]) -> Result<Vec<Self>, ItemDefect> {
        parse_packed(bytes, Self::parse)
    }

    /// The first name, and its length in the item.
    fn parse(bytes: &[u8]) -> Result<(Self, usize), ItemDefect> {
        let value_len = usize::from(le_u16(bytes, 25)?);
        let name_len = usize::from(le_u16(bytes, 27)?);
        check_name_len(name_len)?;
        let entry_type = EntryType::parse(u8_at(bytes, 29)?)?;
        let name = slice(bytes, HEADER_BYTES, name_len)?;
        if entry_type != EntryType::Xattr && name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(ItemDefect::NameBytes);
        }
        let value_start = HEADER_BYTES.saturating_add(name_len);
        let item = Self {
            location: Key::read(bytes, 0)?,
            transid: le_u64(bytes, 17)?,
            entry_type,
            name: name.to_vec(),
            value: slice(bytes, value_start, value_len)?.to_vec(),
        };
        Ok((item, value_start.saturating_add(value_len)))
    }

    /// The name as one part of an item.
    ///
    /// # Errors
    /// `NameLength`; `ValueLength` if the value has more than 65535 bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, ItemDefect> {
        check_name_len(self.name.len())?;
        let name_len = u16::try_from(self.name.len());
        let name_len = name_len.map_err(|_| ItemDefect::NameLength(self.name.len()))?;
        let value_len = u16::try_from(self.value.len()).map_err(|_| ItemDefect::ValueLength)?;
        let mut bytes = self.location.to_bytes().to_vec();
        bytes.extend(self.transid.to_le_bytes());
        bytes.extend(value_len.to_le_bytes());
        bytes.extend(name_len.to_le_bytes());
        bytes.push(self.entry_type.number());
        bytes.extend(&self.name);
        bytes.extend(&self.value);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8]) -> DirItem {
        DirItem {
            location: Key::new(257, 1, 0),
            transid: 7,
            entry_type: EntryType::Node(NodeKind::File),
            name: name.to_vec(),
            value: Vec::new(),
        }
    }

    #[test]
    fn names_with_one_hash_stand_in_one_item() {
        let mut attribute = entry(b"user.a");
        (attribute.entry_type, attribute.value) = (EntryType::Xattr, b"value".to_vec());
        let items = vec![entry(b"a"), attribute, entry(b"b")];
        let bytes: Vec<u8> = items.iter().flat_map(|item| item.encode().unwrap()).collect();
        assert_eq!(DirItem::parse_all(&bytes).unwrap(), items);
        let short = DirItem::parse_all(&bytes[..bytes.len() - 1]).unwrap_err();
        assert!(matches!(short, ItemDefect::Short(_)));
    }

    #[test]
    fn every_type_is_kept() {
        for number in 0..=8 {
            let mut bytes = entry(b"a").encode().unwrap();
            bytes[29] = number;
            assert_eq!(DirItem::parse_all(&bytes).unwrap()[0].encode().unwrap(), bytes);
        }
        let mut bytes = entry(b"a").encode().unwrap();
        bytes[29] = 9;
        assert_eq!(DirItem::parse_all(&bytes), Err(ItemDefect::EntryType(9)));
        bytes[29] = 0x81;
        let encrypted = &DirItem::parse_all(&bytes).unwrap()[0];
        assert_eq!(encrypted.entry_type, EntryType::Encrypted(0x81));
    }

    #[test]
    fn names_that_no_file_has_are_damage() {
        assert_eq!(entry(b"").encode(), Err(ItemDefect::NameLength(0)));
        let bytes = entry(b"a/b").encode().unwrap();
        assert_eq!(DirItem::parse_all(&bytes), Err(ItemDefect::NameBytes));
        let mut long = entry(b"a");
        long.value = vec![0; 65536];
        assert_eq!(long.encode(), Err(ItemDefect::ValueLength));
    }
}
