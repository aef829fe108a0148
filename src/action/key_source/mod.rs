//! Every file on a volume whose lines open a login: what `key list`, `key revoke` and `key rotate` look into.
//!
//! For each user that is every file that sshd would read, whatever the client (LOGIN-3), the files that others
//! make those from (LOGIN-102, LOGIN-103), and the files with certificate authorities. What lets keys in without a
//! file, or puts them back at boot, becomes a finding (LOGIN-139). Not handled: users outside /etc/passwd, servers
//! other than OpenSSH.

pub(super) mod elsewhere;
mod tell;

use super::key_feed;
use crate::bytes::arith::len_u64;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::path::{GuestPath, Resolved, find};
use crate::fs::{FILE_BYTES_MAX, NodeKind};
use crate::guest::linux::User;
use crate::login::finding::Finding;
use crate::login::match_block::Effective;
use crate::login::sshd_config::Directive;
use crate::login::{Guest, dedup, key_files};
use std::collections::{BTreeMap, BTreeSet};

/// Bound on the contents that are held at once, in bytes.
const CONTENT_BYTES_MAX: u64 = 20 * 1024 * 1024;
/// Findings about files that are kept.
const FINDINGS_MAX: usize = 1000;
/// Bound on pairs of a user and a file.
const READINGS_MAX: usize = 200_000;

/// What is done with the lines of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// sshd reads it for keys.
    Keys,
    /// Another program makes the key file from it (LOGIN-102), or prints it for sshd (LOGIN-103).
    Feed {
        /// The latter.
        is_printed: bool,
    },
    /// sshd takes certificates that its keys have signed.
    Authorities,
}

/// One file, by its real path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceFile {
    pub(super) path: GuestPath,
    pub(super) content: Vec<u8>,
    pub(super) link_count: u32,
}

/// A user and a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// Index of the file.
    pub(super) file: usize,
    pub(super) role: Role,
    /// True if the setting names one file for all users (LOGIN-36).
    pub(super) is_shared: bool,
}

/// A user with the files.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    pub(super) user: &'a User,
    /// In the order in which sshd reads them, then the rest.
    pub(super) readings: Vec<Reading>,
}

/// A file that cannot be read although it is there.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) path: GuestPath,
    /// Indexes of the users whose file it is.
    pub(super) users: Vec<usize>,
    pub(super) error: Error,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct KeySources<'a> {
    /// Every user of passwd, in its order.
    pub(super) readers: Vec<Reader<'a>>,
    pub(super) files: Vec<SourceFile>,
    /// What could not be read, and what lets keys in besides these files.
    pub(super) findings: Vec<Finding>,
    /// Files that are damaged or too large.
    pub(super) failures: Vec<Failure>,
    /// Indexes of the users of each file.
    readers_by_file: Vec<Vec<usize>>,
    by_path: BTreeMap<GuestPath, usize>,
    /// Indexes in `failures`, by path.
    failed: BTreeMap<GuestPath, usize>,
    /// Mounts and settings that were told of.
    told: BTreeSet<String>,
    content_bytes: u64,
    reading_count: usize,
}

impl<'a> KeySources<'a> {
    /// Looks for all of them.
    ///
    /// # Errors
    /// `Limit` beyond the bounds; otherwise as the file system.
    pub(super) fn read(guest: &Guest<'a>) -> Result<Self> {
        guest.check_size()?;
        let mut sources = Self::default();
        for user in &guest.system.accounts.users {
            let settings = guest.settings(user);
            let readings = sources.of_user(guest, user, &settings)?;
            sources.tell_settings(&settings);
            sources.reading_count = sources.reading_count.saturating_add(readings.len());
            if sources.reading_count > READINGS_MAX {
                let count = len_u64(sources.reading_count);
                let what = "number of key files of all users";
                return Err(Error::limit(what, len_u64(READINGS_MAX), count));
            }
            sources.readers.push(Reader { user, readings });
        }
        sources.tell_writers(guest);
        dedup(&mut sources.findings);
        sources.index_readers();
        Ok(sources)
    }

