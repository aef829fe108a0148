//! `password reset` on Linux: a password for the serial console, written into `/etc/shadow`
//! (LOGIN-113, LOGIN-142).
//!
//! The file keeps its inode, and with it owner, mode and label; only the line of the user changes.
//! The hash is of the kind that the volume uses. A password that is there already changes nothing.
//! What would keep `login` from taking it is a finding; what blocks refuses the edit, unless `--fix`
//! repairs it or the caller forces it. Not consulted: pwquality and the history in opasswd.

mod account;
mod entry;

#[cfg(test)]
mod tests;

use super::plan::{FileChange, Outcome, Plan, UserPlan};
use crate::bytes::text::escape_limited;
use crate::error::{Error, Refusal, Result};
use crate::fs::path::{GuestPath, Resolved, find};
use crate::fs::{FileSystem, NodeKind, Timestamp};
use crate::guest::linux::accounts::{ACCOUNTS_BYTES_MAX, PasswordField};
use crate::guest::linux::crypt::{self, Match, SALT_BYTES, Scheme};
use crate::guest::linux::{User, detect};
use crate::guest::select::{self, UserChoice};
use crate::guest::windows::format::Password;
use crate::login::{Finding, Guest, dedup};
use entry::{Entry, field};

const DAY_SECONDS: i64 = 86_400;
const SHADOW: &str = "/etc/shadow";
const PASSWD: &str = "/etc/passwd";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct PasswordRequest {
    /// The account; `None` is the one default user (VOL-37).
    pub user: Option<Vec<u8>>,
    /// The new password.
    pub password: Password,
    /// Random bytes for the hash, never used twice.
    pub salt: [u8; SALT_BYTES],
    /// Repair what `--fix` may repair.
    pub fix: bool,
    /// Set the password although it would not let the user in.
    pub force: bool,
    /// The date that decides expiry (LOGIN-4).
    pub now: Timestamp,
    /// The clock of the edit, whose day becomes that of the last change.
    pub edited: Timestamp,
}

/// Plans the edit.
///
/// # Errors
/// * `NotFound`, `Ambiguous` - no Linux system, no such user, several users;
/// * `Refused`, `Limit`, `Corrupt` - the account files cannot be edited;
/// * what keeps the user from logging in is no error here but in [`Plan::refusal`].
pub fn plan(fs: &dyn FileSystem, request: &PasswordRequest) -> Result<Plan> {
    let system = detect(fs)?.ok_or_else(|| Error::not_found("a Linux system on this volume"))?;
    let guest = Guest::open(fs, &system, request.now)?;
    let choice = match &request.user {
        Some(name) => UserChoice::Named(vec![name.clone()]),
        None => UserChoice::Default,
    };
    let users = select::users(fs, &system, &choice, &guest)?;
    let user = *users.first().ok_or_else(|| Error::not_found("no user who could log in"))?;
    let mut reset = Reset { guest: &guest, user, request, findings: Vec::new(), done: Vec::new() };
    let (path, change) = reset.plan_file()?;
    reset.findings.extend(account::findings(&guest, user));
    reset.notes();
    Ok(reset.into_plan(path, change))
}

/// An account file.
struct AccountFile {
    path: GuestPath,
    content: Vec<u8>,
    /// The flag that keeps it from being edited.
    flag: Option<&'static str>,
}

/// A plan under way.
struct Reset<'a> {
    guest: &'a Guest<'a>,
    user: &'a User,
    request: &'a PasswordRequest,
    findings: Vec<Finding>,
    /// What the change does, for people.
    done: Vec<String>,
}

