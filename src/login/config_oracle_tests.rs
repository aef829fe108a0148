//! sshd itself as the judge of our reading of its configuration: `sshd -T` over generated files.
//!
//! Needs openssh-server; a missing one fails the test. `REGAIN_CONFIG_CASES` is the number of configurations
//! (320 without it).

use super::algorithms::{accepts, stopping};
use super::daemon::{Daemon, Release};
use super::match_block::{Effective, Subject};
use super::sshd_config::SshdConfig;
use crate::fs::memory::MemoryTree;
use proptest::prelude::*;
use proptest::sample::select;
use std::path::Path;
use std::process::Command;

/// Where the files of a configuration are, below the directory of the test.
const FILES: [&str; 4] = ["main", "d/10.conf", "d/20.conf", "sub"];

/// A user of every Debian with its groups.
const USERS: [(&str, &str); 4] =
    [("root", "root"), ("daemon", "daemon"), ("nobody", "nogroup"), ("www-data", "www-data")];

/// Remote address, local address, local port.
const CLIENTS: [(&str, &str, u16); 6] = [
    ("198.51.100.1", "192.0.2.1", 22),
    ("10.1.2.3", "10.0.0.1", 2222),
    ("10.200.0.7", "192.0.2.1", 22),
    ("192.168.0.9", "192.168.0.1", 22),
    ("2001:db8::7", "2001:db8::1", 22),
    ("127.0.0.1", "127.0.0.1", 22),
];

/// Lines that sshd 9.2 takes: keyword and values.
const GOOD: &[(&str, &[&str])] = &[
    ("PubkeyAuthentication", &["yes", "no", "YES"]),
    ("PermitTTY", &["yes", "no"]),
    (
        "PermitRootLogin",
        &["yes", "no", "without-password", "Prohibit-Password", "forced-commands-only"],
    ),
    ("AllowUsers", &["a b", "\"c d\" e", "x@10.0.0.0/8", "a,b", "a # b", "'q r'", "!root", "a#b"]),
    ("DenyUsers", &["x", "y@*.example.com,!10.0.0.0/8", "*"]),
    ("AllowGroups", &["g h", "root"]),
    ("DenyGroups", &["g", "a\\ b"]),
    ("AuthorizedKeysFile", &[".ssh/a .ssh/b", "/k/%u", "none", "%h/x", "none .ssh/c"]),
    ("AuthorizedKeysCommand", &["none", "/bin/x %u"]),
    ("AuthorizedKeysCommandUser", &["nobody", "none"]),
    ("AuthorizedPrincipalsFile", &["none", "/p/%u"]),
    ("TrustedUserCAKeys", &["none", "/etc/ca.pub"]),
    ("RevokedKeys", &["none", "/etc/revoked"]),
    ("AuthenticationMethods", &["publickey", "publickey,password publickey", "any", "password"]),
    (
        "PubkeyAcceptedAlgorithms",
        &["+ssh-rsa", "-ssh-ed25519*", "ecdsa-*,ssh-rsa", "^rsa-*", "ssh-ed25519"],
    ),
    ("PubkeyAcceptedKeyTypes", &["ssh-ed25519,rsa-sha2-512", "+ssh-dss"]),
    ("PubkeyAuthOptions", &["none", "touch-required", "verify-required touch-required"]),
    ("RequiredRSASize", &["2048", "3072"]),
    ("ForceCommand", &["none", "/bin/echo hi # there", "\"a b\" c"]),
    ("ChrootDirectory", &["none", "/srv/%u"]),
    ("MaxAuthTries", &["1", "6"]),
    ("PasswordAuthentication", &["no", "yes"]),
    ("ChallengeResponseAuthentication", &["no", "yes"]),
    ("KbdInteractiveAuthentication", &["no", "yes"]),
    ("X11Forwarding", &["yes"]),
    ("LogLevel", &["DEBUG", "info"]),
    ("AcceptEnv", &["LANG LC_*"]),
];

