//! The account and session stacks of PAM for a login with a key (LOGIN-65 to LOGIN-74).
//!
//! sshd runs the account stack of its service and goes on only if it succeeds or asks for a new password; then the
//! session must open. The stacks are read from the volume ([`config`]), the modules answer from what is on it
//! ([`module`]), and [`stack`] says what follows. Facts from pam.conf(5), the manual pages of the modules, and the
//! behaviour of Linux-PAM 1.1.8 to 1.7; where releases differ both answers are followed.
//! Not handled: the auth stack, which sshd does not ask for a key; other implementations of PAM (FreeBSD).

mod code;
mod config;
mod module;
mod stack;
mod tri;

pub use config::Kind;

use super::finding::{Finding, Severity};
use super::{Guest, dedup};
use crate::bytes::text::escape_limited;
use crate::guest::linux::User;
use code::Code;
use config::{Call, Entry, Stack};
use module::Asked;
use stack::Outcome;

/// The service under which sshd asks, unless PAMServiceName says otherwise.
pub const SERVICE: &[u8] = b"sshd";
/// The lines that matter of Debian's `/etc/pam.d/sshd`, without includes.
#[cfg(test)]
pub(crate) const USUAL: &[u8] = b"account required pam_nologin.so\n\
    account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\n\
    account requisite pam_deny.so\naccount required pam_permit.so\n\
    session required pam_permit.so\n";
/// Bound on the lines that a finding names.
const LINES_SHOWN_MAX: usize = 4;

/// What PAM says to a login of `user` with a key under `service`: what refuses, what leaves the answer open, and
/// what asks for a new password.
pub fn findings(guest: &Guest<'_>, user: &User, service: &[u8]) -> Vec<Finding> {
    let mut found = stack_findings(guest, user, service, Kind::Account);
    // The session is opened only after the account was accepted.
    if !found.iter().any(Finding::is_blocking) {
        found.extend(stack_findings(guest, user, service, Kind::Session));
    }
    dedup(&mut found);
    found
}

fn stack_findings(guest: &Guest<'_>, user: &User, service: &[u8], kind: Kind) -> Vec<Finding> {
    let os = &guest.system.os;
    let is_debian = os.is_like("debian") || os.is_like("ubuntu");
    let id = ("pam-account", "LOGIN-66");
    let entries = match config::read(guest.fs, service, kind, is_debian) {
        Stack::Lines(entries) => entries,
        Stack::Broken(place, reason) => return vec![Finding::block(id, place, reason)],
        Stack::Unknown(place, reason) => return vec![Finding::undecided(id, place, reason)],
    };
    let asked = Asked::new(guest, user, service, kind);
    let answers: Vec<Vec<stack::Answer>> =
        entries.iter().map(|entry| asked.answers(entry)).collect();
    if let Some(outcomes) = stack::run(&entries, &answers) {
        return judge(&entries, &outcomes, kind);
    }
    let place = format!("/etc/pam.d/{}", escape_limited(service, 64));
    let message = "its modules have too many possible answers to follow them";
    vec![Finding::undecided(id, place, message)]
}

/// True for what lets the login go on: only the account stack may ask for a new password.
fn goes_on(outcome: &Outcome, kind: Kind) -> bool {
    outcome.code == Code::Success || (kind == Kind::Account && outcome.code.goes_on())
}

fn judge(entries: &[Entry], outcomes: &[Outcome], kind: Kind) -> Vec<Finding> {
    let (good, bad): (Vec<&Outcome>, Vec<&Outcome>) =
        outcomes.iter().partition(|outcome| goes_on(outcome, kind));
    let mut found = Vec::new();
    if good.is_empty() {
        for outcome in bad {
            found.extend(refusals(entries, outcome, kind));
        }
        dedup(&mut found);
        return found;
    }
    for outcome in good.iter().filter(|outcome| outcome.code == Code::NewAuthtokReqd) {
        found.extend(outcome.reasons.iter().filter(|reason| !reason.is_blocking()).cloned());
    }
    if !bad.is_empty() {
        found.extend(doubts(entries, &good, &bad, kind));
    }
    dedup(&mut found);
    found
}

/// The reasons of a refusal: those of the modules, else the line that decided.
fn refusals(entries: &[Entry], outcome: &Outcome, kind: Kind) -> Vec<Finding> {
    let reasons: Vec<Finding> =
        outcome.reasons.iter().filter(|reason| reason.is_blocking()).cloned().collect();
    if !reasons.is_empty() {
        return reasons;
    }
    let entry = outcome.decided_by.and_then(|index| entries.get(index));
    let place = entry.map_or_else(|| "/etc/pam.d".to_owned(), |entry| entry.place.clone());
    let name = kind.name();
    let message = match entry.map(|entry| &entry.call) {
        Some(Call::Failure(reason)) => format!("{reason}: PAM refuses the {name}"),
        Some(Call::Module { path, .. }) => {
            let module = escape_limited(path, 128);
            format!("{module} answers {}: PAM refuses the {name}", outcome.code.name())
        }
        _ => format!("no line of the {name} stack succeeds: PAM refuses"),
    };
    vec![Finding::block(("pam-account", "LOGIN-66"), place, message)]
}

/// What leaves the answer open: the reasons of the refusals that are no certainty, else the lines whose answer is
/// not on the volume.
fn doubts(entries: &[Entry], good: &[&Outcome], bad: &[&Outcome], kind: Kind) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for reason in bad.iter().flat_map(|outcome| &outcome.reasons) {
        // A reason that holds in every success as well decides nothing.
        let is_usual = good.iter().all(|outcome| outcome.reasons.contains(reason));
        if reason.is_blocking() && !is_usual {
            let mut reason = reason.clone();
            (reason.severity, reason.is_undecided) = (Severity::Warn, true);
            found.push(reason);
        }
    }
    if !found.is_empty() {
        return found;
    }
    let mut open: Vec<usize> = bad.iter().flat_map(|outcome| outcome.open.clone()).collect();
    open.sort_unstable();
    open.dedup();
    for entry in open.into_iter().take(LINES_SHOWN_MAX).filter_map(|index| entries.get(index)) {
        let Call::Module { path, .. } = &entry.call else { continue };
        let module = escape_limited(path, 128);
        let message = format!(
            "what {module} answers is not on the volume, and it can refuse the {}",
            kind.name()
        );
        found.push(Finding::undecided(("pam-account", "LOGIN-66"), &entry.place, message));
    }
    found
}

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;
