//! `key rotate`: new keys in, every other key of the user out, in one plan (LOGIN-138).
//!
//! The keys are added as `key add` does it. Only where sshd will accept them, or the caller insists, do the others
//! go; and if that takes the last working key of somebody else, nothing is done at all.

use super::key_add::{self, KeyAddRequest};
use super::key_revoke::{self, KeyChoice, KeyRevokeRequest};
use super::key_source::KeySources;
use super::plan::{Outcome, Plan};
use crate::error::{Error, Result};
use crate::fs::FileSystem;
use crate::guest::linux::detect;
use crate::login::Guest;
use std::collections::BTreeSet;

/// Plans the edit.
///
/// # Errors
/// As [`key_add::plan`] and [`key_revoke::plan`].
pub fn plan(fs: &dyn FileSystem, request: &KeyAddRequest) -> Result<Plan> {
    let mut plan = key_add::plan(fs, request)?;
    let is_let_in = |outcome| matches!(outcome, Outcome::Changes | Outcome::AlreadyPresent);
    let users = plan.users.iter().filter(|user| is_let_in(user.outcome));
    let provided: BTreeSet<Vec<u8>> = users.map(|user| user.name.clone()).collect();
    if provided.is_empty() {
        return Ok(plan);
    }
    let system = detect(fs)?.ok_or_else(|| Error::not_found("a Linux system on this volume"))?;
    let guest = Guest::open(fs, &system, request.now)?;
    let revoke = KeyRevokeRequest {
        keys: KeyChoice::AllBut(request.keys.clone()),
        users: Some(provided.iter().cloned().collect()),
        force: request.force,
        now: request.now,
    };
    key_revoke::remove(&guest, KeySources::read(&guest)?, &revoke, &provided, &mut plan)?;
    if plan.users.iter().any(|user| user.outcome == Outcome::LastKey) {
        plan.changes.clear();
        for user in plan.users.iter_mut().filter(|user| is_let_in(user.outcome)) {
            user.outcome = Outcome::Unchanged;
        }
    }
    Ok(plan)
}
