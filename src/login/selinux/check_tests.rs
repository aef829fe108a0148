//! Verdicts that labels decide.

use crate::fs::memory::MemoryTree;
use crate::login::testing::{FILE, KEY, check, debian};
use crate::login::{Severity, Verdict};

const RULES: &[u8] = b"/.*\tsystem_u:object_r:default_t:s0\n\
    /\t-d\tsystem_u:object_r:root_t:s0\n\
    /etc/.*\tsystem_u:object_r:etc_t:s0\n\
    /etc/shadow\t--\tsystem_u:object_r:shadow_t:s0\n\
    /etc/ssh/(sshd_config|x)\t--\tsystem_u:object_r:sshd_config_t:s0\n\
    /home\t-d\tsystem_u:object_r:home_root_t:s0\n\
    /root(/.*)?\tsystem_u:object_r:admin_home_t:s0\n\
    /root/\\.ssh(/.*)?\tsystem_u:object_r:ssh_home_t:s0\n";
const HOMES: &[u8] = b"/home/[^/]+\t-d\tunconfined_u:object_r:user_home_dir_t:s0\n\
    /home/[^/]+/.+\tunconfined_u:object_r:user_home_t:s0\n\
    /home/[^/]+/\\.ssh(/.*)?\tunconfined_u:object_r:ssh_home_t:s0\n";
const FILES: &str = "/etc/selinux/targeted/contexts/files/file_contexts";

fn label(tree: &mut MemoryTree, path: &str, name: &str) {
    let value = format!("system_u:object_r:{name}:s0\0");
    tree.label(path, "security.selinux", value.as_bytes());
}

fn unlabel(tree: &mut MemoryTree, path: &str) {
    let node = tree.node_at(path).unwrap();
    crate::fs::FileEdit::set_xattr(tree, node, b"security.selinux", None).unwrap();
}

/// A guest as it should be, on which SELinux is in `mode` by its configuration.
fn guest(mode: &str) -> MemoryTree {
    let mut tree = debian(KEY);
    let config = format!("SELINUX={mode}\nSELINUXTYPE=targeted\n");
    tree.file("/etc/selinux/config", 0, 0o644, config.as_bytes())
        .file(FILES, 0, 0o644, RULES)
        .file(&format!("{FILES}.homedirs"), 0, 0o644, HOMES)
        .directory("/root/.ssh", 0, 0o700)
        .file("/root/.ssh/authorized_keys", 0, 0o600, KEY.as_bytes());
    for (path, name) in [
        ("/", "root_t"),
        ("/etc", "etc_t"),
        ("/etc/passwd", "passwd_file_t"),
        ("/etc/shadow", "shadow_t"),
        ("/etc/ssh", "etc_t"),
        ("/etc/ssh/sshd_config", "etc_t"),
        ("/etc/pam.d", "etc_t"),
        ("/etc/pam.d/sshd", "etc_t"),
        ("/home", "home_root_t"),
        ("/home/admin", "user_home_dir_t"),
        ("/home/admin/.ssh", "ssh_home_t"),
        (FILE, "ssh_home_t"),
        ("/root", "admin_home_t"),
        ("/root/.ssh", "ssh_home_t"),
        ("/root/.ssh/authorized_keys", "ssh_home_t"),
    ] {
        label(&mut tree, path, name);
    }
    tree
}

fn boot(tree: &mut MemoryTree, words: &str) {
    let script = format!("menuentry x {{\nlinux /boot/vmlinuz root=/dev/x {words}\n}}\n");
    tree.file("/boot/grub2/grub.cfg", 0, 0o644, script.as_bytes());
}

/// The verdict, and fixes of findings about labels.
fn asked(tree: &MemoryTree, user: &str) -> (Verdict, Vec<String>) {
    let check = check(tree, user);
    let about_labels = check.findings.iter().filter(|finding| finding.check == "selinux-file");
    let fixes = about_labels.filter_map(|finding| finding.fix.clone()).collect();
    (check.verdict, fixes)
}

