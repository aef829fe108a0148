use super::*;
use crate::fs::memory::MemoryTree;

const RULES: &[u8] = b"/.*\tsystem_u:object_r:default_t:s0\n\
    /home\t-d\tsystem_u:object_r:home_root_t:s0\n\
    /etc/ssh/keys(/.*)?\tsystem_u:object_r:etc_t:s0\n\
    /root/\\.ssh(/.*)?\tsystem_u:object_r:ssh_home_t:s0\n\
    /mnt(/[^/]*)?\t-d\t<<none>>\n\
    # comment\n\
    /zz|/root/either\tsystem_u:object_r:either_t:s0\n\
    /root/literal\t--\tsystem_u:object_r:lit_t:s0\n\
    /root/(literal|x)\tsystem_u:object_r:late_t:s0\n";
const HOMES: &[u8] = b"/home/[^/]+\t-d\tunconfined_u:object_r:user_home_dir_t:s0\n\
    /home/[^/]+/.+\tunconfined_u:object_r:user_home_t:s0\n\
    /home/[^/]+/\\.ssh(/.*)?\tunconfined_u:object_r:ssh_home_t:s0\n";

fn fedora() -> MemoryTree {
    let mut tree = MemoryTree::new();
    let files = "/etc/selinux/targeted/contexts/files/file_contexts";
    tree.file("/etc/selinux/config", 0, 0o644, b"# c\nSELINUX=enforcing\nSELINUXTYPE=targeted\n")
        .file("/etc/passwd", 0, 0o644, b"")
        .label("/etc/passwd", "security.selinux", b"system_u:object_r:passwd_file_t:s0\0")
        .file(files, 0, 0o644, RULES)
        .file(&format!("{files}.homedirs"), 0, 0o644, HOMES)
        .file(&format!("{files}.subs_dist"), 0, 0o644, b"/var/home /home\n/var/roothome /root\n");
    tree
}

#[test]
fn rules_decide_as_in_libselinux_login_87_to_90() {
    let tree = fedora();
    let labels = Labels::read(&tree).unwrap();
    assert_eq!(labels.mode, Mode::Enforcing);
    for (path, kind, expected) in [
        ("/home/a/.ssh", NodeKind::Directory, Some("unconfined_u:object_r:ssh_home_t:s0\0")),
        (
            "/home/a/.ssh/authorized_keys",
            NodeKind::File,
            Some("unconfined_u:object_r:ssh_home_t:s0\0"),
        ),
        ("/home/a", NodeKind::Directory, Some("unconfined_u:object_r:user_home_dir_t:s0\0")),
        ("/home/a/xssh", NodeKind::File, Some("unconfined_u:object_r:user_home_t:s0\0")),
        ("/var/home/a/.ssh", NodeKind::Directory, Some("unconfined_u:object_r:ssh_home_t:s0\0")),
        ("/root/.ssh", NodeKind::Directory, Some("system_u:object_r:ssh_home_t:s0\0")),
        ("/root/literal", NodeKind::File, Some("system_u:object_r:lit_t:s0\0")),
        ("/root/literal", NodeKind::Directory, Some("system_u:object_r:late_t:s0\0")),
        ("/root/either", NodeKind::File, Some("system_u:object_r:either_t:s0\0")),
        ("/mnt/x", NodeKind::Directory, None),
        ("/etc/ssh/keys/a", NodeKind::File, Some("system_u:object_r:etc_t:s0\0")),
        // sshd may not read what the rules give here.
        ("/srv/x", NodeKind::File, None),
    ] {
        let xattrs = labels.for_new(&tree, &GuestPath::new(path), kind, None).unwrap();
        let value = xattrs.first().map(|xattr| xattr.value.as_slice());
        assert_eq!(value, expected.map(str::as_bytes), "{path}");
    }
}

#[test]
fn only_a_labelled_volume_gets_labels_login_84() {
    let path = GuestPath::new("/home/a/.ssh");
    let new = |tree: &MemoryTree| {
        let labels = Labels::read(tree).unwrap();
        labels.for_new(tree, &path, NodeKind::Directory, Some(tree.root())).unwrap().len()
    };
    let mut tree = fedora();
    assert_eq!(new(&tree), 1);
    tree.file("/etc/selinux/config", 0, 0o644, b"SELINUX=permissive\n");
    assert_eq!(new(&tree), 1);
    tree.file("/etc/selinux/config", 0, 0o644, b"SELINUX=disabled\n");
    assert_eq!(new(&tree), 0);
    let mut tree = fedora();
    tree.file("/etc/passwd", 0, 0o644, b"");
    assert_eq!(new(&tree), 0);
    assert_eq!(new(&MemoryTree::new()), 0);
}

#[test]
fn rules_that_libselinux_may_not_take_are_not_guessed_login_89() {
    let files = "/etc/selinux/targeted/contexts/files/file_contexts";
    let many = "/home/.*x{9}\tx\n".repeat(600);
    for (name, rules) in [
        ("a rule alone", "/a\n"),
        ("an unknown type", "/a -x c\n"),
        ("a rule that is not ASCII", "/\u{e9} c\n"),
        ("look-ahead", "/home/(?=a).* c\n"),
        ("a broken expression", "/((( c\n"),
        ("possessive", "/home/a++ c\n"),
        ("too many", many.as_str()),
        ("two labels for one path", "/home/a c\n/home/a -- d\n"),
        ("different from version to version", "/home/. <<none>>\n/home.* c\n"),
    ] {
        let mut tree = fedora();
        tree.file(files, 0, 0o644, rules.as_bytes());
        tree.file(&format!("{files}.homedirs"), 0, 0o644, b"");
        let labels = Labels::read(&tree).unwrap();
        let found = labels.look_up(&tree, &GuestPath::new("/home/a"), NodeKind::File).unwrap();
        assert!(matches!(found, Lookup::Unknown(_)), "{name}: {found:?}");
    }
    // Unless it cannot matter: another directory, or a rule after it fits.
    for rules in ["/etc/(?=a).* c\n/home/a ok\n", "/home/(?=a).* c\n/home/[a] ok\n"] {
        let mut tree = fedora();
        tree.file(files, 0, 0o644, rules.as_bytes());
        tree.file(&format!("{files}.homedirs"), 0, 0o644, b"");
        let labels = Labels::read(&tree).unwrap();
        let found = labels.look_up(&tree, &GuestPath::new("/home/a"), NodeKind::File).unwrap();
        assert_eq!(found, Lookup::Label(b"ok".to_vec()), "{rules}");
    }
}

#[test]
fn without_a_rule_a_neighbour_lends_its_label_login_92() {
    let mut tree = fedora();
    let files = "/etc/selinux/targeted/contexts/files/file_contexts";
    tree.file(files, 0, 0o644, b"").directory("/data/a", 7, 0o755);
    tree.label("/data/a", "security.selinux", b"staff_u:object_r:user_home_dir_t:s0:c1\0");
    let labels = Labels::read(&tree).unwrap();
    let path = GuestPath::new("/data/a/.ssh");
    let near = tree.node_at("/data/a");
    let found = labels.for_new(&tree, &path, NodeKind::Directory, near).unwrap();
    assert_eq!(found[0].value, b"staff_u:object_r:ssh_home_t:s0:c1\0");
}
