//! `key revoke`: takes keys out of every file that opens a login with them (LOGIN-138, LOGIN-139).
//!
//! Lines go by the key in them, whatever their options; all other bytes stay, and so does a file that is empty
//! then. Certificate authorities go only if they are named. Nobody who has a working key now is left without one,
//! unless the caller insists.

use super::key_source::{KeySources, Reader, Role, SourceFile};
use super::key_works::WorkingKeys;
use super::plan::{FileChange, Outcome, Plan, UserPlan};
use crate::bytes::text::escape_limited;
use crate::error::{Context as _, Error, Result};
use crate::fs::{FileSystem, Timestamp};
use crate::guest::linux::detect;
use crate::guest::select;
use crate::login::authorized_keys::{KeyLine, key_lines};
use crate::login::finding::Finding;
use crate::login::key_removal::{Removal, without};
use crate::login::{Fingerprint, Guest, PublicKey, dedup};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Names that are shown in one message; the rest is counted.
const NAMES_SHOWN_MAX: usize = 8;

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
    fn takes(&self, line: &KeyLine<'_>) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| name.is_of(&line.blob)),
            Self::AllBut(kept) => {
                !is_authority(line) && kept.iter().all(|key| key.blob() != line.blob)
            }
        }
    }
}

/// True for a line that is about certificates, even if sshd does not understand all of its options.
fn is_authority(line: &KeyLine<'_>) -> bool {
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
    let is_needed = |user: usize| sources.readers.get(user).is_some_and(is_chosen);
    if let Some(at) = sources.failures.iter().position(|(_, user, _)| is_needed(*user)) {
        let (path, _, error) = sources.failures.swap_remove(at);
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
    work.tell_names(&is_chosen, &locked_out, plan);
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

    /// What became of each key that was named, and of the authorities that were not.
    fn tell_names(
        &self,
        is_chosen: &dyn Fn(&Reader<'_>) -> bool,
        locked_out: &[LockedOut],
        plan: &mut Plan,
    ) {
        let KeyChoice::Named(names) = &self.request.keys else {
            self.tell_kept_authorities(is_chosen, plan);
            return;
        };
        for name in names {
            let mut is_anywhere = false;
            let mut others = Vec::new();
            for (index, file) in self.sources.files.iter().enumerate() {
                let mut lines = key_lines(&file.content).filter(|line| name.is_of(&line.blob));
                let Some(line) = lines.next() else { continue };
                is_anywhere = true;
                let place = format!("{}:{}", file.path, line.number);
                if self.is_only_for_authorities(index) {
                    let message = format!(
                        "{name} is a certificate authority there and stays: take the line out by \
                         hand, or refuse its certificates in RevokedKeys"
                    );
                    let id = ("key-line", "LOGIN-139");
                    plan.findings.push(Finding::warn(id, place, message));
                } else if !self.files.contains_key(&index) {
                    let readers = self.sources.readers_of(index);
                    let readers = readers.filter(|reader| !is_chosen(reader));
                    others
                        .extend(readers.map(|reader| (reader.user.display_name(), place.clone())));
                }
            }
            if !is_anywhere {
                let message = "this key is not on this volume: no key file of any user has it";
                plan.findings.push(Finding::warn(("key-line", "LOGIN-138"), name, message));
            }
            if let Some((_, place)) = others.first()
                && locked_out.is_empty()
            {
                let users = shown_names(others.iter().map(|(user, _)| user.as_str()));
                let message = format!("{name} still lets in {users}, who were not asked for");
                plan.findings.push(Finding::warn(("key-line", "LOGIN-138"), place, message));
            }
        }
    }

    fn is_only_for_authorities(&self, file: usize) -> bool {
        let readings = self.sources.readers.iter().flat_map(|reader| &reader.readings);
        let mut readings = readings.filter(|reading| reading.file == file);
        readings.all(|reading| reading.role == Role::Authorities)
    }

    fn tell_kept_authorities(&self, is_chosen: &dyn Fn(&Reader<'_>) -> bool, plan: &mut Plan) {
        for (index, file) in self.sources.files.iter().enumerate() {
            if !self.sources.readers_of(index).any(is_chosen) {
                continue;
            }
            let all = self.is_only_for_authorities(index);
            for line in key_lines(&file.content).filter(|line| all || is_authority(line)) {
                let place = format!("{}:{}", file.path, line.number);
                let name = Fingerprint::sha256(&line.blob);
                let message = if all {
                    format!("the certificate authority {name} stays")
                } else {
                    format!("the certificate authority {name} stays; it goes with --fingerprint")
                };
                plan.findings.push(Finding::warn(("key-line", "LOGIN-139"), place, message));
            }
        }
    }

    /// Who else is concerned by a file that changes (LOGIN-36, LOGIN-133).
    fn tell_files(&self, is_chosen: &dyn Fn(&Reader<'_>) -> bool, plan: &mut Plan) {
        for (index, removal) in &self.files {
            let Some(file) = self.sources.files.get(*index) else { continue };
            let others = self.sources.readers_of(*index).filter(|reader| !is_chosen(reader));
            let others: Vec<String> = others.map(|reader| reader.user.display_name()).collect();
            let mut readings = self.sources.readers.iter().flat_map(|reader| &reader.readings);
            let id = ("conf-keyfile", "LOGIN-36");
            if !others.is_empty() {
                let others = shown_names(others.iter().map(String::as_str));
                let message =
                    format!("this is also the key file of {others}: the key goes for them too");
                plan.findings.push(Finding::warn(id, &file.path, message));
            } else if readings.any(|reading| reading.file == *index && reading.is_shared) {
                let message = "every user's keys are in this one file: the key goes for everybody";
                plan.findings.push(Finding::warn(id, &file.path, message));
            }
            if file.link_count > 1 {
                let message = "the file has other names, which change too";
                plan.findings.push(Finding::warn(("key-line", "LOGIN-133"), &file.path, message));
            }
            for line in removal.lines.iter().filter(|line| line.had_google_mark) {
                let subject = format!("{}:{}", file.path, line.number);
                let message = "the mark of Google's agent above the line goes with it";
                plan.findings.push(Finding::info(("writers", "LOGIN-104"), subject, message));
            }
        }
    }

    /// One result for each user whose files change, or who would lose the last key, or who was named.
    fn tell_users(
        &self,
        is_chosen: &dyn Fn(&Reader<'_>) -> bool,
        locked_out: &[LockedOut],
        plan: &mut Plan,
    ) {
        for (index, reader) in self.sources.readers.iter().enumerate() {
            let lost = locked_out.iter().find(|found| found.user == index);
            let mut changed = reader.readings.iter().filter(|r| self.files.contains_key(&r.file));
            let changed = changed.next().and_then(|reading| self.sources.files.get(reading.file));
            let known = plan.users.iter_mut().find(|user| user.name == reader.user.name);
            let is_named = self.request.users.is_some() && is_chosen(reader);
            if lost.is_none() && changed.is_none() && (!is_named || known.is_some()) {
                continue;
            }
            let path = changed.map(|file| file.path.clone());
            let outcome = match (lost, changed) {
                (Some(_), _) => Outcome::LastKey,
                (None, Some(_)) => Outcome::Changes,
                (None, None) => Outcome::Unchanged,
            };
            let reason = lost.map(|lost| {
                format!("{} is the last key that works for this user", lost.fingerprint)
            });
            if let Some(known) = known {
                known.outcome = outcome;
                known.reason = reason.or(known.reason.take());
            } else {
                let name = reader.user.name.clone();
                plan.users.push(UserPlan { name, path, outcome, reason });
            }
        }
    }

    /// Writes the new contents into the plan.
    fn change(self, plan: &mut Plan) {
        for (index, removal) in self.files {
            let Some(file) = self.sources.files.get(index) else { continue };
            let gone = removal
                .lines
                .iter()
                .map(|line| format!("{} (line {})", Fingerprint::sha256(&line.blob), line.number));
            let gone: Vec<String> = gone.collect();
            let detail = format!("removes {}", shown_names(gone.iter().map(String::as_str)));
            set_content(plan, file, removal.content, detail);
        }
    }
}

/// The content of a file as the plan leaves it so far.
fn planned_content(plan: &Plan, file: &SourceFile) -> Vec<u8> {
    let mut content = file.content.clone();
    for change in plan.changes.iter().filter(|change| *change.path() == file.path) {
        match change {
            FileChange::Append { bytes, .. } => content.extend_from_slice(bytes),
            FileChange::Replace { content: whole, .. } => content.clone_from(whole),
            _ => {}
        }
    }
    content
}

/// Makes `content` what the plan leaves in a file.
fn set_content(plan: &mut Plan, file: &SourceFile, content: Vec<u8>, detail: String) {
    let path = file.path.clone();
    let is_content = |change: &&mut FileChange| {
        matches!(change, FileChange::Append { .. } | FileChange::Replace { .. })
            && *change.path() == path
    };
    if let Some(change) = plan.changes.iter_mut().find(is_content) {
        let detail = format!("{}; {detail}", change.detail());
        *change = FileChange::Replace { path, content, detail };
    } else {
        plan.changes.push(FileChange::Replace { path, content, detail });
    }
}

/// The first few names, and how many more there are.
fn shown_names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names.iter().take(NAMES_SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => shown,
        more => format!("{} and {more} more", escape_limited(shown.as_bytes(), 4096)),
    }
}
