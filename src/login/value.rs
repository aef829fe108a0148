//! The arguments of a keyword: which ones stop sshd (LOGIN-15).

use super::address::{BadPrefix, Network};
use super::daemon::{Release, Version};
use super::keyword::{Keyword, Value};
use super::line::{Line, trim_start};
use super::pattern::{matches, matches_list};

/// What is wrong with a line, by how sure that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Defect {
    /// sshd stops at it.
    Fatal(&'static str),
    /// sshd stops at it unless its program knows this word.
    NeedsWord(String),
    /// It is not decided here.
    Undecided(&'static str),
}

const MISSING: Defect = Defect::Fatal("it has no value");
const EXTRA: Defect = Defect::Fatal("it has more than one value");

/// Looks for what stops a release of sshd at a line; the worst comes first.
pub(super) fn defects(line: &Line, keyword: &Keyword, release: Release) -> Vec<Defect> {
    let arguments = &line.arguments;
    let one = |check: &dyn Fn(&[u8]) -> Option<Defect>| match arguments.as_slice() {
        [] => Some(MISSING),
        [first, ..] if first.is_empty() => Some(MISSING),
        [first, rest @ ..] => check(first).or_else(|| (!rest.is_empty()).then_some(EXTRA)),
    };
    let found = match keyword.value {
        Value::Flag => one(&|value| choice(value, &["yes", "no"])),
        Value::Choice(words) => one(&|value| choice(value, words)),
        Value::Number => one(&|value| number(value, release)),
        Value::Time => one(&time),
        Value::Port => one(&port),
        Value::Word => one(&|_| None),
        Value::Startups => one(&startups),
        Value::Words | Value::Files => words(arguments, keyword, release),
        Value::Users => users(arguments, release).or_else(|| words(arguments, keyword, release)),
        Value::Names => {
            let list = one(&|list| prefix(list, release));
            return list.into_iter().chain(names(arguments)).collect();
        }
        Value::Algorithms => {
            let list = one(&|list| prefix(list, release));
            return list.into_iter().chain(algorithms(arguments)).collect();
        }
        Value::Methods => methods(arguments),
        Value::KeyOptions => key_options(arguments),
        Value::ServiceClasses => service_classes(arguments),
        Value::Subsystem => subsystem(arguments),
        Value::Rest => line.rest.is_none().then_some(MISSING),
        Value::Command => command(line),
        Value::Ignored | Value::Other => None,
    };
    // From 8.7 a keyword needs something behind it, be it a comment; older ones differ by keyword.
    let is_bare = line.rest.is_none() && release.is_likely(8, 7);
    found.or_else(|| is_bare.then_some(MISSING)).into_iter().collect()
}

fn fatal_unless(is_good: bool, reason: &'static str) -> Option<Defect> {
    (!is_good).then_some(Defect::Fatal(reason))
}

fn choice(value: &[u8], words: &[&str]) -> Option<Defect> {
    let is_known = words.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
    fatal_unless(is_known, "its value is unknown")
}

fn number(value: &[u8], release: Release) -> Option<Defect> {
    // Before 7.7 anything was a number, and words were 0.
    let is_number = integer(value, u64::from(u32::MAX >> 1)) || !release.is_likely(7, 7);
    fatal_unless(is_number, "it is no number")
}

/// True for a decimal number up to `max`, as strtonum(3) takes it.
fn integer(text: &[u8], max: u64) -> bool {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let is_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
    is_digits && value.is_some_and(|value| value <= max)
}

fn time(value: &[u8]) -> Option<Defect> {
    let mut total = 0u64;
    let mut rest = value;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, tail) = rest.split_at_checked(digits)?;
        let number = std::str::from_utf8(number).ok().and_then(|n| n.parse::<u64>().ok());
        let unit = tail.first().map(u8::to_ascii_lowercase);
        let seconds = match unit {
            None | Some(b's') => 1u64,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            Some(b'd') => 86_400,
            Some(b'w') => 604_800,
            Some(_) => return Some(Defect::Fatal("it is no time")),
        };
        let Some(number) = number else { return Some(Defect::Fatal("it is no time")) };
        total = total.saturating_add(number.saturating_mul(seconds));
        rest = tail.get(1..).unwrap_or_default();
    }
    fatal_unless(total <= u64::from(u32::MAX >> 1), "it is too long a time")
}

