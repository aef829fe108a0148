//! Each repair on a Debian in memory: refused before, accepted after, and only what was asked for.

use super::{Also, Repairs};
use crate::action::draft::{Draft, Trial};
use crate::action::edit::run;
use crate::action::key_add::{KeyAddRequest, plan};
use crate::action::key_judge::judge;
use crate::action::{FileChange, Plan};
use crate::fs::memory::MemoryTree;
use crate::fs::path::GuestPath;
use crate::guest::linux::detect;
use crate::guest::linux::service::{Start, unit_start};
use crate::guest::select::UserChoice;
use crate::login::testing::{FILE, KEY, NOW, configure, debian, key};
use crate::login::{Finding, Guest, Severity, Verdict};
use std::collections::BTreeSet;

const CONFIG: &str = "/etc/ssh/sshd_config";

fn request(user: &str, also: &[Also]) -> KeyAddRequest {
    KeyAddRequest {
        fix: true,
        fix_also: also.iter().copied().collect(),
        ..KeyAddRequest::new(UserChoice::Named(vec![user.into()]), vec![key(KEY)], NOW)
    }
}

/// Plans, edits and judges; the plan and the verdict, or the plan alone if it refuses.
fn repair(tree: &mut MemoryTree, request: &KeyAddRequest) -> (Plan, Option<Verdict>) {
    let made = plan(tree, request).unwrap();
    if made.refusal().is_some() {
        assert!(!made.changes_something(), "{made:?}");
        return (made, None);
    }
    run(&made, tree).unwrap();
    let verdicts = judge(tree, request, &made).unwrap();
    let again = plan(tree, request).unwrap();
    assert!(!again.changes_something(), "not idempotent: {again:?}");
    let verdict = verdicts.first().map(|judged| judged.verdict);
    (made, verdict)
}

fn text(tree: &MemoryTree, path: &str) -> String {
    String::from_utf8_lossy(tree.content_at(path).unwrap_or_default()).into_owned()
}

