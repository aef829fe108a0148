//! Keys for the OpenSSH server of Windows, on trees in memory.

use super::edit::run;
use super::key_add::KeyAddRequest;
use super::key_revoke::{KeyChoice, KeyName, KeyRevokeRequest};
use super::windows_key::{list, plan};
use super::{FileChange, Outcome, Plan, windows_key_revoke};
use crate::error::Result;
use crate::fs::memory::MemoryTree;
use crate::fs::{FileSystem as _, NTFS_ACL_NAME, Timestamp};
use crate::guest::select::UserChoice;
use crate::guest::windows::security::{
    FULL_CONTROL, NodeUse, Sid, descriptor, who_else_may_change,
};
use crate::guest::windows::testing::Server;
use crate::login::key_input;
use crate::login::testing::{KEY, NOW, OTHER};

const SHARED: &str = "/ProgramData/ssh/administrators_authorized_keys";
const PERSONAL: &str = "/Users/bob/.ssh/authorized_keys";

fn server() -> Server {
    Server::new().open_ssh(2).file("/ProgramData/ssh/ssh_host_rsa_key.pub", "x")
}

fn request(users: &[&str]) -> KeyAddRequest {
    let names = users.iter().map(|name| name.as_bytes().to_vec()).collect();
    let keys = key_input::parse("test", format!("{KEY} me@home").as_bytes()).unwrap().keys;
    let users = if users.is_empty() { UserChoice::Default } else { UserChoice::Named(names) };
    KeyAddRequest::new(users, keys, NOW)
}

/// Plans, edits, and plans again: the second time nothing may change.
fn add(tree: &mut MemoryTree, request: &KeyAddRequest) -> Result<Plan> {
    let planned = plan(tree, request)?;
    run(&planned, tree)?;
    let again = plan(tree, request)?;
    assert_eq!(again.changes, [], "a second run");
    Ok(planned)
}

fn content<'a>(tree: &'a MemoryTree, path: &str) -> &'a str {
    std::str::from_utf8(tree.content_at(path).unwrap()).unwrap()
}

fn others(tree: &MemoryTree, path: &str, trusted: &[Sid]) -> Vec<String> {
    let descriptor = tree.xattr(tree.node_at(path).unwrap(), NTFS_ACL_NAME).unwrap().unwrap();
    who_else_may_change(&descriptor, trusted).unwrap()
}

#[test]
fn administrators_share_one_file_that_only_they_may_change_win_t6() {
    for users in [vec![], vec!["Admin"], vec!["alice"], vec!["ALICE", "admin"]] {
        let mut tree = server().tree();
        let planned = add(&mut tree, &request(&users)).unwrap();
        assert_eq!(planned.changes.len(), 1, "{users:?}");
        assert_eq!(content(&tree, SHARED), format!("{KEY} me@home\n"));
        assert_eq!(others(&tree, SHARED, &[]), [""; 0]);
        assert!(planned.findings.iter().any(|finding| finding.check == "key-file-shared"));
        assert!(planned.users.iter().all(|user| user.outcome == Outcome::Changes));
    }
}

#[test]
fn everybody_else_has_a_file_below_the_profile() {
    let mut tree = server().tree();
    tree.directory("/Users/bob", 0, 0o777);
    let planned = add(&mut tree, &request(&["bob"])).unwrap();
    let actions: Vec<&str> = planned.changes.iter().map(FileChange::action_name).collect();
    assert_eq!(actions, ["create_directory", "create_file"]);
    let bob = Sid::parse("S-1-5-21-1-2-3-1002").unwrap();
    for path in ["/Users/bob/.ssh", PERSONAL] {
        assert_eq!(others(&tree, path, std::slice::from_ref(&bob)), [""; 0]);
        assert_eq!(others(&tree, path, &[]), ["S-1-5-21-1-2-3-1002"]);
    }
    // The directory of the profile is missing: the user has never logged in.
    assert_eq!(plan(&server().tree(), &request(&["bob"])).unwrap_err().exit_status(), 4);
    assert_eq!(plan(&server().tree(), &request(&["Guest"])).unwrap_err().exit_status(), 4);
    assert_eq!(plan(&server().tree(), &request(&["nobody"])).unwrap_err().exit_status(), 3);
}