fn port(value: &[u8]) -> Option<Defect> {
    if value.iter().any(|byte| !byte.is_ascii_digit()) {
        // A name of /etc/services.
        return Some(match value {
            b"ssh" => return None,
            _ => Defect::Undecided("it is a port only if /etc/services has the name"),
        });
    }
    fatal_unless(integer(value, 65535) && value.iter().any(|&byte| byte != b'0'), "it is no port")
}

fn startups(value: &[u8]) -> Option<Defect> {
    let parts: Vec<&[u8]> = value.split(|&byte| byte == b':').collect();
    let numbers: Vec<Option<u32>> =
        parts.iter().map(|part| std::str::from_utf8(part).ok()?.parse().ok()).collect();
    let is_good = match numbers.as_slice() {
        [Some(full)] => *full > 0,
        [Some(begin), Some(rate), Some(full)] => {
            *begin > 0 && begin <= full && (1..=100).contains(rate)
        }
        // Text behind the numbers does not matter to sscanf(3).
        _ => return Some(Defect::Undecided("its numbers are not understood here")),
    };
    fatal_unless(is_good, "its numbers are out of range")
}

fn words(arguments: &[Vec<u8>], keyword: &Keyword, release: Release) -> Option<Defect> {
    if arguments.is_empty() {
        // Older releases set nothing then.
        return release.is_likely(9, 7).then_some(MISSING);
    }
    if arguments.iter().any(Vec::is_empty) {
        return Some(Defect::Fatal("it has an empty value"));
    }
    let has_equals = arguments.iter().any(|word| word.contains(&b'='));
    if keyword.name == "acceptenv" && has_equals {
        return Some(Defect::Fatal("a name has a ="));
    }
    if keyword.value != Value::Files {
        return None;
    }
    if keyword.name == "revokedkeys" && !release.is_likely(10, 3) {
        return (arguments.len() > 1).then_some(EXTRA);
    }
    let is_none = |word: &Vec<u8>| word.eq_ignore_ascii_case(b"none");
    let is_mixed = arguments.len() > 1 && arguments.iter().any(is_none);
    (is_mixed && release.is_likely(10, 3)).then_some(Defect::Fatal("none does not stand alone"))
}

/// Hosts behind an `@` must be a good list of networks and patterns.
fn users(arguments: &[Vec<u8>], release: Release) -> Option<Defect> {
    let mut hosts = arguments.iter().filter_map(|word| split_host(word, release).1);
    let is_bad = hosts.any(|list| list_defect(list).is_some());
    is_bad.then_some(Defect::Fatal("the hosts of a user pattern are no good list"))
}

/// Splits `user@hosts`: at the first `@`, from 9.9 on at the last.
pub(super) fn split_host(word: &[u8], release: Release) -> (&[u8], Option<&[u8]>) {
    let is_at = |&byte: &u8| byte == b'@';
    let at = if release.is_likely(9, 9) {
        word.iter().rposition(is_at)
    } else {
        word.iter().position(is_at)
    };
    match at.and_then(|at| Some((word.get(..at)?, word.get(at.saturating_add(1)..)?))) {
        Some((user, hosts)) => (user, Some(hosts)),
        None => (word, None),
    }
}

/// What is wrong with a list of addresses, networks and patterns.
pub(super) fn list_defect(list: &[u8]) -> Option<&'static str> {
    for item in list.split(|&byte| byte == b',') {
        let item = item.strip_prefix(b"!").unwrap_or(item);
        if item.is_empty() {
            return Some("a list of addresses has an empty item");
        }
        if Network::parse(item) == Err(BadPrefix) {
            return Some("a network has bits behind its prefix");
        }
    }
    None
}

/// `+` adds to the built-in list, `-` takes away, `^` puts first; older releases know fewer.
fn prefix(list: &[u8], release: Release) -> Option<Defect> {
    let is_known = match list.first() {
        Some(b'-') => release.is_likely(7, 5),
        Some(b'^') => release.is_likely(8, 1),
        _ => true,
    };
    fatal_unless(is_known, "sshd does not know how to change a list that way")
}

/// Ciphers, MACs and key exchanges: the ones that every release knows, or what the program knows.
fn names(arguments: &[Vec<u8>]) -> Vec<Defect> {
    let Some(list) = arguments.first().filter(|list| !list.starts_with(b"-")) else {
        return Vec::new();
    };
    let list = list.strip_prefix(b"+").or_else(|| list.strip_prefix(b"^")).unwrap_or(list);
    let names = list.split(|&byte| byte == b',').take_while(|name| !name.is_empty());
    let unsure = names.filter(|name| !ALWAYS.iter().any(|known| known.as_bytes() == *name));
    unsure.map(needs_word).collect()
}

