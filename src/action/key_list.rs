//! `key list`: every key in every file that sshd would read.

use crate::error::Result;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FILE_BYTES_MAX, FileSystem, NodeKind, Timestamp};
use crate::guest::linux::{User, detect};
use crate::guest::select;
use crate::login::authorized_keys::key_lines;
use crate::login::finding::Finding;
use crate::login::public_key::fingerprint;
use crate::login::{Guest, dedup};

/// Bound on the keys that are listed.
const KEYS_MAX: usize = 100_000;

/// One key line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// Whose login it opens, unescaped.
    pub user: Vec<u8>,
    /// The file, real path.
    pub path: GuestPath,
    /// Line number from 1.
    pub line: u64,
    /// Key type.
    pub key_type: &'static str,
    /// Size in bits, where it is known.
    pub bits: Option<u32>,
    /// `SHA256:...`.
    pub fingerprint: String,
    /// Comment, unescaped.
    pub comment: Vec<u8>,
    /// Options as written, unescaped.
    pub options: Option<Vec<u8>>,
}

/// The keys of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyList {
    /// The keys, by user in the order of passwd, then in the order in which sshd reads them.
    pub keys: Vec<ListedKey>,
    /// What could not be read.
    pub findings: Vec<Finding>,
}

/// Lists the keys of the named users, or of all users of passwd with `None`.
///
/// # Errors
/// `NotFound` without a Linux system or such a user; `Limit` above [`KEYS_MAX`]; otherwise as the
/// file system.
pub fn list(fs: &dyn FileSystem, names: Option<&[Vec<u8>]>, now: Timestamp) -> Result<KeyList> {
    let no_system = || crate::error::Error::not_found("a Linux system on this volume");
    let system = detect(fs)?.ok_or_else(no_system)?;
    let guest = Guest::open(fs, &system, now)?;
    let users: Vec<&User> = match names {
        Some(names) => {
            let choice = select::UserChoice::Named(names.to_vec());
            select::users(fs, &system, &choice, &guest)?
        }
        None => system.accounts.users.iter().collect(),
    };
    let mut list = KeyList::default();
    for user in users {
        for file in guest.key_files(user)? {
            list.take_file(fs, user, &file.path)?;
        }
    }
    dedup(&mut list.findings);
    Ok(list)
}

impl KeyList {
    fn take_file(&mut self, fs: &dyn FileSystem, user: &User, path: &GuestPath) -> Result<()> {
        let found = match find(fs, path) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.warn(path, &error.to_string());
                return Ok(());
            }
        };
        let kind = fs.metadata(found.node)?.kind;
        if kind != NodeKind::File {
            self.warn(&found.real_path, &format!("is a {kind}: sshd does not read it"));
            return Ok(());
        }
        let content = match fs.read(found.node, FILE_BYTES_MAX) {
            Ok(content) => content,
            Err(error) => {
                self.warn(&found.real_path, &format!("not read: {error}"));
                return Ok(());
            }
        };
        self.take_lines(&user.name, &found.real_path, &content)
    }

    /// Adds every key of a key file of `user`, whose real path is `path`.
    ///
    /// # Errors
    /// `Limit` above [`KEYS_MAX`].
    pub(super) fn take_lines(
        &mut self,
        user: &[u8],
        path: &GuestPath,
        content: &[u8],
    ) -> Result<()> {
        for line in key_lines(content) {
            if self.keys.len() >= KEYS_MAX {
                let limit = crate::bytes::arith::len_u64(KEYS_MAX);
                let actual = limit.saturating_add(1);
                return Err(crate::error::Error::limit("number of keys", limit, actual));
            }
            self.keys.push(ListedKey {
                user: user.to_vec(),
                path: path.clone(),
                line: line.number,
                key_type: line.shape.key_type,
                bits: line.shape.bits,
                fingerprint: fingerprint(&line.blob),
                comment: line.comment.to_vec(),
                options: line.options.map(<[u8]>::to_vec),
            });
        }
        Ok(())
    }

    fn warn(&mut self, path: &GuestPath, message: &str) {
        self.findings.push(Finding::warn(("key-line", "LOGIN-50"), path, message));
    }
}
