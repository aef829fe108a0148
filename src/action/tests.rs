//! Plans over a file system in memory: each situation of linux-login.md, section 16, and the edit
//! that comes
//! out of it.

use super::edit::{Expected, expectations, run};
use super::key_add::{KeyAddRequest, plan};
use super::key_list::list;
use super::{FileChange, Outcome, Plan};
use crate::error::Result;
use crate::fs::memory::MemoryTree;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind, Timestamp};
use crate::guest::select::UserChoice;
use crate::login::key_input;
use crate::login::{PublicKey, Severity};
use proptest::prelude::*;
use std::collections::BTreeSet;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFINKGrTpxexpBuAq1H0MyRmHwq7UvR/Y+op+T4vybSf";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIKHmxpYuBL6s/beeLVSwxmF2V6qgC2d/4I7OKOln+pM";
const FILE: &str = "/home/admin/.ssh/authorized_keys";
const LOCKED_OUT: &str = "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command=\"echo \
    'Please login as the user \\\"admin\\\" rather than the user \\\"root\\\".';echo;sleep 10;exit 142\"";

/// A Debian with the user admin, who has a home and no keys.
fn debian() -> MemoryTree {
    let mut tree = MemoryTree::new();
    let passwd = b"root:x:0:0::/root:/bin/bash\nadmin:x:1000:1001::/home/admin:/bin/bash\n";
    tree.file("/etc/passwd", 0, 0o644, passwd)
        .file("/etc/group", 0, 0o644, b"root:x:0:\nadmin:x:1001:\n")
        .file("/etc/shadow", 0, 0o640, b"root:*:1:0:99999:7:::\nadmin:!:1:0:99999:7:::\n")
        .file("/etc/os-release", 0, 0o644, b"ID=debian\n")
        .file("/etc/ssh/sshd_config", 0, 0o644, b"UsePAM yes\n")
        .file("/etc/pam.d/sshd", 0, 0o644, crate::login::pam::USUAL)
        .file("/bin/bash", 0, 0o755, b"")
        .directory("/root", 0, 0o700)
        .directory("/home/admin", 1000, 0o755);
    tree
}

/// [`debian`] with a key file.
fn with_keys(content: &[u8]) -> MemoryTree {
    let mut tree = debian();
    tree.directory("/home/admin/.ssh", 1000, 0o700).file(FILE, 1000, 0o600, content);
    tree
}

fn key(line: &str) -> PublicKey {
    key_input::parse("test", line.as_bytes()).unwrap().keys.remove(0)
}

fn request(users: &[&str]) -> KeyAddRequest {
    let names = users.iter().map(|name| name.as_bytes().to_vec()).collect();
    KeyAddRequest {
        users: if users.is_empty() { UserChoice::Default } else { UserChoice::Named(names) },
        keys: vec![key(&format!("{KEY} me@home"))],
        options: None,
        fix: false,
        fix_also: BTreeSet::new(),
        force: false,
        now: Timestamp { seconds: 1_700_000_000, nanoseconds: 0 },
    }
}

/// Plans, edits, verifies, and plans again: the second time nothing may change.
fn add(tree: &mut MemoryTree, request: &KeyAddRequest) -> Result<Plan> {
    let plan_made = plan(tree, request)?;
    let expected = expectations(&plan_made, tree)?;
    run(&plan_made, tree)?;
    for expected in &expected {
        check(tree, expected);
    }
    let again = plan(tree, request)?;
    assert!(!again.changes_something(), "not idempotent: {again:?}");
    Ok(plan_made)
}

/// Checks one promise of a plan.
fn check(tree: &MemoryTree, expected: &Expected) {
    let found = find(tree, &expected.path).unwrap();
    let Some(wanted) = &expected.node else { return assert!(found.is_none()) };
    let node = found.unwrap().node;
    let metadata = tree.metadata(node).unwrap();
    assert_eq!(
        (metadata.kind, metadata.mode, metadata.uid, metadata.gid, tree.xattrs(node).unwrap()),
        (wanted.kind, wanted.mode, wanted.uid, wanted.gid, wanted.xattrs.clone())
    );
    if let Some(content) = &wanted.content {
        assert_eq!(&tree.read(node, 1 << 20).unwrap(), content);
    }
}

fn blocked(plan: &Plan) -> Vec<(&'static str, &'static str)> {
    let blocking = plan.findings.iter().filter(|finding| finding.is_blocking());
    blocking.map(|finding| (finding.check, finding.rule)).collect()
}

fn text(tree: &MemoryTree) -> String {
    String::from_utf8_lossy(tree.content_at(FILE).unwrap_or_default()).into_owned()
}

