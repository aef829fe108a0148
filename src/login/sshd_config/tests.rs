use super::reader::{INCLUDES_MAX, LINES_MAX};
use super::*;
use crate::fs::memory::MemoryTree;

#[test]
fn includes_come_in_order_and_loops_end_login_20() {
    let mut tree = MemoryTree::new();
    tree.file("/usr/sbin/sshd", 0, 0o755, b"OpenSSH_9.2p1");
    tree.file("/etc/ssh/sshd_config", 0, 0o644, b"Include sshd_config.d/*.conf\nPort 1\n")
        .file("/etc/ssh/sshd_config.d/2.conf", 0, 0o644, b"Port 3\n")
        .file("/etc/ssh/sshd_config.d/1.conf", 0, 0o644, b"Port 2\nMatch all\nPermitTTY no\n");
    let config = SshdConfig::read(&tree).unwrap();
    let seen: Vec<_> = config
        .directives
        .iter()
        .map(|d| (d.keyword.as_str(), d.arguments[0].clone(), d.block))
        .collect();
    assert_eq!(
        seen,
        [
            ("port", b"2".to_vec(), None),
            ("permittty", b"no".to_vec(), Some(0)),
            ("port", b"3".to_vec(), None),
            ("port", b"1".to_vec(), None),
        ]
    );
    tree.file("/etc/ssh/sshd_config", 0, 0o644, b"Include /etc/ssh/sshd_config\n");
    let config = SshdConfig::read(&tree).unwrap();
    assert_eq!(config.findings.len(), 1);
    assert_eq!(config.findings[0].rule, "LOGIN-15");
    let twice = b"Include /etc/ssh/sshd_config /etc/ssh/sshd_config\n";
    tree.file("/etc/ssh/sshd_config", 0, 0o644, twice);
    assert_eq!(SshdConfig::read(&tree).unwrap_err().kind_name(), "limit");
    // Neither many includes of nothing nor many Match lines take long.
    for (line, count) in [("Include /x*\n", INCLUDES_MAX), ("Match all\n", LINES_MAX)] {
        let text = line.repeat(count + 1);
        tree.file("/etc/ssh/sshd_config", 0, 0o644, text.as_bytes());
        assert_eq!(SshdConfig::read(&tree).unwrap_err().kind_name(), "limit", "{line}");
    }
}

#[test]
fn lines_that_stop_sshd_block_login_15_and_25() {
    for (text, rule) in [
        ("Port\n", "LOGIN-15"),
        ("Match User a\nUsePAM yes\n", "LOGIN-25"),
        ("StrictModes true\n", "LOGIN-15"),
        ("UsePAM perhaps\n", "LOGIN-15"),
        ("Match nonsense x\n", "LOGIN-15"),
        ("AllowUsers \"a\n", "LOGIN-15"),
    ] {
        let mut tree = MemoryTree::new();
        tree.file("/usr/sbin/sshd", 0, 0o755, b"OpenSSH_9.2p1");
        tree.file("/etc/ssh/sshd_config", 0, 0o644, text.as_bytes());
        let findings = SshdConfig::read(&tree).unwrap().findings;
        assert_eq!(findings.len(), 1, "{text}");
        assert!(findings[0].is_blocking() && findings[0].rule == rule, "{text}");
    }
}

#[test]
fn the_vendor_file_of_suse_is_found_login_10() {
    let mut tree = MemoryTree::new();
    assert_eq!(SshdConfig::read(&tree).unwrap().findings.len(), 1);
    tree.file("/usr/etc/ssh/sshd_config", 0, 0o644, b"Port 22\n");
    assert_eq!(SshdConfig::read(&tree).unwrap().directives.len(), 1);
}
