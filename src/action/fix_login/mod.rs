//! `--fix`: the least change for what keeps sshd from accepting a key (LOGIN-140 to LOGIN-147, table LOGIN-T6).
//!
//! What follows from a finding by itself is repaired with `--fix`: modes and owners, dates of the account,
//! /etc/nologin, switches of the configuration. What changes a policy or a lock that somebody may have set on
//! purpose is repaired only if it is named ([`Also`]). Every repair stays in the report as a note with before and
//! after. What is not repaired keeps its severity and says what would repair it.
//!
//! Not handled here: the way to the key file and the order of its lines, which belong to the edit itself.

mod also;
mod configuration;
mod service;
mod shadow;
#[cfg(test)]
mod tests;

pub use also::Also;

use super::draft::{Draft, Trial};
use crate::error::Result;
use crate::fs::path::{GuestPath, find};
use crate::guest::linux::User;
use crate::login::Guest;
use crate::login::finding::{Finding, Severity};
use std::collections::BTreeSet;

/// What may be repaired, and for whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repairs<'a> {
    pub(super) guest: &'a Guest<'a>,
    pub(super) user: &'a User,
    /// True with `--fix`.
    pub(super) is_on: bool,
    /// What was named as well.
    pub(super) also: &'a BTreeSet<Also>,
}

/// What comes of one finding.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// It is repaired in the draft: what changes.
    Done(String),
    /// It cannot be repaired here, for this reason if there is more to say than the finding does.
    No(Option<&'static str>),
}

impl Answer {
    fn becomes(before: &str, after: &str) -> Self {
        Self::Done(format!("{before} becomes {after}"))
    }
}

impl Repairs<'_> {
    /// True if what the check `check` found may be repaired.
    pub(super) fn allows(&self, check: &str) -> bool {
        Also::of_check(check).map_or(self.is_on, |also| self.also.contains(&also))
    }

    /// Repairs what `findings` say, and says in them what was done or could be.
    ///
    /// # Errors
    /// As the file system; `Limit` for files beyond every reason.
    pub(super) fn apply(&self, findings: &mut [Finding], draft: &mut Trial<'_>) -> Result<()> {
        let matters = |finding: &&mut Finding| finding.severity != Severity::Info;
        for finding in findings.iter_mut().filter(matters) {
            let before_repair = draft.own.clone();
            let answer = self.answer(finding, draft)?;
            let is_allowed = self.allows(finding.check);
            if !is_allowed {
                draft.own = before_repair;
            }
            match answer {
                Answer::Done(what) if is_allowed => repaired(finding, &what),
                Answer::Done(what) => offer(finding, &what),
                Answer::No(Some(reason)) => finding.fix = Some(reason.to_owned()),
                Answer::No(None) => {}
            }
        }
        Ok(())
    }

    /// Says in `findings` which option of `key add` would repair them.
    ///
    /// # Errors
    /// As [`Repairs::apply`].
    pub(super) fn offers(guest: &Guest<'_>, user: &User, findings: &mut [Finding]) -> Result<()> {
        let (draft, also) = (Draft::default(), BTreeSet::new());
        Repairs { guest, user, is_on: false, also: &also }.apply(findings, &mut Trial::on(&draft))
    }

    fn answer(&self, finding: &Finding, draft: &mut Trial<'_>) -> Result<Answer> {
        match finding.check {
            "acct-expired" => self.clear_expiry(finding, draft),
            "passwd-age" | "passwd-inactive" => self.renew_password_date(draft),
            "user-locked" => self.lift_lock(draft),
            "nologin" => self.remove_nologin(finding, draft),
            "conf-pubkey" => self.set_keyword("PubkeyAuthentication", "yes", draft),
            "conf-root" => self.set_keyword("PermitRootLogin", "prohibit-password", draft),
            "conf-methods" => self.set_keyword("AuthenticationMethods", "publickey", draft),
            "conf-users" => self.allow_user(finding, draft),
            "conf-force" => self.lift_force(finding, draft),
            "sshd-enabled" => self.enable_service(draft),
            _ => Ok(Answer::No(None)),
        }
    }

    /// Removes /etc/nologin (LOGIN-143). Other files that a PAM module may name are left alone.
    fn remove_nologin(&self, finding: &Finding, draft: &mut Trial<'_>) -> Result<Answer> {
        let path = GuestPath::new("/etc/nologin");
        let Some(directory) = find(self.guest.fs, &GuestPath::new("/etc"))? else {
            return Ok(Answer::No(None));
        };
        if finding.subject != path.to_string() || find(self.guest.fs, &path)?.is_none() {
            return Ok(Answer::No(None));
        }
        draft.own.remove(directory.real_path.join("nologin"), "lets users other than root in");
        Ok(Answer::Done("the file is removed".to_owned()))
    }
}

/// Turns a finding into the note of its repair.
pub(super) fn repaired(finding: &mut Finding, what: &str) {
    finding.severity = Severity::Info;
    finding.is_undecided = false;
    finding.fix = None;
    finding.message = format!("repaired: {}; {what}", finding.message);
}

/// Says which option would repair a finding.
pub(super) fn offer(finding: &mut Finding, what: &str) {
    finding.fix = Some(match Also::of_check(finding.check) {
        Some(also) => format!("`--fix-also {also}`: {what}"),
        None => format!("`--fix`: {what}"),
    });
}