/// Such lines that stop sshd in a Match block.
const GLOBAL: &[(&str, &[&str])] = &[
    ("StrictModes", &["yes", "no"]),
    ("UsePAM", &["yes", "no"]),
    ("UseDNS", &["yes", "no"]),
    ("DSAAuthentication", &["no", "yes"]),
    ("Protocol", &["2", "1,2"]),
    ("UsePrivilegeSeparation", &["sandbox"]),
    ("Port", &["22", "2222"]),
    ("Subsystem", &["sftp internal-sftp"]),
    ("DebianBanner", &["no"]),
    ("GSSAPIKeyExchange", &["no"]),
    ("Ciphers", &["aes256-ctr", "+3des-cbc", "-aes*"]),
    ("KexAlgorithms", &["curve25519-sha256,sntrup761x25519-sha512@openssh.com"]),
    ("LoginGraceTime", &["1m30", "0"]),
];

/// Conditions of Match, joined by twos.
const CONDITIONS: &[&str] = &[
    "User root",
    "User !root,*",
    "User daemon,nobody",
    "user=root",
    "Group root",
    "Group nogroup,daemon",
    "Group *,!daemon",
    "Address 10.0.0.0/8",
    "Address *,!10.0.0.0/8",
    "Address 10.1.*",
    "Address 192.168.0.*,2001:db8::/32",
    "Address 1*",
    "Host *.example.com",
    "Host 10.1.2.3",
    "Host *",
    "LocalAddress 192.0.2.1",
    "LocalAddress 10.0.0.0/8,127.0.0.1",
    "LocalPort 22",
    "LocalPort 2222",
    "User \"root\"",
];

/// Lines that stop sshd, or look as if they did.
const BAD: &[&str] = &[
    "AllowUsers",
    "PermitTTY maybe",
    "StrictModes true",
    "UsePAM yes no",
    "PermitRootLogin maybe",
    "MaxAuthTries six",
    "AuthenticationMethods any publickey",
    "AuthenticationMethods pubkey",
    "Nonsense yes",
    "RefuseConnection no",
    "PAMServiceName x",
    "Match",
    "Match all User root",
    "Match User",
    "Match Nothing x",
    "Match invalid-user",
    "Match Address 10.0.0.1/8",
    "Match LocalPort x1",
    "Match User root # why",
    "Match all # why",
    "AllowUsers \"a",
    "AllowUsers 'a",
    "\"PermitTTY no",
    "AllowUsers a@10.0.0.1/8",
    "Include",
    "Include \"\"",
    "AllowUsers \"\"",
    "Ciphers arcfour",
    "Ciphers nonsense",
    "PubkeyAcceptedAlgorithms nonsense",
    "PubkeyAcceptedAlgorithms ssh-*,!ssh-rsa",
    "AuthorizedKeysCommand relative",
    "AuthorizedKeysCommand none # why",
    "PermitTTY # no",
    "PermitTTY no # why",
    "PermitTTY=no",
    "PermitTTY = no",
    "PermitTTY\tno\t\r",
    "AllowUsers # nobody",
    "RevokedKeys /a /b",
    "IPQoS fast",
    "LogLevel loud",
    "Port 0",
    "LoginGraceTime 5x",
    "RequiredRSASize -1",
    "PubkeyAuthOptions fast",
];

/// A keyword in some spelling, and one of its values.
fn good(lines: &'static [(&str, &[&str])]) -> impl Strategy<Value = String> {
    (select(lines), any::<prop::sample::Index>(), 0..6u8).prop_map(
        |((keyword, values), at, style)| {
            let value = values[at.index(values.len())];
            match style {
                0 => format!("{}\t {value}", keyword.to_lowercase()),
                1 => format!("  {}={value}", keyword.to_uppercase()),
                2 => format!("{keyword} = {value} \r"),
                _ => format!("{keyword} {value}"),
            }
        },
    )
}

fn line() -> impl Strategy<Value = String> {
    let condition = (select(CONDITIONS), select(CONDITIONS), any::<bool>());
    prop_oneof![
        50 => good(GOOD),
        9 => good(GLOBAL),
        22 => condition.prop_map(|(one, two, both)| {
            if both { format!("Match {one} {two}") } else { format!("Match {one}") }
        }),
        3 => Just("Match all".to_owned()),
        2 => select(BAD).prop_map(str::to_owned),
        3 => select(&["# comment", "", " \t", "#Match all"][..]).prop_map(str::to_owned),
    ]
}