#[test]
fn a_type_decides_where_it_stands_login_83_and_94() {
    let base = |user: &str| asked(&guest("disabled"), user).0;
    assert_eq!(base("admin"), Verdict::Accepted);
    let root = "/root/.ssh/authorized_keys";
    for (user, path, name, expected) in [
        ("admin", FILE, "ssh_home_t", Verdict::Accepted),
        ("admin", FILE, "user_home_t", Verdict::Accepted),
        ("admin", FILE, "etc_t", Verdict::Accepted),
        ("admin", FILE, "default_t", Verdict::Refused),
        ("admin", FILE, "unlabeled_t", Verdict::Refused),
        ("admin", FILE, "home_root_t", Verdict::Refused),
        ("admin", FILE, "admin_home_t", Verdict::Refused),
        ("admin", FILE, "httpd_sys_content_t", Verdict::Unknown),
        ("admin", FILE, "user_tmp_t", Verdict::Unknown),
        ("admin", FILE, "user_home_dir_t", Verdict::Unknown),
        ("admin", "/home/admin/.ssh", "default_t", Verdict::Refused),
        ("admin", "/home/admin/.ssh", "user_home_t", Verdict::Accepted),
        ("admin", "/home/admin/.ssh", "nfs_t", Verdict::Unknown),
        ("admin", "/home/admin", "home_root_t", Verdict::Refused),
        ("admin", "/home/admin", "user_home_t", Verdict::Accepted),
        ("admin", "/home/admin", "admin_home_t", Verdict::Refused),
        ("admin", "/home", "default_t", Verdict::Refused),
        ("admin", "/home", "var_t", Verdict::Accepted),
        ("admin", "/home", "unlabeled_t", Verdict::Unknown),
        ("admin", "/", "default_t", Verdict::Refused),
        ("admin", "/", "tmpfs_t", Verdict::Unknown),
        ("root", root, "admin_home_t", base("root")),
        ("root", "/root/.ssh", "admin_home_t", base("root")),
        ("root", root, "default_t", Verdict::Refused),
        ("root", root, "home_root_t", Verdict::Refused),
    ] {
        let mut tree = guest("enforcing");
        label(&mut tree, path, name);
        assert_eq!(asked(&tree, user).0, expected, "{user} {path} {name}");
        // Without enforcement it is only said.
        let mut tree = guest("permissive");
        label(&mut tree, path, name);
        assert_eq!(asked(&tree, user).0, base(user), "permissive {user} {path} {name}");
    }
}

#[test]
fn what_has_no_label_is_unlabeled_login_84() {
    for (path, expected) in [
        (FILE, Verdict::Refused),
        ("/home/admin/.ssh", Verdict::Refused),
        ("/home/admin", Verdict::Refused),
        ("/home", Verdict::Unknown),
        ("/", Verdict::Unknown),
        ("/etc/shadow", Verdict::Refused),
        ("/etc/ssh/sshd_config", Verdict::Refused),
    ] {
        let mut tree = guest("enforcing");
        unlabel(&mut tree, path);
        assert_eq!(asked(&tree, "admin").0, expected, "{path}");
        let mut tree = guest("permissive");
        unlabel(&mut tree, path);
        assert_eq!(asked(&tree, "admin").0, Verdict::Accepted, "permissive {path}");
    }
    // No label anywhere: the guest was never labelled, and is said to enforce.
    let mut tree = debian(KEY);
    tree.file("/etc/selinux/config", 0, 0o644, b"SELINUX=enforcing\n");
    assert_eq!(asked(&tree, "admin").0, Verdict::Unknown);
    boot(&mut tree, "selinux=0");
    assert_eq!(asked(&tree, "admin").0, Verdict::Accepted);
}

#[test]
fn files_of_every_login_need_their_labels_login_93() {
    for (path, name, expected) in [
        ("/etc/shadow", "shadow_t", Verdict::Accepted),
        ("/etc/shadow", "etc_t", Verdict::Accepted),
        ("/etc/shadow", "default_t", Verdict::Refused),
        ("/etc/shadow", "tmp_t", Verdict::Unknown),
        ("/etc/passwd", "admin_home_t", Verdict::Unknown),
        ("/etc/passwd", "unlabeled_t", Verdict::Refused),
        // What the rules of the guest give is right.
        ("/etc/ssh/sshd_config", "sshd_config_t", Verdict::Accepted),
        ("/etc/ssh/sshd_config", "user_tmp_t", Verdict::Unknown),
    ] {
        let mut tree = guest("enforcing");
        label(&mut tree, path, name);
        assert_eq!(asked(&tree, "admin").0, expected, "{path} {name}");
    }
}

#[test]
fn the_mode_decides_whether_labels_count_login_82() {
    for (mode, words, expected) in [
        ("enforcing", None, Verdict::Refused),
        ("enforcing", Some("quiet"), Verdict::Refused),
        ("enforcing", Some("enforcing=0"), Verdict::Accepted),
        ("enforcing", Some("selinux=0"), Verdict::Accepted),
        ("permissive", Some("quiet"), Verdict::Accepted),
        ("permissive", Some("enforcing=1"), Verdict::Refused),
        ("disabled", Some("enforcing=1"), Verdict::Accepted),
        ("", Some("quiet"), Verdict::Accepted),
    ] {
        let mut tree = guest(mode);
        label(&mut tree, FILE, "default_t");
        if let Some(words) = words {
            boot(&mut tree, words);
        }
        assert_eq!(asked(&tree, "admin").0, expected, "{mode} {words:?}");
        // What boots is on another volume, and the hint speaks against the configuration.
        let fstab = b"UUID=1 /boot xfs\n";
        tree.file("/etc/fstab", 0, 0o644, fstab);
        tree.file("/etc/kernel/cmdline", 0, 0o644, words.unwrap_or_default().as_bytes());
        let is_doubtful = expected != asked(&guest_of(mode), "admin").0 && mode != "disabled";
        let expected = if is_doubtful { Verdict::Unknown } else { expected };
        assert_eq!(asked(&tree, "admin").0, expected, "elsewhere: {mode} {words:?}");
    }
}