#[test]
fn a_key_goes_into_an_existing_file_in_every_state_login_121_to_126() {
    let new = format!("{KEY} me@home\n");
    for (name, before, after) in [
        ("empty", String::new(), new.clone()),
        ("plain", format!("{OTHER} x\n"), format!("{OTHER} x\n{new}")),
        ("no final newline", format!("{OTHER} x"), format!("{OTHER} x\n{new}")),
        ("crlf", format!("{OTHER} x\r\n# c\r\n"), format!("{OTHER} x\r\n# c\r\n{new}")),
        ("garbage", "\u{1}\u{2}x\n\n\n".into(), format!("\u{1}\u{2}x\n\n\n{new}")),
        ("NUL tail", format!("{OTHER}\n\0\0\0"), format!("{OTHER}\n\0\0\0\n{new}")),
        ("dead line", format!("nonsense {KEY}\n"), format!("nonsense {KEY}\n{new}")),
        ("comment", format!("#{KEY}\n"), format!("#{KEY}\n{new}")),
        ("from", format!("from=\"::1\" {KEY}\n"), format!("from=\"::1\" {KEY}\n{new}")),
        (
            "over",
            format!("expiry-time=\"2020010100\" {KEY}\n"),
            format!("expiry-time=\"2020010100\" {KEY}\n{new}"),
        ),
        (
            "shadowed",
            format!("{OTHER}\n{LOCKED_OUT} {KEY}\n{OTHER}\n"),
            format!("{OTHER}\n{new}{LOCKED_OUT} {KEY}\n{OTHER}\n"),
        ),
        ("restrict", format!("restrict {KEY}"), format!("{new}restrict {KEY}")),
        ("present", format!("{KEY} another comment\n"), format!("{KEY} another comment\n")),
        (
            "present with harmless options",
            format!("no-user-rc {KEY}\n"),
            format!("no-user-rc {KEY}\n"),
        ),
        (
            "present, then shadowed",
            format!("{KEY}\nrestrict {KEY}\n"),
            format!("{KEY}\nrestrict {KEY}\n"),
        ),
    ] {
        let mut tree = with_keys(before.as_bytes());
        let plan = add(&mut tree, &request(&[])).unwrap();
        assert_eq!(text(&tree), after, "{name}");
        let outcome = if before == after { Outcome::AlreadyPresent } else { Outcome::Changes };
        assert_eq!(plan.users[0].outcome, outcome, "{name}");
        let appends = after.starts_with(&before) && before != after;
        let is_append = matches!(plan.changes.first(), Some(FileChange::Append { .. }));
        assert_eq!(is_append, appends, "{name}: the smallest edit");
        assert_eq!(blocked(&plan), [], "{name}");
    }
}

#[test]
fn a_utf_16_file_gets_a_line_after_a_line_feed_login_126() {
    let mut before = vec![0xff, 0xfe];
    before.extend(format!("{OTHER}\n").bytes().flat_map(|byte| [byte, 0]));
    let mut tree = with_keys(&before);
    let plan = add(&mut tree, &request(&[])).unwrap();
    let expected = [before, format!("\n{KEY} me@home\n").into_bytes()].concat();
    assert_eq!(tree.content_at(FILE).unwrap(), expected);
    assert!(plan.findings.iter().any(|finding| finding.rule == "LOGIN-126"));
}

#[test]
fn missing_directory_and_file_are_made_with_owner_and_mode_login_129_and_130() {
    let mut tree = debian();
    let plan = add(&mut tree, &request(&[])).unwrap();
    let names: Vec<_> = plan.changes.iter().map(FileChange::action_name).collect();
    assert_eq!(names, ["create_directory", "create_file"]);
    for (change, wanted) in plan.changes.iter().zip([0o700, 0o600]) {
        let (FileChange::CreateDirectory { new, .. } | FileChange::CreateFile { new, .. }) = change
        else {
            panic!("{change:?}")
        };
        // The group is the one of passwd, not the number of the user (LOGIN-129).
        assert_eq!((new.mode, new.uid, new.gid), (wanted, 1000, 1001));
        assert!(new.xattrs.is_empty());
    }
    assert_eq!(text(&tree), format!("{KEY} me@home\n"));
}

