//! `key list`: every key in every file that sshd would read, and what else lets keys in.
//!
//! A line that sshd cannot use is no key; it becomes a note. Whether the account and the modes of the files are in
//! order is not asked here: `key check` does.

use super::key_source::{KeySources, Reading, Role, SourceFile};
use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};
use crate::fs::path::GuestPath;
use crate::fs::{FileSystem, Timestamp};
use crate::guest::linux::{User, detect};
use crate::guest::select;
use crate::login::authorized_keys::{KeyLine, key_lines};
use crate::login::finding::Finding;
use crate::login::key_options::Authority;
use crate::login::{Fingerprint, Guest, dedup};
use std::collections::{BTreeMap, BTreeSet};

/// Bound on the keys that are listed.
const KEYS_MAX: usize = 100_000;

/// Stands for every user, in the lines of a file with certificate authorities.
const EVERYBODY: &[u8] = b"*";

/// One key line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// Whose login it opens, unescaped; `*` for the authorities of all users.
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
    /// `MD5:aa:bb:...`.
    pub md5: String,
    /// Comment, unescaped.
    pub comment: Vec<u8>,
    /// Options as written, unescaped.
    pub options: Option<Vec<u8>>,
    /// True if it lets in certificates that it has signed, and not itself.
    pub is_authority: bool,
    /// False if sshd passes over this line, whatever the client.
    pub counts: bool,
    /// Why it does not count, or on what that depends.
    pub reason: Option<String>,
}

/// The keys of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyList {
    /// The keys, by user in the order of passwd, then in the order in which sshd reads them.
    pub keys: Vec<ListedKey>,
    /// What could not be read, and what else lets keys in.
    pub findings: Vec<Finding>,
}

/// Lists the keys of the named users, or of all users of passwd with `None`.
///
/// # Errors
/// `NotFound` without a Linux system or such a user; `Limit` above [`KEYS_MAX`]; otherwise as the
/// file system.
pub fn list(fs: &dyn FileSystem, names: Option<&[Vec<u8>]>, now: Timestamp) -> Result<KeyList> {
    let no_system = || Error::not_found("a Linux system on this volume");
    let system = detect(fs)?.ok_or_else(no_system)?;
    let guest = Guest::open(fs, &system, now)?;
    if let Some(names) = names {
        let choice = select::UserChoice::Named(names.to_vec());
        select::users(fs, &system, &choice, &guest)?;
    }
    let sources = KeySources::read(&guest)?;
    let is_wanted = |user: &User| names.is_none_or(|names| names.contains(&user.name));
    let mut list = KeyList::default();
    for failure in &sources.failures {
        let users = failure.users.iter().filter_map(|user| sources.readers.get(*user));
        if users.map(|reader| reader.user).any(is_wanted) {
            list.warn(&failure.path, &format!("not read: {}", failure.error));
        }
    }
    let for_all = authorities_of_all(&sources);
    for reader in sources.readers.iter().filter(|reader| is_wanted(reader.user)) {
        for reading in &reader.readings {
            let Some(file) = sources.files.get(reading.file) else { continue };
            if names.is_some() || !for_all.contains(&reading.file) {
                list.take_reading(now, reader.user, *reading, file)?;
            }
        }
    }
    if names.is_none() {
        for file in for_all.iter().filter_map(|file| sources.files.get(*file)) {
            list.take_authorities(EVERYBODY, file)?;
        }
    }
    list.findings.extend(sources.findings);
    dedup(&mut list.findings);
    Ok(list)
}

/// The files whose authorities count for every user.
fn authorities_of_all(sources: &KeySources<'_>) -> BTreeSet<usize> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    let readings = sources.readers.iter().flat_map(|reader| &reader.readings);
    for reading in readings.filter(|reading| reading.role == Role::Authorities) {
        let count = counts.entry(reading.file).or_default();
        *count = count.saturating_add(1);
    }
    let for_all = counts.into_iter().filter(|(_, count)| *count == sources.readers.len());
    for_all.map(|(file, _)| file).collect()
}

/// What sshd makes of one line.
struct Standing {
    is_authority: bool,
    counts: bool,
    reason: Option<String>,
}

