//! POSIX access control lists: what a new file gets from its directory, and what a change of mode does to one.
//!
//! Sources: `acl(5)`, sections "VALID ACLs", "CORRESPONDENCE BETWEEN ACL ENTRIES AND FILE PERMISSION BITS" and
//! "OBJECT CREATION AND DEFAULT ACLs"; kernel documentation, "ext4 Data Structures and Algorithms", section
//! "Extended Attributes", part "POSIX ACLs", for the bytes of version 1, as ext stores them: ids only where they
//! mean something. Version 2 is what `getxattr(2)` gives, and what our XFS hands out: an id with every entry.
//! A list that is changed keeps its version. Byte order: little-endian.
//!
//! A mode is always the caller's decision here: a new file gets the list that creating it with that mode and
//! then setting the mode would leave, so that a default list never takes permissions away from a key file.

use super::{Metadata, NodeKind, Xattr};
use crate::bytes::field::{self, le_u16, le_u32};
use crate::error::{Corrupt, Result};

/// The attribute with the list of a file.
pub const ACCESS_NAME: &[u8] = b"system.posix_acl_access";
/// The attribute with the list that a directory gives to what is made in it.
pub const DEFAULT_NAME: &[u8] = b"system.posix_acl_default";

/// As ext stores a list.
const VERSION_SHORT: u32 = 1;
/// As `getxattr(2)` gives a list.
const VERSION_LONG: u32 = 2;
/// The id of an entry that is about nobody by name, in the long form.
const ID_NONE: u32 = u32::MAX;
const HEADER_BYTES: usize = 4;
const PERMISSIONS_MAX: u16 = 7;

/// Who an entry is about; the order is that of the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tag {
    Owner,
    User(u32),
    OwningGroup,
    Group(u32),
    Mask,
    Other,
}

/// What can be wrong with a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum AclDefect {
    #[error("version is {0}, not 1 or 2")]
    Version(u32),
    #[error("entry {index} has tag {tag:#x}")]
    Tag { index: usize, tag: u16 },
    #[error("entry {index} has permissions {permissions:#o}")]
    Permissions { index: usize, permissions: u16 },
    #[error("entry {0} is out of order")]
    Order(usize),
    #[error("an entry that every list has is missing")]
    Missing,
    #[error(transparent)]
    Short(#[from] field::Short),
}

/// One entry.
///
/// | offset | size | spec | ours | valid when |
/// |-------:|-----:|------|------|------------|
/// | 0x0 | 2 | e_tag | tag | 1, 2, 4, 8, 0x10 or 0x20; ascending |
/// | 0x2 | 2 | e_perm | permissions | 0..=7 |
/// | 0x4 | 4 | e_id | in the tag | only with tags 2 and 8; ascending |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    permissions: u16,
}

/// The entries in order: owner, users, owning group, groups, mask, others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Acl {
    version: u32,
    entries: Vec<Entry>,
}

