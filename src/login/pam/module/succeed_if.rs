//! pam_succeed_if: conditions on the user and the service.

use super::{Answer, Arguments, Asked, by_condition, plain};
use crate::login::Finding;
use crate::login::pam::code::Code;
use crate::login::pam::config::Kind;
use crate::login::pam::tri::Tri;
use crate::login::pattern::matches;

/// Words that only say how much is logged, or who is asked about.
const FLAGS: [&[u8]; 6] =
    [b"debug", b"use_uid", b"quiet", b"quiet_fail", b"quiet_success", b"audit"];

/// The value of an attribute.
enum Value<'a> {
    Known(std::borrow::Cow<'a, [u8]>),
    /// It depends on the client or the terminal.
    Open,
}

/// What became of one condition.
enum Condition {
    Is(Tri),
    /// It cannot be evaluated, which is an error of the service.
    Broken,
}

impl Asked<'_> {
    pub(super) fn succeed_if(&self, call: &Arguments<'_>) -> Vec<Answer> {
        // sshd asks as root.
        let as_root = call.has("use_uid");
        let words: Vec<&[u8]> = call.words.iter().map(Vec::as_slice).collect();
        let words: Vec<&[u8]> = words.into_iter().filter(|word| !FLAGS.contains(word)).collect();
        let mut all = Tri::Yes;
        for condition in words.chunks(3) {
            let [left, qualifier, right] = condition else {
                return match all {
                    Tri::Maybe => plain(&[Code::AuthErr, Code::ServiceErr]),
                    _ => plain(&[Code::ServiceErr]),
                };
            };
            match self.condition(left, qualifier, right, as_root) {
                Condition::Broken if all == Tri::Maybe => {
                    return plain(&[Code::AuthErr, Code::ServiceErr]);
                }
                Condition::Broken => return plain(&[Code::ServiceErr]),
                Condition::Is(holds) => all = all.and(holds),
            }
            if all == Tri::No {
                break;
            }
        }
        let shown: Vec<String> =
            words.iter().map(|word| crate::bytes::text::escape_limited(word, 64)).collect();
        let message = format!("the condition of pam_succeed_if does not hold: {}", shown.join(" "));
        let reason = Finding::block(("pam-account", "LOGIN-66"), call.place, message);
        by_condition(all, Answer::because(Code::AuthErr, reason))
    }

    fn condition(&self, left: &[u8], qualifier: &[u8], right: &[u8], as_root: bool) -> Condition {
        let Some(value) = self.attribute(left, as_root) else { return Condition::Broken };
        let user = if as_root { b"root" } else { self.user.name.as_slice() };
        let qualifier = qualifier.to_ascii_lowercase();
        // These look at the user, whatever stands before them.
        let in_groups = || {
            let groups = right.split(|&byte| byte == b':').filter(|name| !name.is_empty());
            groups.fold(Tri::No, |found, name| found.or(self.is_member(user, name)))
        };
        match qualifier.as_slice() {
            b"ingroup" => return Condition::Is(in_groups()),
            b"notingroup" => return Condition::Is(!in_groups()),
            b"innetgr" => return Condition::Is(self.in_netgroup()),
            b"notinnetgr" => return Condition::Is(!self.in_netgroup()),
            _ => {}
        }
        let numeric: Option<fn(i64, i64) -> bool> = match qualifier.as_slice() {
            b"<" | b"lt" => Some(|left, right| left < right),
            b"<=" | b"le" => Some(|left, right| left <= right),
            b">" | b"gt" => Some(|left, right| left > right),
            b">=" | b"ge" => Some(|left, right| left >= right),
            b"eq" => Some(|left, right| left == right),
            b"ne" => Some(|left, right| left != right),
            _ => None,
        };
        let Value::Known(value) = value else { return Condition::Is(Tri::Maybe) };
        if let Some(compare) = numeric {
            let Some((left, right)) = number(&value).zip(number(right)) else {
                return Condition::Broken;
            };
            return Condition::Is(compare(left, right).into());
        }
        let in_list = || right.split(|&byte| byte == b':').any(|item| *item == *value);
        Condition::Is(match qualifier.as_slice() {
            b"=" => (*value == *right).into(),
            b"!=" => (*value != *right).into(),
            b"=~" | b"glob" => glob(right, &value),
            b"!~" | b"noglob" => !glob(right, &value),
            b"in" => in_list().into(),
            b"notin" => (!in_list()).into(),
            _ => return Condition::Broken,
        })
    }

    fn is_member(&self, user: &[u8], group: &[u8]) -> Tri {
        if user == self.user.name.as_slice() {
            return self.in_group(group);
        }
        let accounts = &self.guest.system.accounts;
        accounts.find(user).map_or(Tri::Maybe, |user| accounts.is_in_group(user, group).into())
    }

    /// The value of an attribute; `None` if there is no such attribute.
    fn attribute(&self, name: &[u8], as_root: bool) -> Option<Value<'_>> {
        let user = if as_root { self.guest.system.accounts.find(b"root")? } else { self.user };
        let text = |text: &'static [u8]| Value::Known(text.into());
        Some(match name.to_ascii_lowercase().as_slice() {
            b"login" | b"name" | b"user" => Value::Known(user.name.as_slice().into()),
            b"uid" => Value::Known(user.uid.to_string().into_bytes().into()),
            b"gid" => Value::Known(user.gid.to_string().into_bytes().into()),
            b"shell" => Value::Known(user.shell.as_slice().into()),
            b"home" | b"dir" | b"homedir" => match &user.home {
                Some(home) => Value::Known(home.as_bytes().into()),
                None => Value::Open,
            },
            b"service" => Value::Known(self.service.to_ascii_lowercase().into()),
            b"ruser" => text(b""),
            b"tty" if self.kind == Kind::Account => text(b"ssh"),
            b"rhost" | b"tty" => Value::Open,
            _ => return None,
        })
    }
}

/// A number as strtoll(3) reads it with base 0.
fn number(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// fnmatch(3), as far as `*` and `?` go.
fn glob(pattern: &[u8], text: &[u8]) -> Tri {
    if pattern.iter().any(|byte| b"[\\".contains(byte)) {
        return Tri::Maybe;
    }
    matches(pattern, text).into()
}