impl KeyList {
    fn take_reading(
        &mut self,
        now: Timestamp,
        user: &User,
        reading: Reading,
        file: &SourceFile,
    ) -> Result<()> {
        match reading.role {
            Role::Authorities => self.take_authorities(&user.name, file),
            Role::Keys | Role::Feed { is_printed: true } => {
                self.take_lines(&user.name, &file.path, &file.content, now)
            }
            Role::Feed { is_printed: false } => {
                let start = self.keys.len();
                self.take_lines(&user.name, &file.path, &file.content, now)?;
                for key in self.keys.iter_mut().skip(start) {
                    key.counts = false;
                    let reason = "sshd does not read this file; authorized_keys is made from it";
                    key.reason = Some(reason.to_owned());
                }
                Ok(())
            }
        }
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
        now: Timestamp,
    ) -> Result<()> {
        // The first line of each key that lets it in whatever the client.
        let mut deciding: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for line in key_lines(content) {
            let standing = match standing(&line, deciding.get(&line.blob), now) {
                Ok(standing) => standing,
                Err(reason) => {
                    let subject = format!("{path}:{}", line.number);
                    let message = format!("sshd ignores this line: {reason}");
                    let id = ("key-line", "LOGIN-40");
                    self.findings.push(Finding::info(id, subject, message));
                    continue;
                }
            };
            if standing.counts && !standing.is_authority && standing.reason.is_none() {
                deciding.entry(line.blob.clone()).or_insert(line.number);
            }
            self.push(user, path, &line, standing)?;
        }
        Ok(())
    }

    /// The lines of a file of TrustedUserCAKeys: keys without options.
    fn take_authorities(&mut self, user: &[u8], file: &SourceFile) -> Result<()> {
        for line in key_lines(&file.content).filter(|line| line.options.is_none()) {
            let standing = Standing { is_authority: true, counts: true, reason: None };
            self.push(user, &file.path, &line, standing)?;
        }
        Ok(())
    }

    fn push(
        &mut self,
        user: &[u8],
        path: &GuestPath,
        line: &KeyLine<'_>,
        standing: Standing,
    ) -> Result<()> {
        if self.keys.len() >= KEYS_MAX {
            let limit = len_u64(KEYS_MAX);
            return Err(Error::limit("number of keys", limit, limit.saturating_add(1)));
        }
        let Standing { is_authority, counts, reason } = standing;
        self.keys.push(ListedKey {
            user: user.to_vec(),
            path: path.clone(),
            line: line.number,
            key_type: line.shape.key_type,
            bits: line.shape.bits,
            fingerprint: Fingerprint::sha256(&line.blob).to_string(),
            md5: Fingerprint::md5(&line.blob).to_string(),
            comment: line.comment.to_vec(),
            options: line.options.map(<[u8]>::to_vec),
            is_authority,
            counts,
            reason,
        });
        Ok(())
    }

    fn warn(&mut self, path: &GuestPath, message: &str) {
        self.findings.push(Finding::warn(("key-line", "LOGIN-50"), path, message));
    }
}

/// What sshd makes of a line whose key the line `earlier` may have let in already (LOGIN-39, LOGIN-40).
///
/// # Errors
/// Why the line is no key for sshd.
fn standing(
    line: &KeyLine<'_>,
    earlier: Option<&u64>,
    now: Timestamp,
) -> std::result::Result<Standing, String> {
    let options = line.parsed_options()?;
    if line.shape.key_type.contains("-cert-v01@") {
        return Err("it is a certificate, not a key".to_owned());
    }
    if options.is_cert_authority {
        return Ok(Standing { is_authority: true, counts: true, reason: None });
    }
    if options.has_principals {
        return Err("it names principals without being an authority".to_owned());
    }
    let (counts, reason) = match (options.authority(now), earlier) {
        (Authority::No(reason), _) => (false, Some(reason)),
        (_, Some(number)) => (false, Some(format!("line {number} with the same key decides"))),
        (Authority::Depends(what), None) => (true, Some(format!("depends on {what}"))),
        (Authority::Yes, None) => (true, None),
    };
    Ok(Standing { is_authority: false, counts, reason })
}
