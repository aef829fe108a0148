use super::*;
use crate::fs::memory::MemoryTree;

fn read(passwd: &[u8]) -> Result<Accounts> {
    let mut tree = MemoryTree::new();
    tree.file("/etc/passwd", 0, 0o644, passwd);
    Accounts::read(&tree)
}

#[test]
fn oddities_of_passwd_are_survived_vol_40() {
    let accounts = read(
        b"root:x:0:0::/root:/bin/bash\n+@nis::::::\n-bad\n\n# no\nadmin:x:1000:1000:Zo\xeb:/home//admin/:\n\
          admin:x:0:0::/:/bin/sh\ntoor:*:0:0::/root:/bin/sh\nbig:x:4294967294:1::/h:/bin/sh\n\
          rel:x:7:7::home/rel:/bin/sh\nshort:x:1\nnul\0:x:5:5::/:/bin/sh\nneg:x:-1:1::/:/bin/sh\n\
          last:!x:9:9::/last:/bin/sh",
    )
    .unwrap();
    let names: Vec<String> = accounts.users.iter().map(User::display_name).collect();
    assert_eq!(names, ["root", "admin", "toor", "big", "rel", "last"]);
    let admin = accounts.find(b"admin").unwrap();
    assert_eq!((admin.uid, admin.home.clone()), (1000, Some(GuestPath::new("/home/admin"))));
    assert_eq!(admin.effective_shell(), b"/bin/sh");
    assert_eq!(accounts.find(b"rel").unwrap().home, None);
    assert_eq!(accounts.find(b"last").unwrap().password, PasswordField::Locked);
    assert_eq!(accounts.warnings.len(), 4);
}

#[test]
fn a_carriage_return_stays_in_the_shell_where_sshd_sees_it() {
    let accounts = read(b"a:x:1:1::/a:/bin/sh\r\n").unwrap();
    assert_eq!(accounts.find(b"a").unwrap().shell, b"/bin/sh\r");
}

#[test]
fn a_giant_passwd_is_a_limit_and_not_read() {
    let mut tree = MemoryTree::new();
    tree.file("/etc/passwd", 0, 0o644, b"root:x:0:0::/root:/bin/sh\n");
    tree.change("/etc/passwd", |metadata| metadata.size_bytes = 100 << 20);
    assert_eq!(Accounts::read(&tree).unwrap_err().exit_status(), 5);
    let many = |rest: &str| {
        let lines: Vec<String> = (0..=ENTRIES_MAX).map(|n| format!("u{n}{rest}")).collect();
        lines.join("\n")
    };
    assert!(read(many(":::::::").as_bytes()).unwrap().users.is_empty());
    assert_eq!(read(many("::1:1:::").as_bytes()).unwrap_err().exit_status(), 5);
    let zeros = read(&vec![0; 1 << 20]).unwrap();
    assert!(zeros.users.is_empty() && zeros.warnings.len() == 1);
}

#[test]
fn of_several_groups_with_one_gid_the_first_counts() {
    let mut tree = MemoryTree::new();
    tree.file("/etc/passwd", 0, 0o644, b"a:x:500:7::/a:\nb:x:501:8::/b:\n").file(
        "/etc/group",
        0,
        0o644,
        b"one:x:7:\ntwo:x:7:a,zoe\nthree:x:9:b\nfour:x:9:a\nmine:x:8:b,b\nodd:x:8:zoe\n",
    );
    let accounts = Accounts::read(&tree).unwrap();
    let names = |user: &[u8]| -> Vec<String> {
        let groups = accounts.groups_of(accounts.find(user).unwrap());
        groups.map(|group| String::from_utf8_lossy(&group.name).into_owned()).collect()
    };
    assert_eq!(names(b"a"), ["one", "three"]);
    assert_eq!(names(b"b"), ["mine", "three"]);
}

#[test]
fn shadow_keeps_no_hash_and_group_and_limits_are_read() {
    let mut tree = MemoryTree::new();
    tree.file("/etc/passwd", 0, 0o644, b"a:x:500:7::/a:\nb:x:501:8::/b:\n")
        .file(
            "/etc/shadow",
            0,
            0o600,
            b"a:!$6$secret:19000:0:90:7:5:20000:\nb:*:::::::\nb:!:::::::\nz\n",
        )
        .file("/etc/group", 0, 0o644, b"g:x:7:\nwheel:x:10:a,b\r\nbad\n+\n")
        .file("/etc/login.defs", 0, 0o644, b"# UID_MIN 1\nUID_MIN\t500\nUID_MAX   600 # x\n");
    let accounts = Accounts::read(&tree).unwrap();
    let shadow = accounts.shadow.clone().unwrap();
    assert_eq!(shadow[b"a".as_slice()].password, PasswordField::Locked);
    assert_eq!(shadow[b"a".as_slice()].expire, Some(20000));
    assert_eq!(shadow[b"b".as_slice()].password, PasswordField::Other);
    assert!(!format!("{shadow:?}").contains("secret"));
    let user = accounts.find(b"a").unwrap();
    let groups: Vec<_> = accounts.groups_of(user).map(|group| group.name.as_slice()).collect();
    assert_eq!(groups, [b"g".as_slice(), b"wheel"]);
    assert_eq!((accounts.uid_min, accounts.uid_max), (500, 600));
}

