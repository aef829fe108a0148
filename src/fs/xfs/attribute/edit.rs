//! Changes of the attributes of one inode, and what becomes of its attribute fork.
//!
//! Attributes stay in the inode as long as they fit; then they go into blocks and do not come back
//! before the last one is gone. The caller owns inode and blocks: a short form is changed by
//! [`change_short_form`], blocks by [`change_blocks`].

use super::room::Room;
use super::tree::{self, BlocksChange};
use super::{Attribute, VALUE_BYTES_MAX, name, short_form};
use crate::error::{Error, Refusal, Result};
use crate::fs::xfs::da::DaBlocks;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Set an attribute, whether it is there or not.
    Set(Attribute),
    /// Remove it, if it is there. The value only matters for parent pointers.
    Remove(Attribute),
}

impl Change {
    /// Sets the attribute with the full name `name`, or removes it with `None`.
    ///
    /// # Errors
    /// `Refused` if no attribute can have this name or so long a value; `Corrupt` if an access
    /// control list makes no sense.
    pub(crate) fn xattr(full_name: &[u8], value: Option<&[u8]>) -> Result<Self> {
        let Some(value) = value else {
            return Ok(Self::Remove(name::key(full_name)?));
        };
        let attribute = name::to_attribute(full_name, value)?;
        let len = u64::try_from(value.len()).unwrap_or(u64::MAX);
        if len > u64::from(VALUE_BYTES_MAX) {
            let what = "size of an extended attribute in bytes";
            return Err(Error::limit(what, VALUE_BYTES_MAX.into(), len));
        }
        Ok(Self::Set(attribute))
    }

    /// Makes the change in a list; false if it changes nothing.
    fn apply(&self, attributes: &mut Vec<Attribute>) -> bool {
        let (Self::Set(one) | Self::Remove(one)) = self;
        let position = attributes.iter().position(|other| other.is_same(one));
        let old = position.and_then(|position| attributes.get_mut(position));
        match (self, old) {
            (Self::Set(new), Some(old)) if old.value == new.value => return false,
            (Self::Set(new), Some(old)) => old.clone_from(new),
            (Self::Set(new), None) => attributes.push(new.clone()),
            (Self::Remove(_), None) => return false,
            (Self::Remove(_), Some(_)) => attributes.retain(|other| !other.is_same(one)),
        }
        true
    }
}

/// What becomes of an attribute fork that is not in blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ForkChange {
    /// Nothing changes.
    Same,
    /// There is no attribute any more, and no fork.
    Gone,
    /// The fork is local.
    Local {
        /// Where it starts in the literal area.
        offset_bytes: usize,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// The fork becomes an empty list of extents; then [`tree::create`] puts the attributes into
    /// blocks.
    Blocks {
        /// Where it starts in the literal area.
        offset_bytes: usize,
        /// All attributes.
        attributes: Vec<Attribute>,
    },
}

/// Makes `changes` to attributes in short form; `attributes` are those that are there.
///
/// # Errors
/// `Refused` if the data fork leaves no room for an attribute fork.
pub(crate) fn change_short_form(
    room: &Room,
    attributes: &[Attribute],
    changes: &[Change],
) -> Result<ForkChange> {
    let mut new = attributes.to_vec();
    // Not `any`, which would stop at the first one.
    let changed = changes.iter().filter(|change| change.apply(&mut new)).count();
    if changed == 0 {
        return Ok(ForkChange::Same);
    }
    if new.is_empty() {
        return Ok(ForkChange::Gone);
    }
    let bytes = short_form::encode(&new);
    let place = bytes.and_then(|bytes| room.place(bytes.len()).map(|offset| (bytes, offset)));
    if let Some((bytes, offset_bytes)) = place {
        return Ok(ForkChange::Local { offset_bytes, bytes });
    }
    let Some(offset_bytes) = room.place_blocks() else {
        let feature = "an inode whose content leaves no room for attributes".to_owned();
        return Err(Refusal::NotWritable { feature }.into());
    };
    Ok(ForkChange::Blocks { offset_bytes, attributes: new })
}

/// Makes `changes` to attributes in blocks. After [`BlocksChange::Emptied`] the fork goes.
///
/// # Errors
/// `Refused` without space; `Corrupt`.
pub(crate) fn change_blocks(blocks: &mut dyn DaBlocks, changes: &[Change]) -> Result<BlocksChange> {
    let mut result = BlocksChange::Same;
    for change in changes {
        let change = match change {
            Change::Set(new) => tree::set(blocks, new)?,
            Change::Remove(old) => tree::remove(blocks, old)?,
        };
        if change != BlocksChange::Same {
            result = change;
        }
    }
    Ok(result)
}
