//! What is said about keys that are taken out: who is concerned, what stays, what was not found.

use super::super::key_source::{Reader, Role, elsewhere};
use super::super::plan::{Outcome, Plan, UserPlan};
use super::{KeyChoice, LockedOut, Removals, is_authority};
use crate::login::authorized_keys::{KeyLine, key_lines};
use crate::login::finding::Finding;
use crate::login::{Fingerprint, Guest};
use std::collections::BTreeSet;

/// Names that are shown in one message; the rest is counted.
const NAMES_SHOWN_MAX: usize = 8;

impl Removals<'_, '_> {
    /// What became of each key that was named, and of the authorities that were not.
    pub(super) fn tell_names(
        &self,
        guest: &Guest<'_>,
        is_chosen: &dyn Fn(&Reader<'_>) -> bool,
        locked_out: &[LockedOut],
        plan: &mut Plan,
    ) {
        let KeyChoice::Named(names) = &self.request.keys else {
            self.tell_kept_authorities(is_chosen, plan);
            self.tell_left(is_chosen, plan);
            return;
        };
        let is_named = |blob: &[u8]| names.iter().any(|name| name.is_of(blob));
        let elsewhere = elsewhere::lines(guest, self.sources, &is_named);
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
            let elsewhere = elsewhere.iter().filter(|line| name.is_of(&line.blob));
            for line in elsewhere.take(NAMES_SHOWN_MAX) {
                is_anywhere = true;
                let place = format!("{}:{}", line.path, line.number);
                let message = format!("{name} also stands here and stays: {}", line.purpose);
                plan.findings.push(Finding::warn(("key-line", "LOGIN-138"), place, message));
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
        let mut readings = self.sources.readers_of(file).flat_map(|reader| &reader.readings);
        readings.all(|reading| reading.file != file || reading.role == Role::Authorities)
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

    /// Keys that went and still stand in files of users who were not asked for.
    fn tell_left(&self, is_chosen: &dyn Fn(&Reader<'_>) -> bool, plan: &mut Plan) {
        let gone: BTreeSet<&[u8]> = self
            .files
            .values()
            .flat_map(|removal| &removal.lines)
            .map(|line| line.blob.as_slice())
            .collect();
        for (index, file) in self.sources.files.iter().enumerate() {
            let others = self.sources.readers_of(index).filter(|reader| !is_chosen(reader));
            let others: Vec<String> = others.map(|reader| reader.user.display_name()).collect();
            if self.files.contains_key(&index) || others.is_empty() {
                continue;
            }
            let is_left =
                |line: &KeyLine<'_>| !is_authority(line) && gone.contains(line.blob.as_slice());
            let mut lines = key_lines(&file.content).filter(is_left);
            let Some(line) = lines.next() else { continue };
            let place = format!("{}:{}", file.path, line.number);
            let users = shown_names(others.iter().map(String::as_str));
            let message = format!(
                "a key that goes also stands in the key file of {users}; `regain key revoke` takes it \
                 out there too"
            );
            plan.findings.push(Finding::warn(("key-line", "LOGIN-138"), place, message));
        }
    }

    /// Who else is concerned by a file that changes (LOGIN-36, LOGIN-133).
    pub(super) fn tell_files(&self, is_chosen: &dyn Fn(&Reader<'_>) -> bool, plan: &mut Plan) {
        for (index, removal) in &self.files {
            let Some(file) = self.sources.files.get(*index) else { continue };
            let others = self.sources.readers_of(*index).filter(|reader| !is_chosen(reader));
            let others: Vec<String> = others.map(|reader| reader.user.display_name()).collect();
            let mut readings = self.sources.readers_of(*index).flat_map(|reader| &reader.readings);
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
    pub(super) fn tell_users(
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
}

/// The first few names, and how many more there are.
pub(super) fn shown_names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names.iter().take(NAMES_SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