impl Reset<'_> {
    /// The file that holds the hash, and how it changes.
    fn plan_file(&mut self) -> Result<(GuestPath, Option<FileChange>)> {
        if self.user.password == PasswordField::InShadow {
            let file = self.account_file(SHADOW)?;
            let content = self.in_shadow(&file)?;
            return self.change(file, content);
        }
        let file = self.account_file(PASSWD)?;
        let content = self.in_passwd(&file)?;
        self.change(file, content)
    }

    fn change(
        &self,
        file: AccountFile,
        content: Vec<u8>,
    ) -> Result<(GuestPath, Option<FileChange>)> {
        if content == file.content {
            return Ok((file.path, None));
        }
        if let Some(flag) = file.flag {
            return Err(Refusal::ProtectedFile { path: file.path.to_string(), flag }.into());
        }
        let detail = self.done.join("; ");
        let change = FileChange::Replace { path: file.path.clone(), content, detail };
        Ok((file.path, Some(change)))
    }

    /// The content of shadow as it will be.
    fn in_shadow(&mut self, file: &AccountFile) -> Result<Vec<u8>> {
        let Some(mut entry) = Entry::in_shadow(&file.content, &self.user.name) else {
            return self.new_shadow_line(file);
        };
        let subject = format!("{}:{}", file.path, entry.number);
        let field = self.password_field(entry.field(field::PASSWORD), file)?;
        let is_new = field.is_some();
        entry.complete();
        if let Some(field) = field {
            entry.set(field::PASSWORD, &field);
        }
        self.dates(&mut entry, is_new, &subject);
        entry.put_into(&file.content)
    }

    /// A user without a line gets one (LOGIN-68).
    fn new_shadow_line(&mut self, file: &AccountFile) -> Result<Vec<u8>> {
        let hash = self.new_hash(file)?;
        let name = self.user.display_name();
        let message = "there is no line for the user, so PAM refuses every login; one is added";
        let id = ("shadow-missing", "LOGIN-68");
        self.findings.push(Finding::info(id, format!("{}: {name}", file.path), message));
        let mut line = self.user.name.clone();
        let day = self.edit_day();
        line.extend(format!(":{hash}:{day}:0:99999:7:::").as_bytes());
        entry::with_line(&file.content, &line)
    }

    /// The content of passwd as it will be, for the hash that stands there.
    fn in_passwd(&mut self, file: &AccountFile) -> Result<Vec<u8>> {
        let found = Entry::in_passwd(&file.content, &self.user.name);
        let Some(mut entry) = found.filter(|e| crypt::is_hash(unlocked(e.field(field::PASSWORD))))
        else {
            let reason = format!(
                "the password field of {} is neither x nor a hash, so {SHADOW} is not asked",
                self.user.display_name()
            );
            return Err(Refusal::UnsuitableFile { path: file.path.to_string(), reason }.into());
        };
        let subject = format!("{}:{}", file.path, entry.number);
        let message = "the hash stands in this file, which everybody on the machine can read";
        self.findings.push(Finding::warn(("password-place", "LOGIN-68"), subject, message));
        if let Some(field) = self.password_field(entry.field(field::PASSWORD), file)? {
            entry.set(field::PASSWORD, &field);
        }
        entry.put_into(&file.content)
    }

    /// The new field for the password; `None` if the old one is good.
    fn password_field(&mut self, old: &[u8], file: &AccountFile) -> Result<Option<Vec<u8>>> {
        let bare = unlocked(old);
        let password = self.request.password.expose().as_bytes();
        let is_match = crypt::verify(password, bare) == Match::Yes;
        if bare.len() != old.len() && crypt::is_hash(bare) {
            self.done.push("unlocks the password".to_owned());
        }
        if is_match {
            return Ok((bare.len() != old.len()).then(|| bare.to_vec()));
        }
        Ok(Some(self.new_hash(file)?.into_bytes()))
    }

    fn new_hash(&mut self, file: &AccountFile) -> Result<String> {
        let (scheme, evidence) = crypt::scheme_of(self.guest.fs, &file.content)?;
        let password = self.request.password.expose().as_bytes();
        let hash = crypt::hash(scheme, password, self.request.salt)?;
        if crypt::verify(password, hash.as_bytes()) != Match::Yes {
            return Err(Error::from(std::io::Error::other("the new hash does not verify")));
        }
        let kind = scheme.name();
        self.done.insert(0, format!("sets the password of {} ({kind})", self.user.display_name()));
        let message = match scheme {
            Scheme::Yescrypt => format!("the kind of hash is {kind}, by {evidence}"),
            Scheme::Sha512 => format!("the kind of hash is {kind}: {evidence}"),
        };
        self.findings.push(Finding::info(("password-kind", "LOGIN-113"), &file.path, message));
        Ok(hash)
    }

    fn today(&self) -> i64 {
        self.request.now.seconds.div_euclid(DAY_SECONDS)
    }

    /// The day of the edit.
    fn edit_day(&self) -> i64 {
        self.request.edited.seconds.div_euclid(DAY_SECONDS)
    }

    /// Ageing and expiry: the new password must not be too old at once (LOGIN-67, LOGIN-142).
    fn dates(&mut self, entry: &mut Entry, is_new: bool, subject: &str) {
        let today = self.today();
        let changed = entry.day(field::LAST_CHANGE);
        let is_due = |days: Option<i64>| {
            let age = changed.map(|day| today.saturating_sub(day)).filter(|&age| age >= 0);
            age.zip(days).is_some_and(|(age, days)| age >= days)
        };
        let max = entry.day(field::MAX_AGE);
        if is_new || changed == Some(0) || is_due(max) {
            let day = self.edit_day();
            if changed != Some(day) {
                self.done.push(format!("field 3 (day of the last change) becomes {day}"));
            }
            entry.set(field::LAST_CHANGE, day.to_string().as_bytes());
            if max.is_some_and(|max| max > 0 && today.saturating_sub(day) >= max) {
                let message = "the clock of this edit is so old that the password is due at once";
                self.findings.push(Finding::warn(("passwd-age", "LOGIN-4"), subject, message));
            }
        }
        if max == Some(0) {
            self.done.push("field 5 (days until a change is due) was 0 and becomes empty".into());
            entry.set(field::MAX_AGE, b"");
        } else if let Some(days) = max.filter(|&days| days < 10_000) {
            let more = match entry.day(field::INACTIVE) {
                Some(inactive) => format!(", and {inactive} days later the account is closed"),
                None => String::new(),
            };
            let message = format!("the password must be changed after {days} days{more}");
            self.findings.push(Finding::info(("passwd-age", "LOGIN-67"), subject, message));
        }
        let Some(day) = entry.day(field::EXPIRE).filter(|&day| today >= day) else { return };
        let message = format!("the account expired on day {day} (today is day {today} since 1970)");
        let id = ("acct-expired", "LOGIN-67");
        if self.request.fix {
            self.done.push(format!("field 8 (day of expiry) was {day} and becomes empty"));
            entry.set(field::EXPIRE, b"");
            let message = format!("{message} (repaired by this plan)");
            self.findings.push(Finding::info(id, subject, message));
        } else {
            let finding = Finding::block(id, subject, message);
            self.findings.push(finding.fixed_by("--fix empties field 8"));
        }
    }

    /// What people should know in any case.
    fn notes(&mut self) {
        let message = "neither the rules of pwquality nor the history in /etc/security/opasswd were \
                       consulted, and the copies /etc/shadow- and /etc/passwd- stay as they are";
        let id = ("password-rules", "LOGIN-113");
        self.findings.push(Finding::info(id, self.user.display_name(), message));
    }

    /// The file at `path`, if it is one that may be edited.
    fn account_file(&self, path: &str) -> Result<AccountFile> {
        let fs = self.guest.fs;
        let found: Option<Resolved> = find(fs, &GuestPath::new(path))?;
        let unsuitable = |reason: String| Refusal::UnsuitableFile { path: path.to_owned(), reason };
        let Some(found) = found else {
            let name = escape_limited(&self.user.name, 64);
            let reason = format!("does not exist, but {PASSWD} says that {name} is in it");
            return Err(unsuitable(reason).into());
        };
        let metadata = fs.metadata(found.node)?;
        if metadata.kind != NodeKind::File {
            return Err(unsuitable(format!("is a {}", metadata.kind)).into());
        }
        let flag = match (metadata.flags.is_immutable, metadata.flags.is_append_only) {
            (true, _) => Some("immutable"),
            (false, true) => Some("append-only"),
            (false, false) => None,
        };
        let content = fs.read(found.node, ACCOUNTS_BYTES_MAX)?;
        Ok(AccountFile { path: found.real_path, content, flag })
    }

    fn into_plan(mut self, path: GuestPath, change: Option<FileChange>) -> Plan {
        dedup(&mut self.findings);
        self.findings.sort_by_key(|finding| finding.severity);
        let reason = self.findings.iter().find(|f| f.is_blocking()).map(ToString::to_string);
        let outcome = match (&reason, &change) {
            (Some(_), _) if !self.request.force => Outcome::Refused,
            (_, Some(_)) => Outcome::Changes,
            (_, None) => Outcome::AlreadyPresent,
        };
        let changes = change.filter(|_| outcome == Outcome::Changes).into_iter().collect();
        let name = self.user.name.clone();
        let users = vec![UserPlan { name, path: Some(path), outcome, reason }];
        Plan { users, changes, findings: self.findings }
    }
}

/// A password field without what locks it.
fn unlocked(field: &[u8]) -> &[u8] {
    let start = field.iter().position(|byte| !matches!(byte, b'!' | b'*')).unwrap_or(field.len());
    field.get(start..).unwrap_or_default()
}
