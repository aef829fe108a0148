//! Security descriptors: safe ones for key files, scripts and their directories, and who may write to an existing
//! file.
//!
//! Document: MS-DTYP "Windows Data Types", sections 2.4.2 (SID), 2.4.4.1 and 2.4.4.2 (ACE), 2.4.5 (ACL) and 2.4.6
//! (SECURITY_DESCRIPTOR, self-relative). Little-endian, but for the authority of a SID. Not handled: object ACEs
//! and conditional ACEs, which files of the system do not have; an ACE of another type than "allowed" and
//! "denied" counts as unknown.
//!
//! | offset | size | spec        | here                          | valid when                     |
//! |-------:|-----:|-------------|-------------------------------|--------------------------------|
//! |    0x0 |    1 | Revision    | (checked)                     | 1                              |
//! |    0x1 |    1 | Sbz1        | -                             | any                            |
//! |    0x2 |    2 | Control     | (checked)                     | self-relative, DACL present    |
//! |    0x4 |    4 | OffsetOwner | owner                         | inside the descriptor          |
//! |    0x8 |    4 | OffsetGroup | -                             | any                            |
//! |    0xc |    4 | OffsetSacl  | -                             | any                            |
//! |   0x10 |    4 | OffsetDacl  | list                          | inside the descriptor, or 0    |

use crate::bytes::{arith, field};
use crate::error::{Corrupt, Error, Result};
use crate::fs::{NTFS_ACL_NAME, NewNode, Xattr};
use std::fmt;

/// Bound on the parts of a SID behind the authority (MS-DTYP 2.4.2).
const SUB_AUTHORITIES_MAX: usize = 15;
/// Bound on the entries of a list that are looked at; a list has at most 64 KiB.
const ENTRIES_MAX: u16 = 8192;

const HEADER_BYTES: usize = 20;
const ACL_HEADER_BYTES: usize = 8;
const ACE_HEADER_BYTES: usize = 8;
const REVISION: u8 = 1;
const ACL_REVISION: u8 = 2;
const DACL_PRESENT: u16 = 0x0004;
const DACL_PROTECTED: u16 = 0x1000;
const SELF_RELATIVE: u16 = 0x8000;
const ACCESS_ALLOWED: u8 = 0;
const ACCESS_DENIED: u8 = 1;
/// An entry that only new children get.
const INHERIT_ONLY: u8 = 0x08;
/// Every right that lets somebody change the content, the list or the owner of a file: FILE_WRITE_DATA,
/// FILE_APPEND_DATA, WRITE_DAC, WRITE_OWNER, GENERIC_WRITE, GENERIC_ALL.
const CHANGES: u32 = 0x0002 | 0x0004 | 0x0004_0000 | 0x0008_0000 | 0x4000_0000 | 0x1000_0000;

/// A security identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sid {
    /// 48 bits; 5 is the NT authority.
    authority: u64,
    parts: Vec<u32>,
}

impl Sid {
    fn new(authority: u64, parts: &[u32]) -> Self {
        Self { authority, parts: parts.to_vec() }
    }

    /// The operating system: S-1-5-18.
    pub fn system() -> Self {
        Self::new(5, &[18])
    }

    /// The local group of administrators: S-1-5-32-544.
    pub fn administrators() -> Self {
        Self::new(5, &[32, 544])
    }

    /// Everybody who has logged in: S-1-5-11.
    pub fn authenticated_users() -> Self {
        Self::new(5, &[11])
    }

    /// Reads the text form, as in `S-1-5-21-1-2-3-500`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix("S-1-").or(text.strip_prefix("s-1-"))?.split('-');
        let authority = numbers.next()?.parse().ok()?;
        let parts: Vec<u32> = numbers.map(|n| n.parse().ok()).collect::<Option<_>>()?;
        (parts.len() <= SUB_AUTHORITIES_MAX).then_some(Self { authority, parts })
    }

    /// The last part: the RID of an account.
    pub fn rid(&self) -> Option<u32> {
        self.parts.last().copied()
    }

    /// True for an account or group of a machine or domain: S-1-5-21-...
    pub fn is_account(&self) -> bool {
        self.authority == 5 && self.parts.first() == Some(&21)
    }

    /// Length of the binary form in bytes.
    pub fn len_bytes(&self) -> usize {
        self.parts.len().saturating_mul(4).saturating_add(8)
    }

    /// Reads the SID at `offset` of `bytes`.
    ///
    /// # Errors
    /// `Corrupt` if there is none.
    pub fn read(bytes: &[u8], offset: usize) -> Result<Self> {
        let count = usize::from(field::u8_at(bytes, offset.saturating_add(1))?);
        if field::u8_at(bytes, offset)? != REVISION || count > SUB_AUTHORITIES_MAX {
            return Err(defect("a SID with an unknown revision or too many parts"));
        }
        let high = field::array::<6>(bytes, offset.saturating_add(2))?;
        let authority = high.iter().fold(0u64, |sum, &byte| (sum << 8) | u64::from(byte));
        let mut parts = Vec::with_capacity(count);
        let mut at = offset.saturating_add(8);
        for _ in 0..count {
            parts.push(field::le_u32(bytes, at)?);
            at = at.saturating_add(4);
        }
        Ok(Self { authority, parts })
    }

    fn encode(&self) -> Vec<u8> {
        let count = u8::try_from(self.parts.len()).unwrap_or_default();
        let mut bytes = vec![REVISION, count];
        bytes.extend_from_slice(self.authority.to_be_bytes().get(2..).unwrap_or_default());
        bytes.extend(self.parts.iter().flat_map(|part| part.to_le_bytes()));
        bytes
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S-1-{}", self.authority)?;
        self.parts.iter().try_for_each(|part| write!(f, "-{part}"))
    }
}