fn needs_word(name: &[u8]) -> Defect {
    match std::str::from_utf8(name) {
        Ok(name) if name.len() < 60 && name.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Defect::NeedsWord(name.to_owned())
        }
        _ => Defect::Fatal("it has a name that no sshd knows"),
    }
}

fn algorithms(arguments: &[Vec<u8>]) -> Vec<Defect> {
    let Some(list) = arguments.first().filter(|list| !list.starts_with(b"-")) else {
        return Vec::new();
    };
    let list = list.strip_prefix(b"+").or_else(|| list.strip_prefix(b"^")).unwrap_or(list);
    let is_sure = |name: &&[u8]| {
        SIGNATURES.iter().any(|known| matches_list(name, known.as_bytes()).is_some())
    };
    let names = list.split(|&byte| byte == b',').take_while(|name| !name.is_empty());
    let mut defects: Vec<Defect> = names.filter(|name| !is_sure(name)).map(needs_word).collect();
    if list.is_empty() || list.starts_with(b",") {
        defects.push(Defect::Fatal("it names nothing"));
    }
    defects
}

fn methods(arguments: &[Vec<u8>]) -> Option<Defect> {
    if arguments.is_empty() {
        return Some(MISSING);
    }
    if arguments.len() > 1 && arguments.iter().any(|list| list == b"any") {
        return Some(Defect::Fatal("any does not stand alone"));
    }
    let is_known = |list: &Vec<u8>| {
        list == b"any"
            || list.split(|&byte| byte == b',').all(|method| {
                let name = method.split(|&byte| byte == b':').next().unwrap_or_default();
                METHODS.iter().any(|known| known.as_bytes() == name)
            })
    };
    fatal_unless(arguments.iter().all(is_known), "it has an unknown method")
}

fn key_options(arguments: &[Vec<u8>]) -> Option<Defect> {
    let known = ["none", "touch-required", "verify-required"];
    arguments.iter().find_map(|word| choice(word, &known))
}

fn service_classes(arguments: &[Vec<u8>]) -> Option<Defect> {
    let is_class = |word: &Vec<u8>| {
        let name = word.to_ascii_lowercase();
        integer(word, 255)
            || CLASSES.iter().any(|known| matches(known.as_bytes(), &name))
            || name == b"none"
    };
    match arguments {
        [] => Some(MISSING),
        [_, _, _, ..] => Some(EXTRA),
        words => fatal_unless(words.iter().all(is_class), "it has an unknown class"),
    }
}

fn subsystem(arguments: &[Vec<u8>]) -> Option<Defect> {
    match arguments {
        [name, command, ..] if !name.is_empty() && !command.is_empty() => None,
        _ => Some(Defect::Fatal("it has no name or no command")),
    }
}

fn command(line: &Line) -> Option<Defect> {
    let Some(rest) = &line.rest else { return Some(MISSING) };
    let rest = trim_start(rest, b" \t\r\n");
    let is_good = rest.starts_with(b"/") || rest.eq_ignore_ascii_case(b"none");
    fatal_unless(is_good, "it is neither an absolute path nor none")
}

/// True if a word is a keyword only from `since` on and the release may be older.
pub(super) fn may_be_unknown(since: Version, release: Release) -> bool {
    // No supported distribution has an older one.
    let oldest = Version::new(7, 4);
    since > oldest && release.at_least(since.major, since.minor) != Some(true)
}

const METHODS: [&str; 7] = [
    "none",
    "publickey",
    "gssapi-keyex",
    "gssapi-with-mic",
    "password",
    "keyboard-interactive",
    "hostbased",
];

const CLASSES: [&str; 9] =
    ["af[1-4][1-3]", "af??", "cs?", "ef", "le", "lowdelay", "throughput", "reliability", "va"];

