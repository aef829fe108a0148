use super::*;
use crate::fs::memory::MemoryTree;
use crate::fs::path::read_file;

const UUID: [&str; 4] = [
    "00000000-0000-4000-8000-000000000000",
    "11111111-1111-4111-8111-111111111111",
    "22222222-2222-4222-8222-222222222222",
    "33333333-3333-4333-8333-333333333333",
];

/// Volume `index`: file system of `type_name` with a file that says which it is.
fn volume(
    index: usize,
    type_name: &'static str,
    change: impl FnOnce(&mut MemoryTree),
) -> Candidate {
    let mut tree = MemoryTree::new().named(type_name, UUID[index], "");
    tree.file("/volume", 0, 0o644, index.to_string().as_bytes());
    change(&mut tree);
    let uuid = UUID[index].to_owned();
    Candidate {
        names: VolumeNames { uuid, ..VolumeNames::default() },
        name: format!("volume {index}"),
        content: Ok(Shared::new(Box::new(tree))),
    }
}

fn root(fstab: &str) -> Candidate {
    volume(0, "ext4", |tree| {
        tree.file("/etc/fstab", 0, 0o644, fstab.as_bytes())
            .directory("/home/hidden", 0, 0o755)
            .directory("/var/log", 0, 0o755)
            .directory("/usr", 0, 0o755)
            .directory("/srv", 0, 0o755);
    })
}

fn mounted(volumes: &[Candidate]) -> Mounted {
    mount_all(0, GuestPath::root(), volumes).unwrap()
}

/// Which volume is seen at a directory.
fn seen(tree: &Mounted, path: &str) -> String {
    let content = read_file(tree, &GuestPath::new(path).join("volume"), 100).unwrap();
    content.map_or_else(String::new, |content| String::from_utf8(content).unwrap())
}

/// Why something is missing at a directory; empty if it is not.
fn missing(tree: &Mounted, path: &str) -> String {
    let path = GuestPath::new(path);
    let point = tree.mount_points().iter().find(|point| point.path == path);
    point.and_then(|point| point.missing.clone()).map(|why| why.reason).unwrap_or_default()
}

#[test]
fn volumes_are_mounted_by_name_vol_17() {
    let fstab = format!(
        "# the root\nUUID={} / ext4 defaults 0 1\nUUID={} /var/log auto ro 0 2\n\
         UUID={} /var ext4 noexec,nosuid 0 2\nUUID={} /home xfs nofail 0 2\n\
         tmpfs /srv tmpfs size=1g 0 0\n",
        UUID[0], UUID[3], UUID[2], UUID[1]
    );
    let var = |tree: &mut MemoryTree| _ = tree.directory("/log", 0, 0o755);
    let volumes =
        [root(&fstab), volume(1, "xfs", |_| {}), volume(2, "ext3", var), volume(3, "xfs", |_| {})];
    let tree = mounted(&volumes);
    for (path, expected) in [("/", "0"), ("/home", "1"), ("/var", "2"), ("/var/log", "3")] {
        assert_eq!(seen(&tree, path), expected, "{path}");
        assert_eq!(missing(&tree, path), "");
    }
    assert_eq!(tree.mount_points().len(), 3);
}

#[test]
fn what_cannot_be_told_is_not_guessed_vol_17() {
    let by_uuid = |index: usize, rest: &str| format!("UUID={} {rest}\n", UUID[index]);
    let both = format!("{}{}", by_uuid(1, "/home xfs"), by_uuid(2, "/home ext4"));
    for (fstab, expected) in [
        (by_uuid(1, "/home xfs"), ""),
        (by_uuid(1, "/home ext4"), "/etc/fstab:1 wants ext4, and volume 1 is xfs"),
        (by_uuid(1, "/home ext4,xfs"), ""),
        (by_uuid(2, "/home ext2"), ""),
        (by_uuid(3, "/home xfs"), "volume 3 cannot be read here: the LUKS volume is encrypted"),
        ("UUID=dead /home xfs\n".to_owned(), "UUID=dead is on none of the given disks"),
        (
            "/dev/sdb1 /home xfs\n".to_owned(),
            "/dev/sdb1 does not tell which volume it is, because such names differ between machines",
        ),
        ("LABEL=twin /home ext4\n".to_owned(), "LABEL=twin could be volume 4 or volume 5"),
        (both, "/etc/fstab:1 and /etc/fstab:2 mean different things"),
        (format!("{0}{0}", by_uuid(1, "/home xfs")), ""),
        (by_uuid(1, "/home xfs subvol=home"), "volume 1 has no subvolume /home"),
        (by_uuid(1, "/home xfs noauto"), ""),
        ("nas:/home /home nfs\n".to_owned(), ""),
    ] {
        let mut volumes = vec![root(&fstab), volume(1, "xfs", |_| {}), volume(2, "ext4", |_| {})];
        let encrypted = Err("the LUKS volume is encrypted".to_owned());
        volumes.push(Candidate { content: encrypted, ..volume(3, "luks", |_| {}) });
        for name in ["volume 4", "volume 5"] {
            let label = b"twin".to_vec();
            let names = VolumeNames { label, ..VolumeNames::default() };
            volumes.push(Candidate { names, name: name.to_owned(), ..volume(1, "ext4", |_| {}) });
        }
        let tree = mounted(&volumes);
        assert_eq!(missing(&tree, "/home"), expected, "{fstab}");
        let is_hidden = tree.mount_points().iter().any(|point| point.missing.is_none());
        assert_eq!(seen(&tree, "/home").is_empty(), !is_hidden, "{fstab}");
    }
}

