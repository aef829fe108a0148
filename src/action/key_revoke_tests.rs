//! `key list`, `key revoke` and `key rotate` over a file system in memory.

use super::edit::{expectations, run};
use super::key_add::KeyAddRequest;
use super::key_list::{KeyList, list};
use super::key_revoke::{self, KeyChoice, KeyName, KeyRevokeRequest};
use super::{FileChange, Outcome, Plan, key_add, key_rotate};
use crate::error::Result;
use crate::fs::memory::MemoryTree;
use crate::guest::select::UserChoice;
use crate::login::Fingerprint;
use crate::login::testing::{FILE, KEY as OLD, NOW, OTHER as NEW, configure, debian, key};

const THIRD: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBWQpq2ZtYBRC4xKzKqZ9kdPVGVdJWbHJ/6dWPnfwQeW";
const ADVICE: &str = "no-port-forwarding,command=\"echo 'Please login as the user \\\"admin\\\" \
    rather than the user \\\"root\\\".';echo;sleep 10;exit 142\"";
const ROOT_FILE: &str = "/root/.ssh/authorized_keys";

fn named(lines: &[&str]) -> KeyRevokeRequest {
    let names = lines.iter().map(|line| KeyName::Key(key(line).blob().to_vec())).collect();
    KeyRevokeRequest { keys: KeyChoice::Named(names), users: None, force: false, now: NOW }
}

fn all(users: &[&str]) -> KeyRevokeRequest {
    let users = users.iter().map(|name| name.as_bytes().to_vec()).collect();
    let keys = KeyChoice::AllBut(Vec::new());
    KeyRevokeRequest { keys, users: Some(users), force: true, now: NOW }
}

fn rotation(lines: &[&str]) -> KeyAddRequest {
    let keys = lines.iter().map(|line| key(line)).collect();
    KeyAddRequest::new(UserChoice::Named(vec![b"admin".to_vec()]), keys, NOW)
}

/// Plans, edits, and plans again: the second time nothing may change.
fn apply(tree: &mut MemoryTree, make: &dyn Fn(&MemoryTree) -> Result<Plan>) -> Plan {
    let plan = make(tree).unwrap();
    expectations(&plan, tree).unwrap();
    run(&plan, tree).unwrap();
    let again = make(tree).unwrap();
    assert!(!again.changes_something(), "not idempotent: {again:?}");
    plan
}

fn revoke(tree: &mut MemoryTree, request: &KeyRevokeRequest) -> Plan {
    apply(tree, &|tree| key_revoke::plan(tree, request))
}

fn rotate(tree: &mut MemoryTree, request: &KeyAddRequest) -> Plan {
    apply(tree, &|tree| key_rotate::plan(tree, request))
}

fn content(tree: &MemoryTree, path: &str) -> String {
    String::from_utf8_lossy(tree.content_at(path).unwrap()).into_owned()
}

fn messages(plan: &Plan, rule: &str) -> Vec<String> {
    let found = plan.findings.iter().filter(|finding| finding.rule == rule);
    found.map(ToString::to_string).collect()
}

fn listed(tree: &MemoryTree) -> KeyList {
    list(tree, None, NOW).unwrap()
}

/// Puts a key file of root into `tree`.
fn with_root(tree: &mut MemoryTree, keys: &str) {
    tree.directory("/root/.ssh", 0, 0o700).file(ROOT_FILE, 0, 0o600, keys.as_bytes());
}

#[test]
fn an_exposed_key_goes_from_every_file_and_nothing_else_does_login_138() {
    let mut tree = debian(&format!("{OLD} me\r\n# c\r\n\r\n{NEW}\n\u{1}x\nno-pty {OLD}"));
    with_root(&mut tree, &format!("{ADVICE} {OLD}\n"));
    tree.file("/home/admin/.ssh/authorized_keys2", 1000, 0o600, format!("{OLD}\n").as_bytes());
    let plan = revoke(&mut tree, &named(&[OLD]));
    assert_eq!(content(&tree, FILE), format!("# c\r\n\r\n{NEW}\n\u{1}x\n"));
    assert_eq!(content(&tree, ROOT_FILE), "");
    assert_eq!(content(&tree, "/home/admin/.ssh/authorized_keys2"), "");
    let users: Vec<_> = plan.users.iter().map(|user| (&user.name[..], user.outcome)).collect();
    assert_eq!(users, [(&b"root"[..], Outcome::Changes), (b"admin", Outcome::Changes)]);
    assert!(plan.refusal().is_none());
}