#[test]
fn a_missing_home_is_made_only_with_fix_login_131() {
    let mut tree = debian();
    tree.file("/etc/passwd", 0, 0o644, b"admin:x:1000:1001::/home/new:/bin/bash\n");
    let refused = plan(&tree, &request(&["admin"])).unwrap();
    assert_eq!(blocked(&refused), [("home-missing", "LOGIN-131")]);
    assert_eq!(refused.refusal().unwrap().exit_status(), 4);
    assert!(!refused.changes_something());
    let fixing = KeyAddRequest { fix: true, ..request(&["admin"]) };
    let plan_made = add(&mut tree, &fixing).unwrap();
    assert!(plan_made.refusal().is_none());
    assert_eq!(plan_made.changes.len(), 3);
    tree.file("/etc/passwd", 0, 0o644, b"admin:x:1000:1001::/none/new:/bin/bash\n");
    assert_eq!(plan(&tree, &fixing).unwrap_err().exit_status(), 4);
}

#[test]
fn links_stay_inside_the_volume_and_dangling_ones_are_refused_login_132() {
    let mut tree = debian();
    tree.directory("/srv/keys", 1000, 0o755)
        .file("/srv/keys/admin", 1000, 0o600, b"")
        .directory("/home/admin/.ssh", 1000, 0o700)
        .link(FILE, "/srv/keys/admin");
    let plan_made = add(&mut tree, &request(&["admin"])).unwrap();
    assert_eq!(plan_made.users[0].path, Some(GuestPath::new("/srv/keys/admin")));
    tree.link(FILE, "/srv/keys/gone");
    let error = plan(&tree, &request(&["admin"])).unwrap_err();
    assert_eq!(error.exit_status(), 4);
    assert!(error.to_string().contains("is a link to /srv/keys/gone, which is missing"), "{error}");
    tree.link(FILE, "authorized_keys");
    assert_eq!(plan(&tree, &request(&["admin"])).unwrap_err().exit_status(), 4);
    // A link on the way that does not dangle is no obstacle.
    let mut tree = debian();
    tree.link("/u", "/home").file(
        "/etc/passwd",
        0,
        0o644,
        b"admin:x:1000:1001::/u/admin:/bin/bash\n",
    );
    add(&mut tree, &request(&["admin"])).unwrap();
    assert_eq!(text(&tree), format!("{KEY} me@home\n"));
}

#[test]
fn what_is_no_key_file_is_refused() {
    for kind in [NodeKind::Fifo, NodeKind::CharDevice, NodeKind::BlockDevice, NodeKind::Socket] {
        let mut tree = debian();
        tree.directory("/home/admin/.ssh", 1000, 0o700).special(FILE, kind);
        assert_eq!(plan(&tree, &request(&["admin"])).unwrap_err().exit_status(), 4, "{kind}");
    }
    let mut tree = debian();
    tree.directory(FILE, 1000, 0o700);
    assert_eq!(plan(&tree, &request(&["admin"])).unwrap_err().exit_status(), 4);
    let mut tree = debian();
    tree.file("/home/admin/.ssh", 1000, 0o600, b"");
    assert_eq!(plan(&tree, &request(&["admin"])).unwrap_err().exit_status(), 4);
    let mut tree = with_keys(b"");
    tree.change(FILE, |metadata| metadata.size_bytes = 1 << 30);
    assert_eq!(plan(&tree, &request(&["admin"])).unwrap_err().exit_status(), 5);
}

