//! One key in every position that a key file allows (LOGIN-26 to LOGIN-48, LOGIN-63).

use super::Verdict::{self, Accepted, Refused, Unknown};
use super::testing::{FILE, KEY, OTHER, check, configure, debian};
use crate::fs::NodeKind;
use crate::fs::memory::MemoryTree;

const SECOND: &str = "/home/admin/.ssh/authorized_keys2";

/// The checks behind a verdict: what blocks, or else what is open.
fn reasons(tree: &MemoryTree, user: &str) -> (Verdict, Vec<&'static str>) {
    let found = check(tree, user);
    let decides = |finding: &&super::Finding| match found.verdict {
        Refused => finding.is_blocking(),
        _ => finding.is_undecided,
    };
    let mut checks: Vec<_> = found.findings.iter().filter(decides).map(|f| f.check).collect();
    checks.dedup();
    (found.verdict, checks)
}

#[test]
fn the_first_line_that_passes_decides_login_39_to_44() {
    let from = format!("from=\"10.0.0.0/8\" {KEY}");
    let over = format!("expiry-time=\"20200101\" {KEY}");
    let near = format!("expiry-time=\"20231115\" {KEY}");
    let forced = format!("command=\"x\" {KEY}");
    let forced_from = format!("from=\"10.0.0.0/8\",command=\"x\" {KEY}");
    for (lines, verdict, checks, line) in [
        (vec![KEY], Accepted, vec![], Some(1)),
        (vec![OTHER, "# c", KEY], Accepted, vec![], Some(3)),
        (vec![], Refused, vec!["key-line"], None),
        (vec![OTHER], Refused, vec!["key-line"], None),
        (vec![&forced, KEY], Refused, vec!["key-shadowed"], Some(1)),
        (vec![KEY, &forced], Accepted, vec![], Some(1)),
        (vec![&over], Refused, vec!["key-line"], None),
        (vec![&over, KEY], Accepted, vec![], Some(2)),
        (vec![&near], Unknown, vec!["key-line"], Some(1)),
        (vec![&near, KEY], Accepted, vec![], Some(2)),
        (vec![&from], Unknown, vec!["key-line"], Some(1)),
        (vec![&from, KEY], Accepted, vec![], Some(2)),
        (vec![&from, &forced], Unknown, vec!["key-line", "key-shadowed"], Some(2)),
        (vec![&forced_from], Refused, vec!["key-shadowed"], Some(1)),
        (vec![&forced_from, KEY], Unknown, vec!["key-shadowed", "key-line"], Some(2)),
        (vec![&forced_from, &forced], Refused, vec!["key-shadowed"], Some(2)),
    ] {
        let text = lines.join("\n");
        let tree = debian(&text);
        let (found, mut found_checks) = reasons(&tree, "admin");
        let mut checks = checks;
        checks.sort_unstable();
        found_checks.sort_unstable();
        assert_eq!((found, found_checks), (verdict, checks), "{text}");
        let place = check(&tree, "admin").deciding_line.map(|(_, line)| line);
        assert_eq!(place, line, "{text}");
    }
}

#[test]
fn lines_that_do_not_count_are_passed_over_login_40() {
    for options in ["cert-authority", "principals=\"a\"", "nonsense", "pty;", "expiry-time=\"1\""] {
        let tree = debian(&format!("{options} {KEY}\n"));
        assert_eq!(reasons(&tree, "admin"), (Refused, vec!["key-line"]), "{options}");
        let tree = debian(&format!("{options} {KEY}\n{KEY}"));
        assert_eq!(reasons(&tree, "admin"), (Accepted, vec![]), "{options}");
    }
    for options in ["restrict", "no-pty", "environment=\"A=b\"", "no-user-rc"] {
        let tree = debian(&format!("{options} {KEY}\n"));
        assert_eq!(reasons(&tree, "admin"), (Accepted, vec![]), "{options}");
    }
}

#[test]
fn every_file_counts_and_one_that_is_not_read_does_not_login_26_and_51() {
    let mut tree = debian("");
    tree.file(SECOND, 1000, 0o600, KEY.as_bytes());
    assert_eq!(reasons(&tree, "admin"), (Accepted, vec![]));
    tree.file(SECOND, 1000, 0o622, KEY.as_bytes());
    assert_eq!(reasons(&tree, "admin"), (Refused, vec!["strict-mode"]));
    tree.file(SECOND, 0, 0o600, KEY.as_bytes());
    assert_eq!(reasons(&tree, "admin"), (Refused, vec!["readable"]));
    // A forced line in a file that sshd does not read shadows nothing.
    let mut tree = debian(&format!("command=\"x\" {KEY}\n"));
    tree.file(SECOND, 1000, 0o600, KEY.as_bytes());
    assert_eq!(reasons(&tree, "admin"), (Refused, vec!["key-shadowed"]));
    tree.change(FILE, |metadata| metadata.mode = 0o666);
    assert_eq!(reasons(&tree, "admin"), (Accepted, vec![]));
    // What all users share counts as well (LOGIN-36).
    let mut tree = debian("");
    configure(&mut tree, "AuthorizedKeysFile /etc/ssh/keys .ssh/authorized_keys");
    tree.file("/etc/ssh/keys", 0, 0o644, KEY.as_bytes());
    assert_eq!(reasons(&tree, "admin"), (Accepted, vec![]));
    tree.file("/etc/ssh/keys", 0, 0o644, format!("command=\"x\" {KEY}").as_bytes());
    tree.file(FILE, 1000, 0o600, KEY.as_bytes());
    assert_eq!(reasons(&tree, "admin"), (Refused, vec!["key-shadowed"]));
}