#[test]
fn keys_are_named_by_either_fingerprint() {
    let blob = key(OLD).blob().to_vec();
    for fingerprint in [Fingerprint::sha256(&blob), Fingerprint::md5(&blob)] {
        let mut tree = debian(&format!("{OLD}\n{NEW}\n"));
        let keys = KeyChoice::Named(vec![KeyName::Fingerprint(fingerprint)]);
        revoke(&mut tree, &KeyRevokeRequest { keys, ..named(&[]) });
        assert_eq!(content(&tree, FILE), format!("{NEW}\n"));
    }
}

#[test]
fn a_key_that_is_nowhere_is_told_and_changes_nothing_login_138() {
    let tree = debian(&format!("{NEW}\n# {OLD}\n"));
    let plan = key_revoke::plan(&tree, &named(&[OLD, NEW])).unwrap();
    assert_eq!(messages(&plan, "LOGIN-138").len(), 1);
    let plan = key_revoke::plan(&tree, &named(&[OLD])).unwrap();
    assert!(!plan.changes_something() && plan.refusal().is_none() && plan.users.is_empty());
    assert!(messages(&plan, "LOGIN-138")[0].contains("not on this volume"));
}

#[test]
fn the_last_working_key_stays_unless_forced() {
    for (name, keys, goes) in [
        ("the only key", format!("{OLD}\n"), false),
        ("twice the same", format!("{OLD}\nno-pty {OLD}\n"), false),
        ("another key", format!("{OLD}\n{NEW}\n"), true),
        ("the other key is dead", format!("{OLD}\nnonsense {NEW}\n"), false),
        ("the other key is over", format!("{OLD}\nexpiry-time=\"2020\" {NEW}\n"), false),
        ("the other key depends on the client", format!("{OLD}\nfrom=\"::1\" {NEW}\n"), true),
        ("the other key runs a command", format!("{OLD}\ncommand=\"x\" {NEW}\n"), false),
        ("it did not work either", format!("nonsense {OLD}\n"), true),
        ("it only gives advice", format!("{ADVICE} {OLD}\n"), true),
    ] {
        let tree = debian(&keys);
        let plan = key_revoke::plan(&tree, &named(&[OLD])).unwrap();
        assert_eq!((plan.changes_something(), plan.refusal().is_none()), (goes, goes), "{name}");
        let forced = KeyRevokeRequest { force: true, ..named(&[OLD]) };
        let plan = key_revoke::plan(&tree, &forced).unwrap();
        assert!(plan.changes_something() && plan.refusal().is_none(), "{name}");
    }
    let error = key_revoke::plan(&debian(&format!("{OLD}\n")), &named(&[OLD])).unwrap();
    let error = error.refusal().unwrap();
    assert_eq!(error.exit_status(), 4);
    assert!(error.to_string().contains("admin would be left without a working key"), "{error}");
}

#[test]
fn who_could_not_log_in_anyway_keeps_no_key() {
    let mut tree = debian(&format!("{OLD}\n"));
    tree.directory("/home/admin/.ssh", 1000, 0o777);
    let plan = revoke(&mut tree, &named(&[OLD]));
    assert!(plan.refusal().is_none());
    assert_eq!(content(&tree, FILE), "");
}

