use super::*;
use crate::fs::Timestamp;
use crate::fs::memory::MemoryTree;
use crate::guest::linux::detect;

const FILE: &str = "/home/a/.ssh/authorized_keys";

/// A root with the users `a` (uid 1000) and `b`, and a key file of `a` that is as it should be.
fn tree(os: &str) -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.file(
        "/etc/passwd",
        0,
        0o644,
        b"root:x:0:0::/root:/bin/sh\na:x:1000:1000::/home/a:\nb:x:1001:1001::/home/b:\n",
    )
    .file("/etc/group", 0, 0o644, b"a:x:1000:\nb:x:1001:\nstaff:x:50:a\nother:x:51:b\n")
    .file("/etc/os-release", 0, 0o644, format!("ID={os}\n").as_bytes())
    .file("/bin/sh", 0, 0o755, b"")
    .directory("/home/a", 1000, 0o755)
    .directory("/home/a/.ssh", 1000, 0o700)
    .file(FILE, 1000, 0o600, b"");
    tree
}

/// The findings about `path` for user `a`: check, severity letter (`?` if undecided), path.
fn found(tree: &MemoryTree, path: &str, is_strict: bool) -> Vec<String> {
    found_for(tree, path, is_strict, b"a")
}

fn found_for(tree: &MemoryTree, path: &str, is_strict: bool, name: &[u8]) -> Vec<String> {
    let system = detect(tree).unwrap().unwrap();
    let guest = Guest::open(tree, &system, Timestamp::default()).unwrap();
    let user = system.accounts.find(name).unwrap();
    let found = examine(&guest, user, &GuestPath::new(path), is_strict).unwrap();
    let show = |problem: &Problem| {
        let finding = &problem.finding;
        let severity = match (finding.is_undecided, finding.is_blocking()) {
            (true, _) => "?",
            (false, true) => "!",
            (false, false) => "-",
        };
        format!("{}{severity} {}", finding.check, finding.subject)
    };
    let mut found: Vec<String> = found.iter().map(show).collect();
    found.sort();
    found
}

#[test]
fn owners_and_modes_on_the_way_login_51_to_56() {
    let (ssh, home) = ("/home/a/.ssh", "/home/a");
    for (os, path, uid, gid, mode, strict, lax) in [
        ("rhel", FILE, 1000, 1000, 0o600, "", ""),
        ("rhel", FILE, 1000, 1000, 0o644, "", ""),
        ("rhel", FILE, 1000, 1000, 0o400, "", ""),
        ("rhel", FILE, 1000, 1000, 0o7700, "", ""),
        ("rhel", FILE, 0, 0, 0o644, "", ""),
        ("rhel", FILE, 0, 0, 0o600, "readable!", "readable!"),
        ("rhel", FILE, 0, 1000, 0o640, "", ""),
        ("rhel", FILE, 0, 50, 0o640, "", ""),
        ("rhel", FILE, 0, 51, 0o640, "readable!", "readable!"),
        ("rhel", FILE, 1000, 1000, 0o660, "strict-mode!", ""),
        ("rhel", FILE, 1000, 1000, 0o602, "strict-mode!", ""),
        ("rhel", FILE, 1001, 1001, 0o644, "strict-owner!", ""),
        ("rhel", FILE, 1001, 1001, 0o600, "readable! strict-owner!", "readable!"),
        ("rhel", FILE, 1000, 1000, 0o000, "readable!", "readable!"),
        // The owner's bits count for the owner, whatever the others may.
        ("rhel", FILE, 1000, 1000, 0o044, "readable!", "readable!"),
        ("rhel", ssh, 1000, 1000, 0o755, "", ""),
        ("rhel", ssh, 0, 0, 0o755, "", ""),
        ("rhel", ssh, 0, 0, 0o700, "readable!", "readable!"),
        ("rhel", ssh, 1000, 1000, 0o600, "readable!", "readable!"),
        ("rhel", ssh, 1000, 1000, 0o100, "", ""),
        ("rhel", ssh, 1000, 1000, 0o770, "strict-mode!", ""),
        ("rhel", ssh, 1001, 1001, 0o755, "strict-owner!", ""),
        ("rhel", home, 1000, 1000, 0o775, "strict-mode!", ""),
        ("rhel", home, 1000, 1000, 0o757, "strict-mode!", ""),
        ("rhel", home, 1001, 1001, 0o755, "strict-owner!", ""),
        ("rhel", home, 0, 0, 0o711, "", ""),
        ("rhel", home, 1000, 1000, 0o2755, "", ""),
        ("rhel", home, 1000, 1000, 0o1755, "", ""),
        // What is above the home is not tested, only passed.
        ("rhel", "/home", 1001, 1001, 0o777, "", ""),
        ("rhel", "/home", 0, 0, 0o700, "readable!", "readable!"),
        ("rhel", "/", 0, 0, 0o777, "", ""),
        ("debian", home, 1000, 1000, 0o775, "strict-mode-", ""),
        ("debian", home, 1000, 1000, 0o777, "strict-mode!", ""),
        ("debian", home, 1000, 50, 0o775, "strict-mode-", ""),
        ("debian", home, 1000, 51, 0o775, "strict-mode!", ""),
        ("debian", home, 1000, 77, 0o775, "strict-mode!", ""),
        ("debian", home, 1000, 1001, 0o775, "strict-mode!", ""),
        ("debian", home, 0, 1000, 0o775, "strict-mode-", ""),
        ("debian", home, 0, 50, 0o775, "strict-mode!", ""),
        ("debian", ssh, 1000, 1000, 0o770, "strict-mode-", ""),
        ("debian", FILE, 1000, 1000, 0o660, "strict-mode-", ""),
        ("ubuntu", FILE, 1000, 1000, 0o660, "strict-mode-", ""),
        ("amzn", FILE, 1000, 1000, 0o660, "strict-mode!", ""),
    ] {
        let mut tree = tree(os);
        tree.change(path, |metadata| {
            (metadata.uid, metadata.gid, metadata.mode) = (uid, gid, mode);
        });
        for (is_strict, expected) in [(true, strict), (false, lax)] {
            let expected: Vec<String> =
                expected.split_whitespace().map(|check| format!("{check} {path}")).collect();
            assert_eq!(found(&tree, FILE, is_strict), expected, "{os} {path} {mode:o} {is_strict}");
        }
    }
}