#[test]
fn what_blocks_is_reported_and_only_forced() {
    type Case = (&'static str, fn(&mut MemoryTree), &'static [(&'static str, &'static str)]);
    let cases: [Case; 19] = [
        (
            "mode of home",
            |t| _ = t.directory("/home/admin", 1000, 0o777),
            &[("strict-mode", "LOGIN-51")],
        ),
        (
            "owner of .ssh",
            |t| _ = t.directory("/home/admin/.ssh", 7, 0o755),
            &[("strict-owner", "LOGIN-51")],
        ),
        ("unreadable", |t| _ = t.file(FILE, 0, 0o600, b""), &[("readable", "LOGIN-49")]),
        ("above the home is not tested", |t| _ = t.directory("/home", 0, 0o777), &[]),
        (
            "mount",
            |t| _ = t.file("/etc/fstab", 0, 0o644, b"LABEL=h /home ext4\n"),
            &[("home-mount", "LOGIN-95")],
        ),
        ("own mount", |t| _ = t.file("/etc/fstab", 0, 0o644, b"LABEL=root / ext4\n"), &[]),
        ("nologin", |t| _ = t.file("/etc/nologin", 0, 0o644, b""), &[("nologin", "LOGIN-72")]),
        ("shell", |t| _ = t.change("/bin/bash", |m| m.mode = 0o644), &[("user-shell", "LOGIN-59")]),
        (
            "expired",
            |t| _ = t.file("/etc/shadow", 0, 0o640, b"admin:!:1:::::100:\n"),
            &[("acct-expired", "LOGIN-67")],
        ),
        (
            "no shadow line",
            |t| _ = t.file("/etc/shadow", 0, 0o640, b""),
            &[("shadow-missing", "LOGIN-68")],
        ),
        (
            "locked",
            |t| _ = t.file("/etc/ssh/sshd_config", 0, 0o644, b"UsePAM no\n"),
            &[("user-locked", "LOGIN-58")],
        ),
        ("pubkey", |t| config(t, "PubkeyAuthentication no"), &[("conf-pubkey", "LOGIN-17")]),
        (
            "methods",
            |t| config(t, "AuthenticationMethods publickey,password"),
            &[("conf-methods", "LOGIN-64")],
        ),
        ("deny", |t| config(t, "DenyUsers ad*"), &[("conf-users", "LOGIN-60")]),
        ("allow", |t| config(t, "AllowUsers alice,admin bob"), &[("conf-users", "LOGIN-60")]),
        ("revoked", |t| config(t, "RevokedKeys /etc/ssh/gone"), &[("revoked", "LOGIN-28")]),
        (
            "ecryptfs",
            |t| _ = t.directory("/home/admin/.ecryptfs", 1000, 0o700),
            &[("home-crypt", "LOGIN-T4")],
        ),
        (
            "encrypted",
            |t| _ = t.change("/home/admin/.ssh", |m| m.flags.is_encrypted = true),
            &[("home-crypt", "LOGIN-T4")],
        ),
        ("shared", |t| config(t, "AuthorizedKeysFile /etc/keys"), &[("conf-keyfile", "LOGIN-36")]),
    ];
    for (name, change, expected) in cases {
        let mut tree = with_keys(b"");
        change(&mut tree);
        let refused = plan(&tree, &request(&["admin"])).unwrap();
        assert_eq!(blocked(&refused), expected, "{name}");
        assert_eq!(refused.refusal().is_some(), !expected.is_empty(), "{name}");
        assert_eq!(refused.changes_something(), expected.is_empty(), "{name}");
        let forced = KeyAddRequest { force: true, ..request(&["admin"]) };
        let forced = plan(&tree, &forced).unwrap();
        assert_eq!(forced.changes_something(), name != "shared", "{name}");
    }
}

fn config(tree: &mut MemoryTree, line: &str) {
    tree.file("/etc/ssh/sshd_config", 0, 0o644, format!("UsePAM yes\n{line}\n").as_bytes());
}

#[test]
fn a_required_size_of_rsa_keys_blocks_login_76() {
    let mut tree = with_keys(b"");
    let rsa = format!("ssh-rsa {}", rsa_2048());
    let with_rsa = KeyAddRequest { keys: vec![key(&rsa)], ..request(&["admin"]) };
    assert_eq!(blocked(&plan(&tree, &with_rsa).unwrap()), []);
    config(&mut tree, "RequiredRSASize 3072");
    assert_eq!(blocked(&plan(&tree, &with_rsa).unwrap()), [("key-type", "LOGIN-76")]);
    assert_eq!(blocked(&plan(&tree, &request(&["admin"])).unwrap()), []);
}

/// The blob of an RSA key with 2048 bits, in base64; no such key pair exists.
fn rsa_2048() -> String {
    use base64ct::Encoding as _;
    let mut blob = b"\0\0\0\x07ssh-rsa\0\0\0\x03\x01\0\x01\0\0\x01\x01\0".to_vec();
    blob.extend([0xa5; 256]);
    base64ct::Base64::encode_string(&blob)
}

#[test]
fn a_reason_that_depends_on_the_client_only_warns_login_3() {
    let mut tree = with_keys(b"");
    config(&mut tree, "Match Address 10.0.0.0/8\nDenyUsers admin");
    let plan_made = plan(&tree, &request(&["admin"])).unwrap();
    assert_eq!(blocked(&plan_made), []);
    let warning = plan_made.findings.iter().find(|finding| finding.check == "conf-users").unwrap();
    assert_eq!(warning.severity, Severity::Warn);
    assert!(warning.message.starts_with("depends on the client"));
}