#[test]
fn binds_and_units_and_a_usr_of_its_own() {
    let fstab = format!(
        "/home/admin /srv none bind 0 0\nUUID={} /home ext4\nUUID={} /usr ext4\n/opt /opt none bind\n",
        UUID[1], UUID[2]
    );
    let home = |tree: &mut MemoryTree| _ = tree.file("/admin/volume", 0, 0o644, b"bound");
    // What says that /var is mounted is itself on a volume that is mounted.
    let unit = format!("[Mount]\nWhat=/dev/disk/by-uuid/{}\nWhere=/var\nType=xfs\n", UUID[3]);
    let usr = |tree: &mut MemoryTree| {
        tree.file("/lib/systemd/system/var.mount", 0, 0o644, unit.as_bytes()).file(
            "/lib/systemd/system/local-fs.target.wants/var.mount",
            0,
            0o644,
            b"",
        );
    };
    let volumes =
        [root(&fstab), volume(1, "ext4", home), volume(2, "ext4", usr), volume(3, "xfs", |_| {})];
    let tree = mounted(&volumes);
    for (path, expected) in
        [("/home", "1"), ("/srv", "bound"), ("/usr", "2"), ("/var", "3"), ("/opt", "")]
    {
        assert_eq!(seen(&tree, path), expected, "{path}");
    }
    let location = tree.locate(&GuestPath::new("/srv/new")).unwrap();
    assert_eq!((location.volume, location.path), (1, GuestPath::new("/admin/new")));
}

#[test]
fn subvolumes_are_mounted_by_path_number_or_default_vol_14() {
    let fstab = format!(
        "UUID={0} /home btrfs subvol=@/home,compress=zstd\nUUID={0} /var btrfs subvolid=258\n\
         UUID={0} /srv btrfs rw\nUUID={0} /usr btrfs subvol=/none\nUUID={0} /opt btrfs subvolid=5\n",
        UUID[0]
    );
    let volumes = [volume(0, "btrfs", |tree| {
        for path in ["/@", "/@/home", "/@/var", "/@/srv"] {
            tree.file(&format!("{path}/volume"), 0, 0o644, path.as_bytes());
        }
        for path in ["/@/usr", "/@/opt", "/@/root/home"] {
            tree.directory(path, 0, 0o755);
        }
        tree.file("/@/root/etc/fstab", 0, 0o644, fstab.as_bytes());
        for name in ["var", "srv", "usr", "opt"] {
            tree.directory(&format!("/@/root/{name}"), 0, 0o755);
        }
        tree.subvolume("/", 5, false)
            .subvolume("/@", 256, false)
            .subvolume("/@/home", 257, false)
            .subvolume("/@/var", 258, false)
            .subvolume("/@/srv", 259, true);
    })];
    let tree = mount_all(0, GuestPath::new("/@/root"), &volumes).unwrap();
    for (path, expected) in
        [("/home", "/@/home"), ("/var", "/@/var"), ("/srv", "/@/srv"), ("/usr", ""), ("/opt", "0")]
    {
        assert_eq!(seen(&tree, path), expected, "{path}");
    }
    assert_eq!(missing(&tree, "/usr"), "volume 0 has no subvolume /none");
    let location = tree.locate(&GuestPath::new("/home/admin")).unwrap();
    assert_eq!(location.path, GuestPath::new("/@/home/admin"));
}

#[test]
fn options_may_be_quoted() {
    let volumes = [root(
        "LABEL=x /home xfs rw,context=\"system_u:object_r:user_home_t:s0:c1,c2\",subvol=a,subvol=b\n",
    )];
    let mounts = super::super::read(&mounted(&volumes)).unwrap();
    let option = |name: &str| mounts[0].option(name).map(<[u8]>::to_vec);
    assert_eq!(option("context").unwrap(), b"system_u:object_r:user_home_t:s0:c1,c2");
    assert_eq!(option("subvol").unwrap(), b"b");
    assert_eq!(option("rw"), None);
    assert_eq!(option("sub"), None);
}
