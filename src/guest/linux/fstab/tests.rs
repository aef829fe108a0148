use super::*;
use crate::fs::memory::MemoryTree;

#[test]
fn the_longest_mount_decides_login_95() {
    let mut tree = MemoryTree::new();
    let fstab = b"# c\nUUID=3B28B8A8-9a3c-4c5e-8f2e-111111111111 / ext4 defaults 0 1\n\
        LABEL=home /home xfs defaults 0 2\n/dev/sdb1 /home/my\\040data ext4\nnone swap swap\n\
        nas:/x /net nfs\nLABEL=\"root\" /same ext4\n";
    tree.file("/etc/fstab", 0, 0o644, fstab);
    let mounts = read(&tree).unwrap();
    let identity = tree.identity();
    for (path, target, same) in [
        ("/root/.ssh", "/", SameVolume::Yes),
        ("/homes/x", "/", SameVolume::Yes),
        ("/home/admin", "/home", SameVolume::No),
        ("/home", "/home", SameVolume::No),
        ("/home/my data/x", "/home/my data", SameVolume::Unknown),
        ("/net/x", "/net", SameVolume::No),
        ("/same/x", "/same", SameVolume::Yes),
    ] {
        let mount = mount_of(&mounts, &GuestPath::new(path)).unwrap();
        assert_eq!(mount.target, GuestPath::new(target), "{path}");
        assert_eq!(mount.is_volume(&identity), same, "{path}");
    }
    assert_eq!(mount_of(&mounts, &GuestPath::new("/net/x")).unwrap().place, "/etc/fstab:6");
}

/// Files, a path, and what is mounted over it: target and start.
#[test]
fn mounts_come_from_many_places_login_95_login_t4() {
    const UNIT: &str = "[Mount]\nWhat=/dev/sdb1\nWhere = /home\nType=ext4\n";
    let unit = ("/etc/systemd/system/home.mount", UNIT);
    let wants = ("/etc/systemd/system/multi-user.target.wants/home.mount", "");
    let automount = ("/etc/systemd/system/multi-user.target.wants/home.automount", "");
    let autofs = ("/etc/systemd/system/multi-user.target.wants/autofs.service", "");
    let master = |text: &'static str| ("/etc/auto.master", text);
    let home = |text: &'static str| ("/etc/auto.home", text);
    let fstab = |text: &'static str| ("/etc/fstab", text);
    for (files, expected) in [
        (vec![], None),
        (vec![unit, wants], Some(("/home", Start::Boot))),
        (vec![unit, automount], Some(("/home", Start::Boot))),
        (vec![unit], Some(("/home", Start::ByHand))),
        (
            vec![
                ("/usr/lib/systemd/system/home.mount", UNIT),
                ("/usr/lib/systemd/system/local-fs.target.wants/home.mount", ""),
            ],
            Some(("/home", Start::Boot)),
        ),
        (vec![("/etc/systemd/system/tmp.mount", "Where=/tmp\nWhat=tmpfs\n")], None),
        (vec![fstab("x:/h /home nfs noauto\n")], Some(("/home", Start::ByHand))),
        (vec![fstab("x:/h /home nfs noauto,x-systemd.automount\n")], Some(("/home", Start::Boot))),
        (
            vec![fstab("/dev/sdb1 /home ext4 defaults,nofail 0 2\n")],
            Some(("/home", Start::IfPresent)),
        ),
        (
            vec![fstab("/dev/sdb1 /home/admin ext4\n/dev/sdc1 /home ext4 noauto\n")],
            Some(("/home/admin", Start::Boot)),
        ),
        (
            vec![fstab("/dev/sdb1 /home ext4\n/dev/sdc1 /home ext4 noauto\n")],
            Some(("/home", Start::ByHand)),
        ),
        (
            vec![autofs, master("/home auto.home\n"), home("admin nas:/x\n")],
            Some(("/home/admin", Start::Boot)),
        ),
        (vec![autofs, master("/home /etc/auto.home --timeout=60\n"), home("other nas:/x\n")], None),
        (
            vec![autofs, master("/home auto.home\n"), home("* -rw nas:/x/&\n")],
            Some(("/home", Start::Boot)),
        ),
        (
            vec![autofs, master("/home auto.home\n"), home("other nas:/x\n+auto.home\n")],
            Some(("/home", Start::Boot)),
        ),
        (vec![autofs, master("/home ldap:ou=home\n")], Some(("/home", Start::Boot))),
        (vec![master("/home auto.home\n"), home("* nas:/x/&\n")], Some(("/home", Start::ByHand))),
        (
            vec![autofs, master("/- auto.home\n"), home("/home/admin nas:/x\n")],
            Some(("/home/admin", Start::Boot)),
        ),
        (vec![autofs, master("# /home auto.home\n+auto.master\n/net -hosts\n")], None),
        (
            vec![autofs, ("/etc/auto.master.d/h.autofs", "/home auto.home\n"), home("* nas:/x\n")],
            Some(("/home", Start::Boot)),
        ),
    ] {
        let mut tree = MemoryTree::new();
        tree.directory("/home/admin/.ssh", 1000, 0o700);
        for (path, content) in &files {
            tree.file(path, 0, 0o644, content.as_bytes());
        }
        let mounts = read(&tree).unwrap();
        let found = mount_of(&mounts, &GuestPath::new("/home/admin/.ssh/authorized_keys"));
        let found = found.map(|mount| (mount.target.to_string(), mount.start));
        let expected = expected.map(|(target, start)| (target.to_owned(), start));
        assert_eq!(found, expected, "{files:?}");
    }
}

#[test]
fn a_masked_unit_and_a_target_that_is_a_link() {
    let mut tree = MemoryTree::new();
    tree.file("/usr/lib/systemd/system/home.mount", 0, 0o644, b"Where=/home\nWhat=/dev/sdb1\n");
    tree.link("/etc/systemd/system/home.mount", "/dev/null");
    assert_eq!(read(&tree).unwrap(), []);
    let mut tree = MemoryTree::new();
    tree.link("/home", "data/home").directory("/data/home", 0, 0o755);
    tree.file("/etc/fstab", 0, 0o644, b"/dev/sdb1 /home ext4\n");
    assert_eq!(read(&tree).unwrap()[0].target, GuestPath::new("/data/home"));
}