#[test]
fn one_user_keeps_the_last_key_and_the_others_lose_theirs_login_137() {
    let mut tree = debian(&format!("{OLD}\n{NEW}\n"));
    with_root(&mut tree, &format!("{OLD}\n"));
    let plan = key_revoke::plan(&tree, &named(&[OLD])).unwrap();
    let outcomes: Vec<_> = plan.users.iter().map(|user| user.outcome).collect();
    assert_eq!(outcomes, [Outcome::LastKey, Outcome::Changes]);
    assert_eq!(plan.refusal().unwrap().exit_status(), 4);
    run(&plan, &mut tree).unwrap();
    assert_eq!(content(&tree, ROOT_FILE), format!("{OLD}\n"));
    assert_eq!(content(&tree, FILE), format!("{NEW}\n"));
}

#[test]
fn only_the_files_of_named_users_are_looked_into_and_the_rest_is_told() {
    let mut tree = debian(&format!("{OLD}\n{NEW}\n"));
    with_root(&mut tree, &format!("{OLD}\n{NEW}\n"));
    let request = KeyRevokeRequest { users: Some(vec![b"admin".to_vec()]), ..named(&[OLD]) };
    let plan = revoke(&mut tree, &request);
    assert_eq!(content(&tree, ROOT_FILE), format!("{OLD}\n{NEW}\n"));
    let told = messages(&plan, "LOGIN-138");
    assert!(
        told[0].contains("/root/.ssh/authorized_keys:1") && told[0].contains("root"),
        "{told:?}"
    );
    let unknown = KeyRevokeRequest { users: Some(vec![b"zoe".to_vec()]), ..named(&[OLD]) };
    assert_eq!(key_revoke::plan(&tree, &unknown).unwrap_err().exit_status(), 3);
}

#[test]
fn authorities_go_only_by_name_login_139() {
    let line = format!("cert-authority,principals=\"a\" {THIRD}\n");
    let mut tree = debian(&format!("{OLD}\n{line}"));
    let plan = revoke(&mut tree, &all(&["admin"]));
    assert_eq!(content(&tree, FILE), line);
    assert!(messages(&plan, "LOGIN-139")[0].contains("authorized_keys:2"));
    revoke(&mut tree, &KeyRevokeRequest { force: true, ..named(&[THIRD]) });
    assert_eq!(content(&tree, FILE), "");
}

#[test]
fn authorities_of_the_configuration_are_told_and_stay_login_139() {
    let mut tree = debian(&format!("{OLD}\n{NEW}\n"));
    configure(&mut tree, "TrustedUserCAKeys /etc/ssh/ca.pub\nRevokedKeys /etc/ssh/revoked");
    tree.file("/etc/ssh/ca.pub", 0, 0o644, format!("{THIRD} ca\n").as_bytes());
    tree.file("/etc/ssh/revoked", 0, 0o644, b"");
    let plan = key_revoke::plan(&tree, &named(&[THIRD])).unwrap();
    assert!(!plan.changes_something());
    assert!(messages(&plan, "LOGIN-139").iter().any(|text| text.contains("/etc/ssh/ca.pub:1")));
    assert_eq!(messages(&plan, "LOGIN-28").len(), 1);
    let keys = listed(&tree).keys;
    let authorities: Vec<_> = keys.iter().filter(|key| key.is_authority).collect();
    assert_eq!((authorities.len(), &authorities[0].user[..]), (1, &b"*"[..]));
}

#[test]
fn a_shared_file_is_edited_for_everybody_login_36() {
    let mut tree = debian("");
    configure(&mut tree, "AuthorizedKeysFile /etc/ssh/keys .ssh/authorized_keys");
    tree.file("/etc/ssh/keys", 0, 0o644, format!("{OLD}\n{NEW}\n").as_bytes());
    let request = KeyRevokeRequest { users: Some(vec![b"admin".to_vec()]), ..named(&[OLD]) };
    let plan = revoke(&mut tree, &request);
    assert_eq!(content(&tree, "/etc/ssh/keys"), format!("{NEW}\n"));
    assert!(messages(&plan, "LOGIN-36")[0].contains("also the key file of root"), "{plan:?}");
    // Of everybody who reads it, somebody would be left without a key.
    let plan = key_revoke::plan(&tree, &named(&[NEW])).unwrap();
    assert!(!plan.changes_something());
    assert!(plan.users.iter().all(|user| user.outcome == Outcome::LastKey));
    assert_eq!(plan.users.len(), 2);
}

