use crate::fs::memory::MemoryTree;
use crate::login::Verdict;
use crate::login::testing::{KEY, check, debian};

type Change = fn(&mut MemoryTree);

const YES: Verdict = Verdict::Accepted;
const NO: Verdict = Verdict::Refused;
const OPEN: Verdict = Verdict::Unknown;

fn fstab(tree: &mut MemoryTree, text: &str) {
    tree.file("/etc/fstab", 0, 0o644, format!("{text}\n").as_bytes());
}

#[test]
fn what_hides_a_home_login_95_login_t4() {
    let cases: [(&str, Change, Verdict, &str); 19] = [
        ("nothing", |_| {}, YES, ""),
        ("root", |t| fstab(t, "UUID=3b28b8a8-9a3c-4c5e-8f2e-111111111111 / ext4"), YES, ""),
        ("other volume", |t| fstab(t, "/dev/sdb1 /home ext4"), OPEN, "home-mount"),
        ("nfs", |t| fstab(t, "nas:/h /home nfs"), OPEN, "home-mount"),
        ("tmpfs", |t| fstab(t, "tmpfs /home/admin tmpfs"), NO, "home-mount"),
        ("elsewhere", |t| fstab(t, "/dev/sdb1 /srv ext4"), YES, ""),
        ("by hand", |t| fstab(t, "/dev/sdb1 /home ext4 noauto"), YES, ""),
        ("if present", |t| fstab(t, "/dev/sdb1 /home ext4 nofail"), OPEN, "home-mount"),
        ("bind", |t| fstab(t, "/data/home /home none bind"), OPEN, "home-mount"),
        ("bind to itself", |t| fstab(t, "/home /home none bind,nodev"), YES, ""),
        (
            "bind of another volume",
            |t| fstab(t, "/dev/sdb1 /data ext4\n/data/home /home none bind"),
            OPEN,
            "home-mount",
        ),
        ("the same volume", |t| fstab(t, "LABEL=root /home ext4"), OPEN, "home-mount"),
        ("ecryptfs", |t| _ = t.directory("/home/.ecryptfs/admin", 1000, 0o700), NO, "home-crypt"),
        (
            "ecryptfs of old",
            |t| _ = t.directory("/home/admin/.ecryptfs", 1000, 0o700),
            NO,
            "home-crypt",
        ),
        (
            "ecryptfs of the home",
            |t| _ = t.file("/home/admin/.ecryptfs/Private.mnt", 1000, 0o600, b"/home/admin\n"),
            NO,
            "home-crypt",
        ),
        (
            "ecryptfs of a directory",
            |t| {
                let target = b"/home/admin/Private\n";
                t.file("/home/admin/.ecryptfs/Private.mnt", 1000, 0o600, target);
            },
            YES,
            "",
        ),
        ("ecryptfs of another", |t| _ = t.directory("/home/.ecryptfs/other", 1000, 0o700), YES, ""),
        (
            "fscrypt",
            |t| _ = t.change("/home/admin", |m| m.flags.is_encrypted = true),
            NO,
            "home-crypt",
        ),
        (
            "homed",
            |t| _ = t.file("/var/lib/systemd/home/admin.identity", 0, 0o600, b"{}"),
            OPEN,
            "home-crypt",
        ),
    ];
    for (name, change, expected, check_id) in cases {
        let mut tree = debian(KEY);
        change(&mut tree);
        let found = check(&tree, "admin");
        assert_eq!(found.verdict, expected, "{name}: {:?}", found.findings);
        let decides =
            |finding: &&crate::login::Finding| finding.is_blocking() || finding.is_undecided;
        let ids: Vec<&str> =
            found.findings.iter().filter(decides).map(|finding| finding.check).collect();
        assert!(ids.iter().all(|id| *id == check_id), "{name}: {ids:?}");
    }
}
