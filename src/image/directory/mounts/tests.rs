//! Mounts of made-up hosts.

use super::*;

const LINES: &str = "\
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
22 21 0:20 / /proc rw,nosuid - proc proc rw
30 21 7:0 / /mnt/a\\040b rw shared:2 master:3 - ext4 /dev/loop0 rw
31 30 7:1 / /mnt/a\\040b/home rw - xfs /dev/loop1 rw
32 30 0:20 / /mnt/a\\040b/proc rw - proc proc rw
33 30 254:0 /srv /mnt/a\\040b/srv rw - ext4 /dev/root rw
34 30 0:40 / /mnt/a\\040b/run rw - tmpfs tmpfs rw
35 30 0:41 / /mnt/a\\040b/net rw - nfs4 server:/x rw
36 30 0:42 / /mnt/a\\040b/ssh rw - fuse.sshfs host: rw
37 30 7:0 /var /mnt/a\\040b/bind rw - ext4 /dev/loop0 rw
41 30 0:43 / /mnt/a\\040b/home/x rw - tmpfs tmpfs rw
38 21 7:5 / /mnt/a\\040bc rw - ext4 /dev/loop5 rw
39 30 7:5 / /mnt/a\\040b/other rw - ext4 /dev/loop5 rw
not a line
40 30 7:6
";

#[test]
fn each_mount_below_the_target_has_its_standing() {
    let mounts = Mounts::parse(LINES.as_bytes());
    let target = b"/mnt/a b";
    assert_eq!(mounts.find(30).unwrap().point, target);
    assert_eq!(mounts.below(target).count(), 9);
    let of = |id| mounts.standing(id, target);
    for id in [31, 37] {
        assert_eq!(of(id), Standing::Inside, "{id}");
    }
    for id in [32, 34] {
        assert!(matches!(of(id), Standing::Empty(_)), "{id}");
    }
    for (id, reason) in [
        (33, "also mounted on /, outside"),
        (35, "another machine"),
        (36, "does not know"),
        (39, "also mounted on /mnt/a bc, outside"),
        (40, "does not list"),
        (41, "not on the disk"),
    ] {
        let Standing::Barred(found) = of(id) else { panic!("{id}") };
        assert!(found.contains(reason), "{id}: {found}");
    }
}

#[test]
fn a_bind_mount_inside_a_plain_directory_of_the_host_is_of_the_host() {
    let mounts = Mounts::parse(LINES.as_bytes());
    assert!(matches!(mounts.standing(21, b"/srv/chroot"), Standing::Barred(_)));
}

#[test]
fn roots_are_written_only_on_known_file_systems() {
    let mounts = Mounts::parse(LINES.as_bytes());
    let of = |id| mounts.find(id).unwrap();
    assert!(of(31).check_writable_type().is_ok());
    for (id, why) in [(35, "nfs4 is not edited: another machine"), (36, "a program makes")] {
        let error = of(id).check_writable_type().unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(error.exit_status(), 4);
    }
    assert!(of(22).check_root().is_err());
    assert!(of(34).check_root().is_ok());
}
