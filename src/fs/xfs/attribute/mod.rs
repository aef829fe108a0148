//! Extended attributes: in the inode (short form), in one block (leaf), in a tree of blocks (node form).
//!
//! Format: "XFS Algorithms & Data Structures", chapters "Extended Attributes" and "Variable Length Record
//! B+trees"; parent pointers after the design text that was posted for the same document ("Directory Parent
//! Pointers"). What no document says was observed with xfs_db and a kernel, and is marked so.
//!
//! Everything here is pure over bytes or works through [`DaBlocks`](super::da::DaBlocks): the caller loads and
//! stores the inode. [`short_form`] and [`leaf`] turn bytes into [`Attribute`]s and back, [`tree`] finds and
//! changes them in blocks, [`remote`] holds large values, [`room`] divides the inode between its two forks,
//! [`parent`] makes parent pointers, [`name`] and [`acl`] translate to what the rest of regain calls them,
//! and [`fork`] does all of it on an inode of a volume.
//!
//! Not handled: attributes that an interrupted edit left incomplete; they are neither shown nor removed.

mod acl;
pub(crate) mod edit;
mod fork;
mod leaf;
mod name;
pub(crate) mod parent;
pub(crate) mod read;
mod remote;
pub(crate) mod room;
pub(crate) mod short_form;
pub(crate) mod tree;

use super::da::{DaFormat, hash_name};
use crate::error::{Corrupt, Error};

/// `flags` of an entry: the value is beside the name.
const FLAG_LOCAL: u8 = 0x1;
/// `flags`: namespace "trusted".
const FLAG_ROOT: u8 = 0x2;
/// `flags`: namespace "security".
const FLAG_SECURE: u8 = 0x4;
/// `flags`: a parent pointer.
const FLAG_PARENT: u8 = 0x8;
/// `flags`: an edit of this attribute was interrupted.
const FLAG_INCOMPLETE: u8 = 0x80;

/// Longest value, in bytes ("up to 64KB").
pub(crate) const VALUE_BYTES_MAX: u32 = 65_536;

/// Whose attribute it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Namespace {
    /// `user.`
    User,
    /// `trusted.`, and the access control lists.
    Root,
    /// `security.`
    Secure,
    /// A parent pointer, which only the file system itself sees.
    Parent,
}

impl Namespace {
    /// The namespace that the bits of `flags` stand for; `None` if there are two.
    fn parse(flags: u8) -> Option<Self> {
        Some(match flags & (FLAG_ROOT | FLAG_SECURE | FLAG_PARENT) {
            0 => Self::User,
            FLAG_ROOT => Self::Root,
            FLAG_SECURE => Self::Secure,
            FLAG_PARENT => Self::Parent,
            _ => return None,
        })
    }

    fn flags(self) -> u8 {
        match self {
            Self::User => 0,
            Self::Root => FLAG_ROOT,
            Self::Secure => FLAG_SECURE,
            Self::Parent => FLAG_PARENT,
        }
    }
}

/// Where the value of an attribute is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Beside the name.
    Local(Vec<u8>),
    /// In blocks of its own.
    Remote {
        /// `valueblk`: the first block, in the attribute fork.
        block: u32,
        /// `valuelen`.
        size_bytes: u32,
    },
}

/// One attribute as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// Whose it is.
    pub(crate) namespace: Namespace,
    /// Its name without a prefix: 1 to 255 bytes.
    pub(crate) name: Vec<u8>,
    /// The value.
    pub(crate) value: Value,
    /// True if an interrupted edit left it; nobody may see it, and we leave it alone.
    pub(crate) is_incomplete: bool,
}

impl Attribute {
    /// An attribute with its value beside its name.
    pub(crate) fn local(namespace: Namespace, name: &[u8], value: &[u8]) -> Self {
        let value = Value::Local(value.to_vec());
        Self { namespace, name: name.to_vec(), value, is_incomplete: false }
    }

    /// True if both mean the same attribute: names must agree, and of parent pointers also the values, because
    /// two directories may hold the same name.
    fn is_same(&self, other: &Self) -> bool {
        self.namespace == other.namespace
            && self.name == other.name
            && (self.namespace != Namespace::Parent || self.value == other.value)
    }
}

/// What can be wrong with attributes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AttributeDefect {
    /// A structure ends too early.
    #[error(transparent)]
    Short(#[from] crate::bytes::field::Short),
    /// `totsize` of a short form.
    #[error("size {total} is not between the entries' {end} and the fork's {space} bytes")]
    TotalSize {
        /// As stored.
        total: usize,
        /// Where the last entry ends.
        end: usize,
        /// Length of the fork.
        space: usize,
    },
    /// An entry leads out of its place.
    #[error("entry {index} at {offset:#x} leads beyond {end:#x}")]
    Entry {
        /// Of the entry.
        index: usize,
        /// Where it starts.
        offset: usize,
        /// Where it must end.
        end: usize,
    },
    /// Bits that are unknown, contradict each other, or do not belong there.
    #[error("entry {index} has flags {flags:#04x}")]
    Flags {
        /// Of the entry.
        index: usize,
        /// As stored.
        flags: u8,
    },
    /// A name is empty or contains NUL.
    #[error("entry {index} has no possible name")]
    Name {
        /// Of the entry.
        index: usize,
    },
    /// Two entries have the same name.
    #[error("entry {index} has the name of another")]
    Duplicate {
        /// Of the second one.
        index: usize,
    },
    /// A parent pointer whose value is none.
    #[error("entry {index}: a parent pointer has {size} bytes, not 12")]
    ParentValue {
        /// Of the entry.
        index: usize,
        /// Of the value.
        size: usize,
    },
}

impl From<AttributeDefect> for Error {
    fn from(defect: AttributeDefect) -> Self {
        Corrupt::new("extended attributes", defect).into()
    }
}

/// Checks the name of `new`, and the value if it is a parent pointer.
fn check_one(new: &Attribute, index: usize) -> Result<(), AttributeDefect> {
    if new.name.is_empty() || new.name.contains(&0) {
        return Err(AttributeDefect::Name { index });
    }
    match (new.namespace, &new.value) {
        (Namespace::Parent, Value::Local(value)) if value.len() != parent::VALUE_BYTES => {
            Err(AttributeDefect::ParentValue { index, size: value.len() })
        }
        _ => Ok(()),
    }
}

/// Checks that nothing in `others` has the name of `new`.
fn check_double(
    others: &[Attribute],
    new: &Attribute,
    index: usize,
) -> Result<(), AttributeDefect> {
    let is_double =
        |other: &Attribute| other.is_same(new) && other.is_incomplete == new.is_incomplete;
    if others.iter().any(is_double) {
        return Err(AttributeDefect::Duplicate { index });
    }
    Ok(())
}

impl Attribute {
    /// The hash by which blocks of attributes are ordered.
    fn hash(&self, format: &DaFormat) -> u32 {
        parent::directory_of(self).map_or_else(
            || hash_name(&self.name),
            |directory| parent::hash(&self.name, directory, format),
        )
    }
}

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;