#[test]
fn debian_accepts_a_private_group_login_54_and_55() {
    for (os, group, passwd_more, is_blocked) in [
        ("ID=debian", "admin:x:1001:", "", false),
        ("ID=ubuntu\nID_LIKE=debian", "admin:x:1001:admin", "", false),
        ("ID=debian", "admin:x:1001:other", "", true),
        ("ID=debian", "admin:x:1001:", "other:x:5:1001::/:/bin/bash\n", true),
        ("ID=debian", "x:x:7:", "", true),
        ("ID=rhel\nID_LIKE=fedora", "admin:x:1001:", "", true),
    ] {
        let mut tree = with_keys(b"");
        let passwd = format!("admin:x:1000:1001::/home/admin:/bin/bash\n{passwd_more}");
        tree.file("/etc/os-release", 0, 0o644, os.as_bytes())
            .file("/etc/group", 0, 0o644, group.as_bytes())
            .file("/etc/passwd", 0, 0o644, passwd.as_bytes())
            .directory("/home/admin", 1000, 0o775)
            .change("/home/admin", |metadata| metadata.gid = 1001);
        let found = blocked(&plan(&tree, &request(&["admin"])).unwrap());
        let expected = [("strict-mode", "LOGIN-51")];
        assert_eq!(found, if is_blocked { expected.as_slice() } else { &[] }, "{os} {group}");
    }
}

#[test]
fn strict_modes_stop_at_the_home_but_not_outside_it_login_52() {
    let mut tree = debian();
    config(&mut tree, "AuthorizedKeysFile /etc/ssh/keys/%u");
    tree.file("/etc/ssh/keys/admin", 1000, 0o600, b"").change("/", |root| root.mode = 0o775);
    let found = blocked(&plan(&tree, &request(&["admin"])).unwrap());
    assert_eq!(found, [("strict-mode", "LOGIN-51")]);
    config(&mut tree, "AuthorizedKeysFile /etc/ssh/keys/%u\nStrictModes no");
    assert_eq!(blocked(&plan(&tree, &request(&["admin"])).unwrap()), []);
}

#[test]
fn fix_repairs_modes_and_owners_login_140_and_141() {
    let mut tree = with_keys(b"");
    tree.directory("/home/admin", 1000, 0o777)
        .directory("/home/admin/.ssh", 7, 0o770)
        .change(FILE, |metadata| metadata.mode = 0o066);
    let fixing = KeyAddRequest { fix: true, ..request(&["admin"]) };
    let plan_made = add(&mut tree, &fixing).unwrap();
    assert!(plan_made.refusal().is_none(), "{plan_made:?}");
    let state = |path: &str| {
        let node = tree.node_at(path).unwrap();
        let metadata = tree.metadata(node).unwrap();
        (metadata.uid, metadata.mode)
    };
    assert_eq!(state("/home/admin"), (1000, 0o755));
    assert_eq!(state("/home/admin/.ssh").0, 1000);
    assert_eq!(state("/home/admin/.ssh").1 & 0o722, 0o700);
    assert_eq!(state(FILE).1 & 0o622, 0o600);
    assert_eq!(blocked(&plan(&tree, &request(&["admin"])).unwrap()), []);
}

#[test]
fn new_nodes_are_labelled_on_a_labelled_volume_login_84() {
    let mut tree = debian();
    let rules = b"/home/[^/]+/\\.ssh(/.*)?\tunconfined_u:object_r:ssh_home_t:s0\n";
    tree.file("/etc/selinux/config", 0, 0o644, b"SELINUX=enforcing\nSELINUXTYPE=targeted\n")
        .file("/etc/selinux/targeted/contexts/files/file_contexts", 0, 0o644, b"")
        .file("/etc/selinux/targeted/contexts/files/file_contexts.homedirs", 0, 0o644, rules)
        .label("/etc/passwd", "security.selinux", b"system_u:object_r:passwd_file_t:s0\0");
    let others =
        ["/", "/etc/shadow", "/etc/ssh/sshd_config", "/etc/pam.d/sshd", "/home", "/home/admin"];
    for path in others {
        tree.label(path, "security.selinux", b"system_u:object_r:etc_t:s0\0");
    }
    let plan_made = add(&mut tree, &request(&["admin"])).unwrap();
    for change in &plan_made.changes {
        let (FileChange::CreateDirectory { new, .. } | FileChange::CreateFile { new, .. }) = change
        else {
            panic!("{change:?}")
        };
        assert_eq!(new.xattrs[0].value, b"unconfined_u:object_r:ssh_home_t:s0\0");
    }
    // A file that was written without a label is repaired (LOGIN-94).
    let node = tree.node_at(FILE).unwrap();
    crate::fs::FileEdit::set_xattr(&mut tree, node, b"security.selinux", None).unwrap();
    let again = plan(&tree, &request(&["admin"])).unwrap();
    assert!(matches!(again.changes.as_slice(), [FileChange::SetXattr { .. }]));
}

