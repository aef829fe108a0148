//! `key revoke` and `key rotate` on Windows: the same lines out of the key files of its OpenSSH server.
//!
//! Every administrator's keys are in one file. A key counts as working by its line alone: whether the server starts
//! is not asked, so the last one is kept too often rather than too rarely. Not handled: files that the server reads
//! by a Match block.

use super::key_add::KeyAddRequest;
use super::key_revoke::{KeyChoice, KeyRevokeRequest, is_authority, planned_content, set_content};
use super::key_source::SourceFile;
use super::plan::{Outcome, Plan, UserPlan};
use super::windows_key::{self, Server};
use crate::error::{Context as _, Error, Result};
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FILE_BYTES_MAX, NodeKind, Timestamp};
use crate::guest::select::UserChoice;
use crate::login::authorized_keys::key_lines;
use crate::login::key_options::Authority;
use crate::login::key_removal::without;
use crate::login::{Finding, PublicKey, dedup};
use std::collections::{BTreeMap, BTreeSet};

/// The rule of all this.
const RULE: &str = "WIN-T6";

/// Plans that keys go.
///
/// # Errors
/// * `NotFound` - no Windows system, no such user;
/// * `Usage` - no key is named;
/// * `Refused` - the configuration of the server cannot be evaluated for a named user;
/// * otherwise as the file system and the hives.
pub fn plan(fs: &dyn FileSystem, request: &KeyRevokeRequest) -> Result<Plan> {
    if matches!(&request.keys, KeyChoice::Named(names) if names.is_empty()) {
        return Err(Error::usage("no key was named"));
    }
    let mut plan = Plan::default();
    remove(fs, request, false, &mut plan)?;
    Ok(plan)
}

/// Plans that new keys come and every other key of the user goes.
///
/// # Errors
/// As [`windows_key::plan`] and [`plan`].
pub fn rotate(fs: &dyn FileSystem, request: &KeyAddRequest) -> Result<Plan> {
    let mut plan = windows_key::plan(fs, request)?;
    let is_let_in =
        |user: &&UserPlan| matches!(user.outcome, Outcome::Changes | Outcome::AlreadyPresent);
    let users: Vec<Vec<u8>> =
        plan.users.iter().filter(is_let_in).map(|user| user.name.clone()).collect();
    if users.is_empty() {
        return Ok(plan);
    }
    let revoke = KeyRevokeRequest {
        keys: KeyChoice::AllBut(request.keys.clone()),
        users: Some(users),
        force: request.force,
        now: request.now,
    };
    remove(fs, &revoke, true, &mut plan)?;
    Ok(plan)
}

/// The key files of the wanted users, with the names of those users.
fn files(
    fs: &dyn FileSystem,
    names: Option<&[Vec<u8>]>,
) -> Result<Vec<(SourceFile, Vec<Vec<u8>>)>> {
    let server = Server::open(fs)?;
    let users = match names {
        Some(names) => server.users(&UserChoice::Named(names.to_vec()))?,
        None => server.system.users.clone(),
    };
    let mut files: BTreeMap<GuestPath, (SourceFile, Vec<Vec<u8>>)> = BTreeMap::new();
    for user in users {
        let place = match server.place(&user) {
            Ok(place) => place,
            // Somebody without a profile has no file; whoever is named must have a place for one.
            Err(_) if names.is_none() => continue,
            Err(error) => return Err(error),
        };
        let Some(found) = find(fs, &place.path)? else { continue };
        let metadata = fs.metadata(found.node)?;
        if metadata.kind != NodeKind::File {
            continue;
        }
        let path = found.real_path;
        let content = fs.read(found.node, FILE_BYTES_MAX).context(|| path.to_string())?;
        let file = SourceFile { path: path.clone(), content, link_count: metadata.link_count };
        let (_, readers) = files.entry(path).or_insert((file, Vec::new()));
        readers.push(place.user.name.into_bytes());
    }
    Ok(files.into_values().collect())
}

fn remove(
    fs: &dyn FileSystem,
    request: &KeyRevokeRequest,
    is_rotation: bool,
    plan: &mut Plan,
) -> Result<()> {
    let mut found: BTreeSet<Vec<u8>> = BTreeSet::new();
    for (file, readers) in files(fs, request.users.as_deref())? {
        found.extend(key_lines(&file.content).map(|line| line.blob));
        let content = planned_content(plan, &file);
        let Some(removal) = without(&content, |line| request.keys.takes(line)) else { continue };
        let works = |content: &[u8]| has_working_line(content, request.now);
        let is_last = !is_rotation && works(&content) && !works(&removal.content);
        let outcome = if is_last && !request.force { Outcome::LastKey } else { Outcome::Changes };
        let reason = (outcome == Outcome::LastKey)
            .then(|| format!("{} would have no key left that works", file.path));
        for name in readers {
            let (path, reason) = (Some(file.path.clone()), reason.clone());
            match plan.users.iter_mut().find(|user| user.name == name) {
                Some(known) => known.outcome = outcome,
                None => plan.users.push(UserPlan { name, path, outcome, reason }),
            }
        }
        if outcome == Outcome::Changes {
            set_content(plan, &file, removal);
        }
    }
    if let KeyChoice::Named(names) = &request.keys {
        for name in names.iter().filter(|name| !found.iter().any(|blob| name.is_of(blob))) {
            let message = "this key is in no key file of these users on this volume";
            plan.findings.push(Finding::warn(("key-line", RULE), name, message));
        }
    }
    dedup(&mut plan.findings);
    plan.findings.sort_by_key(|finding| finding.severity);
    Ok(())
}

/// True if some line lets its key in, as far as the line tells.
fn has_working_line(content: &[u8], now: Timestamp) -> bool {
    key_lines(content).any(|line| {
        !is_authority(&line)
            && !matches!(line.authority(now), Authority::No(_))
            && PublicKey::new(line.blob, "").is_ok()
    })
}
