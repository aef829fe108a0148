//! Plans of `key add` over a file system in memory: each situation of linux-login.md, section 16, and the edit that
//! comes out of it.

mod file;
mod verdict;

use super::edit::{Expected, expectations, run};
use super::key_add::{KeyAddRequest, plan};
use super::key_list::list;
use super::{FileChange, Plan};
use crate::error::Result;
use crate::fs::memory::MemoryTree;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind, Timestamp};
use crate::guest::select::UserChoice;
use crate::login::testing::{FILE, KEY, NOW, OTHER, configure, key, keyless_debian};

const SECOND: &str = "/home/admin/.ssh/authorized_keys2";
const LOCKED_OUT: &str = "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command=\"echo \
    'Please login as the user \\\"admin\\\" rather than the user \\\"root\\\".';echo;sleep 10;exit 142\"";

/// A Debian with the user admin, who has a home and no keys. The group has another number than the user, so that
/// one cannot pass for the other.
fn debian() -> MemoryTree {
    let mut tree = keyless_debian();
    let passwd = b"root:x:0:0::/root:/bin/bash\nadmin:x:1000:1001::/home/admin:/bin/bash\n";
    tree.file("/etc/passwd", 0, 0o644, passwd).file(
        "/etc/group",
        0,
        0o644,
        b"root:x:0:\nadmin:x:1001:\n",
    );
    tree
}

/// [`debian`] with a key file.
fn with_keys(content: &[u8]) -> MemoryTree {
    let mut tree = debian();
    tree.directory("/home/admin/.ssh", 1000, 0o700).file(FILE, 1000, 0o600, content);
    tree
}

fn request(users: &[&str]) -> KeyAddRequest {
    let names = users.iter().map(|name| name.as_bytes().to_vec()).collect();
    let users = if users.is_empty() { UserChoice::Default } else { UserChoice::Named(names) };
    KeyAddRequest::new(users, vec![key(&format!("{KEY} me@home"))], NOW)
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