type Case = (&'static str, fn(&mut MemoryTree), Option<Also>, &'static str, &'static str);

/// What stands in the way, what has to be named for it, the file that is repaired, and its start afterwards.
const CASES: [Case; 14] = [
    (
        "acct-expired",
        |t| shadow(t, "admin:!:19000:0:99999:7::100:"),
        None,
        SHADOW,
        "admin:!:19000:0:99999:7:::\n",
    ),
    (
        "acct-expired",
        |t| shadow(t, "admin:!:19000:0:30:7:10:100:"),
        None,
        SHADOW,
        "admin:!:19675:0:30:7:10::\n",
    ),
    (
        "passwd-age",
        |t| shadow(t, "admin:!:0:0:99999:7:::"),
        None,
        SHADOW,
        "admin:!:19675:0:99999:7:::\n",
    ),
    (
        "passwd-age",
        |t| shadow(t, "admin:!:19600:0:60:7:::"),
        None,
        SHADOW,
        "admin:!:19675:0:60:7:::\n",
    ),
    (
        "passwd-age",
        |t| shadow(t, "admin:!:19600:0:0:7:::"),
        None,
        SHADOW,
        "admin:!:19600:0::7:::\n",
    ),
    (
        "passwd-inactive",
        |t| shadow(t, "admin:!:1:0:60:7:5::"),
        None,
        SHADOW,
        "admin:!:19675:0:60:7:5::\n",
    ),
    (
        "user-locked",
        |t| {
            shadow(t, "admin:!$6$x:19000:0:99999:7:::");
            t.file(CONFIG, 0, 0o644, b"UsePAM no\n");
        },
        Some(Also::UserLocked),
        SHADOW,
        "admin:*$6$x:19000:0:99999:7:::\n",
    ),
    ("nologin", |t| _ = t.file("/etc/nologin", 0, 0o644, b""), None, "/etc/nologin", ""),
    (
        "conf-pubkey",
        |t| configure(t, "PubkeyAuthentication no"),
        None,
        CONFIG,
        "PubkeyAuthentication yes\nUsePAM",
    ),
    (
        "conf-users",
        |t| configure(t, "AllowUsers x"),
        Some(Also::ConfUsers),
        CONFIG,
        "AllowUsers admin\nUsePAM",
    ),
    (
        "conf-methods",
        |t| configure(t, "AuthenticationMethods publickey,password"),
        Some(Also::ConfMethods),
        CONFIG,
        "AuthenticationMethods publickey\nUsePAM",
    ),
    (
        "strict-mode",
        |t| _ = t.change("/home/admin", |m| m.mode = 0o777),
        None,
        CONFIG,
        "UsePAM yes\n",
    ),
    (
        "strict-owner",
        |t| _ = t.change("/home/admin/.ssh", |m| m.uid = 7),
        None,
        CONFIG,
        "UsePAM yes\n",
    ),
    ("readable", |t| _ = t.change(FILE, |m| m.mode = 0o000), None, CONFIG, "UsePAM yes\n"),
];

const SHADOW: &str = "/etc/shadow";

fn shadow(tree: &mut MemoryTree, line: &str) {
    tree.file(SHADOW, 0, 0o640, format!("{line}\nroot:*:1:0:99999:7:::\n").as_bytes());
}

#[test]
fn what_keeps_a_key_out_is_repaired_login_140_to_145() {
    for (check, change, also, path, after) in CASES {
        let mut tree = debian("");
        change(&mut tree);
        let needed: Vec<Also> = also.into_iter().collect();
        let before = plan(&tree, &KeyAddRequest { fix: false, ..request("admin", &[]) }).unwrap();
        let found = before.findings.iter().find(|finding| finding.check == check).unwrap();
        let option = also.map_or("`--fix`".to_owned(), |also| format!("`--fix-also {also}`"));
        assert!(found.fix.as_ref().is_some_and(|fix| fix.starts_with(&option)), "{found:?}");
        if also.is_some() {
            let (made, verdict) = repair(&mut tree, &request("admin", &[]));
            assert!(verdict.is_none() && made.refusal().is_some(), "{check} is not named");
        }
        let inode = tree.node_at(path);
        let (made, verdict) = repair(&mut tree, &request("admin", &needed));
        assert_eq!(verdict, Some(Verdict::Accepted), "{check}: {made:?}");
        let note = made.findings.iter().find(|finding| finding.check == check).unwrap();
        assert_eq!(note.severity, Severity::Info, "{note:?}");
        assert!(note.message.starts_with("repaired: "), "{note:?}");
        assert!(text(&tree, path).starts_with(after), "{check}: {}", text(&tree, path));
        if check != "nologin" {
            assert_eq!(tree.node_at(path), inode, "{check}: the same node");
        }
    }
}

#[test]
fn a_policy_of_others_stays_login_145() {
    for lines in [
        "DenyUsers admin",
        "DenyUsers admin\nAllowUsers x",
        "AllowGroups x",
        "DenyGroups admin",
        "Match User admin\nAllowUsers x",
        "Match User admin\nPubkeyAuthentication no",
        "Match User admin\nAuthenticationMethods password",
        "RefuseConnection yes",
    ] {
        let mut tree = debian("");
        configure(&mut tree, lines);
        let (made, _) = repair(&mut tree, &request("admin", &Also::ALL));
        let reason = made.findings.iter().find(|finding| finding.is_blocking()).unwrap();
        assert!(made.refusal().is_some(), "{lines}");
        assert!(!reason.fix.as_ref().is_some_and(|fix| fix.contains("--fix")), "{reason:?}");
    }
}

#[test]
fn a_drop_in_that_is_read_first_takes_the_line_login_144() {
    const MAIN: &str = "# Debian\n\nInclude /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n";
    const OURS: &str = "/etc/ssh/sshd_config.d/00-regain.conf";
    for (name, main, others, expected) in [
        ("new", MAIN, vec![], OURS),
        ("beside others", MAIN, vec!["50-cloud.conf", "10-a.conf"], OURS),
        ("not the first", MAIN, vec!["00-a.conf"], CONFIG),
        ("relative", "Include sshd_config.d/*.conf\nUsePAM yes\n", vec![], OURS),
        ("late", "UsePAM yes\nInclude /etc/ssh/sshd_config.d/*.conf\n", vec![], CONFIG),
        ("other pattern", "Include /etc/ssh/sshd_config.d/*\nUsePAM yes\n", vec![], CONFIG),
    ] {
        let mut tree = debian("");
        tree.file("/usr/lib/openssh/sshd-session", 0, 0o755, b"OpenSSH_9.9p1");
        tree.file(CONFIG, 0, 0o644, main.as_bytes()).directory("/etc/ssh/sshd_config.d", 0, 0o755);
        for other in others {
            let path = format!("/etc/ssh/sshd_config.d/{other}");
            tree.file(&path, 0, 0o600, b"PubkeyAuthentication no\nPermitRootLogin no\n");
        }
        if tree.node_at(OURS).is_none() && text(&tree, CONFIG) == main {
            let late = format!("{main}PubkeyAuthentication no\n");
            tree.file(CONFIG, 0, 0o644, late.as_bytes());
        }
        let (made, verdict) = repair(&mut tree, &request("admin", &[]));
        assert_eq!(verdict, Some(Verdict::Accepted), "{name}: {made:?}");
        assert_eq!(
            text(&tree, expected).lines().next(),
            Some("PubkeyAuthentication yes"),
            "{name}"
        );
        assert_eq!(tree.node_at(OURS).is_some(), expected == OURS, "{name}");
        if let Some(FileChange::CreateFile { new, .. }) =
            made.changes.iter().find(|change| *change.path() == GuestPath::new(OURS))
        {
            assert_eq!((new.mode, new.uid, new.gid), (0o600, 0, 0));
        }
    }
}

#[test]
fn several_repairs_meet_in_one_place() {
    let mut tree = debian("");
    configure(&mut tree, "PubkeyAuthentication no\nAllowUsers x\nPermitRootLogin no");
    let all: BTreeSet<Also> = Also::ALL.into_iter().collect();
    let users = UserChoice::Named(vec![b"admin".to_vec(), b"root".to_vec()]);
    let request = KeyAddRequest { users, fix_also: all, ..request("admin", &[]) };
    let (_, verdict) = repair(&mut tree, &request);
    assert_eq!(verdict, Some(Verdict::Accepted));
    let config = text(&tree, CONFIG);
    for line in [
        "PubkeyAuthentication yes",
        "AllowUsers admin",
        "AllowUsers root",
        "PermitRootLogin prohibit-password",
    ] {
        assert_eq!(config.lines().filter(|found| *found == line).count(), 1, "{config}");
    }
    // Everything that stood there still stands there.
    assert!(
        config.ends_with("UsePAM yes\nPubkeyAuthentication no\nAllowUsers x\nPermitRootLogin no\n")
    );
}

#[test]
fn what_takes_the_place_of_a_shell_goes_only_by_name() {
    for line in ["ForceCommand /bin/x", "ChrootDirectory /srv", "PermitTTY no"] {
        let mut tree = debian("");
        configure(&mut tree, line);
        let (made, verdict) = repair(&mut tree, &request("admin", &[]));
        let found = made.findings.iter().find(|finding| finding.check == "conf-force").unwrap();
        assert_eq!((verdict, found.severity), (Some(Verdict::Accepted), Severity::Warn));
        assert!(found.fix.as_ref().is_some_and(|fix| fix.starts_with("`--fix-also conf-force`")));
        let (made, _) = repair(&mut tree, &request("admin", &[Also::ConfForce]));
        let notes = made.findings.iter().filter(|finding| finding.check == "conf-force");
        assert!(notes.into_iter().all(|note| note.severity == Severity::Info), "{line}");
        assert_eq!(text(&tree, CONFIG).lines().count(), 3, "{line}");
    }
}

#[test]
fn a_flag_needs_a_word_of_its_own_login_134() {
    let mut tree = debian("");
    tree.change(FILE, |metadata| metadata.flags.is_immutable = true);
    let (made, verdict) = repair(&mut tree, &request("admin", &[]));
    assert_eq!(verdict, None);
    let reason = made.findings.iter().find(|finding| finding.is_blocking()).unwrap();
    assert!(reason.fix.as_ref().is_some_and(|fix| fix.starts_with("`--fix-also immutable`")));
    let (_, verdict) = repair(&mut tree, &request("admin", &[Also::Immutable]));
    assert_eq!(verdict, Some(Verdict::Accepted));
}

#[test]
fn a_unit_is_unmasked_and_wanted_login_146() {
    let mut tree = debian("");
    tree.file("/usr/lib/systemd/system/ssh.service", 0, 0o644, b"[Service]\n")
        .link("/etc/systemd/system/ssh.service", "/dev/null");
    let made = changes_of_warning(&tree, &[]);
    assert_eq!(made, []);
    let made = changes_of_warning(&tree, &[Also::SshdEnabled]);
    let own = "/etc/systemd/system";
    let names: Vec<_> = made.iter().map(|c| (c.action_name(), c.path().to_string())).collect();
    let expected = [
        ("create_directory", format!("{own}/multi-user.target.d")),
        ("create_file", format!("{own}/multi-user.target.d/50-regain-sshd.conf")),
        ("remove", format!("{own}/ssh.service")),
    ];
    assert_eq!(names, expected);
    assert!(matches!(unit_start(&tree, "ssh.service", false), Start::Masked(_)));
    run(&Plan { changes: made, ..Plan::default() }, &mut tree).unwrap();
    let start = unit_start(&tree, "ssh.service", false);
    assert_eq!(start, Start::Enabled(format!("{own}/multi-user.target.d/50-regain-sshd.conf:2")));
    assert!(changes_of_warning(&tree, &[Also::SshdEnabled]).is_empty());
}

/// What is done about a unit that is not enabled.
fn changes_of_warning(tree: &MemoryTree, also: &[Also]) -> Vec<FileChange> {
    let system = detect(tree).unwrap().unwrap();
    let guest = Guest::open(tree, &system, NOW).unwrap();
    let user = system.accounts.find(b"admin").unwrap();
    let also: BTreeSet<Also> = also.iter().copied().collect();
    let draft = Draft::default();
    let mut trial = Trial::on(&draft);
    let id = ("sshd-enabled", "LOGIN-107");
    let mut findings = [Finding::undecided(id, "ssh.service", "it is not enabled")];
    let repairs = Repairs { guest: &guest, user, is_on: true, also: &also };
    repairs.apply(&mut findings, &mut trial).unwrap();
    let is_note = findings[0].severity == Severity::Info && !findings[0].is_undecided;
    assert_eq!(is_note, !also.is_empty());
    trial.own.into_changes()
}

/// Has systemd start sshd with more options.
fn start_with(tree: &mut MemoryTree, options: &str) {
    let unit = format!("[Service]\nExecStart=/usr/sbin/sshd -D {options}\n");
    tree.file("/usr/lib/systemd/systemd", 0, 0o755, b"")
        .file("/usr/lib/systemd/system/ssh.service", 0, 0o644, unit.as_bytes())
        .link("/etc/systemd/system/multi-user.target.wants/ssh.service", "../ssh.service");
}

#[test]
fn the_command_line_beats_a_line_and_may_name_the_file_login_10_and_11() {
    let mut tree = debian("");
    start_with(&mut tree, "-o PubkeyAuthentication=no");
    let made = plan(&tree, &request("admin", &[])).unwrap();
    let reason = made.findings.iter().find(|finding| finding.check == "conf-pubkey").unwrap();
    assert!(reason.is_blocking() && made.refusal().is_some(), "{reason:?}");
    assert!(reason.fix.as_ref().is_some_and(|fix| fix.contains("command line")), "{reason:?}");
    let mut tree = debian("");
    start_with(&mut tree, "-f /etc/ssh/other");
    tree.file("/etc/ssh/other", 0, 0o644, b"UsePAM yes\nPubkeyAuthentication no\n");
    let made = plan(&tree, &request("admin", &[])).unwrap();
    let note = made.findings.iter().find(|finding| finding.check == "conf-pubkey").unwrap();
    assert_eq!((note.severity, note.subject.as_str()), (Severity::Info, "/etc/ssh/other:2"));
    assert!(note.message.ends_with("PubkeyAuthentication yes in /etc/ssh/other"), "{note:?}");
}