fn include() -> impl Strategy<Value = String> {
    let targets =
        ["DIR/d/*.conf", "DIR/sub", "DIR/none*", "\"DIR/sub\" DIR/d/10.conf", "DIR/d/[2]0.*"];
    select(targets.to_vec()).prop_map(|target| format!("Include {target}"))
}

/// The lines of the four files; only the first two include others, so that there are no loops.
fn files() -> impl Strategy<Value = [Vec<String>; 4]> {
    let plain = || prop::collection::vec(line(), 0..6);
    let main = prop::collection::vec(prop_oneof![8 => line(), 1 => include()], 1..14);
    let first = (plain(), any::<bool>()).prop_map(|(mut lines, includes)| {
        if includes {
            lines.insert(lines.len() / 2, "Include DIR/sub".to_owned());
        }
        lines
    });
    (main, first, plain(), plain()).prop_map(|(main, one, two, sub)| [main, one, two, sub])
}

#[test]
fn sshd_agrees_about_the_values_that_count() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    let key = key.to_str().unwrap();
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", key]).status();
    assert!(made.expect("ssh-keygen is needed for this test").success());
    // sshd insists on the directory that its service makes at boot.
    std::fs::create_dir_all("/run/sshd").unwrap();
    std::fs::create_dir_all(directory.path().join("d")).unwrap();
    let mut base = MemoryTree::new();
    base.file("/usr/sbin/sshd", 0, 0o755, &std::fs::read("/usr/sbin/sshd").unwrap());
    let daemon = Daemon::read(&base).unwrap();
    assert!(matches!(daemon.release, Release::Known(_)), "{daemon:?}");
    let cases = std::env::var("REGAIN_CONFIG_CASES").ok().and_then(|text| text.parse().ok());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: cases.unwrap_or(320),
        failure_persistence: None,
        // Every step asks sshd.
        max_shrink_iters: 64,
        ..ProptestConfig::default()
    });
    let client = (select(USERS.to_vec()), select(CLIENTS.to_vec()));
    let fatal = std::cell::Cell::new(0u32);
    runner
        .run(&(files(), client), |(files, (user, client))| {
            let case = Case { directory: directory.path(), key, user, client };
            fatal.set(fatal.get() + u32::from(case.compare(&base, &daemon, &files)));
            Ok(())
        })
        .unwrap();
    // A generator of which everything stops would prove little.
    let cases = cases.unwrap_or(320);
    let proper = cases / 20..cases.saturating_mul(2) / 3;
    assert!(proper.contains(&fatal.get()), "{} of {cases} stop", fatal.get());
}

struct Case<'a> {
    directory: &'a Path,
    key: &'a str,
    user: (&'a str, &'a str),
    client: (&'a str, &'a str, u16),
}