#[test]
fn files_that_others_are_made_from_are_edited_too_login_102() {
    let mut tree = debian(&format!("{OLD}\n{NEW}\n"));
    let directory = "/home/admin/.ssh/authorized_keys.d";
    tree.directory(directory, 1000, 0o700);
    for (name, keys) in [("coreos", OLD), ("mine", NEW), (".hidden", OLD)] {
        tree.file(&format!("{directory}/{name}"), 1000, 0o600, format!("{keys}\n").as_bytes());
    }
    let feeds: Vec<_> = listed(&tree).keys.into_iter().filter(|key| !key.counts).collect();
    assert_eq!(feeds.len(), 2);
    revoke(&mut tree, &named(&[OLD]));
    assert_eq!(content(&tree, &format!("{directory}/coreos")), "");
    assert_eq!(content(&tree, &format!("{directory}/mine")), format!("{NEW}\n"));
    assert_eq!(content(&tree, &format!("{directory}/.hidden")), format!("{OLD}\n"));
}

#[test]
fn new_keys_go_into_the_directory_that_the_file_is_made_from_login_102() {
    let directory = "/home/admin/.ssh/authorized_keys.d";
    let mut tree = debian(&format!("{OLD}\n"));
    tree.directory(directory, 1000, 0o700);
    tree.file(&format!("{directory}/coreos"), 1000, 0o600, format!("{OLD}\n").as_bytes());
    let added = apply(&mut tree, &|tree| key_add::plan(tree, &rotation(&[THIRD])));
    assert_eq!(added.users[0].outcome, Outcome::Changes);
    let own = format!("{directory}/regain");
    assert_eq!(content(&tree, &own), format!("{THIRD}\n"));
    rotate(&mut tree, &rotation(&[NEW]));
    assert_eq!(content(&tree, &own), format!("{NEW}\n"));
    assert_eq!(content(&tree, FILE), format!("{NEW}\n"));
    assert_eq!(content(&tree, &format!("{directory}/coreos")), "");
    // What would be refused goes nowhere.
    tree.directory("/home/admin/.ssh", 1000, 0o777);
    assert!(!key_rotate::plan(&tree, &rotation(&[THIRD])).unwrap().changes_something());
}

#[test]
fn files_by_pattern_by_client_and_behind_links_are_edited_login_3() {
    let mut tree = debian(&format!("{NEW}\n"));
    configure(
        &mut tree,
        "AuthorizedKeysFile .ssh/authorized_keys .ssh/keys.d/*\nMatch Address 10.0.0.0/8\n\
         AuthorizedKeysFile .ssh/inside",
    );
    let line = format!("{OLD}\n");
    tree.file("/home/admin/.ssh/keys.d/a", 1000, 0o600, line.as_bytes())
        .file("/home/admin/.ssh/real", 1000, 0o600, line.as_bytes())
        .link("/home/admin/.ssh/inside", "real");
    let plan = revoke(&mut tree, &KeyRevokeRequest { force: true, ..named(&[OLD]) });
    assert_eq!(content(&tree, "/home/admin/.ssh/keys.d/a"), "");
    assert_eq!(content(&tree, "/home/admin/.ssh/real"), "");
    let paths: Vec<_> = plan.changes.iter().map(|change| change.path().to_string()).collect();
    assert_eq!(paths, ["/home/admin/.ssh/keys.d/a", "/home/admin/.ssh/real"]);
}