#[test]
fn line_ends_stay_and_a_key_is_added_once() {
    for (before, after) in [
        (format!("{OTHER}\r\n"), format!("{OTHER}\r\n{KEY} me@home\r\n")),
        (format!("# c\r\n{OTHER}"), format!("# c\r\n{OTHER}\r\n{KEY} me@home\r\n")),
        (format!("{OTHER}\n"), format!("{OTHER}\n{KEY} me@home\n")),
        (OTHER.to_owned(), format!("{OTHER}\n{KEY} me@home\n")),
        (format!("{KEY} old\r\n"), format!("{KEY} old\r\n")),
        (format!("no-pty {KEY}\r\n"), format!("{KEY} me@home\r\nno-pty {KEY}\r\n")),
    ] {
        let mut tree = server().file(SHARED, &before).tree();
        add(&mut tree, &request(&[])).unwrap();
        assert_eq!(content(&tree, SHARED), after, "{before:?}");
    }
    let utf16: Vec<u8> =
        format!("\u{feff}{OTHER}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let tree = server().file(SHARED, utf16).tree();
    assert_eq!(plan(&tree, &request(&[])).unwrap_err().exit_status(), 4);
}

#[test]
fn a_file_that_others_may_change_is_refused_or_made_anew() {
    let mut tree = server().file(SHARED, format!("{OTHER}\n")).tree();
    let everybody =
        descriptor(NodeUse::File, &[(Sid::authenticated_users(), FULL_CONTROL)]).unwrap();
    tree.label(SHARED, "system.ntfs_acl", &everybody);
    let planned = plan(&tree, &request(&[])).unwrap();
    assert_eq!((planned.changes.len(), planned.users[0].outcome), (0, Outcome::Refused));
    assert_eq!(planned.refusal().unwrap().exit_status(), 4);
    let fix = KeyAddRequest { fix: true, ..request(&[]) };
    let planned = add(&mut tree, &fix).unwrap();
    let actions: Vec<&str> = planned.changes.iter().map(FileChange::action_name).collect();
    assert_eq!(actions, ["remove", "create_file"]);
    assert_eq!(content(&tree, SHARED), format!("{OTHER}\n{KEY} me@home\n"));
    assert_eq!(others(&tree, SHARED, &[]), [""; 0]);
}

#[test]
fn a_server_that_nobody_can_log_in_to_is_refused() {
    let config = "/ProgramData/ssh/sshd_config";
    for (name, server) in [
        ("none", Server::new()),
        ("disabled", Server::new().open_ssh(4)),
        ("manual", Server::new().open_ssh(3)),
        ("no keys", server().file(config, "PubkeyAuthentication no\n")),
        ("match", server().file(config, "Match User alice\nAuthorizedKeysFile x\n")),
        ("include", server().file(config, "Include x\n")),
        ("elsewhere", server().file(config, "AuthorizedKeysFile D:/keys\n")),
    ] {
        let error = plan(&server.tree(), &request(&[])).unwrap_err();
        assert_eq!(error.exit_status(), 4, "{name}: {error}");
    }
    let all = KeyAddRequest { users: UserChoice::All, ..request(&[]) };
    assert_eq!(plan(&server().tree(), &all).unwrap_err().exit_status(), 2);
}

#[test]
fn keys_are_listed_with_their_users() {
    let server =
        server().file(SHARED, format!("{OTHER} shared\r\n")).file(PERSONAL, format!("{KEY} own\n"));
    let tree = server.tree();
    let all = list(&tree, None, Timestamp::default()).unwrap();
    let shown: Vec<(&[u8], &[u8])> =
        all.keys.iter().map(|key| (key.user.as_slice(), key.comment.as_slice())).collect();
    assert_eq!(shown, [(&b"Admin"[..], &b"shared"[..]), (b"bob", b"own")]);
    assert_eq!(
        list(&tree, Some(&[b"alice".to_vec()]), Timestamp::default()).unwrap().keys.len(),
        1
    );
    assert!(list(&tree, Some(&[b"nobody".to_vec()]), Timestamp::default()).is_err());
}

fn revocation(users: &[&str], force: bool) -> KeyRevokeRequest {
    let key = key_input::parse("test", KEY.as_bytes()).unwrap().keys.remove(0);
    let users: Vec<_> = users.iter().map(|name| name.as_bytes().to_vec()).collect();
    KeyRevokeRequest {
        keys: KeyChoice::Named(vec![KeyName::Key(key.blob().to_vec())]),
        users: (!users.is_empty()).then_some(users),
        force,
        now: NOW,
    }
}

#[test]
fn keys_go_from_the_files_of_a_windows_server_and_the_last_one_stays() {
    let both = format!("{KEY} a\r\n# c\r\n{OTHER}\r\n");
    let mut tree = server().file(SHARED, &both).file(PERSONAL, format!("{KEY}\n")).tree();
    let planned = windows_key_revoke::plan(&tree, &revocation(&[], false)).unwrap();
    assert_eq!(planned.refusal().unwrap().exit_status(), 4);
    run(&planned, &mut tree).unwrap();
    assert_eq!(content(&tree, SHARED), format!("# c\r\n{OTHER}\r\n"));
    assert_eq!(content(&tree, PERSONAL), format!("{KEY}\n"));
    let planned = windows_key_revoke::plan(&tree, &revocation(&["bob"], true)).unwrap();
    run(&planned, &mut tree).unwrap();
    assert_eq!(content(&tree, PERSONAL), "");
    let planned = windows_key_revoke::plan(&tree, &revocation(&[], false)).unwrap();
    assert!(!planned.changes_something() && planned.refusal().is_none());
    assert!(planned.findings[0].message.contains("on this volume"));
}

#[test]
fn keys_of_a_windows_server_are_rotated() {
    let both = format!("{KEY} a\r\n{OTHER}\r\n");
    for before in [both, format!("{OTHER}\r\n")] {
        let mut tree = server().file(SHARED, &before).tree();
        let planned = windows_key_revoke::rotate(&tree, &request(&[])).unwrap();
        run(&planned, &mut tree).unwrap();
        assert_eq!(content(&tree, SHARED).lines().count(), 1);
        assert!(content(&tree, SHARED).starts_with(KEY));
        let again = windows_key_revoke::rotate(&tree, &request(&[])).unwrap();
        assert!(!again.changes_something());
    }
}