/// Ciphers, MACs and key exchanges of every release from 7.4 to 10.5.
const ALWAYS: [&str; 33] = [
    "3des-cbc",
    "aes128-cbc",
    "aes128-ctr",
    "aes128-gcm@openssh.com",
    "aes192-cbc",
    "aes192-ctr",
    "aes256-cbc",
    "aes256-ctr",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group1-sha1",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "hmac-md5",
    "hmac-md5-96",
    "hmac-sha1",
    "hmac-sha1-96",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512",
    "hmac-sha2-512-etm@openssh.com",
    "umac-128-etm@openssh.com",
    "umac-64@openssh.com",
];

/// Signature algorithms of every release from 7.4 to 10.5.
const SIGNATURES: [&str; 12] = [
    "ssh-ed25519",
    "ssh-ed25519-cert-v01@openssh.com",
    "ssh-rsa",
    "ssh-rsa-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "rsa-sha2-256",
    "rsa-sha2-512",
];

#[cfg(test)]
mod tests {
    use super::super::keyword::find;
    use super::super::line::{Splitting, split};
    use super::*;

    fn defects_of(text: &str, release: Release) -> Vec<Defect> {
        let line = split(text.as_bytes(), Splitting::Arguments).unwrap().unwrap();
        let keyword = find(&line.keyword).unwrap();
        defects(&line, keyword, release)
    }

    #[test]
    fn lines_that_stop_sshd_are_known_login_15() {
        let release = Release::Known(Version::new(9, 2));
        for text in [
            "usepam yes",
            "usepam NO",
            "permitrootlogin Yes",
            "maxauthtries 6",
            "authorizedkeyscommand none",
            "authorizedkeyscommand /x -y %u",
            "authenticationmethods any",
            "authenticationmethods publickey,keyboard-interactive:pam password",
            "ciphers +aes128-cbc",
            "ciphers -nonsense*",
            "subsystem sftp /x -y",
            "logingracetime 1h30",
            "ipqos af21 cs0",
            "allowusers a@10.0.0.0/8,!10.1.0.0/16,*.example.com b",
            "pubkeyacceptedalgorithms +ssh-rsa,ecdsa-*",
            "port 2222",
            "maxstartups 10:30:100",
            "forcecommand echo \"x\" # no comment",
            "authorizedkeysfile none .ssh/k",
            "allowusers # nobody",
        ] {
            assert_eq!(defects_of(text, release), [], "{text}");
        }
        for text in [
            "usepam true",
            "usepam yes no",
            "usepam # yes",
            "permitrootlogin maybe",
            "permitrootlogin yes yes",
            "maxauthtries six",
            "maxauthtries -1",
            "requiredrsasize",
            "authorizedkeyscommand relative",
            "authorizedkeyscommand none # comment",
            "authenticationmethods any publickey",
            "authenticationmethods pubkey",
            "logingracetime 1x",
            "ipqos fast",
            "allowusers a@10.0.0.1/8",
            "allowusers a@",
            "allowusers \"\"",
            "port 0",
            "port 65536",
            "maxstartups 10:0:100",
            "revokedkeys /a /b",
            "acceptenv A=B",
            "subsystem sftp",
        ] {
            let found = defects_of(text, release);
            assert!(matches!(found.as_slice(), [Defect::Fatal(_)]), "{text} {found:?}");
        }
        for (text, word) in [
            ("ciphers aes128-ctr,arcfour", "arcfour"),
            ("pubkeyacceptedalgorithms ssh-dss,ssh-rsa", "ssh-dss"),
        ] {
            assert_eq!(defects_of(text, release), [Defect::NeedsWord(word.to_owned())], "{text}");
        }
    }

    #[test]
    fn releases_differ_in_what_stops_them_login_15() {
        for (text, version, is_fatal) in [
            ("maxauthtries six", (7, 4), false),
            ("maxauthtries six", (7, 7), true),
            ("allowusers # nobody", (9, 6), false),
            ("allowusers # nobody", (9, 7), true),
            ("revokedkeys /a /b", (10, 2), true),
            ("revokedkeys /a /b", (10, 3), false),
            ("authorizedkeysfile none .ssh/k", (10, 2), false),
            ("authorizedkeysfile none .ssh/k", (10, 3), true),
            ("allowusers a@b@10.0.0.0/8", (9, 2), false),
            ("allowusers a@10.0.0.1/8@b", (9, 9), false),
            ("allowusers a@b@10.0.0.1/8", (9, 9), true),
        ] {
            let release = Release::Known(Version::new(version.0, version.1));
            assert_eq!(!defects_of(text, release).is_empty(), is_fatal, "{text} {version:?}");
        }
    }
}
