//! The whole story on XFS: a real Debian on it, into which nobody gets any more; after the edit, the disk's own
//! sshd decides.
//!
//! Needs root and loop devices, for only the kernel fills an XFS with hard links, capabilities and devices.

use crate::end_to_end::{
    CHROOT, START_SECTOR, Server, assert_logins, debian_tree, give_devices, key_pair, lock_out,
};
use crate::support::regain::Regain;
use crate::support::scratch::Scratch;
use crate::support::xfs_mount::Mount;
use crate::support::{sparse, tools, xfs_image, xfs_tools};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const USER: &str = "admin";
const VOLUME_MIB: u64 = 480;
/// Options of mkfs.xfs: those of Amazon Linux 2, of Amazon Linux 2023 and RHEL 9, of today.
const SHAPES: [&str; 3] = [
    "-m rmapbt=0,reflink=0,bigtime=0,inobtcount=0 -i sparse=0,nrext64=0",
    "-m rmapbt=0 -i nrext64=0",
    "-i exchange=1 -n parent=1",
];

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_the_sshd_of_a_real_debian_on_xfs_accepts_the_new_key_and_the_old_one() {
    for options in SHAPES {
        for is_running in [false, true] {
            println!("{options}, of a running machine: {is_running}");
            log_in(options, is_running);
        }
    }
}

fn log_in(options: &str, is_running: bool) {
    let scratch = Scratch::new();
    let keys = ["old", "new", "wrong"].map(|name| key_pair(&scratch, name));
    let volume = scratch.join("volume");
    xfs_image::make(&volume, VOLUME_MIB, options);
    let mount = Mount::new(&volume, None, &scratch.join("mount"), "rw");
    let (tar, root) = (debian_tree(&CHROOT), mount.root().to_str().unwrap());
    tools::succeed("tar", &["-xf", tar.to_str().unwrap(), "-C", root, "--numeric-owner"]);
    lock_out(mount.root(), &keys[0]);
    let disk = scratch.join("disk.img");
    if is_running {
        // The copy is what a power cut leaves: almost everything is only in the log.
        nix::unistd::syncfs(File::open(mount.root()).unwrap()).unwrap();
        put_on_a_disk(&volume, &disk);
        drop(mount);
    } else {
        drop(mount);
        put_on_a_disk(&volume, &disk);
    }
    let before = sparse::digest(&disk);

    let regain = Regain::new(scratch.path());
    let document = regain.key_add(&disk, USER, &keys[1].with_extension("pub"), &[]).success();
    assert_eq!(document["result"]["changed"], true, "{document}");

    take_from_the_disk(&disk, &volume);
    let mount = Mount::new(&volume, None, &scratch.join("mount"), "rw");
    give_devices(mount.root());
    let server = Server::start(mount.root());
    assert_logins(server.port, &keys);
    drop(server);
    drop(mount);
    xfs_tools::assert_silent(&volume, "after the logins");

    let undo_file = document["result"]["undo_file"].as_str().unwrap();
    let target = disk.to_str().unwrap();
    regain.run(&["undo", undo_file, target, "--yes", "--json"]).success();
    assert_eq!(sparse::digest(&disk), before, "undo");
}

/// A GPT disk with the volume as its root partition.
fn put_on_a_disk(volume: &Path, disk: &Path) {
    let bytes = std::fs::read(volume).unwrap();
    let start = START_SECTOR * 512;
    let file = File::create(disk).unwrap();
    file.set_len(start + bytes.len() as u64 + (1 << 20)).unwrap();
    let new = format!("--new=1:{START_SECTOR}:+{VOLUME_MIB}M");
    tools::succeed("sgdisk", &[&new, "--typecode=1:8304", disk.to_str().unwrap()]);
    file.write_all_at(&bytes, start).unwrap();
}

fn take_from_the_disk(disk: &Path, volume: &Path) {
    let mut bytes = vec![0; (VOLUME_MIB << 20) as usize];
    File::open(disk).unwrap().read_exact_at(&mut bytes, START_SECTOR * 512).unwrap();
    std::fs::write(volume, bytes).unwrap();
}