/// What `sgetspent` of glibc 2.36 makes of lines; the numbers are last change, maximum, inactive, expire.
#[test]
fn shadow_lines_are_those_of_the_c_library_login_68() {
    let none = [None; 4];
    let some = Some([Some(1), Some(3), Some(5), Some(6)]);
    for (text, expected) in [
        ("a:x:1:2:3:4:5:6:7", some),
        ("a:x:1:2:3:4:5:6:", some),
        ("a:x:1:2:3:4:5:6", some),
        ("  a:x:1:2:3:4:5:6:", some),
        ("a:x:1:2:3", Some([Some(1), Some(3), None, None])),
        ("a:x:1:2:3:", Some([Some(1), Some(3), None, None])),
        ("a:x:1:2:3:  ", Some([Some(1), Some(3), None, None])),
        ("a:x:1:2:3:4", None),
        ("a:x:1:2:3:4:5", None),
        ("a:x:::::::", Some(none)),
        ("a:x::::::", None),
        ("a:x:1:2:", None),
        ("a:x: 1::::::", Some([Some(1), None, None, None])),
        ("a:x:1 ::::::", None),
        ("a:x:z::::::", None),
        ("a:x", None),
        ("a", None),
        ("", None),
        ("#a:x:::::::", None),
        ("+a:x:::::::", None),
        (":x:::::::", None),
        ("a:x:1:2:3:4:5:6:z", None),
        ("a:x:1:2:3:4:5:6:7:8", None),
        ("a:x:1:2:3:4:5:6:\r", None),
        ("a:x:1:2:3:4:5:6:\0z", some),
    ] {
        let mut tree = MemoryTree::new();
        tree.file("/etc/passwd", 0, 0o644, b"a:x:1:1::/a:\n");
        tree.file("/etc/shadow", 0, 0o600, format!("{text}\n").as_bytes());
        let shadow = Accounts::read(&tree).unwrap().shadow.unwrap();
        let found = shadow.get(b"a".as_slice());
        let found = found.map(|s| [s.last_change, s.max_age, s.inactive, s.expire]);
        assert_eq!(found, expected, "{text:?}");
    }
}

/// Newer C libraries drop such a line, older ones cut the number to 32 bits.
#[test]
fn numbers_that_the_c_libraries_disagree_on_are_marked() {
    for (text, is_odd, expire) in [
        ("a:x:1:0:9:7::-1:", true, None),
        ("a:x:1:0:9:7::-2:", true, Some(-2)),
        ("a:x:1:0:9:7::99999999999999999999999999999999999999999999:", true, None),
        ("a:x:1:0:9:7::2147483648:", true, None),
        ("a:x:1:0:9:7::2147483647:", false, Some(2_147_483_647)),
        ("a:x:1:-1:9:7::5:", true, Some(5)),
        ("a:x:1:0:9:7::+5:", false, Some(5)),
    ] {
        let (_, shadow) = line::shadow(text.as_bytes(), 1).unwrap();
        assert_eq!((shadow.is_odd, shadow.expire), (is_odd, expire), "{text}");
    }
}

/// What `fgetpwent` of glibc 2.36 makes of lines: uid, gid, home, shell.
#[test]
fn passwd_lines_are_those_of_the_c_library_vol_40() {
    for (text, expected) in [
        ("a:x:1:2::/h:/bin/sh", Some((1, 2, "/h", "/bin/sh"))),
        ("a:x:1:2", Some((1, 2, "", ""))),
        ("a:x:1:2:", Some((1, 2, "", ""))),
        ("a:x:1:", None),
        ("a:x:1:2::/h:/bin/sh:x", Some((1, 2, "/h", "/bin/sh:x"))),
        (" a:x:1:2::/h:/s", Some((1, 2, "/h", "/s"))),
        ("a:x: 7:2::/h:/s", Some((7, 2, "/h", "/s"))),
        ("a:x:7 :2::/h:/s", None),
        ("a:x:7x:2::/h:/s", None),
        ("a:x:0x7:2::/h:/s", None),
        ("a:x:010:2::/h:/s", Some((10, 2, "/h", "/s"))),
        ("a:x:-1:2::/h:/s", None),
        ("a:x:4294967296:2::/h:/s", None),
        ("a:x:4294967295:2::/h:/s", None),
        ("a:x:1:2::/h:/bin\0/x", Some((1, 2, "/h", "/bin"))),
        ("a:x:1:2::h:/s", Some((1, 2, "", "/s"))),
        ("+a:x:1:2::/h:/s", None),
        ("#a:x:1:2::/h:/s", None),
    ] {
        let accounts = read(format!("{text}\n").as_bytes()).unwrap();
        let found = accounts.users.first().map(|user| {
            let home = user.home.as_ref().map(ToString::to_string).unwrap_or_default();
            (user.uid, user.gid, home, String::from_utf8(user.shell.clone()).unwrap())
        });
        let expected = expected.map(|(uid, gid, home, shell): (_, _, &str, &str)| {
            (uid, gid, home.to_owned(), shell.to_owned())
        });
        assert_eq!(found, expected, "{text:?}");
    }
}