#[test]
fn what_no_edit_can_revoke_is_told_login_139() {
    let mut tree = debian(&format!("{OLD}\n{NEW}\n"));
    configure(&mut tree, "AuthorizedKeysCommand /usr/bin/sss_ssh_authorizedkeys %u");
    tree.file("/usr/bin/cloud-init", 0, 0o755, b"")
        .file("/usr/bin/google_guest_agent", 0, 0o755, b"")
        .file("/etc/fstab", 0, 0o644, b"UUID=abcd /srv ext4 defaults 0 2\n");
    let plan = key_revoke::plan(&tree, &named(&[OLD])).unwrap();
    assert!(messages(&plan, "LOGIN-35")[0].contains("sss_ssh_authorizedkeys"));
    assert_eq!((messages(&plan, "LOGIN-97").len(), messages(&plan, "LOGIN-104").len()), (1, 1));
    let notes = listed(&tree).findings;
    assert!(notes.iter().any(|finding| finding.rule == "LOGIN-97"));
}

#[test]
fn an_exposed_key_in_files_that_sshd_does_not_read_is_told_login_138() {
    let line = format!("# c\n{OLD}\n");
    let mut tree = debian(&line);
    configure(&mut tree, "AuthorizedKeysFile /etc/ssh/keys/%u");
    tree.file("/etc/ssh/keys/admin", 0, 0o644, format!("{NEW}\n").as_bytes()).file(
        "/etc/dropbear/initramfs/authorized_keys",
        0,
        0o600,
        line.as_bytes(),
    );
    let plan = key_revoke::plan(&tree, &named(&[OLD])).unwrap();
    let told = messages(&plan, "LOGIN-138");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains(&format!("{FILE}:2")) && told[1].contains("initramfs"), "{told:?}");
    assert!(!plan.changes_something());
}