/// [`guest`] with a label that sshd may not read, and nothing about its boot.
fn guest_of(mode: &str) -> MemoryTree {
    let mut tree = guest(mode);
    label(&mut tree, FILE, "default_t");
    tree
}

#[test]
fn the_fix_names_the_label_of_the_rules_login_92() {
    let mut tree = guest_of("enforcing");
    let (_, fixes) = asked(&tree, "admin");
    assert_eq!(fixes, ["give it the label unconfined_u:object_r:ssh_home_t:s0"]);
    // A home that the rules do not know (LOGIN-91).
    tree.file("/etc/passwd", 0, 0o644, b"admin:x:1000:1000::/data/admin:/bin/bash\n")
        .directory("/data", 0, 0o755)
        .directory("/data/admin", 1000, 0o755)
        .directory("/data/admin/.ssh", 1000, 0o700)
        .file("/data/admin/.ssh/authorized_keys", 1000, 0o600, KEY.as_bytes());
    label(&mut tree, "/etc/passwd", "passwd_file_t");
    for (path, name) in [
        ("/data", "usr_t"),
        ("/data/admin", "default_t"),
        ("/data/admin/.ssh", "default_t"),
        ("/data/admin/.ssh/authorized_keys", "default_t"),
    ] {
        label(&mut tree, path, name);
    }
    let (verdict, fixes) = asked(&tree, "admin");
    assert_eq!(verdict, Verdict::Refused);
    let ssh = "give it the label system_u:object_r:ssh_home_t:s0";
    let rule =
        "a rule for it on the guest (semanage fcontext), since the present ones give it default_t";
    assert_eq!(fixes, [rule, ssh, ssh]);
    // Rules that are not understood are no ground for a label.
    let mut tree = guest("enforcing");
    tree.file(&format!("{FILES}.local"), 0, 0o644, b"/home/(?=a).* x\n");
    label(&mut tree, "/home/admin", "default_t");
    let (verdict, fixes) = asked(&tree, "admin");
    assert_eq!(verdict, Verdict::Refused);
    assert_eq!(
        fixes,
        [
            "restorecon on the guest; its label is not known here: the rule /home/(?=a).* is not understood"
        ]
    );
}

#[test]
fn a_relabelling_at_the_next_boot_decides_by_the_rules_login_92() {
    let service = "/usr/lib/systemd/system/selinux-autorelabel.service";
    let mut tree = guest_of("enforcing");
    unlabel(&mut tree, "/home/admin");
    tree.file("/.autorelabel", 0, 0o644, b"");
    assert_eq!(asked(&tree, "admin").0, Verdict::Refused, "nothing heeds it");
    tree.file(service, 0, 0o644, b"");
    assert_eq!(asked(&tree, "admin").0, Verdict::Accepted);
    // It may be one that an administrator chose.
    label(&mut tree, FILE, "httpd_sys_content_t");
    assert_eq!(asked(&tree, "admin").0, Verdict::Unknown);
    label(&mut tree, FILE, "default_t");
    let notes = check(&tree, "admin").findings;
    assert!(
        notes.iter().any(|note| note.subject == "/.autorelabel" && note.severity == Severity::Info)
    );
    // And against what is right now.
    let mut tree = guest("enforcing");
    tree.file(service, 0, 0o644, b"").file("/.autorelabel", 0, 0o644, b"").file(
        &format!("{FILES}.local"),
        0,
        0o644,
        b"/home/admin/.* u:o:default_t:s0\n",
    );
    assert_eq!(asked(&tree, "admin").0, Verdict::Refused);
    // A node that the rules leave alone keeps its label.
    tree.file(&format!("{FILES}.local"), 0, 0o644, b"/home/admin/.* <<none>>\n");
    assert_eq!(asked(&tree, "admin").0, Verdict::Accepted);
    unlabel(&mut tree, FILE);
    assert_eq!(asked(&tree, "admin").0, Verdict::Refused);
    label(&mut tree, FILE, "ssh_home_t");
    // Rules that cannot be read leave it open.
    tree.file(FILES, 0, 0o644, b"/broken\n");
    assert_eq!(asked(&tree, "admin").0, Verdict::Unknown);
}