impl Acl {
    fn parse(bytes: &[u8]) -> Result<Self, AclDefect> {
        let version = le_u32(bytes, 0)?;
        if !matches!(version, VERSION_SHORT | VERSION_LONG) {
            return Err(AclDefect::Version(version));
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
        while !rest.is_empty() {
            let index = entries.len();
            let (raw, permissions) = (le_u16(rest, 0)?, le_u16(rest, 2)?);
            let tag = match raw {
                0x1 => Tag::Owner,
                0x2 => Tag::User(le_u32(rest, 4)?),
                0x4 => Tag::OwningGroup,
                0x8 => Tag::Group(le_u32(rest, 4)?),
                0x10 => Tag::Mask,
                0x20 => Tag::Other,
                tag => return Err(AclDefect::Tag { index, tag }),
            };
            let has_id = version == VERSION_LONG || matches!(tag, Tag::User(_) | Tag::Group(_));
            let len = if has_id { 8 } else { 4 };
            field::slice(rest, 0, len)?;
            if permissions > PERMISSIONS_MAX {
                return Err(AclDefect::Permissions { index, permissions });
            }
            if entries.last().is_some_and(|last| last.tag >= tag) {
                return Err(AclDefect::Order(index));
            }
            entries.push(Entry { tag, permissions });
            rest = rest.get(len..).unwrap_or_default();
        }
        let acl = Self { version, entries };
        let is_whole = [Tag::Owner, Tag::OwningGroup, Tag::Other].iter().all(|tag| acl.has(*tag));
        let names_somebody =
            acl.entries.iter().any(|e| matches!(e.tag, Tag::User(_) | Tag::Group(_)));
        if is_whole && (acl.has(Tag::Mask) || !names_somebody) {
            Ok(acl)
        } else {
            Err(AclDefect::Missing)
        }
    }

    fn has(&self, tag: Tag) -> bool {
        self.entries.iter().any(|entry| entry.tag == tag)
    }

    /// Sets the entries that stand for the permission bits: the mask, where there is one, is the group's.
    fn set_mode(&mut self, mode: u32) {
        let bits = |shift: u32| field::low_u16(mode.wrapping_shr(shift)) & PERMISSIONS_MAX;
        let group = if self.has(Tag::Mask) { Tag::Mask } else { Tag::OwningGroup };
        for entry in &mut self.entries {
            match entry.tag {
                Tag::Owner => entry.permissions = bits(6),
                Tag::Other => entry.permissions = bits(0),
                tag if tag == group => entry.permissions = bits(3),
                _ => {}
            }
        }
    }

    /// The bytes; `None` if the permission bits say the same, and nothing is stored.
    fn encode(&self) -> Option<Vec<u8>> {
        if !self.has(Tag::Mask) {
            return None;
        }
        let mut bytes = self.version.to_le_bytes().to_vec();
        for entry in &self.entries {
            let (tag, id): (u16, Option<u32>) = match entry.tag {
                Tag::Owner => (0x1, None),
                Tag::User(id) => (0x2, Some(id)),
                Tag::OwningGroup => (0x4, None),
                Tag::Group(id) => (0x8, Some(id)),
                Tag::Mask => (0x10, None),
                Tag::Other => (0x20, None),
            };
            bytes.extend(tag.to_le_bytes());
            bytes.extend(entry.permissions.to_le_bytes());
            let id = id.or((self.version == VERSION_LONG).then_some(ID_NONE));
            bytes.extend(id.into_iter().flat_map(u32::to_le_bytes));
        }
        Some(bytes)
    }
}

/// Somebody who wants to use a node, as the kernel knows them: not root, who may do everything.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// User id.
    pub uid: u32,
    /// All group ids.
    pub gids: &'a [u32],
}

impl Acl {
    /// Whether somebody who does not own the node may do `wanted` (acl(5), "ACCESS CHECK ALGORITHM").
    fn permits(&self, gid: u32, caller: Caller<'_>, wanted: u16) -> bool {
        let has = |permissions: u16| permissions & wanted == wanted;
        let mask = self.entries.iter().find(|entry| entry.tag == Tag::Mask);
        let mask = mask.map_or(PERMISSIONS_MAX, |entry| entry.permissions);
        if let Some(own) = self.entries.iter().find(|entry| entry.tag == Tag::User(caller.uid)) {
            return has(own.permissions & mask);
        }
        let is_caller = |entry: &&Entry| match entry.tag {
            Tag::OwningGroup => caller.gids.contains(&gid),
            Tag::Group(gid) => caller.gids.contains(&gid),
            _ => false,
        };
        let mut groups = self.entries.iter().filter(is_caller).peekable();
        if groups.peek().is_some() {
            return has(mask) && groups.any(|entry| has(entry.permissions));
        }
        self.entries.iter().any(|entry| entry.tag == Tag::Other && has(entry.permissions))
    }
}

/// Whether the kernel lets `caller` do `wanted` (4 read, 2 write, 1 execute or pass) with a node that has the list
/// `access`. Linux does not look at the list if the permission bits of the group are all clear.
///
/// # Errors
/// `Corrupt` if the list is damaged; the kernel then denies.
pub fn permits(
    metadata: &Metadata,
    access: Option<&[u8]>,
    caller: Caller<'_>,
    wanted: u16,
) -> Result<bool> {
    let bits = |shift: u32| field::low_u16(metadata.mode.wrapping_shr(shift)) & PERMISSIONS_MAX;
    let has = |permissions: u16| permissions & wanted == wanted;
    if metadata.uid == caller.uid {
        return Ok(has(bits(6)));
    }
    if let Some(access) = access.filter(|_| bits(3) != 0) {
        return Ok(parse(access)?.permits(metadata.gid, caller, wanted));
    }
    Ok(has(bits(if caller.gids.contains(&metadata.gid) { 3 } else { 0 })))
}

/// The groups that the list `access` names.
///
/// # Errors
/// `Corrupt` if the list is damaged.
pub fn named_groups(access: &[u8]) -> Result<Vec<u32>> {
    let entries = parse(access)?.entries;
    let group = |entry: &Entry| match entry.tag {
        Tag::Group(gid) => Some(gid),
        _ => None,
    };
    Ok(entries.iter().filter_map(group).collect())
}

fn parse(bytes: &[u8]) -> Result<Acl> {
    Ok(Acl::parse(bytes).map_err(|defect| Corrupt::new("access control list", defect))?)
}

