//! Homes on another volume that is at hand: the rules see what sshd will see.

use crate::fs::memory::MemoryTree;
use crate::fs::mounted::{Mounted, Shared};
use crate::fs::path::GuestPath;
use crate::guest::linux::fstab::VolumeNames;
use crate::guest::linux::fstab::mounting::{Candidate, mount_all};
use crate::login::testing::{KEY, check, debian};
use crate::login::{KeyCheck, Verdict};

const SELINUX: &str = "security.selinux";

fn candidate(label: &str, tree: &MemoryTree) -> Candidate {
    let names = VolumeNames { label: label.as_bytes().to_vec(), ..VolumeNames::default() };
    let name = format!("volume {label}");
    Candidate { names, name, content: Ok(Shared::new(Box::new(tree.clone()))) }
}

/// A root without homes, and a volume with that of admin.
fn trees(fstab: &str) -> (MemoryTree, MemoryTree) {
    let mut root = debian("");
    root.file("/etc/fstab", 0, 0o644, fstab.as_bytes());
    let mut home = MemoryTree::new();
    home.directory("/admin", 1000, 0o755).directory("/admin/.ssh", 1000, 0o700).file(
        "/admin/.ssh/authorized_keys",
        1000,
        0o600,
        KEY.as_bytes(),
    );
    (root, home)
}

fn verdict(root: &MemoryTree, home: &MemoryTree) -> KeyCheck {
    let volumes = [candidate("root", root), candidate("home", home)];
    let tree: Mounted = mount_all(0, GuestPath::root(), &volumes).unwrap();
    check(&tree, "admin")
}

/// The checks that decide.
fn deciding(found: &KeyCheck) -> Vec<&'static str> {
    let decides = |finding: &&crate::login::Finding| finding.is_blocking() || finding.is_undecided;
    let mut checks: Vec<_> =
        found.findings.iter().filter(decides).map(|finding| finding.check).collect();
    checks.dedup();
    checks
}

#[test]
fn a_mounted_home_is_read_login_95() {
    for (options, expected) in [
        ("defaults", Verdict::Accepted),
        ("ro,nosuid,noexec,nodev", Verdict::Accepted),
        ("nofail", Verdict::Accepted),
        ("noauto,x-systemd.automount", Verdict::Accepted),
        // Then sshd reads what is below the mount point: an empty file.
        ("noauto", Verdict::Refused),
    ] {
        let (root, home) = trees(&format!("LABEL=home /home ext4 {options}\n"));
        let found = verdict(&root, &home);
        assert_eq!(found.verdict, expected, "{options}: {:?}", found.findings);
    }
}

#[test]
fn the_way_leads_over_the_mounted_root_directory_login_51() {
    let (mut root, mut home) = trees("LABEL=home /home ext4\n");
    // The directory that is mounted on does not count.
    root.directory("/home", 1000, 0o777);
    let found = verdict(&root, &home);
    assert_eq!(found.verdict, Verdict::Accepted, "{:?}", found.findings);
    // StrictModes stops at the home, but its user must get there.
    home.change("/", |metadata| metadata.mode = 0o700);
    let found = verdict(&root, &home);
    assert_eq!((found.verdict, deciding(&found)), (Verdict::Refused, vec!["readable"]));
    // A volume that is itself the home.
    let (root, _) = trees("LABEL=home /home/admin ext4\n");
    let mut home = MemoryTree::new();
    home.directory("/", 1000, 0o777).directory("/.ssh", 1000, 0o700);
    home.file("/.ssh/authorized_keys", 1000, 0o600, KEY.as_bytes());
    assert_eq!(deciding(&verdict(&root, &home)), ["strict-mode"]);
    home.change("/", |metadata| (metadata.uid, metadata.mode) = (0, 0o755));
    assert_eq!(deciding(&verdict(&root, &home)), Vec::<&str>::new());
}

#[test]
fn what_is_not_at_hand_says_what_to_give_login_95() {
    for (source, reason, remedy) in [
        (
            "LABEL=gone",
            "LABEL=gone is on none of the given disks",
            "give its disk too, with --device",
        ),
        ("/dev/sdb1", "does not tell which volume it is", "name the volume by its UUID"),
    ] {
        let (root, home) = trees(&format!("{source} /home ext4\n"));
        let found = verdict(&root, &home);
        assert_eq!((found.verdict, deciding(&found)), (Verdict::Unknown, vec!["home-mount"]));
        let finding = found.findings.iter().find(|finding| finding.check == "home-mount").unwrap();
        assert!(finding.message.contains(reason), "{}", finding.message);
        let fix = finding.fix.clone().unwrap_or_default();
        assert!(fix.contains(remedy), "{fix}");
    }
    // A network is not asked.
    let (root, home) = trees("nas:/home /home nfs\n");
    assert_eq!(deciding(&verdict(&root, &home)), ["home-mount"]);
}

#[test]
fn labels_are_those_of_the_volume_or_of_the_mount_login_83() {
    let labelled = |tree: &mut MemoryTree, path: &str, name: &str| {
        tree.label(path, SELINUX, format!("system_u:object_r:{name}:s0\0").as_bytes());
    };
    for (options, file_label, expected) in [
        ("defaults", Some("ssh_home_t"), vec![]),
        ("defaults", Some("default_t"), vec!["selinux-file"]),
        ("defaults", None, vec!["selinux-file"]),
        ("context=\"system_u:object_r:user_home_t:s0\"", None, vec![]),
        ("context=system_u:object_r:user_home_t:s0", Some("default_t"), vec![]),
    ] {
        let (mut root, mut home) = trees(&format!("LABEL=home /home ext4 {options}\n"));
        root.file("/etc/selinux/config", 0, 0o644, b"SELINUX=enforcing\nSELINUXTYPE=targeted\n");
        let etc = ["/", "/etc", "/etc/passwd", "/etc/shadow", "/etc/ssh/sshd_config"];
        for path in etc {
            labelled(&mut root, path, "etc_t");
        }
        labelled(&mut root, "/etc/pam.d/sshd", "etc_t");
        labelled(&mut home, "/", "home_root_t");
        labelled(&mut home, "/admin", "user_home_dir_t");
        labelled(&mut home, "/admin/.ssh", "ssh_home_t");
        if let Some(label) = file_label {
            labelled(&mut home, "/admin/.ssh/authorized_keys", label);
        }
        let found = verdict(&root, &home);
        assert_eq!(deciding(&found), expected, "{options} {file_label:?}: {:?}", found.findings);
    }
}
