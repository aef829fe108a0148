//! How sshd is started and configured: unit, environment file, `sshd_config`, an included file, a list of
//! revoked keys; the release comes first.
//!
//! Invariant: no panic, an end; a key is judged for every kind of client.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::fs::Timestamp;
use regain::fs::memory::MemoryTree;
use regain::guest::linux::detect;
use regain::login::{Guest, key_input};

const KEY: &[u8] =
    b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICI0YpK0QOEL3u/Lm0FnhsNF7oqzdJuFFYTwVDdbLKVR new";

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|&byte| byte == 0xff);
    let mut next = || parts.next().unwrap_or_default();
    let (release, main, included, unit, environment) = (next(), next(), next(), next(), next());
    let program = [b"\0OpenSSH_".as_slice(), release, b"p1\0debianbanner\0"].concat();
    let mut tree = MemoryTree::new();
    let passwd = b"root:x:0:0::/root:/bin/sh\nadmin:x:1000:1000::/home/admin:/bin/sh\n";
    tree.file("/etc/passwd", 0, 0o644, passwd)
        .file("/etc/os-release", 0, 0o644, b"ID=debian\n")
        .file("/bin/sh", 0, 0o755, b"")
        .file("/usr/sbin/sshd", 0, 0o755, &program)
        .file("/etc/ssh/sshd_config", 0, 0o644, main)
        .file("/etc/ssh/x", 0, 0o644, included)
        .file("/etc/ssh/revoked", 0, 0o644, parts.next().unwrap_or_default())
        .file("/etc/default/ssh", 0, 0o644, environment)
        .file("/lib/systemd/system/ssh.service", 0, 0o644, unit)
        .file("/home/admin/.ssh/authorized_keys", 1000, 0o600, KEY);
    let Ok(Some(system)) = detect(&tree) else { return };
    let Ok(guest) = Guest::open(&tree, &system, Timestamp::default()) else { return };
    let key = key_input::parse("new.pub", KEY).expect("a key").keys.remove(0);
    for user in &system.accounts.users {
        let _ = guest.check_key(user, &key);
    }
});
