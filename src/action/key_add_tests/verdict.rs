//! What sshd would say to the key: what blocks it, what only warns, and what `--fix` repairs.

use super::{FILE, KEY, OTHER, SECOND, add, blocked, configure, debian, key, request, with_keys};
use crate::action::FileChange;
use crate::action::key_add::{KeyAddRequest, plan};
use crate::fs::FileSystem as _;
use crate::fs::memory::MemoryTree;
use crate::login::Severity;

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
        ("pubkey", |t| configure(t, "PubkeyAuthentication no"), &[("conf-pubkey", "LOGIN-17")]),
        (
            "methods",
            |t| configure(t, "AuthenticationMethods publickey,password"),
            &[("conf-methods", "LOGIN-64")],
        ),
        ("deny", |t| configure(t, "DenyUsers ad*"), &[("conf-users", "LOGIN-60")]),
        ("allow", |t| configure(t, "AllowUsers alice,admin bob"), &[("conf-users", "LOGIN-60")]),
        ("revoked", |t| configure(t, "RevokedKeys /etc/ssh/gone"), &[("revoked", "LOGIN-28")]),
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
        (
            "shared",
            |t| configure(t, "AuthorizedKeysFile /etc/keys"),
            &[("conf-keyfile", "LOGIN-36")],
        ),
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

#[test]
fn a_required_size_of_rsa_keys_blocks_login_76() {
    let mut tree = with_keys(b"");
    let rsa = format!("ssh-rsa {}", rsa_2048());
    let with_rsa = KeyAddRequest { keys: vec![key(&rsa)], ..request(&["admin"]) };
    assert_eq!(blocked(&plan(&tree, &with_rsa).unwrap()), []);
    configure(&mut tree, "RequiredRSASize 3072");
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
    configure(&mut tree, "Match Address 10.0.0.0/8\nDenyUsers admin");
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
    configure(&mut tree, "AuthorizedKeysFile /etc/ssh/keys/%u");
    tree.file("/etc/ssh/keys/admin", 1000, 0o600, b"").change("/", |root| root.mode = 0o775);
    let found = blocked(&plan(&tree, &request(&["admin"])).unwrap());
    assert_eq!(found, [("strict-mode", "LOGIN-51")]);
    configure(&mut tree, "AuthorizedKeysFile /etc/ssh/keys/%u\nStrictModes no");
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
