//! pam_access: `/etc/security/access.conf` (access.conf(5); LOGIN-73).
//!
//! Where a client comes from is not known, so that a rule about origins may match or not (LOGIN-3).

use super::{Answer, Arguments, Asked, Missing};
use crate::fs::path::GuestPath;
use crate::guest::linux::text::exists;
use crate::login::Finding;
use crate::login::pam::code::Code;
use crate::login::pam::tri::Tri;
use crate::login::pattern::expand;
use std::collections::BTreeSet;

const DEFAULT: &str = "/etc/security/access.conf";
/// Where SUSE keeps the file of the distribution.
const VENDOR: &str = "/usr/etc/security/access.conf";
const DIRECTORY: &str = "/etc/security/access.d/*.conf";
/// Bound on the words of one list.
const WORDS_MAX: usize = 4096;

/// How the fields and lists of the file are separated.
struct Separators<'a> {
    fields: &'a [u8],
    lists: &'a [u8],
    /// Groups must stand in parentheses.
    only_parentheses: bool,
}

/// The results that the rules read so far may have.
#[derive(Default)]
struct Results {
    /// Some rule may grant.
    may_grant: bool,
    /// The place of the first rule that may deny.
    denied_by: Option<String>,
    /// A rule matched for certain: nothing after it counts.
    is_decided: bool,
}

impl Asked<'_> {
    pub(super) fn access(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let own = call.value("accessfile=");
        let path = match own {
            Some(path) => GuestPath::new(path),
            None if !exists(self.fs(), DEFAULT) && exists(self.fs(), VENDOR) => {
                GuestPath::new(VENDOR)
            }
            None => GuestPath::new(DEFAULT),
        };
        let separators = Separators {
            fields: call.value("fieldsep=").unwrap_or(b":"),
            lists: call.value("listsep=").unwrap_or(b", \t"),
            only_parentheses: call.has("nodefgroup"),
        };
        let mut results = Results::default();
        let mut paths = vec![path];
        if own.is_none() {
            match expand(self.fs(), &GuestPath::new(DIRECTORY)) {
                Ok(more) => paths.extend(more),
                Err(_) => return unknown(call),
            }
        }
        for path in &paths {
            match self.read(path.as_bytes()) {
                Ok(content) => self.rules(&content, path, &separators, &mut results),
                // A file that is named must exist, the usual one need not.
                Err(Missing::Absent) if own.is_none() => {}
                Err(Missing::Absent) => {
                    let message =
                        format!("pam_access: its file {path} does not exist, and it refuses");
                    let reason = Finding::block(("pam-access", "LOGIN-73"), call.place, message);
                    return vec![Answer::because(Code::Abort, reason)];
                }
                Err(_) => return unknown(call),
            }
            if results.is_decided {
                break;
            }
        }
        // Without a rule that matches, access is granted.
        results.may_grant |= !results.is_decided;
        results.answers(&self.user.display_name())
    }

    fn rules(&self, content: &[u8], path: &GuestPath, by: &Separators<'_>, results: &mut Results) {
        for (line, number) in content.split_inclusive(|&byte| byte == b'\n').zip(1u64..) {
            // A last line without a line end is skipped, and so is one with a NUL before it.
            let Some(line) = line.strip_suffix(b"\n").filter(|line| !line.contains(&0)) else {
                continue;
            };
            let line = line.trim_ascii_end();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let mut rest = line;
            let (Some(sign), Some(users)) =
                (field(&mut rest, by.fields), field(&mut rest, by.fields))
            else {
                continue;
            };
            if rest.is_empty() || !matches!(sign.first(), Some(b'+' | b'-')) {
                continue;
            }
            let user = list_matches(users, by.lists, |word| self.user_matches(word, by));
            let matched = user.and(list_matches(rest, by.lists, |word| self.origin_matches(word)));
            if !matched.may_be() {
                continue;
            }
            if sign.starts_with(b"+") {
                results.may_grant = true;
            } else if results.denied_by.is_none() {
                results.denied_by = Some(format!("{path}:{number}"));
            }
            if matched == Tri::Yes {
                results.is_decided = true;
                return;
            }
        }
    }

    fn user_matches(&self, word: &[u8], by: &Separators<'_>) -> Tri {
        let name = self.user.name.as_slice();
        if let Some(group) = word.strip_prefix(b"(").and_then(|word| word.strip_suffix(b")")) {
            if group.is_empty() {
                return Tri::No;
            }
            // Only newer releases take the number of a group.
            let by_number = number(group)
                .is_some_and(|gid| self.guest.system.accounts.gids_of(self.user).contains(&gid));
            return self.in_group(group).or(if by_number { Tri::Maybe } else { Tri::No });
        }
        let signs = word.iter().take_while(|&&byte| byte == b'@').count();
        let rest = word.get(signs..).unwrap_or_default();
        if let Some(at) = rest.iter().position(|&byte| byte == b'@') {
            // `user@host`: the host is this machine.
            let user = word.get(..signs.saturating_add(at)).unwrap_or_default();
            let host = rest.get(at.saturating_add(1)..).unwrap_or_default();
            return self.user_matches(user, by).and(self.own_host_matches(host));
        }
        if signs > 0 {
            return self.in_netgroup();
        }
        if word.eq_ignore_ascii_case(b"ALL") || word.eq_ignore_ascii_case(name) {
            return Tri::Yes;
        }
        let by_number = if number(word) == Some(self.user.uid) { Tri::Maybe } else { Tri::No };
        if by.only_parentheses { by_number } else { self.in_group(word).or(by_number) }
    }

    fn own_host_matches(&self, word: &[u8]) -> Tri {
        let is_own = |name: &[u8]| word.eq_ignore_ascii_case(name);
        if is_own(b"ALL") || self.guest.system.host_name.as_deref().is_some_and(is_own) {
            return Tri::Yes;
        }
        Tri::Maybe
    }

    /// Where a client of sshd comes from: a host or an address, never a terminal.
    fn origin_matches(&self, word: &[u8]) -> Tri {
        if word.starts_with(b"@") {
            return self.in_netgroup();
        }
        if word.eq_ignore_ascii_case(b"ALL") {
            return Tri::Yes;
        }
        let local: [&[u8]; 4] = [b"LOCAL", b"NONE", b"cron", b"crond"];
        let is_local = local.iter().any(|name| word.eq_ignore_ascii_case(name));
        let digits = word.strip_prefix(b"tty").unwrap_or(word);
        let is_terminal = word.starts_with(b":")
            || word.starts_with(b"pts/")
            || (digits.len() < word.len() && digits.iter().all(u8::is_ascii_alphanumeric))
            || word == b"console";
        if is_local || is_terminal { Tri::No } else { Tri::Maybe }
    }
}

