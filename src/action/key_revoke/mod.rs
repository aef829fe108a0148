//! `key revoke`: takes keys out of every file that opens a login with them (LOGIN-138, LOGIN-139).
//!
//! Lines go by the key in them, whatever their options; all other bytes stay, and so does a file that is empty
//! then. Certificate authorities go only if they are named. Nobody who has a working key now is left without one,
//! unless the caller insists.

mod tell;

use super::key_source::{Failure, KeySources, Reader, Role, SourceFile};
use super::key_works::WorkingKeys;
use super::plan::{FileChange, Plan};
use crate::error::{Context as _, Error, Result};
use crate::fs::{FileSystem, Timestamp};
use crate::guest::linux::detect;
use crate::guest::select;
use crate::login::authorized_keys::{KeyLine, key_lines};
use crate::login::key_removal::{Removal, without};
use crate::login::{Fingerprint, Guest, PublicKey, dedup};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use tell::shown_names;

/// One key that the caller means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyName {
    /// By its fingerprint.
    Fingerprint(Fingerprint),
    /// By the key itself, in its wire form.
    Key(Vec<u8>),
}

impl KeyName {
    /// True if `blob` is the key.
    pub fn is_of(&self, blob: &[u8]) -> bool {
        match self {
            Self::Fingerprint(fingerprint) => fingerprint.is_of(blob),
            Self::Key(key) => key == blob,
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(fingerprint) => fingerprint.fmt(f),
            Self::Key(key) => Fingerprint::sha256(key).fmt(f),
        }
    }
}

/// Which keys go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChoice {
    /// These, certificate authorities among them.
    Named(Vec<KeyName>),
    /// All but these, and no certificate authority.
    AllBut(Vec<PublicKey>),
}

impl KeyChoice {
    /// True if the key of a line goes.
    pub(super) fn takes(&self, line: &KeyLine<'_>) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| name.is_of(&line.blob)),
            Self::AllBut(kept) => {
                !is_authority(line) && kept.iter().all(|key| key.blob() != line.blob)
            }
        }
    }
}