    /// The users who have a file in some role, in the order of passwd.
    pub(super) fn readers_of(&self, file: usize) -> impl Iterator<Item = &Reader<'a>> {
        let readers = self.readers_by_file.get(file).map(Vec::as_slice).unwrap_or_default();
        readers.iter().filter_map(|reader| self.readers.get(*reader))
    }

    fn index_readers(&mut self) {
        self.readers_by_file = vec![Vec::new(); self.files.len()];
        for (index, reader) in self.readers.iter().enumerate() {
            for reading in &reader.readings {
                if let Some(readers) = self.readers_by_file.get_mut(reading.file) {
                    readers.push(index);
                }
            }
        }
    }

    /// Every file that sshd reads for some client, in its order (LOGIN-3), then the others.
    fn of_user(
        &mut self,
        guest: &Guest<'_>,
        user: &User,
        settings: &[Effective<'_>],
    ) -> Result<Vec<Reading>> {
        let mut readings: Vec<Reading> = Vec::new();
        let mut add = |file: Option<usize>, role: Role, is_shared: bool| {
            let Some(file) = file else { return };
            if !readings.iter().any(|known| known.file == file) {
                readings.push(Reading { file, role, is_shared });
            }
        };
        for effective in settings {
            for file in key_files::of_user(guest.fs, effective, user)?.0 {
                add(self.file_at(guest, &file.path)?, Role::Keys, file.is_shared);
            }
        }
        let is_printed = deciding(settings, "authorizedkeyscommand")
            .any(|found| first(found).is_some_and(|program| program.ends_with(b"/ssh-key-dir")));
        for path in key_feed::files(guest, user)? {
            add(self.file_at(guest, &path)?, Role::Feed { is_printed }, false);
        }
        for directive in deciding(settings, "trustedusercakeys") {
            let paths = directive.arguments.iter().filter(|path| path.starts_with(b"/"));
            for path in paths.map(GuestPath::new) {
                add(self.file_at(guest, &path)?, Role::Authorities, true);
            }
        }
        Ok(readings)
    }

    /// The index of a file, which is read the first time; `None` if there is none, or it cannot be read.
    ///
    /// # Errors
    /// `Io`, and `Limit` for all files together.
    fn file_at(&mut self, guest: &Guest<'_>, path: &GuestPath) -> Result<Option<usize>> {
        let user = self.readers.len();
        match self.read_file(guest, path) {
            Err(error) if !matches!(error.kind(), ErrorKind::Io(_)) => {
                let count = self.failures.len();
                let index = *self.failed.entry(path.clone()).or_insert(count);
                if let Some(known) = self.failures.get_mut(index) {
                    known.users.push(user);
                } else {
                    self.failures.push(Failure { path: path.clone(), users: vec![user], error });
                }
                Ok(None)
            }
            other => other,
        }
        .and_then(|file| self.check_content_size().map(|()| file))
    }

    fn check_content_size(&self) -> Result<()> {
        if self.content_bytes <= CONTENT_BYTES_MAX {
            return Ok(());
        }
        let what = "size of all key files together in bytes";
        Err(Error::limit(what, CONTENT_BYTES_MAX, self.content_bytes))
    }

    fn read_file(&mut self, guest: &Guest<'_>, path: &GuestPath) -> Result<Option<usize>> {
        let found = match find(guest.fs, path) {
            Ok(found) => found,
            // A loop, or a file where a directory must be: sshd cannot pass either.
            Err(error) if matches!(error.kind(), ErrorKind::Refused(_)) => {
                let id = ("key-line", "LOGIN-132");
                self.warn(Finding::warn(id, path, error.to_string()));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let real_path = found.as_ref().map_or(path, |found| &found.real_path);
        self.tell_mount(guest, real_path);
        let Some(Resolved { node, real_path, .. }) = found else { return Ok(None) };
        if let Some(index) = self.by_path.get(&real_path) {
            return Ok(Some(*index));
        }
        let metadata = guest.fs.metadata(node)?;
        if metadata.kind != NodeKind::File {
            let message = format!("it is a {}: sshd does not read it", metadata.kind);
            self.warn(Finding::warn(("key-line", "LOGIN-50"), &real_path, message));
            return Ok(None);
        }
        let content = guest.fs.read(node, FILE_BYTES_MAX)?;
        self.content_bytes = self.content_bytes.saturating_add(len_u64(content.len()));
        let index = self.files.len();
        self.by_path.insert(real_path.clone(), index);
        self.files.push(SourceFile { path: real_path, content, link_count: metadata.link_count });
        Ok(Some(index))
    }

    /// Notes something about one file; of very many the first are enough.
    fn warn(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

/// The directives that decide `keyword` under each assumption about the client.
fn deciding<'s>(
    settings: &'s [Effective<'_>],
    keyword: &'s str,
) -> impl Iterator<Item = &'s Directive> {
    settings.iter().filter_map(move |effective| effective.first(keyword))
}

fn first(directive: &Directive) -> Option<&[u8]> {
    directive.arguments.first().map(Vec::as_slice)
}