/// Everything.
pub const FULL_CONTROL: u32 = 0x001f_01ff;
/// Reading, and running or walking through.
pub const READ_AND_EXECUTE: u32 = 0x0012_00a9;
/// What an entry of a directory passes on: OBJECT_INHERIT and CONTAINER_INHERIT.
const INHERITED_BY_ALL: u8 = 0x03;

/// What a descriptor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeUse {
    /// A file.
    File,
    /// A directory that passes its list on.
    Directory,
}

/// The descriptor that gives the system and the administrators full control, `further` accounts what stands
/// beside them, and nobody else anything, whatever the directory above would pass on. Owner are the
/// administrators, group is the system.
///
/// # Errors
/// `Limit` if there are more accounts than a list holds.
pub fn descriptor(node: NodeUse, further: &[(Sid, u32)]) -> Result<Vec<u8>> {
    let own = [(Sid::system(), FULL_CONTROL), (Sid::administrators(), FULL_CONTROL)];
    let flags = if node == NodeUse::Directory { INHERITED_BY_ALL } else { 0 };
    let mut entries = Vec::new();
    let mut count = 0u16;
    for (sid, mask) in own.iter().chain(further) {
        let sid = sid.encode();
        let size: u16 = arith::to(sid.len().saturating_add(ACE_HEADER_BYTES))?;
        entries.extend([ACCESS_ALLOWED, flags]);
        entries.extend(size.to_le_bytes());
        entries.extend(mask.to_le_bytes());
        entries.extend(sid);
        count = count.saturating_add(1);
    }
    let list_bytes: u16 = arith::to(entries.len().saturating_add(ACL_HEADER_BYTES))?;
    let owner_at: u32 = arith::to(HEADER_BYTES.saturating_add(usize::from(list_bytes)))?;
    let owner = Sid::administrators().encode();
    let group_at = owner_at.saturating_add(arith::to::<usize, u32>(owner.len())?);
    let control = SELF_RELATIVE | DACL_PRESENT | DACL_PROTECTED;
    let mut bytes = vec![REVISION, 0];
    bytes.extend(control.to_le_bytes());
    bytes.extend(owner_at.to_le_bytes());
    bytes.extend(group_at.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(arith::to::<usize, u32>(HEADER_BYTES)?.to_le_bytes());
    bytes.extend([ACL_REVISION, 0]);
    bytes.extend(list_bytes.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(entries);
    bytes.extend(owner);
    bytes.extend(Sid::system().encode());
    Ok(bytes)
}

/// A node to be made with a [`descriptor`]. Owner and mode are those that every node of NTFS shows.
///
/// # Errors
/// As [`descriptor`].
pub fn new_node(node: NodeUse, further: &[(Sid, u32)]) -> Result<NewNode> {
    let value = descriptor(node, further)?;
    let xattrs = vec![Xattr { name: NTFS_ACL_NAME.to_vec(), value }];
    Ok(NewNode { mode: 0o777, uid: 0, gid: 0, xattrs })
}

/// Who besides the system, the administrators and `trusted` owns the file of a descriptor or may change it, for
/// people; empty is what OpenSSH asks for.
///
/// # Errors
/// `Corrupt` if it is no descriptor.
pub fn who_else_may_change(descriptor: &[u8], trusted: &[Sid]) -> Result<Vec<String>> {
    let is_trusted =
        |sid: &Sid| *sid == Sid::system() || *sid == Sid::administrators() || trusted.contains(sid);
    let control = field::le_u16(descriptor, 2)?;
    if field::u8_at(descriptor, 0)? != REVISION || control & SELF_RELATIVE == 0 {
        return Err(defect("not a self-relative descriptor"));
    }
    let mut others = Vec::new();
    let owner_at = arith::to(field::le_u32(descriptor, 4)?)?;
    match owner_at {
        0 => others.push("an unknown owner".to_owned()),
        owner_at => {
            let owner = Sid::read(descriptor, owner_at)?;
            others.extend((!is_trusted(&owner)).then(|| format!("its owner {owner}")));
        }
    }
    let list_at: usize = arith::to(field::le_u32(descriptor, 16)?)?;
    if control & DACL_PRESENT == 0 || list_at == 0 {
        others.push("everybody, because it has no list".to_owned());
        return Ok(others);
    }
    let count = field::le_u16(descriptor, list_at.saturating_add(4))?.min(ENTRIES_MAX);
    let mut at = list_at.saturating_add(ACL_HEADER_BYTES);
    for _ in 0..count {
        let kind = field::u8_at(descriptor, at)?;
        let flags = field::u8_at(descriptor, at.saturating_add(1))?;
        let size = usize::from(field::le_u16(descriptor, at.saturating_add(2))?);
        let mask = field::le_u32(descriptor, at.saturating_add(4))?;
        if size < ACE_HEADER_BYTES {
            return Err(defect("an entry that is shorter than its head"));
        }
        match kind {
            ACCESS_ALLOWED if flags & INHERIT_ONLY == 0 && mask & CHANGES != 0 => {
                let sid = Sid::read(descriptor, at.saturating_add(ACE_HEADER_BYTES))?;
                others.extend((!is_trusted(&sid)).then(|| sid.to_string()));
            }
            ACCESS_ALLOWED | ACCESS_DENIED => {}
            kind => others.push(format!("an entry of the unknown type {kind}")),
        }
        at = at.saturating_add(size);
    }
    Ok(others)
}

fn defect(what: &str) -> Error {
    Corrupt::new("security descriptor", what.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_safe_descriptor_is_the_documented_bytes() {
        let bytes = descriptor(NodeUse::File, &[]).unwrap();
        let expected = [
            // Revision, control 0x9004, owner at 0x48, group at 0x58, no SACL, DACL at 0x14.
            "01000490 48000000 58000000 00000000 14000000",
            // Revision 2, 52 bytes, 2 entries.
            "02003400 02000000",
            "00001400 ff011f00 010100000000000512000000",
            "00001800 ff011f00 0102000000000005200000002002000 0",
            "01020000000000052000000020020000",
            "010100000000000512000000",
        ];
        let expected: String = expected.concat().replace(' ', "");
        let byte = |at| u8::from_str_radix(&expected[at..at + 2], 16).unwrap();
        let expected: Vec<u8> = (0..expected.len()).step_by(2).map(byte).collect();
        assert_eq!(bytes, expected);
        assert_eq!(who_else_may_change(&bytes, &[]).unwrap(), [""; 0]);
    }

    #[test]
    fn who_may_change_a_file_is_seen() {
        let user = Sid::parse("S-1-5-21-1-2-3-1001").unwrap();
        assert_eq!((user.rid(), user.to_string().as_str()), (Some(1001), "S-1-5-21-1-2-3-1001"));
        let with_user = descriptor(NodeUse::File, &[(user.clone(), FULL_CONTROL)]).unwrap();
        assert_eq!(who_else_may_change(&with_user, std::slice::from_ref(&user)).unwrap(), [""; 0]);
        assert_eq!(who_else_may_change(&with_user, &[]).unwrap(), ["S-1-5-21-1-2-3-1001"]);
        // The third entry starts at 20 + 8 + 20 + 24 = 72; its flags and its mask follow.
        let mut read_only = with_user.clone();
        read_only[76..80].copy_from_slice(&0x0012_0089u32.to_le_bytes());
        assert_eq!(who_else_may_change(&read_only, &[]).unwrap(), [""; 0]);
        let mut inherited = with_user.clone();
        inherited[73] = INHERIT_ONLY;
        assert_eq!(who_else_may_change(&inherited, &[]).unwrap(), [""; 0]);
        let mut unknown = with_user.clone();
        unknown[72] = 9;
        assert_eq!(who_else_may_change(&unknown, &[]).unwrap().len(), 1);
        let mut no_list = with_user.clone();
        no_list[16..20].fill(0);
        assert_eq!(who_else_may_change(&no_list, &[]).unwrap().len(), 1);
        let mut short = with_user.clone();
        short[74..76].fill(0);
        assert!(who_else_may_change(&short, &[]).is_err());
        for length in 0..with_user.len() {
            let cut = with_user.get(..length).unwrap();
            assert!(length >= 124 || who_else_may_change(cut, &[]).is_err(), "{length}");
        }
    }

    #[test]
    fn texts_that_are_no_sid_are_refused() {
        for text in ["", "S-1-", "S-2-5-18", "S-1-5-x", "S-1-5-18-", "S-1-5-4294967296"] {
            assert_eq!(Sid::parse(text), None, "{text}");
        }
        assert_eq!(Sid::parse("S-1-5-32-544"), Some(Sid::administrators()));
    }
}
