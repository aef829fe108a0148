//! The files behind an account: `passwd`, `group`, `shadow`, `nsswitch.conf`, PAM and its modules, `fstab`.
//!
//! Input: the files of [`FILES`] in their order, cut at NUL bytes. Invariant: no panic, an end, and no answer for a
//! user without a way to one: a volume on which everything is refused by `pam_deny` accepts nobody.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::fs::Timestamp;
use regain::fs::memory::MemoryTree;
use regain::guest::linux::detect;
use regain::login::{Finding, Guest, pam};

const FILES: [&str; 12] = [
    "/etc/pam.d/sshd",
    "/etc/pam.d/common-account",
    "/etc/security/access.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/nsswitch.conf",
    "/etc/list",
    "/etc/security/limits.conf",
    "/etc/login.defs",
    "/etc/fstab",
    "/etc/auto.master",
];

fuzz_target!(|bytes: &[u8]| {
    let mut tree = MemoryTree::new();
    tree.file("/bin/sh", 0, 0o755, b"").file("/etc/os-release", 0, 0o644, b"ID=debian\n");
    for (path, content) in FILES.iter().zip(bytes.split(|&byte| byte == 0)) {
        tree.file(path, 0, 0o644, content);
    }
    let Ok(Some(system)) = detect(&tree) else { return };
    let Ok(guest) = Guest::open(&tree, &system, Timestamp::default()) else { return };
    let answers = |guest: &Guest<'_>| -> Vec<Vec<Finding>> {
        let users = guest.system.accounts.users.iter().take(8);
        users.map(|user| pam::findings(guest, user, pam::SERVICE)).collect()
    };
    let _ = answers(&guest);
    let text = tree.content_at("/etc/pam.d/sshd").unwrap_or_default();
    let denied = [b"account requisite pam_deny.so\n", text].concat();
    let mut tree = tree.clone();
    tree.file("/etc/pam.d/sshd", 0, 0o644, &denied);
    let guest = Guest::open(&tree, &system, Timestamp::default()).expect("it was read before");
    for found in answers(&guest) {
        assert!(found.iter().any(|finding| finding.is_blocking() || finding.is_undecided));
    }
});
