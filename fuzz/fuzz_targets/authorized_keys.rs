//! A key file with anything in it, and keys taken out of it.
//!
//! Invariant: no panic; the lines of the key go and every other byte stays, apart from the mark that Google's agent
//! puts above its keys; a second run changes nothing.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::action::key_revoke::{KeyChoice, KeyName, KeyRevokeRequest, plan};
use regain::action::{edit, key_list};
use regain::fs::Timestamp;
use regain::fs::memory::MemoryTree;
use regain::login::authorized_keys::key_lines;
use std::collections::BTreeSet;

const KEY_FILE: &str = "/home/admin/.ssh/authorized_keys";
/// Keys of one file that are taken out, one after the other.
const KEYS_MAX: usize = 4;

/// The lines that stay, found line by line.
fn expected(content: &[u8], blob: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        if !key_lines(line).any(|found| found.blob == blob) {
            kept.push(line);
        } else if kept.last().is_some_and(|above| above.trim_ascii() == b"# Added by Google") {
            kept.pop();
        }
    }
    kept.concat()
}

fuzz_target!(|bytes: &[u8]| {
    let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
    let mut tree = MemoryTree::new();
    tree.file("/etc/passwd", 0, 0o644, b"admin:x:1000:1000::/home/admin:/bin/sh\n")
        .file("/etc/os-release", 0, 0o644, b"ID=debian\n")
        .file("/etc/ssh/sshd_config", 0, 0o644, b"")
        .file("/bin/sh", 0, 0o755, b"")
        .directory("/home/admin", 1000, 0o755)
        .directory("/home/admin/.ssh", 1000, 0o700)
        .file(KEY_FILE, 1000, 0o600, bytes);
    let _ = key_list::list(&tree, None, now).expect("a list");
    let blobs: BTreeSet<Vec<u8>> = key_lines(bytes).map(|line| line.blob).take(KEYS_MAX).collect();
    for blob in blobs {
        let keys = KeyChoice::Named(vec![KeyName::Key(blob.clone())]);
        let request = KeyRevokeRequest { keys, users: None, force: true, now };
        let before = tree.content_at(KEY_FILE).unwrap_or_default().to_vec();
        let planned = plan(&tree, &request).expect("a plan");
        edit::run(&planned, &mut tree).expect("a plan fits the tree that it was made for");
        assert_eq!(tree.content_at(KEY_FILE).unwrap_or_default(), expected(&before, &blob));
        assert!(!plan(&tree, &request).expect("a plan").changes_something());
    }
});