#[test]
fn what_is_no_file_is_passed_over_login_50() {
    for kind in [NodeKind::Fifo, NodeKind::Socket, NodeKind::CharDevice] {
        let mut tree = debian("");
        tree.special(FILE, kind);
        assert_eq!(reasons(&tree, "admin"), (Refused, vec!["key-line"]), "{kind}");
        tree.file(SECOND, 1000, 0o600, KEY.as_bytes());
        assert_eq!(reasons(&tree, "admin"), (Accepted, vec![]), "{kind}");
    }
    let mut tree = debian(KEY);
    tree.link(FILE, "authorized_keys");
    assert_eq!(reasons(&tree, "admin"), (Refused, vec!["key-line"]));
    // Too large for us, not for sshd.
    let mut tree = debian(KEY);
    tree.change(FILE, |metadata| metadata.size_bytes = 1 << 30);
    assert_eq!(reasons(&tree, "admin"), (Unknown, vec!["key-line"]));
}

#[test]
fn a_command_may_know_the_key_login_26_and_35() {
    let command =
        "AuthorizedKeysCommand /usr/bin/sss_ssh_authorizedkeys\nAuthorizedKeysCommandUser nobody";
    let mut tree = debian("");
    configure(&mut tree, command);
    assert_eq!(reasons(&tree, "admin"), (Unknown, vec!["key-line"]));
    let mut tree = debian(KEY);
    configure(&mut tree, command);
    assert_eq!(reasons(&tree, "admin"), (Accepted, vec![]));
    tree.change("/home/admin", |metadata| metadata.mode = 0o777);
    let (verdict, _) = reasons(&tree, "admin");
    assert_eq!(verdict, Unknown);
    // Instance Connect knows only what was sent a minute ago.
    let command = "AuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f\n\
        AuthorizedKeysCommandUser ec2-instance-connect";
    configure(&mut tree, command);
    assert_eq!(reasons(&tree, "admin"), (Refused, vec!["strict-mode"]));
}

#[test]
fn root_may_need_a_forced_command_login_63() {
    let forced = format!("command=\"x\" {KEY}");
    for (value, line, verdict, checks) in [
        ("yes", KEY, Accepted, vec![]),
        ("prohibit-password", KEY, Accepted, vec![]),
        ("without-password", KEY, Accepted, vec![]),
        ("forced-commands-only", KEY, Refused, vec!["conf-root"]),
        ("forced-commands-only", &forced, Accepted, vec![]),
        ("no", KEY, Refused, vec!["conf-root"]),
        ("yes", &forced, Refused, vec!["key-shadowed"]),
    ] {
        let mut tree = debian("");
        configure(&mut tree, &format!("PermitRootLogin {value}"));
        tree.directory("/root/.ssh", 0, 0o700);
        tree.file("/root/.ssh/authorized_keys", 0, 0o600, line.as_bytes());
        assert_eq!(reasons(&tree, "root"), (verdict, checks), "{value}: {line}");
    }
}

#[test]
fn the_client_decides_only_where_it_matters_login_3() {
    for (lines, verdict) in [
        ("Match Address 10.0.0.0/8\nPubkeyAuthentication no", Unknown),
        ("Match Address 10.0.0.0/8\nPermitTTY yes", Accepted),
        ("Match Address 10.0.0.0/8\nAuthorizedKeysFile none", Unknown),
        ("Match Address 10.0.0.0/8\nAuthorizedKeysFile .ssh/authorized_keys", Accepted),
        (
            "DenyUsers admin\nMatch Address 10.0.0.0/8\nDenyUsers other\nPubkeyAuthentication no",
            Refused,
        ),
    ] {
        let mut tree = debian(KEY);
        configure(&mut tree, lines);
        assert_eq!(check(&tree, "admin").verdict, verdict, "{lines}");
    }
}

#[test]
fn a_line_of_any_length_counts_only_from_7_8_login_47() {
    let line = |length: usize| {
        let rest = length.saturating_sub(KEY.len() + 2);
        format!("{KEY} {}\n", "x".repeat(rest))
    };
    for (release, length, verdict) in [
        ("OpenSSH_7.4p1", 16_383, Accepted),
        ("OpenSSH_7.4p1", 16_384, Refused),
        ("OpenSSH_9.2p1", 16_384, Accepted),
    ] {
        let mut tree = debian(&line(length));
        tree.file("/usr/sbin/sshd", 0, 0o755, format!("\x7fELF\0{release}\0").as_bytes());
        let found = check(&tree, "admin");
        // Nothing starts sshd in this tree: only what the line says is asked for.
        let is_counted = found.deciding_line.is_some();
        assert_eq!(is_counted, verdict == Accepted, "{release} {length}: {found:?}");
    }
}
