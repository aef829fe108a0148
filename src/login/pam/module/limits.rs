//! pam_limits: a session ends if nobody may log in (limits.conf(5)).
//!
//! Only `maxlogins` and `maxsyslogins` of 0 do that whatever else happens; a limit above that depends on who is
//! logged in. A `nofile` above the kernel's `fs.nr_open` cannot be set, and ends the session as well; what that is
//! depends on what starts the guest. Not handled: other limits that cannot be set.

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

/// The largest number of open files that a kernel allows unless it is told otherwise (`fs.nr_open`).
const OPEN_FILES_MAX: u64 = 1_048_576;

/// What is limited: the logins of the user, or all of the system; the open files of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Own,
    System,
    Files,
}

impl Item {
    /// True if `value` ends every session, or may do so.
    fn is_fatal(self, value: &[u8]) -> bool {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
        match self {
            Self::Own | Self::System => number == Some(0),
            Self::Files => number.is_some_and(|number| number > OPEN_FILES_MAX),
        }
    }
}

/// A limit that may count.
struct Limit {
    item: Item,
    rank: Rank,
    is_fatal: bool,
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
                    Line::Free(_) if limits.iter().any(|limit| limit.is_fatal) => {
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
            // A soft limit is cut to the hard one.
            b"nofile" if !kind.eq_ignore_ascii_case(b"soft") => Item::Files,
            _ => return Line::Nothing,
        };
        // Nobody counts the logins of root.
        if self.user.uid == 0 && item != Item::Files {
            return Line::Nothing;
        }
        if !holds.may_be() {
            return Line::Nothing;
        }
        let is_fatal = item.is_fatal(value);
        Line::Limit(Limit { item, rank, is_fatal, holds, place: place() })
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
    for item in [Item::Own, Item::System, Item::Files] {
        let about = || limits.iter().filter(move |limit| limit.item == item);
        let certain =
            about().filter(|limit| limit.holds == Tri::Yes).max_by_key(|limit| limit.rank);
        let is_open = |limit: &&Limit| {
            limit.holds == Tri::Maybe && certain.is_none_or(|certain| limit.rank >= certain.rank)
        };
        let possible: Vec<&Limit> = certain.into_iter().chain(about().filter(is_open)).collect();
        let Some(fatal) = possible.iter().find(|limit| limit.is_fatal) else { continue };
        let message = match item {
            Item::Files => {
                "pam_limits cannot set a nofile above fs.nr_open, and then ends every session"
            }
            Item::Own | Item::System => "maxlogins 0: pam_limits lets nobody log in",
        };
        let reason = Finding::block(("pam-account", "LOGIN-66"), &fatal.place, message);
        let against = Answer::because(Code::PermDenied, reason);
        let is_certain = item != Item::Files && certain.is_some();
        if is_certain && possible.iter().all(|limit| limit.is_fatal) {
            return vec![against];
        }
        answers.push(against);
    }
    answers
}
