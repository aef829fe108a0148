//! Reading attributes, wherever they are.

use super::parent::ParentPointer;
use super::{Attribute, Value, name, short_form, tree};
use crate::error::{Error, Result};
use crate::fs::Xattr;
use crate::fs::xfs::da::DaBlocks;

/// Bound on the attributes of one inode, in bytes of names, values and entries.
const TOTAL_BYTES_MAX: u64 = crate::fs::FILE_BYTES_MAX;
/// What an attribute takes besides its name and value, for the bound.
const ATTRIBUTE_BYTES: u64 = 64;

/// Where the attributes of an inode are.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// There is no attribute fork.
    Nowhere,
    /// All bytes of a local attribute fork.
    ShortForm(&'a [u8]),
    /// The blocks of an attribute fork.
    Blocks(&'a dyn DaBlocks),
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "Nowhere",
            Self::ShortForm(_) => "ShortForm",
            Self::Blocks(_) => "Blocks",
        })
    }
}

/// Calls `visit` for every attribute as it is stored.
fn visit_all(source: Source<'_>, visit: &mut dyn FnMut(Attribute) -> Result<()>) -> Result<()> {
    match source {
        Source::Nowhere => Ok(()),
        Source::ShortForm(bytes) => short_form::parse(bytes)?.into_iter().try_for_each(visit),
        Source::Blocks(blocks) => tree::visit(blocks, visit),
    }
}

/// The value of an attribute of `source`.
fn value(source: Source<'_>, attribute: &Attribute) -> Result<Vec<u8>> {
    match (source, &attribute.value) {
        (Source::Blocks(blocks), _) => tree::value(blocks, attribute),
        (_, Value::Local(value)) => Ok(value.clone()),
        // The other forms have no such value.
        (_, Value::Remote { .. }) => Ok(Vec::new()),
    }
}

/// All attributes that have a full name.
///
/// # Errors
/// `Corrupt`; `Limit` if they are too many.
pub(crate) fn xattrs(source: Source<'_>) -> Result<Vec<Xattr>> {
    let mut total_bytes: u64 = 0;
    let mut xattrs = Vec::new();
    visit_all(source, &mut |attribute| {
        let value_bytes = match &attribute.value {
            Value::Local(value) => crate::bytes::arith::len_u64(value.len()),
            Value::Remote { size_bytes, .. } => u64::from(*size_bytes),
        };
        total_bytes = total_bytes.saturating_add(ATTRIBUTE_BYTES).saturating_add(value_bytes);
        if total_bytes > TOTAL_BYTES_MAX {
            let what = "size of all extended attributes in bytes";
            return Err(Error::limit(what, TOTAL_BYTES_MAX, total_bytes));
        }
        if !attribute.is_incomplete {
            xattrs.extend(name::to_xattr(&attribute, || value(source, &attribute))?);
        }
        Ok(())
    })?;
    Ok(xattrs)
}

/// The value of the attribute with the full name `full_name`.
///
/// # Errors
/// `Corrupt`.
pub(crate) fn xattr(source: Source<'_>, full_name: &[u8]) -> Result<Option<Vec<u8>>> {
    let Ok(key) = name::key(full_name) else { return Ok(None) };
    let found = match source {
        Source::Nowhere => None,
        Source::ShortForm(bytes) => {
            short_form::parse(bytes)?.into_iter().find(|attribute| attribute.is_same(&key))
        }
        Source::Blocks(blocks) => tree::find(blocks, &key)?,
    };
    let Some(attribute) = found else { return Ok(None) };
    let xattr = name::to_xattr(&attribute, || value(source, &attribute))?;
    Ok(xattr.map(|xattr| xattr.value))
}

/// The names of an inode, as its parent pointers have them.
///
/// # Errors
/// `Corrupt`; `Limit` if they are too many.
pub(crate) fn parent_pointers(source: Source<'_>) -> Result<Vec<ParentPointer>> {
    let mut pointers = Vec::new();
    let limit = TOTAL_BYTES_MAX / ATTRIBUTE_BYTES;
    visit_all(source, &mut |attribute| {
        pointers.extend(ParentPointer::from_attribute(&attribute));
        let count = crate::bytes::arith::len_u64(pointers.len());
        if count > limit {
            return Err(Error::limit("number of names of an inode", limit, count));
        }
        Ok(())
    })?;
    Ok(pointers)
}
