//! pam_limits: a session ends if nobody may log in (limits.conf(5)).
//!
//! Only `maxlogins` and `maxsyslogins` of 0 do that whatever else happens; a limit above that depends on who is
//! logged in. Not handled: limits that cannot be set, which fail only without privileges.

use super::{Answer, Arguments, Asked, Missing, plain};
use crate::fs::path::GuestPath;
use crate::guest::linux::text::lines;
use crate::login::Finding;
use crate::login::pam::code::Code;
use crate::login::pam::tri::Tri;
use crate::login::pattern::expand;

/// How specific the owner of a limit is: a limit for the user beats one for a group, and that one for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    All,
    Default,
    Group,
    User,
}

/// What is limited: the logins of the user, or all of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Own,
    System,
}

/// A limit that may count.
struct Limit {
    item: Item,
    rank: Rank,
    is_zero: bool,
    holds: Tri,
    place: String,
}

impl Asked<'_> {
    pub(super) fn limits(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let own = call.value("conf=");
        let mut paths =
            vec![own.map_or_else(|| GuestPath::new("/etc/security/limits.conf"), GuestPath::new)];
        if own.is_none() {
            let more = expand(self.fs(), &GuestPath::new("/etc/security/limits.d/*.conf"));
            match more {
                Ok(more) => paths.extend(more),
                Err(_) => return plain(&[Code::Success, Code::PermDenied]),
            }
        }
        let mut limits: Vec<Limit> = Vec::new();
        for path in paths {
            let content = match self.read(path.as_bytes()) {
                Ok(content) => content,
                Err(Missing::Absent) if own.is_none() => continue,
                Err(Missing::Unread) => return plain(&[Code::Success, Code::PermDenied]),
                Err(_) => return plain(&[Code::ServiceErr]),
            };
            for (line, number) in lines(&content).zip(1u64..) {
                match self.limit(line, || format!("{path}:{number}")) {
                    Line::Limit(limit) => limits.push(limit),
                    // A line that frees the user from limits ends the reading.
                    Line::Free(Tri::Yes) => return plain(&[Code::Success]),
                    Line::Free(_) if limits.iter().any(|limit| limit.is_zero) => {
                        return plain(&[Code::Success, Code::PermDenied]);
                    }
                    Line::Free(_) | Line::Nothing => {}
                }
            }
        }
        decide(&limits)
    }

    fn limit(&self, line: &[u8], place: impl Fn() -> String) -> Line {
        let line = line.split(|byte| matches!(byte, b'#' | 0)).next().unwrap_or_default();
        let words: Vec<&[u8]> =
            line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        let (domain, kind) = match words.as_slice() {
            [domain, kind] | [domain, kind, _, _] => (*domain, *kind),
            _ => return Line::Nothing,
        };
        let Some((rank, holds)) = self.domain(domain) else { return Line::Nothing };
        let [_, _, item, value] = words.as_slice() else {
            let is_free = kind == b"-" && matches!(rank, Rank::User | Rank::Group);
            return if is_free { Line::Free(holds) } else { Line::Nothing };
        };
        let item = match item.to_ascii_lowercase().as_slice() {
            b"maxlogins" => Item::Own,
            b"maxsyslogins" => Item::System,
            _ => return Line::Nothing,
        };
        if !holds.may_be() {
            return Line::Nothing;
        }
        let is_zero = value.iter().all(|&byte| byte == b'0');
        Line::Limit(Limit { item, rank, is_zero, holds, place: place() })
    }

    /// For whom a line is, if it can be for the user at all. A range of ids is not told apart: it may hold.
    fn domain(&self, domain: &[u8]) -> Option<(Rank, Tri)> {
        let has_range = |text: &[u8]| text.contains(&b':');
        Some(match domain {
            // Only a line with the name of root is for root.
            b"root" if self.user.uid == 0 && self.user.name == b"root" => (Rank::User, Tri::Yes),
            _ if self.user.uid == 0 => return None,
            b"*" => (Rank::Default, Tri::Yes),
            b"%" => (Rank::All, Tri::Yes),
            [b'@', group @ ..] if has_range(group) => (Rank::Group, Tri::Maybe),
            [b'@' | b'%', group @ ..] => (Rank::Group, self.in_group(group)),
            name if name == self.user.name => (Rank::User, Tri::Yes),
            range if has_range(range) => (Rank::User, Tri::Maybe),
            _ => return None,
        })
    }
}

/// What a line says.
enum Line {
    Nothing,
    Limit(Limit),
    Free(Tri),
}

/// The answer to the limits that may count. One of a higher rank beats the others, and of equal ones the last.
fn decide(limits: &[Limit]) -> Vec<Answer> {
    let mut answers = plain(&[Code::Success]);
    for item in [Item::Own, Item::System] {
        let about = || limits.iter().filter(move |limit| limit.item == item);
        let certain =
            about().filter(|limit| limit.holds == Tri::Yes).max_by_key(|limit| limit.rank);
        let is_open = |limit: &&Limit| {
            limit.holds == Tri::Maybe && certain.is_none_or(|certain| limit.rank >= certain.rank)
        };
        let possible: Vec<&Limit> = certain.into_iter().chain(about().filter(is_open)).collect();
        let Some(zero) = possible.iter().find(|limit| limit.is_zero) else { continue };
        let message = "maxlogins 0: pam_limits lets nobody log in";
        let reason = Finding::block(("pam-account", "LOGIN-66"), &zero.place, message);
        let against = Answer::because(Code::PermDenied, reason);
        if certain.is_some() && possible.iter().all(|limit| limit.is_zero) {
            return vec![against];
        }
        answers.push(against);
    }
    answers
}