/// True for a line that is about certificates, even if sshd does not understand all of its options.
pub(super) fn is_authority(line: &KeyLine<'_>) -> bool {
    let word = b"cert-authority";
    line.options
        .is_some_and(|text| text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct KeyRevokeRequest {
    /// Which keys.
    pub keys: KeyChoice,
    /// Whose; everybody's with `None`.
    pub users: Option<Vec<Vec<u8>>>,
    /// Take a last working key too.
    pub force: bool,
    /// The date that decides expiry, and nothing else.
    pub now: Timestamp,
}

/// Plans the edit.
///
/// # Errors
/// * `NotFound` - no Linux system, no such user;
/// * `Usage` - no key is named;
/// * `Corrupt`, `Limit` - a key file of one of the users cannot be read;
/// * a last working key is no error here but in [`Plan::refusal`].
pub fn plan(fs: &dyn FileSystem, request: &KeyRevokeRequest) -> Result<Plan> {
    if matches!(&request.keys, KeyChoice::Named(names) if names.is_empty()) {
        return Err(Error::usage("no key was named"));
    }
    let system = detect(fs)?.ok_or_else(|| Error::not_found("a Linux system on this volume"))?;
    let guest = Guest::open(fs, &system, request.now)?;
    if let Some(names) = &request.users {
        let choice = select::UserChoice::Named(names.clone());
        select::users(fs, &system, &choice, &guest)?;
    }
    let mut plan = Plan::default();
    let provided = BTreeSet::new();
    remove(&guest, KeySources::read(&guest)?, request, &provided, &mut plan)?;
    Ok(plan)
}

/// Adds to `plan` that the keys go. Users in `provided` have a working key by what the plan does already.
pub(super) fn remove(
    guest: &Guest<'_>,
    mut sources: KeySources<'_>,
    request: &KeyRevokeRequest,
    provided: &BTreeSet<Vec<u8>>,
    plan: &mut Plan,
) -> Result<()> {
    let is_chosen = |reader: &Reader<'_>| {
        request.users.as_ref().is_none_or(|names| names.contains(&reader.user.name))
    };
    // A key in a file that cannot be read would stay without anybody knowing.
    let is_needed = |failure: &Failure| {
        let mut users = failure.users.iter().filter_map(|user| sources.readers.get(*user));
        users.any(is_chosen)
    };
    if let Some(at) = sources.failures.iter().position(is_needed) {
        let Failure { path, error, .. } = sources.failures.swap_remove(at);
        return Err(error).context(|| path.to_string());
    }
    let mut work = Removals { request, sources: &sources, files: BTreeMap::new() };
    for reader in sources.readers.iter().filter(|reader| is_chosen(reader)) {
        for reading in reader.readings.iter().filter(|r| r.role != Role::Authorities) {
            work.take(reading.file, plan);
        }
    }
    let locked_out = if request.force { Vec::new() } else { work.locked_out(guest, provided)? };
    work.spare(&locked_out);
    work.tell_names(guest, &is_chosen, &locked_out, plan);
    work.tell_files(&is_chosen, plan);
    work.tell_users(&is_chosen, &locked_out, plan);
    work.change(plan);
    plan.findings.extend(sources.findings.iter().cloned());
    dedup(&mut plan.findings);
    plan.findings.sort_by_key(|finding| finding.severity);
    Ok(())
}

/// A user who would be left without a working key.
struct LockedOut {
    /// Index of the user.
    user: usize,
    /// A key that works now.
    fingerprint: Fingerprint,
}

/// What goes, by the index of the file.
struct Removals<'a, 'g> {
    request: &'a KeyRevokeRequest,
    sources: &'a KeySources<'g>,
    files: BTreeMap<usize, Removal>,
}

impl Removals<'_, '_> {
    /// Takes the keys out of a file, once.
    fn take(&mut self, index: usize, plan: &Plan) {
        let Some(file) = self.sources.files.get(index) else { return };
        if self.files.contains_key(&index) {
            return;
        }
        let content = planned_content(plan, file);
        if let Some(removal) = without(&content, |line| self.request.keys.takes(line)) {
            self.files.insert(index, removal);
        }
    }

    /// The users who can log in with a key now and could not afterwards.
    fn locked_out(
        &self,
        guest: &Guest<'_>,
        provided: &BTreeSet<Vec<u8>>,
    ) -> Result<Vec<LockedOut>> {
        let mut working = WorkingKeys::new(guest);
        let mut found = Vec::new();
        for (user, reader) in self.sources.readers.iter().enumerate() {
            if provided.contains(&reader.user.name) {
                continue;
            }
            let (mut kept, mut gone) = (BTreeSet::new(), BTreeSet::new());
            for reading in reader.readings.iter().filter(|r| r.role == Role::Keys) {
                let Some(file) = self.sources.files.get(reading.file) else { continue };
                let removal = self.files.get(&reading.file);
                let content = removal.map_or(&file.content, |removal| &removal.content);
                let lines = key_lines(content).filter(|line| !is_authority(line));
                kept.extend(lines.map(|line| line.blob));
                let lines = removal.map(|removal| removal.lines.iter()).into_iter().flatten();
                gone.extend(lines.map(|line| line.blob.clone()));
            }
            if gone.is_empty() || working.first(reader, kept.iter().map(Vec::as_slice))?.is_some() {
                continue;
            }
            if let Some(blob) = working.first(reader, gone.iter().map(Vec::as_slice))? {
                found.push(LockedOut { user, fingerprint: Fingerprint::sha256(blob) });
            }
        }
        Ok(found)
    }

    /// Leaves the files of these users alone.
    fn spare(&mut self, locked_out: &[LockedOut]) {
        let readers = locked_out.iter().filter_map(|found| self.sources.readers.get(found.user));
        for reading in readers.flat_map(|reader| &reader.readings) {
            self.files.remove(&reading.file);
        }
    }

    /// Writes the new contents into the plan.
    fn change(self, plan: &mut Plan) {
        for (index, removal) in self.files {
            if let Some(file) = self.sources.files.get(index) {
                set_content(plan, file, removal);
            }
        }
    }
}

/// The content of a file as the plan leaves it so far.
pub(super) fn planned_content(plan: &Plan, file: &SourceFile) -> Vec<u8> {
    let mut content = file.content.clone();
    for change in plan.changes.iter().filter(|change| *change.path() == file.path) {
        match change {
            FileChange::Append { bytes, .. } => content.extend_from_slice(bytes),
            FileChange::Replace { content: whole, .. }
            | FileChange::CreateFile { content: whole, .. } => content.clone_from(whole),
            _ => {}
        }
    }
    content
}

/// Makes what is left by `removal` the content of a file after the plan.
pub(super) fn set_content(plan: &mut Plan, file: &SourceFile, removal: Removal) {
    let gone = removal
        .lines
        .iter()
        .map(|line| format!("{} (line {})", Fingerprint::sha256(&line.blob), line.number));
    let gone: Vec<String> = gone.collect();
    let gone = format!("removes {}", shown_names(gone.iter().map(String::as_str)));
    let after = removal.content;
    let path = file.path.clone();
    for change in plan.changes.iter_mut().filter(|change| *change.path() == path) {
        match change {
            FileChange::CreateFile { content, detail, .. } => {
                *content = after;
                *detail = format!("{detail}; {gone}");
                return;
            }
            FileChange::Append { detail, .. } | FileChange::Replace { detail, .. } => {
                let detail = format!("{detail}; {gone}");
                *change = FileChange::Replace { path, content: after, detail };
                return;
            }
            _ => {}
        }
    }
    plan.changes.push(FileChange::Replace { path, content: after, detail: gone });
}