#[test]
fn private_groups_are_those_of_debians_sshd_login_54() {
    let passwd = "root:x:0:0::/root:\na:x:500:7::/a:\nb:x:501:8::/b:\nalias:x:500:9::/a:\n\
                  twin:x:500:7::/a:\n";
    let owner = 500;
    for (passwd_more, group, gid, owner, expected) in [
        ("", "g:x:7:\n", 7, owner, true),
        ("", "g:x:7:a\n", 7, owner, true),
        ("", "g:x:7:a,a\n", 7, owner, false),
        ("", "g:x:7:b\n", 7, owner, false),
        ("", "g:x:7:stranger\n", 7, owner, false),
        ("", "g:x:7:a,b\n", 7, owner, false),
        // The list must name the owner of the node, not the user.
        ("", "g:x:7:a\n", 7, 0, false),
        ("", "g:x:7:root\n", 7, 0, true),
        ("", "g:x:7:\n", 7, 0, true),
        // The first name of the uid counts.
        ("", "g:x:7:alias\n", 7, owner, false),
        ("c:x:502:7::/c:\n", "g:x:7:\n", 7, owner, false),
        ("c:x:500:7::/c:\n", "g:x:7:\n", 7, owner, true),
        // A repeated name is a line all the same.
        ("a:x:502:7::/c:\n", "g:x:7:\n", 7, owner, false),
        ("", "", 7, owner, false),
        ("", "g:x:8:\n", 8, owner, false),
        ("", "g:x:10:\n", 10, owner, false),
        ("", "g:x:10:a\n", 10, owner, true),
        ("", "g:x:10:\nh:x:10:a\n", 10, owner, false),
        // Nobody has the uid of the owner.
        ("", "g:x:7:\n", 7, 999, false),
    ] {
        let mut tree = MemoryTree::new();
        tree.file("/etc/passwd", 0, 0o644, format!("{passwd}{passwd_more}").as_bytes());
        tree.file("/etc/group", 0, 0o644, group.as_bytes());
        let accounts = Accounts::read(&tree).unwrap();
        let user = accounts.find(b"a").unwrap();
        let found = accounts.is_private_group(gid, owner, user);
        assert_eq!(found, expected, "{passwd_more:?} {group:?} {gid} {owner}");
    }
}

#[test]
fn other_sources_of_users_are_known_vol_40() {
    let mut tree = MemoryTree::new();
    tree.file(
        "/etc/passwd",
        0,
        0o644,
        b"-b::::::\na:x:1:1::/a:\nb:x:2:2::/b:\n-a::::::\n+::::::\n",
    )
    .file("/usr/lib/passwd", 0, 0o644, b"a:x:9:9::/z:\nsys:x:3:3::/sys:\n")
    .file("/usr/lib/group", 0, 0o644, b"sysgroup:x:3:a\n");
    let accounts = Accounts::read(&tree).unwrap();
    assert!(accounts.find(b"sys").is_none() && accounts.services.other_users().is_empty());
    assert_eq!(accounts.excluding_line(accounts.find(b"b").unwrap()), None);
    tree.file("/etc/nsswitch.conf", 0, 0o644, b"passwd: compat altfiles\n");
    let accounts = Accounts::read(&tree).unwrap();
    let user = |name: &[u8]| accounts.find(name).unwrap();
    assert_eq!(accounts.excluding_line(user(b"b")), Some(1));
    assert_eq!(accounts.excluding_line(user(b"a")), None);
    assert_eq!(accounts.services.other_users(), ["compat"]);
    assert_eq!((user(b"a").uid, user(b"sys").uid, user(b"sys").line), (1, 3, 0));
    assert!(accounts.is_in_group(user(b"a"), b"sysgroup"));
    assert!(accounts.has_group(b"sysgroup") && !accounts.has_group(b"a"));
}
