use crate::fs::memory::MemoryTree;
use crate::login::Verdict;
use crate::login::testing::{KEY, check, configure, debian};

type Change = fn(&mut MemoryTree);

fn verdict(change: impl Fn(&mut MemoryTree), user: &str) -> (Verdict, Vec<&'static str>) {
    let mut tree = debian(KEY);
    tree.file("/root/.ssh/authorized_keys", 0, 0o600, KEY.as_bytes());
    tree.change("/root/.ssh", |metadata| metadata.mode = 0o700);
    tree.file("/etc/group", 0, 0o644, b"root:x:0:\nadmin:x:1000:\nstaff:x:50:admin\nother:x:51:\n");
    change(&mut tree);
    let found = check(&tree, user);
    let decides = |finding: &&crate::login::Finding| finding.is_blocking() || finding.is_undecided;
    let ids = found.findings.iter().filter(decides).map(|finding| finding.check).collect();
    (found.verdict, ids)
}

const YES: Verdict = Verdict::Accepted;
const NO: Verdict = Verdict::Refused;
const OPEN: Verdict = Verdict::Unknown;

#[test]
fn lists_are_asked_in_their_order_login_60_to_62() {
    let vendor = "passwd: files\ngroup: files vendor\n";
    for (lines, services, expected) in [
        ("", "", YES),
        ("AllowUsers admin", "", YES),
        ("AllowUsers root", "", NO),
        ("AllowUsers root\nAllowUsers admin", "", YES),
        ("AllowUsers ad*", "", YES),
        ("AllowUsers a?min", "", YES),
        ("AllowUsers Admin", "", NO),
        ("AllowUsers admin,root", "", NO),
        ("AllowUsers root,admin root", "", NO),
        ("AllowUsers !admin", "", NO),
        ("AllowUsers 1000", "", NO),
        ("AllowUsers admin@10.0.0.0/8", "", OPEN),
        ("AllowUsers admin@*", "", YES),
        ("AllowUsers root@10.0.0.1", "", NO),
        ("AllowUsers admin@10.0.0.1 admin", "", YES),
        ("DenyUsers admin", "", NO),
        ("DenyUsers root", "", YES),
        ("DenyUsers *", "", NO),
        ("DenyUsers admin@10.0.0.1", "", OPEN),
        ("DenyUsers admin@10.0.0.1\nAllowUsers root", "", NO),
        ("DenyUsers admin\nAllowUsers admin", "", NO),
        ("AllowGroups staff", "", YES),
        ("AllowGroups admin", "", YES),
        ("AllowGroups other", "", NO),
        ("AllowGroups st*f", "", YES),
        ("AllowGroups other staff", "", YES),
        ("AllowGroups other", vendor, OPEN),
        ("AllowGroups staff", vendor, YES),
        ("DenyGroups staff", "", NO),
        ("DenyGroups other", "", YES),
        ("DenyGroups other", vendor, YES),
        ("DenyGroups nowhere", "", YES),
        ("DenyGroups nowhere", vendor, OPEN),
        ("DenyGroups staff\nAllowGroups staff", "", NO),
        ("AllowUsers admin\nAllowGroups other", "", NO),
        ("AllowUsers root\nAllowGroups other", vendor, NO),
        ("AllowUsers admin@10.0.0.1\nAllowGroups other", "", NO),
    ] {
        let change = |tree: &mut MemoryTree| {
            configure(tree, lines);
            tree.file("/etc/nsswitch.conf", 0, 0o644, services.as_bytes());
        };
        let (found, ids) = verdict(change, "admin");
        assert_eq!(found, expected, "{lines} {services:?}: {ids:?}");
        assert!(ids.iter().all(|id| *id == "conf-users"), "{lines}: {ids:?}");
    }
}

#[test]
fn a_user_in_no_known_group_is_refused_by_any_list_login_62() {
    for (lines, expected) in [("", YES), ("DenyGroups x", NO), ("AllowGroups *", NO)] {
        let change = |tree: &mut MemoryTree| {
            configure(tree, lines);
            tree.file("/etc/group", 0, 0o644, b"root:x:0:\n");
        };
        assert_eq!(verdict(change, "admin").0, expected, "{lines}");
    }
}