/// The lists of a new node with `mode` in a directory with the default list `default`.
///
/// # Errors
/// `Corrupt` if the list is damaged.
pub fn inherited(default: &[u8], kind: NodeKind, mode: u32) -> Result<Vec<Xattr>> {
    let mut acl = parse(default)?;
    acl.set_mode(mode);
    let mut xattrs = Vec::new();
    xattrs.extend(acl.encode().map(|value| Xattr { name: ACCESS_NAME.to_vec(), value }));
    if kind == NodeKind::Directory {
        xattrs.push(Xattr { name: DEFAULT_NAME.to_vec(), value: default.to_vec() });
    }
    Ok(xattrs)
}

/// All attributes of a new node: `explicit` ones, and the `inherited` lists that are not among them.
pub fn join(explicit: &[Xattr], inherited: Vec<Xattr>) -> Vec<Xattr> {
    let mut all = inherited;
    all.retain(|xattr| explicit.iter().all(|other| other.name != xattr.name));
    all.extend_from_slice(explicit);
    all
}

/// The list `access` of a file after its mode is set; `None` if it goes, because the mode says the same.
///
/// # Errors
/// `Corrupt` if the list is damaged.
pub fn with_mode(access: &[u8], mode: u32) -> Result<Option<Vec<u8>>> {
    let mut acl = parse(access)?;
    acl.set_mode(mode);
    Ok(acl.encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// user::rwx user:1000:rwx group::r-x group:50:-w- mask::rwx other::r-x
    const LIST: [u8; 36] = [
        1, 0, 0, 0, 1, 0, 7, 0, 2, 0, 7, 0, 0xe8, 3, 0, 0, 4, 0, 5, 0, 8, 0, 2, 0, 50, 0, 0, 0,
        0x10, 0, 7, 0, 0x20, 0, 5, 0,
    ];
    /// user::rwx group::r-x other::---
    const MINIMAL: [u8; 16] = [1, 0, 0, 0, 1, 0, 7, 0, 4, 0, 5, 0, 0x20, 0, 0, 0];

    fn changed(changes: &[(usize, u8)]) -> Vec<u8> {
        let mut list = LIST.to_vec();
        for (at, value) in changes {
            list[*at] = *value;
        }
        list
    }

    #[test]
    fn the_mode_sets_owner_mask_and_others() {
        let expected = changed(&[(6, 6), (30, 4), (34, 0)]);
        assert_eq!(with_mode(&LIST, 0o640).unwrap(), Some(expected.clone()));
        assert_eq!(with_mode(&MINIMAL, 0o640).unwrap(), None);
        let access = Xattr { name: ACCESS_NAME.to_vec(), value: expected };
        let of_file = inherited(&LIST, NodeKind::File, 0o640).unwrap();
        assert_eq!(of_file, std::slice::from_ref(&access));
        let default = Xattr { name: DEFAULT_NAME.to_vec(), value: LIST.to_vec() };
        assert_eq!(inherited(&LIST, NodeKind::Directory, 0o640).unwrap(), [access, default]);
        assert_eq!(inherited(&MINIMAL, NodeKind::File, 0o600).unwrap(), []);
        assert_eq!(inherited(&MINIMAL, NodeKind::Directory, 0o700).unwrap()[0].value, MINIMAL);
    }

    /// user::rwx user:1000:rwx group::r-x mask::rwx other::r-x, as `getxattr(2)` gives it.
    #[test]
    fn the_long_form_stays_long() {
        let mut list = vec![2, 0, 0, 0];
        for (tag, permissions, id) in
            [(1u16, 7u16, ID_NONE), (2, 7, 1000), (4, 5, ID_NONE), (0x10, 7, ID_NONE)]
        {
            list.extend(tag.to_le_bytes());
            list.extend(permissions.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        list.extend([0x20, 0, 5, 0, 255, 255, 255, 255]);
        let mut expected = list.clone();
        for (at, value) in [(6, 6), (30, 4), (38, 0)] {
            expected[at] = value;
        }
        assert_eq!(with_mode(&list, 0o640).unwrap(), Some(expected));
        let cut = Acl::parse(&list[..list.len() - 1]).unwrap_err();
        assert_eq!(cut, AclDefect::Short(field::Short { needed: 8, available: 7 }));
    }

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut list = vec![2, 0, 0, 0];
        for (tag, permissions, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(permissions.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        list
    }

    /// Owner uid 1, group gid 10. The same was measured with `setfacl` and `setpriv` on Linux 6.
    #[test]
    fn access_is_decided_as_the_kernel_does_login_49() {
        let none = ID_NONE;
        let full = list(&[
            (1, 6, none),
            (2, 4, 5),
            (2, 0, 6),
            (4, 0, none),
            (8, 4, 20),
            (8, 1, 21),
            (8, 0, 22),
            (0x10, 7, none),
            (0x20, 4, none),
        ]);
        let masked =
            list(&[(1, 7, none), (2, 7, 5), (4, 7, none), (0x10, 1, none), (0x20, 4, none)]);
        let hidden =
            list(&[(1, 7, none), (2, 7, 5), (4, 7, none), (0x10, 0, none), (0x20, 4, none)]);
        for (access, mode, uid, gids, wanted, expected) in [
            (None, 0o400, 1, &[][..], 4, true),
            (None, 0o044, 1, &[10], 4, false),
            (None, 0o040, 2, &[10], 4, true),
            (None, 0o004, 2, &[10], 4, false),
            (None, 0o004, 2, &[11], 4, true),
            (None, 0o040, 2, &[11], 4, false),
            (None, 0o051, 2, &[10, 11], 1, true),
            (Some(&full), 0o674, 1, &[20], 2, true),
            (Some(&full), 0o674, 5, &[], 4, true),
            (Some(&full), 0o674, 5, &[], 2, false),
            (Some(&full), 0o674, 6, &[20], 4, false),
            (Some(&full), 0o674, 7, &[20], 4, true),
            (Some(&full), 0o674, 7, &[22], 4, false),
            (Some(&full), 0o674, 7, &[22, 20], 4, true),
            // One entry must have all of it.
            (Some(&full), 0o674, 7, &[20, 21], 5, false),
            (Some(&full), 0o674, 7, &[10], 4, false),
            (Some(&full), 0o674, 7, &[10, 20], 4, true),
            (Some(&full), 0o674, 7, &[30], 4, true),
            (Some(&full), 0o674, 7, &[30], 1, false),
            (Some(&masked), 0o714, 5, &[], 4, false),
            (Some(&masked), 0o714, 5, &[], 1, true),
            (Some(&masked), 0o714, 7, &[10], 4, false),
            (Some(&masked), 0o714, 7, &[], 4, true),
            // An empty mask: the list is not looked at.
            (Some(&hidden), 0o704, 5, &[], 4, true),
            (Some(&hidden), 0o704, 7, &[10], 4, false),
        ] {
            let mut tree = crate::fs::memory::MemoryTree::new();
            tree.file("/f", 1, mode, b"").change("/f", |metadata| metadata.gid = 10);
            let node = tree.node_at("/f").unwrap();
            let metadata = crate::fs::FileSystem::metadata(&tree, node).unwrap();
            let caller = Caller { uid, gids };
            let access = access.map(Vec::as_slice);
            let found = permits(&metadata, access, caller, wanted).unwrap();
            assert_eq!(found, expected, "{mode:o} {uid} {gids:?} {wanted}");
        }
        assert_eq!(named_groups(&full).unwrap(), [20, 21, 22]);
        assert!(named_groups(&full[..20]).is_err());
    }

    #[test]
    fn what_a_caller_sets_wins() {
        let own = Xattr { name: ACCESS_NAME.to_vec(), value: vec![1] };
        let lists = inherited(&LIST, NodeKind::File, 0o600).unwrap();
        assert_eq!(join(std::slice::from_ref(&own), lists.clone()), [own]);
        assert_eq!(join(&[], lists.clone()), lists);
    }

    #[test]
    fn every_defect_is_named() {
        let cases: [(Vec<u8>, AclDefect); 9] = [
            (changed(&[(0, 3)]), AclDefect::Version(3)),
            (changed(&[(4, 3)]), AclDefect::Tag { index: 0, tag: 3 }),
            (changed(&[(6, 8)]), AclDefect::Permissions { index: 0, permissions: 8 }),
            (changed(&[(8, 1)]), AclDefect::Order(1)),
            (changed(&[(28, 0x20)]), AclDefect::Order(5)),
            (LIST[..32].to_vec(), AclDefect::Missing),
            ([&LIST[..28], &LIST[32..]].concat(), AclDefect::Missing),
            (Vec::new(), AclDefect::Short(le_u32(&[], 0).unwrap_err())),
            (LIST[..35].to_vec(), AclDefect::Short(le_u16(&LIST[32..35], 2).unwrap_err())),
        ];
        for (bytes, defect) in cases {
            assert_eq!(Acl::parse(&bytes), Err(defect), "{bytes:?}");
        }
        assert_eq!(inherited(&[], NodeKind::File, 0).unwrap_err().kind_name(), "corrupt");
    }
}
