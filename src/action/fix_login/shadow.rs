//! Repairs in /etc/shadow: one field of one line, in place (LOGIN-142). The password itself is never touched, but
//! for the mark that locks it, and never shown.

use super::{Answer, Repairs};
use crate::action::draft::Trial;
use crate::error::Result;
use crate::fs::path::{GuestPath, find};
use crate::guest::linux::accounts::{ACCOUNTS_BYTES_MAX, PasswordField};
use crate::login::finding::Finding;

const DAY_SECONDS: i64 = 86_400;
/// The rule of findings that come from pam_unix.
const PAM_RULE: &str = "LOGIN-67";

/// Fields by their index from 0 (shadow(5)).
const PASSWORD: usize = 1;
const LAST_CHANGE: usize = 2;
const MAX_AGE: usize = 4;
const EXPIRE: usize = 7;

impl Repairs<'_> {
    /// Empties the date on which the account expires. PAM looks at the age of the password only then, so a
    /// password that is too old is no finding yet, and would be the next reason (LOGIN-67).
    pub(super) fn clear_expiry(&self, finding: &Finding, draft: &mut Trial<'_>) -> Result<Answer> {
        let cleared = self.set_day(EXPIRE, "expiry", "", draft)?;
        let Answer::Done(what) = &cleared else { return Ok(cleared) };
        if finding.rule != PAM_RULE || !self.is_password_too_old() {
            return Ok(cleared);
        }
        Ok(match self.renew_password_date(draft)? {
            Answer::Done(more) => Answer::Done(format!("{what}, and the password's {more}")),
            Answer::No(_) => cleared,
        })
    }

    /// True if the password has to be changed by its age, or is past even that.
    fn is_password_too_old(&self) -> bool {
        let shadow = self.guest.system.accounts.shadow.as_ref();
        let Some(line) = shadow.and_then(|shadow| shadow.get(&self.user.name)) else {
            return false;
        };
        let today = self.guest.now.seconds.div_euclid(DAY_SECONDS);
        let is_past =
            |changed: i64| line.max_age.is_some_and(|days| today >= changed.saturating_add(days));
        line.last_change.is_some_and(|changed| changed == 0 || is_past(changed))
    }

    /// Makes today the day of the last change of the password, or lifts a limit that no day could keep.
    pub(super) fn renew_password_date(&self, draft: &mut Trial<'_>) -> Result<Answer> {
        let shadow = self.guest.system.accounts.shadow.as_ref();
        let line = shadow.and_then(|shadow| shadow.get(&self.user.name));
        if line.and_then(|line| line.max_age).is_some_and(|days| days <= 0) {
            return self.set_day(MAX_AGE, "longest age of the password", "", draft);
        }
        let today = self.guest.now.seconds.div_euclid(DAY_SECONDS);
        self.set_day(LAST_CHANGE, "last change of the password", &today.to_string(), draft)
    }

    /// Puts `*` in the place of the `!` that locks the password: it stays of no use.
    pub(super) fn lift_lock(&self, draft: &mut Trial<'_>) -> Result<Answer> {
        let shadow = self.guest.system.accounts.shadow.as_ref();
        let line = shadow.and_then(|shadow| shadow.get(&self.user.name));
        if line.is_none_or(|line| line.password != PasswordField::Locked) {
            return Ok(Answer::No(Some(
                "the lock stands in /etc/passwd, which regain does not edit",
            )));
        }
        let mut change = |field: &[u8]| {
            let rest = field.strip_prefix(b"!")?;
            Some([b"*", rest].concat())
        };
        let name = self.user.display_name();
        let detail = format!("password of {name}: * in place of the ! that locks it");
        let is_done = self.edit_field(PASSWORD, &mut change, detail, draft)?;
        Ok(if is_done {
            Answer::becomes("!", "* (the password stays unusable)")
        } else {
            Answer::No(None)
        })
    }

    fn set_day(
        &self,
        index: usize,
        what: &str,
        value: &str,
        draft: &mut Trial<'_>,
    ) -> Result<Answer> {
        let shown = |value: &[u8]| match value {
            [] => "empty".to_owned(),
            value => format!("day {}", crate::bytes::text::escape_limited(value, 16)),
        };
        let mut before = String::new();
        let mut change = |field: &[u8]| {
            before = shown(field);
            Some(value.as_bytes().to_vec())
        };
        let after = shown(value.as_bytes());
        let name = self.user.display_name();
        let detail = format!("{what} of {name}: {after}");
        let is_done = self.edit_field(index, &mut change, detail, draft)?;
        Ok(if is_done { Answer::becomes(&before, &after) } else { Answer::No(None) })
    }

    /// Changes one field of the user's line; false if there is no such line, or it stays as it is.
    fn edit_field(
        &self,
        index: usize,
        change: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
        detail: String,
        draft: &mut Trial<'_>,
    ) -> Result<bool> {
        let fs = self.guest.fs;
        let Some(found) = find(fs, &GuestPath::new("/etc/shadow"))? else { return Ok(false) };
        let before = fs.read(found.node, ACCOUNTS_BYTES_MAX)?;
        let path = found.real_path;
        let content = draft.content(&path).map_or_else(|| before.clone(), <[u8]>::to_vec);
        let Some(after) = with_field(&content, &self.user.name, index, change) else {
            return Ok(false);
        };
        let new = crate::fs::NewNode::default();
        draft.own.file(path, Some(before), new, after, vec![detail]);
        Ok(true)
    }
}

/// `content` with another field in the first line of `name`; `None` if nothing changes.
fn with_field(
    content: &[u8],
    name: &[u8],
    index: usize,
    change: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mut result = Vec::with_capacity(content.len().saturating_add(8));
    let mut is_changed = false;
    let mut is_past = false;
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let mut fields: Vec<Vec<u8>> =
            text.split(|&byte| byte == b':').map(<[u8]>::to_vec).collect();
        if is_past || fields.first().is_none_or(|first| first != name) {
            result.extend_from_slice(line);
            continue;
        }
        is_past = true;
        if let Some(field) = fields.get_mut(index)
            && let Some(value) = change(field)
        {
            is_changed = *field != value;
            *field = value;
        }
        result.extend_from_slice(&fields.join(b":".as_slice()));
        result.extend_from_slice(line.get(text.len()..).unwrap_or_default());
    }
    is_changed.then_some(result)
}