#[test]
fn a_home_on_another_volume_is_told_login_95() {
    let mut tree = debian(&format!("{OLD}\n{NEW}\n"));
    tree.file("/etc/fstab", 0, 0o644, b"UUID=abcd /home ext4 defaults 0 2\n");
    let plan = key_revoke::plan(&tree, &named(&[OLD])).unwrap();
    assert_eq!(messages(&plan, "LOGIN-95").len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_stops_its_own_user_only() {
    let mut tree = debian(&format!("{OLD}\n{NEW}\n"));
    with_root(&mut tree, "");
    tree.change(ROOT_FILE, |metadata| metadata.size_bytes = 1 << 30);
    assert_eq!(key_revoke::plan(&tree, &named(&[OLD])).unwrap_err().exit_status(), 5);
    let request = KeyRevokeRequest { users: Some(vec![b"admin".to_vec()]), ..named(&[OLD]) };
    assert!(key_revoke::plan(&tree, &request).unwrap().changes_something());
    assert_eq!(listed(&tree).keys.len(), 2);
    // A file of all users is also that of the one who is named.
    configure(&mut tree, "AuthorizedKeysFile /root/.ssh/authorized_keys .ssh/authorized_keys");
    assert_eq!(key_revoke::plan(&tree, &request).unwrap_err().exit_status(), 5);
}

#[test]
fn a_rotation_is_one_plan_with_the_new_key_only_login_138() {
    for (name, before, after) in [
        ("plain", format!("{OLD} a\n# c\n{THIRD}"), format!("# c\n{NEW}\n")),
        ("present", format!("{OLD}\r\n{NEW} x\r\n"), format!("{NEW} x\r\n")),
        ("shadowed", format!("{OLD}\nrestrict {NEW}\n"), format!("{NEW}\nrestrict {NEW}\n")),
        (
            "authority",
            format!("cert-authority {THIRD}\n{OLD}\n"),
            format!("cert-authority {THIRD}\n{NEW}\n"),
        ),
        ("no keys", String::new(), format!("{NEW}\n")),
    ] {
        let mut tree = debian(&before);
        let plan = rotate(&mut tree, &rotation(&[NEW]));
        assert_eq!(content(&tree, FILE), after, "{name}");
        assert_eq!(plan.users.len(), 1, "{name}");
        assert!(plan.changes.len() <= 1, "{name}: {:?}", plan.changes);
    }
}

#[test]
fn a_rotation_tells_where_else_an_old_key_stands_login_138() {
    let mut tree = debian(&format!("{OLD}\n"));
    with_root(&mut tree, &format!("# c\n{ADVICE} {OLD}\n"));
    let plan = rotate(&mut tree, &rotation(&[NEW]));
    let told = messages(&plan, "LOGIN-138");
    assert!(
        told[0].contains("/root/.ssh/authorized_keys:2") && told[0].contains("root"),
        "{told:?}"
    );
    assert_eq!(content(&tree, ROOT_FILE), format!("# c\n{ADVICE} {OLD}\n"));
}

#[test]
fn a_rotation_changes_nothing_where_the_new_key_would_be_refused() {
    let before = format!("{OLD}\n");
    let mut tree = debian(&before);
    tree.directory("/home/admin/.ssh", 1000, 0o777);
    let plan = key_rotate::plan(&tree, &rotation(&[NEW])).unwrap();
    assert!(!plan.changes_something());
    assert_eq!(plan.refusal().unwrap().exit_status(), 4);
    let fixed = KeyAddRequest { fix: true, ..rotation(&[NEW]) };
    rotate(&mut tree, &fixed);
    assert_eq!(content(&tree, FILE), format!("{NEW}\n"));
}

#[test]
fn a_rotation_that_locks_out_somebody_else_changes_nothing() {
    let mut tree = debian("");
    configure(&mut tree, "AuthorizedKeysFile /etc/ssh/keys .ssh/authorized_keys");
    tree.file("/etc/ssh/keys", 0, 0o644, format!("{OLD}\n").as_bytes());
    let plan = key_rotate::plan(&tree, &rotation(&[NEW])).unwrap();
    assert!(!plan.changes_something());
    let outcomes: Vec<_> = plan.users.iter().map(|user| user.outcome).collect();
    assert_eq!(outcomes, [Outcome::Unchanged, Outcome::LastKey]);
    rotate(&mut tree, &KeyAddRequest { force: true, ..rotation(&[NEW]) });
    assert_eq!(content(&tree, "/etc/ssh/keys"), "");
    assert_eq!(content(&tree, FILE), format!("{NEW}\n"));
}

#[test]
fn a_rotation_makes_the_file_that_was_missing() {
    let mut tree = debian("");
    tree.file("/home/admin/.ssh/authorized_keys2", 1000, 0o600, format!("{OLD}\n").as_bytes());
    let plan = rotate(&mut tree, &rotation(&[NEW, THIRD]));
    assert_eq!(content(&tree, "/home/admin/.ssh/authorized_keys2"), "");
    assert_eq!(content(&tree, FILE), format!("{NEW}\n{THIRD}\n"));
    assert!(matches!(plan.changes[0], FileChange::Append { .. }));
}

#[test]
fn the_list_says_which_lines_count_login_39_to_41() {
    let tree = debian(&format!(
        "{OLD}\nno-pty {OLD}\nfrom=\"::1\" {NEW}\n{NEW}\nexpiry-time=\"20200101\" {THIRD}\n\
         cert-authority {THIRD}\nnonsense {THIRD}\nprincipals=\"a\" {THIRD}\n"
    ));
    let found = listed(&tree);
    let lines: Vec<_> = found
        .keys
        .iter()
        .map(|key| (key.line, key.counts, key.is_authority, key.reason.is_some()))
        .collect();
    assert_eq!(
        lines,
        [
            (1, true, false, false),
            (2, false, false, true),
            (3, true, false, true),
            (4, true, false, false),
            (5, false, false, true),
            (6, true, true, false),
        ]
    );
    let dead = found.findings.iter().filter(|finding| finding.rule == "LOGIN-40");
    let dead: Vec<_> = dead.map(|finding| finding.subject.as_str()).collect();
    assert_eq!(dead, [format!("{FILE}:7"), format!("{FILE}:8")]);
    assert!(
        found.keys[0].md5.starts_with("MD5:") && found.keys[0].fingerprint.starts_with("SHA256:")
    );
}
