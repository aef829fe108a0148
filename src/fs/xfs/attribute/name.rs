//! Full names, as in `security.selinux`, and what an entry stores instead.
//!
//! Access control lists have names of their own in the root namespace, and a form of their own;
//! the rest of regain knows them as `system.posix_acl_access` and `system.posix_acl_default`.

use super::{Attribute, Namespace, Value, acl};
use crate::bytes::text;
use crate::error::{Refusal, Result};
use crate::fs::Xattr;
use crate::fs::acl::{ACCESS_NAME, DEFAULT_NAME};

/// Root-namespace names of the lists of a file, and of what is made in a directory.
const LISTS: [(&[u8], &[u8]); 2] =
    [(ACCESS_NAME, b"SGI_ACL_FILE"), (DEFAULT_NAME, b"SGI_ACL_DEFAULT")];
const PREFIXES: [(&[u8], Namespace); 3] = [
    (b"user.", Namespace::User),
    (b"trusted.", Namespace::Root),
    (b"security.", Namespace::Secure),
];
/// Longest name with its prefix that a kernel lets through, in bytes (`xattr(7)`).
const FULL_NAME_LEN_MAX: usize = 255;

/// The namespace and stored name of the full name `full`; `None` if no attribute can have it.
fn split(full: &[u8]) -> Option<(Namespace, &[u8])> {
    if let Some((_, stored)) = LISTS.into_iter().find(|(name, _)| *name == full) {
        return Some((Namespace::Root, stored));
    }
    let (namespace, rest) = PREFIXES
        .into_iter()
        .find_map(|(prefix, namespace)| full.strip_prefix(prefix).map(|rest| (namespace, rest)))?;
    let is_list = namespace == Namespace::Root && is_list(rest);
    let is_possible = !rest.is_empty() && full.len() <= FULL_NAME_LEN_MAX && !rest.contains(&0);
    (is_possible && !is_list).then_some((namespace, rest))
}

/// The full name of what an entry stores; `None` for parent pointers.
fn join(namespace: Namespace, stored: &[u8]) -> Option<Vec<u8>> {
    if namespace == Namespace::Root
        && let Some((full, _)) = LISTS.into_iter().find(|(_, name)| *name == stored)
    {
        return Some(full.to_vec());
    }
    let (prefix, _) = PREFIXES.into_iter().find(|(_, own)| *own == namespace)?;
    Some([prefix, stored].concat())
}

fn is_list(stored: &[u8]) -> bool {
    LISTS.into_iter().any(|(_, name)| name == stored)
}

/// What everybody may see of `attribute`, whose value `read` gives; `None` for parent pointers and
/// for what an interrupted edit left.
///
/// # Errors
/// `Corrupt` if it is an access control list that makes no sense; the error of `read`.
pub(super) fn to_xattr(
    attribute: &Attribute,
    read: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<Option<Xattr>> {
    if attribute.is_incomplete {
        return Ok(None);
    }
    let Some(name) = join(attribute.namespace, &attribute.name) else { return Ok(None) };
    let is_list = attribute.namespace == Namespace::Root && is_list(&attribute.name);
    let value = if is_list { acl::from_stored(&read()?)? } else { read()? };
    Ok(Some(Xattr { name, value }))
}

/// An attribute without a value under the full name `full`.
///
/// # Errors
/// `Refused` if there is no place for such a name.
pub(super) fn key(full: &[u8]) -> Result<Attribute> {
    let Some((namespace, stored)) = split(full) else {
        let path = format!("attribute {}", text::escape_limited(full, 80));
        let reason = "XFS has no place for this name".to_owned();
        return Err(Refusal::UnsuitableFile { path, reason }.into());
    };
    Ok(Attribute::local(namespace, stored, &[]))
}

/// The attribute that stores `value` under the full name `full`.
///
/// # Errors
/// `Refused` if there is no place for such a name; `Corrupt` if it is an access control list that
/// makes no sense.
pub(super) fn to_attribute(full: &[u8], value: &[u8]) -> Result<Attribute> {
    let key = key(full)?;
    let is_list = key.namespace == Namespace::Root && is_list(&key.name);
    let value = if is_list { acl::to_stored(value)? } else { value.to_vec() };
    Ok(Attribute { value: Value::Local(value), ..key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names_split_and_join() {
        for (full, namespace, stored) in [
            ("user.a", Namespace::User, "a"),
            ("trusted.overlay.opaque", Namespace::Root, "overlay.opaque"),
            ("security.selinux", Namespace::Secure, "selinux"),
            ("system.posix_acl_access", Namespace::Root, "SGI_ACL_FILE"),
            ("system.posix_acl_default", Namespace::Root, "SGI_ACL_DEFAULT"),
            ("user.SGI_ACL_FILE", Namespace::User, "SGI_ACL_FILE"),
        ] {
            assert_eq!(split(full.as_bytes()), Some((namespace, stored.as_bytes())), "{full}");
            assert_eq!(join(namespace, stored.as_bytes()).unwrap(), full.as_bytes());
        }
        let long = format!("user.{}", "n".repeat(251));
        for full in
            ["user.", "system.data", "other.x", "", "user.a\0", "trusted.SGI_ACL_FILE", &long]
        {
            assert_eq!(split(full.as_bytes()), None, "{full}");
            assert_eq!(to_attribute(full.as_bytes(), b"").unwrap_err().kind_name(), "refused");
        }
    }

    #[test]
    fn parent_pointers_and_incomplete_attributes_are_not_seen() {
        let mut attribute = Attribute::local(Namespace::Parent, b"name", &[0; 12]);
        assert_eq!(to_xattr(&attribute, || Ok(vec![0; 12])).unwrap(), None);
        attribute.namespace = Namespace::User;
        assert_eq!(to_xattr(&attribute, || Ok(vec![])).unwrap().unwrap().name, b"user.name");
        attribute.is_incomplete = true;
        assert_eq!(to_xattr(&attribute, || Ok(vec![])).unwrap(), None);
    }

    #[test]
    fn lists_are_translated() {
        let list: Vec<u8> = [[2, 0], [0, 0]]
            .into_iter()
            .chain([[1, 0], [6, 0], [255; 2], [255; 2], [4, 0], [4, 0], [255; 2], [255; 2]])
            .chain([[0x20, 0], [0, 0], [255; 2], [255; 2]])
            .flatten()
            .collect();
        let attribute = to_attribute(ACCESS_NAME, &list).unwrap();
        let Value::Local(stored) = &attribute.value else { panic!("{attribute:?}") };
        assert_eq!(stored.len(), 4 + 3 * 12);
        let back = to_xattr(&attribute, || Ok(stored.clone())).unwrap().unwrap();
        assert_eq!((back.name.as_slice(), back.value.as_slice()), (ACCESS_NAME, list.as_slice()));
    }
}