#[test]
fn accounts_and_shells_login_57_to_59() {
    let passwd = |line: &'static str| {
        move |tree: &mut MemoryTree| {
            let text = format!("root:x:0:0::/root:/bin/bash\n{line}\n");
            tree.file("/etc/passwd", 0, 0o644, text.as_bytes());
        }
    };
    for (line, expected, id) in [
        ("admin:x:1000:1000::/home/admin:/bin/bash", YES, None),
        ("admin:x:1000:1000::/home/admin:/bin/none", NO, Some("user-shell")),
        ("admin:x:1000:1000::/home/admin:/bin/bash:x", NO, Some("user-shell")),
        ("admin:x:1000:1000::/home/admin:/bin/bash\r", NO, Some("user-shell")),
        ("admin:x:1000:1000::/home/admin:", NO, Some("user-shell")),
        ("admin:x:1000:1000::/home/admin:/bin", NO, Some("user-shell")),
        ("admin:x:1000:1000::/home/admin:bin/bash", YES, None),
        ("admin:*:1000:1000::/home/admin:/bin/bash", YES, None),
        ("admin:x:1000:1000::home/admin:/bin/bash", NO, Some("home-missing")),
    ] {
        let (found, ids) = verdict(passwd(line), "admin");
        assert_eq!(found, expected, "{line}: {ids:?}");
        assert!(id.is_none_or(|id| ids.contains(&id)), "{line}: {ids:?}");
    }
    let cases: [(&str, Change, Verdict); 9] = [
        ("no x bit", |t| _ = t.change("/bin/bash", |m| m.mode = 0o644), NO),
        ("one x bit", |t| _ = t.change("/bin/bash", |m| m.mode = 0o001), YES),
        (
            "another root directory",
            |t| {
                configure(t, "ChrootDirectory /srv");
                t.change("/bin/bash", |m| m.mode = 0o644);
            },
            YES,
        ),
        (
            "no other root directory",
            |t| {
                configure(t, "ChrootDirectory none");
                t.change("/bin/bash", |m| m.mode = 0o644);
            },
            NO,
        ),
        (
            "hidden from compat",
            |t| {
                let text = b"-admin\nadmin:x:1000:1000::/home/admin:/bin/bash\n";
                t.file("/etc/passwd", 0, 0o644, text);
                t.file("/etc/nsswitch.conf", 0, 0o644, b"passwd: compat\n");
            },
            NO,
        ),
        (
            "not hidden from files",
            |t| {
                let text = b"-admin\nadmin:x:1000:1000::/home/admin:/bin/bash\n";
                t.file("/etc/passwd", 0, 0o644, text);
                t.file("/etc/nsswitch.conf", 0, 0o644, b"passwd: files\n");
            },
            YES,
        ),
        ("no files", |t| _ = t.file("/etc/nsswitch.conf", 0, 0o644, b"passwd: vendor\n"), OPEN),
        (
            "others first",
            |t| _ = t.file("/etc/nsswitch.conf", 0, 0o644, b"passwd: vendor files\n"),
            YES,
        ),
        (
            "nologin as shell",
            |t| {
                t.file("/bin/nologin", 0, 0o755, b"");
                let text = b"admin:x:1000:1000::/home/admin:/bin/nologin\n";
                t.file("/etc/passwd", 0, 0o644, text);
            },
            YES,
        ),
    ];
    for (name, change, expected) in cases {
        let (found, ids) = verdict(change, "admin");
        assert_eq!(found, expected, "{name}: {ids:?}");
    }
}

#[test]
fn without_pam_sshd_asks_shadow_itself_login_58() {
    for (shadow, with_pam, without) in [
        ("admin:*:1:0:99999:7:::", YES, YES),
        ("admin:!:1:0:99999:7:::", YES, NO),
        ("admin:!!:1:0:99999:7:::", YES, NO),
        ("admin:!*:1:0:99999:7:::", YES, NO),
        ("admin:!$6$x:1:0:99999:7:::", YES, NO),
        ("admin::1:0:99999:7:::", YES, YES),
        ("admin:*LK*:1:0:99999:7:::", YES, YES),
        ("admin:*:1:0:99999:7::19674:", NO, NO),
        ("admin:*:1:0:99999:7::19675:", NO, YES),
        ("admin:*:1:0:99999:7::19676:", YES, YES),
        ("admin:*:1:0:99999:7::0:", NO, NO),
        ("admin:*:1:0:30:7:5::", NO, YES),
        ("admin:*:0:0:30:7:5::", YES, YES),
        ("other:*:1::::::", NO, YES),
        ("admin:*:1:0:99999:7::-2:", OPEN, OPEN),
    ] {
        for (pam, expected) in [("UsePAM yes", with_pam), ("UsePAM no", without)] {
            let change = |tree: &mut MemoryTree| {
                tree.file("/etc/ssh/sshd_config", 0, 0o644, format!("{pam}\n").as_bytes());
                tree.file("/etc/shadow", 0, 0o640, format!("{shadow}\n").as_bytes());
            };
            let (found, ids) = verdict(change, "admin");
            assert_eq!(found, expected, "{shadow} {pam}: {ids:?}");
        }
    }
    for pam in ["UsePAM yes", "UsePAM no"] {
        for (user, expected) in [("admin", NO), ("root", YES)] {
            let change = |tree: &mut MemoryTree| {
                tree.file("/etc/ssh/sshd_config", 0, 0o644, format!("{pam}\n").as_bytes());
                tree.file("/etc/shadow", 0, 0o640, b"root:*:1::::::\nadmin:*:1::::::\n");
                tree.file("/etc/nologin", 0, 0o644, b"");
            };
            assert_eq!(verdict(change, user).0, expected, "{pam} {user}");
        }
    }
}

#[test]
fn another_service_of_pam_is_asked_where_it_is_named_login_66() {
    for (lines, expected) in
        [("", YES), ("PAMServiceName Other-SSH", NO), ("PAMServiceName sshd", YES)]
    {
        let change = |tree: &mut MemoryTree| {
            configure(tree, lines);
            // The keyword is known from 9.8.
            tree.file("/usr/lib/openssh/sshd-session", 0, 0o755, b"OpenSSH_9.8p1");
            tree.file("/etc/pam.d/other-ssh", 0, 0o644, b"account required pam_deny.so\n");
        };
        assert_eq!(verdict(change, "admin").0, expected, "{lines}");
    }
}