#[test]
fn a_file_outside_the_home_is_tested_up_to_the_root_login_52() {
    let keys = "/etc/ssh/keys/a";
    for (change, mode, uid, expected) in [
        ("/etc", 0o755, 0, vec![]),
        ("/etc", 0o775, 0, vec!["strict-mode! /etc"]),
        ("/", 0o775, 0, vec!["strict-mode! /"]),
        ("/", 0o755, 1001, vec!["strict-owner! /"]),
        ("/etc/ssh/keys", 0o700, 0, vec!["readable! /etc/ssh/keys"]),
        ("/home/a", 0o777, 0, vec![]),
    ] {
        let mut tree = tree("rhel");
        tree.file(keys, 0, 0o644, b"");
        tree.change(change, |metadata| (metadata.mode, metadata.uid) = (mode, uid));
        assert_eq!(found(&tree, keys, true), expected, "{change}");
    }
}

#[test]
fn links_count_by_where_they_lead_and_through_what_login_49_login_51() {
    let link = |from: &str, to: &str| {
        let mut tree = tree("rhel");
        tree.link(from, to);
        tree
    };
    // The target lies outside: everything up to the root is tested, and ~/.ssh is only passed.
    let mut tree = link(FILE, "/srv/keys/a");
    tree.file("/srv/keys/a", 1000, 0o600, b"");
    assert_eq!(found(&tree, FILE, true), Vec::<String>::new());
    tree.change("/srv", |metadata| metadata.mode = 0o775);
    assert_eq!(found(&tree, FILE, true), ["strict-mode! /srv"]);
    tree.change("/home/a/.ssh", |metadata| metadata.mode = 0o777);
    assert_eq!(found(&tree, FILE, true), ["strict-mode! /srv"]);
    tree.change("/home/a/.ssh", |metadata| (metadata.uid, metadata.mode) = (0, 0o700));
    assert_eq!(found(&tree, FILE, true), ["readable! /home/a/.ssh", "strict-mode! /srv"]);
    // A link that leads back through a closed directory.
    let mut tree = link("/home/a/.ssh", "/closed/x/../../home/a/real");
    tree.directory("/closed/x", 0, 0o755).change("/closed", |metadata| metadata.mode = 0o700);
    tree.directory("/home/a/real", 1000, 0o700).file(
        "/home/a/real/authorized_keys",
        1000,
        0o600,
        b"",
    );
    assert_eq!(found(&tree, FILE, true), ["readable! /closed"]);
    // The home of passwd is a link: its real path is where the walk stops.
    let mut tree = link("/home/a", "/data/a");
    tree.directory("/data", 1001, 0o777).directory("/data/a", 1000, 0o755);
    tree.file("/data/a/.ssh/authorized_keys", 1000, 0o600, b"");
    assert_eq!(found(&tree, FILE, true), Vec::<String>::new());
    tree.change("/data/a", |metadata| metadata.mode = 0o770);
    assert_eq!(found(&tree, FILE, true), ["readable! /data/a/.ssh", "strict-mode! /data/a"][1..]);
}