#[test]
fn each_user_is_a_result_of_its_own_login_137() {
    let mut tree = with_keys(b"");
    let passwd = b"root:x:0:0::/root:/bin/bash\nadmin:x:1000:1001::/home/admin:/bin/bash\n\
        bad:x:1002:1002::/home/bad:/bin/bash\ntwin:x:1000:1001::/home/admin:/bin/bash\n";
    tree.file("/etc/passwd", 0, 0o644, passwd)
        .file(
            "/etc/shadow",
            0,
            0o640,
            b"admin:*:::::::\nbad:*:::::::\ntwin:*:::::::\nroot:*:::::::\n",
        )
        .file("/root/.ssh/authorized_keys", 0, 0o600, format!("{LOCKED_OUT} {KEY}\n").as_bytes())
        .directory("/home/bad/.ssh/authorized_keys", 1002, 0o700);
    let users = request(&["admin", "bad", "twin", "root"]);
    let plan_made = plan(&tree, &users).unwrap();
    let outcomes: Vec<_> = plan_made.users.iter().map(|user| user.outcome).collect();
    let [changes, refused] = [Outcome::Changes, Outcome::Refused];
    assert_eq!(outcomes, [changes, refused, changes, changes]);
    assert_eq!(plan_made.changes.len(), 2);
    assert_eq!(plan_made.refusal().unwrap().exit_status(), 4);
    run(&plan_made, &mut tree).unwrap();
    assert_eq!(text(&tree), format!("{KEY} me@home\n"));
    let root = tree.content_at("/root/.ssh/authorized_keys").unwrap();
    assert_eq!(root, format!("{KEY} me@home\n{LOCKED_OUT} {KEY}\n").as_bytes());
}

#[test]
fn several_keys_and_options_are_written_login_119() {
    let mut tree = with_keys(format!("{OTHER}\n").as_bytes());
    let mut wanted = request(&["admin"]);
    wanted.keys.push(key(OTHER));
    wanted.options = Some("no-user-rc,from=\"10.0.0.1\"".to_owned());
    add(&mut tree, &wanted).unwrap();
    let options = wanted.options.clone().unwrap();
    assert_eq!(text(&tree), format!("{options} {OTHER}\n{OTHER}\n{options} {KEY} me@home\n"));
    for options in ["x", "no-pty ", "command=\"a\nb\"", "", "cert-authority"] {
        let wrong = KeyAddRequest { options: Some(options.to_owned()), ..request(&["admin"]) };
        assert_eq!(plan(&tree, &wrong).unwrap_err().exit_status(), 2, "{options:?}");
    }
}

#[test]
fn an_absolute_place_outside_the_home_is_used_login_130() {
    let mut tree = debian();
    config(&mut tree, "AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys");
    let plan_made = add(&mut tree, &request(&["admin"])).unwrap();
    assert_eq!(plan_made.users[0].path, Some(GuestPath::new("/etc/ssh/keys/admin")));
    assert!(matches!(&plan_made.changes[0], FileChange::CreateDirectory { new, .. }
        if (new.uid, new.mode) == (0, 0o755)));
    assert!(matches!(&plan_made.changes[1], FileChange::CreateFile { new, .. }
        if (new.uid, new.mode) == (1000, 0o600)));
}

