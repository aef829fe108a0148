//! INODE_REF and INODE_EXTREF: the names of an inode, one after the other in an item.

use super::{ItemDefect, NAME_BYTES_MAX};
use crate::bytes::checksum::crc32c_raw;
use crate::bytes::field::{le_u16, le_u64, low_u32, slice};

/// One name of an inode.
///
/// `btrfs_inode_ref`, in the item (inode, INODE_REF, directory):
///
/// | offset | size | spec     | here      | valid when          |
/// |-------:|-----:|----------|-----------|---------------------|
/// |      0 |    8 | index    | index     | offset of its DIR_INDEX |
/// |      8 |    2 | name_len | (checked) | 1 to 255            |
/// |     10 |    n | name     | name      | no slash, no NUL    |
///
/// `btrfs_inode_extref`, in the item (inode, INODE_EXTREF, [`extref_hash`]), has the directory in 8 bytes before
/// that. Such items hold the names that no longer fit into the INODE_REF item of their directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InodeRef {
    /// The directory with the name.
    pub(crate) parent: u64,
    /// Offset of the key of its DIR_INDEX item.
    pub(crate) index: u64,
    /// The name.
    pub(crate) name: Vec<u8>,
}

impl InodeRef {
    /// All names of an INODE_REF item, whose key has `parent` as offset.
    ///
    /// # Errors
    /// `Short`, `NameLength`, `NameBytes`; `Empty` without any name.
    pub(crate) fn parse_all(bytes: &[u8], parent: u64) -> Result<Vec<Self>, ItemDefect> {
        parse_packed(bytes, |rest| {
            let (name, len) = name(rest, 8)?;
            Ok((Self { parent, index: le_u64(rest, 0)?, name }, len))
        })
    }

    /// All names of an INODE_EXTREF item.
    ///
    /// # Errors
    /// As [`InodeRef::parse_all`].
    pub(crate) fn parse_all_extended(bytes: &[u8]) -> Result<Vec<Self>, ItemDefect> {
        parse_packed(bytes, |rest| {
            let (name, len) = name(rest, 16)?;
            let (parent, index) = (le_u64(rest, 0)?, le_u64(rest, 8)?);
            Ok((Self { parent, index, name }, len))
        })
    }

    /// The name as one part of an INODE_REF item.
    ///
    /// # Errors
    /// `NameLength`.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, ItemDefect> {
        let mut bytes = self.index.to_le_bytes().to_vec();
        push_name(&mut bytes, &self.name)?;
        Ok(bytes)
    }

    /// The name as one part of an INODE_EXTREF item.
    ///
    /// # Errors
    /// `NameLength`.
    pub(crate) fn encode_extended(&self) -> Result<Vec<u8>, ItemDefect> {
        let mut bytes = self.parent.to_le_bytes().to_vec();
        bytes.extend(self.encode()?);
        Ok(bytes)
    }
}

/// Offset of the key of the INODE_EXTREF item for `name` in `parent`.
pub(crate) fn extref_hash(parent: u64, name: &[u8]) -> u64 {
    crc32c_raw(low_u32(parent), name).into()
}

/// The name whose length stands at `offset`, and where it ends.
fn name(bytes: &[u8], offset: usize) -> Result<(Vec<u8>, usize), ItemDefect> {
    let len = usize::from(le_u16(bytes, offset)?);
    check_name_len(len)?;
    let start = offset.saturating_add(2);
    let name = slice(bytes, start, len)?;
    if name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        return Err(ItemDefect::NameBytes);
    }
    Ok((name.to_vec(), start.saturating_add(len)))
}

/// Checks the length of a name.
pub(super) fn check_name_len(len: usize) -> Result<(), ItemDefect> {
    if (1..=NAME_BYTES_MAX).contains(&len) { Ok(()) } else { Err(ItemDefect::NameLength(len)) }
}

/// Appends the length of `name` and `name`.
pub(super) fn push_name(bytes: &mut Vec<u8>, name: &[u8]) -> Result<(), ItemDefect> {
    check_name_len(name.len())?;
    let len = u16::try_from(name.len()).map_err(|_| ItemDefect::NameLength(name.len()))?;
    bytes.extend(len.to_le_bytes());
    bytes.extend(name);
    Ok(())
}

/// Parses parts, each of which says how long it is and has at least one byte, until none is left.
pub(super) fn parse_packed<T>(
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Result<(T, usize), ItemDefect>,
) -> Result<Vec<T>, ItemDefect> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (part, len) = parse(rest)?;
        parts.push(part);
        rest = rest.get(len.max(1)..).unwrap_or_default();
    }
    if parts.is_empty() { Err(ItemDefect::Empty) } else { Ok(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_names_in_one_item() {
        let names = [(2, "a"), (77, "a longer name")];
        let refs = names.map(|(index, name)| InodeRef { parent: 256, index, name: name.into() });
        let plain: Vec<u8> = refs.iter().flat_map(|one| one.encode().unwrap()).collect();
        assert_eq!(InodeRef::parse_all(&plain, 256).unwrap(), refs);
        let extended: Vec<u8> =
            refs.iter().flat_map(|one| one.encode_extended().unwrap()).collect();
        assert_eq!(InodeRef::parse_all_extended(&extended).unwrap(), refs);
    }

    #[test]
    fn damage_is_named() {
        let parse = |bytes: &[u8]| InodeRef::parse_all(bytes, 256).unwrap_err();
        assert_eq!(parse(&[]), ItemDefect::Empty);
        assert_eq!(parse(&[0; 10]), ItemDefect::NameLength(0));
        assert_eq!(parse(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), ItemDefect::NameLength(256));
        assert_eq!(parse(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, b'/']), ItemDefect::NameBytes);
        assert!(matches!(parse(&[0, 0, 0, 0, 0, 0, 0, 0, 2, 0, b'a']), ItemDefect::Short(_)));
        let long = InodeRef { parent: 1, index: 1, name: vec![b'x'; 256] };
        assert_eq!(long.encode(), Err(ItemDefect::NameLength(256)));
    }
}