#[test]
fn what_is_no_file_is_not_read_login_50() {
    for (kind, expected) in [
        (NodeKind::Fifo, vec!["readable! /home/a/.ssh/authorized_keys"]),
        (NodeKind::CharDevice, vec!["readable! /home/a/.ssh/authorized_keys"]),
    ] {
        let mut tree = tree("rhel");
        tree.special(FILE, kind).change(FILE, |metadata| metadata.uid = 1000);
        assert_eq!(found(&tree, FILE, true), expected);
    }
    let mut tree = tree("rhel");
    tree.directory("/home/a/.ssh/authorized_keys2", 1000, 0o700);
    assert_eq!(found(&tree, "/home/a/.ssh/authorized_keys2", false).len(), 1);
    // What does not exist is tested as far as it goes.
    assert_eq!(found(&tree, "/home/a/.ssh/x", true), Vec::<String>::new());
    tree.change("/home/a", |metadata| metadata.mode = 0o775);
    assert_eq!(found(&tree, "/home/a/.ssh/x", true), ["strict-mode! /home/a"]);
}

#[test]
fn a_home_that_cannot_be_resolved_leads_to_the_root_login_51() {
    let mut tree = tree("rhel");
    tree.link("/home/b", "b").file("/keys/b", 1001, 0o600, b"");
    tree.change("/", |metadata| metadata.mode = 0o775);
    assert_eq!(found_for(&tree, "/keys/b", true, b"b"), ["strict-mode! /"]);
    assert_eq!(found_for(&tree, "/keys/b", false, b"b"), Vec::<String>::new());
    // uid 0 reads everything.
    tree.file("/root/.ssh/authorized_keys", 1001, 0o000, b"");
    let path = "/root/.ssh/authorized_keys";
    assert_eq!(found_for(&tree, path, true, b"root"), ["strict-owner! /root/.ssh/authorized_keys"]);
    assert_eq!(found_for(&tree, path, false, b"root"), Vec::<String>::new());
}

/// owner rw-, user 1000 `user`, group r--, group 51 `group`, mask `mask`, others ---
fn list(user: u8, group: u8, mask: u8) -> Vec<u8> {
    let none = [255; 4];
    let mut list = vec![2, 0, 0, 0];
    for (tag, permissions, id) in [
        (1u8, 6, none),
        (2, user, [0xe8, 3, 0, 0]),
        (4, 4, none),
        (8, group, [51, 0, 0, 0]),
        (0x10, mask, none),
        (0x20, 0, none),
    ] {
        list.extend([tag, 0, permissions, 0]);
        list.extend(id);
    }
    list
}

#[test]
fn access_control_lists_decide_login_49_login_53() {
    let services = "passwd: files\ngroup: files vendor\n";
    for (access, mode, has_services, expected) in [
        (Some(list(4, 0, 7)), 0o670, false, vec!["strict-mode!"]),
        (Some(list(4, 0, 4)), 0o640, false, vec![]),
        (Some(list(4, 0, 5)), 0o650, false, vec![]),
        (Some(list(4, 0, 1)), 0o610, false, vec!["readable!"]),
        (Some(list(0, 4, 4)), 0o640, false, vec!["readable!"]),
        (Some(vec![1, 2, 3]), 0o644, false, vec!["readable!"]),
        // Group 51 is not the user's, but another service may say otherwise.
        (None, 0o640, false, vec!["readable!"]),
        (None, 0o640, true, vec!["readable?"]),
        (None, 0o600, true, vec!["readable!"]),
        (None, 0o604, false, vec![]),
        (None, 0o604, true, vec!["readable?"]),
        (None, 0o644, true, vec![]),
        (Some(list(4, 0, 4)), 0o640, true, vec![]),
    ] {
        let mut tree = tree("rhel");
        tree.change(FILE, |metadata| {
            (metadata.uid, metadata.gid, metadata.mode) = (0, 51, mode);
        });
        if let Some(access) = &access {
            tree.label(FILE, "system.posix_acl_access", access);
        }
        if has_services {
            tree.file("/etc/nsswitch.conf", 0, 0o644, services.as_bytes());
        }
        let expected: Vec<String> =
            expected.iter().map(|check| format!("{check} {FILE}")).collect();
        assert_eq!(found(&tree, FILE, true), expected, "{access:?} {mode:o} {has_services}");
    }
}