#[test]
fn keys_are_listed_with_line_and_options() {
    let mut tree = with_keys(format!("# c\n{KEY} me\nrestrict {OTHER}\nrubbish\n").as_bytes());
    tree.special("/home/admin/.ssh/authorized_keys2", NodeKind::Fifo);
    let listed = list(&tree, None, Timestamp::default()).unwrap();
    let lines: Vec<_> = listed.keys.iter().map(|key| (key.line, key.options.clone())).collect();
    assert_eq!(lines, [(2, None), (3, Some(b"restrict".to_vec()))]);
    assert_eq!(listed.keys[0].comment, b"me");
    assert_eq!(listed.findings.len(), 1);
    assert_eq!(
        list(&tree, Some(&[b"zoe".to_vec()]), Timestamp::default()).unwrap_err().exit_status(),
        3
    );
    assert_eq!(list(&MemoryTree::new(), None, Timestamp::default()).unwrap_err().exit_status(), 3);
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(format!("{KEY} a").into_bytes()),
        Just(format!("{OTHER}\r").into_bytes()),
        Just(format!("restrict,pty {KEY}").into_bytes()),
        Just(format!("from=\"10.0.0.1\" {KEY}").into_bytes()),
        Just(b"# comment".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    (proptest::collection::vec(line, 0..8), any::<bool>()).prop_map(|(lines, ends)| {
        let mut content = lines.join(&b'\n');
        content.extend(ends.then_some(b'\n'));
        content
    })
}

const SECOND: &str = "/home/admin/.ssh/authorized_keys2";

#[test]
fn a_key_in_a_file_that_sshd_does_not_read_is_not_present_login_51() {
    for (mode, is_read) in [(0o600, true), (0o666, false), (0o060, false)] {
        let mut tree = with_keys(format!("{OTHER}\n").as_bytes());
        tree.file(SECOND, 1000, mode, format!("{KEY}\n").as_bytes());
        let plan_made = add(&mut tree, &request(&["admin"])).unwrap();
        let user = &plan_made.users[0];
        assert!(plan_made.refusal().is_none(), "{mode:o}: {plan_made:?}");
        assert_eq!(user.outcome == Outcome::AlreadyPresent, is_read, "{mode:o}");
        assert_eq!(user.path, Some(GuestPath::new(if is_read { SECOND } else { FILE })));
        // A line that is not read shadows nothing either.
        let mut tree = with_keys(b"");
        tree.file(SECOND, 1000, mode, format!("restrict {KEY}\n").as_bytes());
        add(&mut tree, &request(&["admin"])).unwrap();
        assert_eq!(text(&tree).is_empty(), is_read, "{mode:o}");
    }
}

#[test]
fn every_file_that_holds_a_key_is_checked() {
    let mut tree = with_keys(b"");
    tree.change(FILE, |metadata| metadata.mode = 0o666).file(
        SECOND,
        1000,
        0o600,
        format!("restrict {OTHER}\n").as_bytes(),
    );
    let both = KeyAddRequest { keys: vec![key(KEY), key(OTHER)], ..request(&["admin"]) };
    // The last key goes into the good file, the first one into the bad one.
    assert_eq!(blocked(&plan(&tree, &both).unwrap()), [("strict-mode", "LOGIN-51")]);
}

#[test]
fn a_key_in_the_file_of_all_users_is_present_login_36() {
    let mut tree = debian();
    config(&mut tree, "AuthorizedKeysFile /etc/keys");
    tree.file("/etc/keys", 0, 0o644, format!("{KEY}\n").as_bytes());
    let plan_made = plan(&tree, &request(&["admin"])).unwrap();
    assert_eq!(plan_made.users[0].outcome, Outcome::AlreadyPresent);
    assert_eq!(plan_made.users[0].path, Some(GuestPath::new("/etc/keys")));
    assert_eq!(blocked(&plan_made), []);
}

#[test]
fn options_that_let_nobody_in_are_not_written_login_119() {
    for options in ["expiry-time=\"20200101\"", "principals=\"a\""] {
        let wrong = KeyAddRequest { options: Some(options.to_owned()), ..request(&["admin"]) };
        assert_eq!(plan(&with_keys(b""), &wrong).unwrap_err().exit_status(), 2, "{options}");
    }
}

#[test]
fn a_flag_matters_only_for_a_file_that_changes_login_134() {
    let line = format!("{KEY}\n");
    for (content, expected) in [("", [("immutable", "LOGIN-134")].as_slice()), (line.as_str(), &[])]
    {
        let mut tree = with_keys(content.as_bytes());
        tree.change(FILE, |metadata| metadata.flags.is_immutable = true);
        assert_eq!(blocked(&plan(&tree, &request(&["admin"])).unwrap()), expected, "{content}");
    }
}

#[test]
fn labels_above_the_key_are_looked_at_login_94() {
    for (path, found, is_blocked) in [
        ("/home", "home_root_t", false),
        ("/home", "default_t", true),
        ("/home/admin", "home_root_t", true),
        ("/home/admin", "user_home_dir_t", false),
    ] {
        let mut tree = with_keys(b"");
        let label = |name: &str| format!("system_u:object_r:{name}:s0\0").into_bytes();
        tree.file("/etc/selinux/config", 0, 0o644, b"SELINUX=enforcing\n");
        for (path, name) in [
            ("/", "root_t"),
            ("/etc/passwd", "passwd_file_t"),
            ("/etc/shadow", "shadow_t"),
            ("/etc/ssh/sshd_config", "etc_t"),
            ("/etc/pam.d", "etc_t"),
            ("/etc/pam.d/sshd", "etc_t"),
            ("/home", "home_root_t"),
            ("/home/admin", "user_home_dir_t"),
            ("/home/admin/.ssh", "ssh_home_t"),
            (FILE, "ssh_home_t"),
            (path, found),
        ] {
            tree.label(path, "security.selinux", &label(name));
        }
        let blocks = blocked(&plan(&tree, &request(&["admin"])).unwrap());
        let expected = [("selinux-file", "LOGIN-83")];
        assert_eq!(blocks, if is_blocked { expected.as_slice() } else { &[] }, "{path} {found}");
    }
}

#[test]
fn sshd_asks_shadow_and_pam_only_after_an_x_login_58_and_68() {
    let passwd = b"admin:*:1000:1001::/home/admin:/bin/bash\n";
    for (config, shadow, expected) in [
        ("UsePAM no\n", "admin:!:::::::", [("user-locked", "LOGIN-58")].as_slice()),
        ("UsePAM yes\n", "admin:*::::::100:", &[]),
        ("UsePAM no\n", "admin:*::::::100:", &[("acct-expired", "LOGIN-58")]),
    ] {
        let mut tree = with_keys(b"");
        tree.file("/etc/passwd", 0, 0o644, passwd)
            .file("/etc/shadow", 0, 0o640, shadow.as_bytes())
            .file("/etc/ssh/sshd_config", 0, 0o644, config.as_bytes());
        assert_eq!(blocked(&plan(&tree, &request(&["admin"])).unwrap()), expected, "{shadow}");
    }
}

/// A mistake here would cost hours, not be a little slower.
#[test]
fn tens_of_thousands_of_accounts_are_no_burden() {
    let mut tree = debian();
    let numbers = 1000..31_000;
    let passwd = numbers.clone().map(|n| format!("u{n}:x:{n}:{n}::/home/admin:/bin/bash\n"));
    let group = numbers.clone().map(|n| format!("g{n}:x:{n}:u{n}\n"));
    let shadow = numbers.map(|n| format!("u{n}:*:::::::\n"));
    tree.file("/etc/passwd", 0, 0o644, passwd.collect::<String>().as_bytes())
        .file("/etc/group", 0, 0o644, group.collect::<String>().as_bytes())
        .file("/etc/shadow", 0, 0o640, shadow.collect::<String>().as_bytes());
    assert_eq!(plan(&tree, &request(&[])).unwrap_err().kind_name(), "ambiguous");
    assert!(list(&tree, None, Timestamp::default()).unwrap().keys.is_empty());
}

#[test]
fn what_is_appended_to_a_large_file_is_promised_as_a_piece() {
    let large = vec![7; 2 * 1024 * 1024];
    let mut tree = debian();
    tree.file("/hive", 0, 0o644, &large).file("/small", 0, 0o644, b"ab");
    let append = |path: &str| FileChange::Append {
        path: GuestPath::new(path),
        bytes: b"cd".to_vec(),
        detail: String::new(),
    };
    let overwrite = FileChange::Overwrite {
        path: GuestPath::new("/hive"),
        offset_bytes: 1,
        bytes: b"x".to_vec(),
        detail: String::new(),
    };
    let changes = vec![append("/hive"), append("/hive"), overwrite, append("/small")];
    let plan = Plan { changes, ..Plan::default() };
    let promised = expectations(&plan, &tree).unwrap();
    let node = |path: &str| {
        let path = GuestPath::new(path);
        promised.iter().find(|expected| expected.path == path).unwrap().node.clone().unwrap()
    };
    let hive = node("/hive");
    let end = large.len() as u64;
    assert_eq!((hive.content, hive.grown_bytes), (None, Some(end + 4)));
    let pieces = [(end, b"cd".to_vec()), (end + 2, b"cd".to_vec()), (1, b"x".to_vec())];
    assert_eq!(hive.pieces, pieces);
    assert_eq!(node("/small").content.as_deref(), Some(b"abcd".as_slice()));
    run(&plan, &mut tree).unwrap();
    assert_eq!(tree.content_at("/hive").unwrap().len() as u64, end + 4);
}

proptest! {
    #[test]
    fn adding_never_alters_another_line(content in lines()) {
        let mut tree = with_keys(&content);
        add(&mut tree, &request(&["admin"])).unwrap();
        let after = tree.content_at(FILE).unwrap().to_vec();
        let line = format!("{KEY} me@home\n").into_bytes();
        // Taking the line out again, and the LF that a missing final one cost, gives the old bytes.
        let found = (0..after.len()).find(|&at| {
            after[at..].starts_with(&line) && {
                let rest = [&after[..at], &after[at + line.len()..]].concat();
                rest == content || rest.strip_suffix(b"\n") == Some(&content)
            }
        });
        prop_assert!(after == content || found.is_some());
    }
}