impl Case<'_> {
    /// Writes the files, asks both, compares; true if sshd stops.
    fn compare(&self, base: &MemoryTree, daemon: &Daemon, files: &[Vec<String>; 4]) -> bool {
        let root = self.directory.to_str().unwrap();
        let mut tree = base.clone();
        for (name, lines) in FILES.into_iter().zip(files) {
            let content = lines.join("\n").replace("DIR", root);
            let path = if name == "main" {
                "/etc/ssh/sshd_config".to_owned()
            } else {
                format!("{root}/{name}")
            };
            tree.file(&path, 0, 0o644, content.as_bytes());
            write(&self.directory.join(name), content.as_bytes());
        }
        let config = SshdConfig::read_as(&tree, daemon.clone()).unwrap();
        let (remote, local, port) = self.client;
        let host = if config.uses_dns() { "web.example.com" } else { remote };
        let who =
            format!("user={},host={host},addr={remote},laddr={local},lport={port}", self.user.0);
        let main = format!("{root}/main");
        let output = Command::new("/usr/sbin/sshd")
            .args(["-T", "-f", &main, "-h", self.key, "-C", &who])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let subject = Subject { name: self.user.0.into(), groups: vec![self.user.1.into()] };
        // The port is what the test says, whatever the configuration.
        let (effective, is_foreseen) = config.effective_for(&subject, (host, remote, local, port));
        let is_fatal = config.findings.iter().any(super::Finding::is_blocking)
            || stopping(&effective, daemon.release).is_some();
        let context = || format!("{who}\n{files:#?}\n{errors}\n{:?}", config.findings);
        let has_doubt = |finding: &super::Finding| finding.check == "conf-methods";
        if !is_fatal && !output.status.success() && config.findings.iter().any(has_doubt) {
            return true;
        }
        assert_eq!(is_fatal, !output.status.success(), "{}", context());
        let doubts = config.findings.iter().filter(|finding| finding.is_undecided);
        assert!(doubts.filter(|finding| !has_doubt(finding)).count() == 0, "{}", context());
        if is_fatal {
            return true;
        }
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let ports = effective.list("port");
        let may_be = ports.is_empty() || ports.iter().any(|p| *p == port.to_string().as_bytes());
        if ports.is_empty() && port != 22 || !may_be {
            return false;
        }
        assert!(is_foreseen, "{}", context());
        for (keyword, default) in DEFAULTS {
            let ours = ours(&effective, keyword, default);
            assert_eq!(values(&shown, keyword), ours, "{keyword}\n{}", context());
        }
        for name in ALGORITHMS {
            let list = effective.list("pubkeyacceptedalgorithms");
            let is_accepted = accepts(list.first().copied(), name, daemon.release);
            let shown = values(&shown, "pubkeyacceptedalgorithms");
            let expected = shown.iter().flat_map(|list| list.split(',')).any(|known| known == name);
            assert_eq!(is_accepted, expected, "{name}\n{}", context());
        }
        false
    }
}

/// Every keyword of table LOGIN-T2 that `sshd -T` shows, and what it shows if nothing is set.
const DEFAULTS: [(&str, &str); 23] = [
    ("pubkeyauthentication", "yes"),
    ("authenticationmethods", "any"),
    ("authorizedkeysfile", ".ssh/authorized_keys .ssh/authorized_keys2"),
    ("authorizedkeyscommand", "none"),
    ("authorizedkeyscommanduser", "none"),
    ("authorizedprincipalsfile", "none"),
    ("authorizedprincipalscommand", "none"),
    ("trustedusercakeys", "none"),
    ("revokedkeys", "none"),
    ("permitrootlogin", "without-password"),
    ("allowusers", ""),
    ("denyusers", ""),
    ("allowgroups", ""),
    ("denygroups", ""),
    ("strictmodes", "yes"),
    ("usepam", "no"),
    ("pubkeyauthoptions", "none"),
    ("requiredrsasize", "1024"),
    ("forcecommand", "none"),
    ("chrootdirectory", "none"),
    ("permittty", "yes"),
    ("maxauthtries", "6"),
    ("usedns", "no"),
];

const ALGORITHMS: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "rsa-sha2-256",
    "rsa-sha2-512",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
];

/// Our words for a keyword, in the spelling of `sshd -T`.
fn ours(effective: &Effective<'_>, keyword: &str, default: &str) -> Vec<String> {
    let list = effective.list(keyword);
    let words: Vec<String> = list
        .iter()
        .flat_map(|word| {
            String::from_utf8_lossy(word).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let is_flag = matches!(
        keyword,
        "pubkeyauthentication"
            | "strictmodes"
            | "usepam"
            | "permittty"
            | "permitrootlogin"
            | "usedns"
    );
    let words: Vec<String> = match keyword {
        _ if words.is_empty() => default.split_whitespace().map(str::to_owned).collect(),
        "permitrootlogin" if words[0].eq_ignore_ascii_case("prohibit-password") => {
            vec!["without-password".to_owned()]
        }
        _ if is_flag => vec![words[0].to_lowercase()],
        "pubkeyauthoptions" => {
            let mut sorted = words;
            sorted.sort();
            sorted.retain(|word| word != "none");
            if sorted.is_empty() { vec!["none".to_owned()] } else { sorted }
        }
        _ => words,
    };
    words
}

fn values(shown: &str, keyword: &str) -> Vec<String> {
    let lines = shown.lines().filter_map(|line| line.strip_prefix(keyword)?.strip_prefix(' '));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// A scratch file of the test.
fn write(path: &Path, content: &[u8]) {
    use std::io::Write as _;
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    file.write_all(content).unwrap();
    file.persist(path).unwrap();
}