impl Results {
    fn answers(self, name: &str) -> Vec<Answer> {
        let Some(place) = self.denied_by else { return vec![Answer::plain(Code::Success)] };
        let id = ("pam-access", "LOGIN-73");
        let message = if self.may_grant {
            format!("pam_access refuses {name} from some places, by this rule")
        } else {
            format!("pam_access refuses {name} by this rule")
        };
        let denied = Answer::because(Code::PermDenied, Finding::block(id, place, message));
        if self.may_grant { vec![Answer::plain(Code::Success), denied] } else { vec![denied] }
    }
}

fn unknown(call: &Arguments<'_>) -> Vec<Answer> {
    let message = "the rules of pam_access cannot be read here";
    let reason = Finding::block(("pam-access", "LOGIN-73"), call.place, message);
    vec![Answer::plain(Code::Success), Answer::because(Code::PermDenied, reason)]
}

fn number(word: &[u8]) -> Option<u32> {
    let is_number = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(word).ok().filter(|_| is_number)?.parse().ok()
}

/// The next field, as strtok(3) cuts it: separators before it are skipped.
fn field<'a>(rest: &mut &'a [u8], separators: &[u8]) -> Option<&'a [u8]> {
    let line: &'a [u8] = rest;
    let start = line.iter().position(|byte| !separators.contains(byte))?;
    let line = line.get(start..)?;
    let end = line.iter().position(|byte| separators.contains(byte)).unwrap_or(line.len());
    *rest = line.get(end.saturating_add(1)..).unwrap_or_default();
    line.get(..end)
}

/// Whether a list matches: words, of which `EXCEPT` takes those before it back for what comes after it. Words that
/// may match or not lead to several states, of which there are few.
fn list_matches(list: &[u8], separators: &[u8], matches: impl Fn(&[u8]) -> Tri) -> Tri {
    /// Whether words count for or against, whether one matched since the last `EXCEPT`, and the result so far.
    type State = (bool, bool, bool);
    let mut states: BTreeSet<State> = BTreeSet::from([(true, false, false)]);
    let mut ended: BTreeSet<bool> = BTreeSet::new();
    let words = list.split(|byte| separators.contains(byte)).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index >= WORDS_MAX {
            return Tri::Maybe;
        }
        let mut next = BTreeSet::new();
        let is_except = word.eq_ignore_ascii_case(b"EXCEPT");
        let holds = if is_except { Tri::No } else { matches(word) };
        for (includes, is_matched, result) in states {
            if is_except && !is_matched {
                ended.insert(result);
            } else if is_except {
                next.insert((!includes, false, result));
            } else {
                if holds.may_be() {
                    next.insert((includes, true, includes));
                }
                if holds != Tri::Yes {
                    next.insert((includes, is_matched, result));
                }
            }
        }
        states = next;
    }
    ended.extend(states.into_iter().map(|(_, _, result)| result));
    match (ended.contains(&true), ended.contains(&false)) {
        (true, true) => Tri::Maybe,
        (true, false) => Tri::Yes,
        (false, _) => Tri::No,
    }
}
