//! File systems without layers, seen by a kernel that is not that of this machine.

use super::machine::{Kernel, Machine};
use super::{Bench, assert_said, seen};
use crate::support::rooted::Rooted;
use crate::support::tools;
use std::path::PathBuf;

/// A Btrfs with the root of a system whose user has the old key.
pub(super) fn btrfs(bench: &Bench) -> PathBuf {
    let rooted = Rooted::new();
    let path = bench.disks("btrfs", 1, 128).remove(0);
    let (tree, name) = (rooted.root(), path.to_str().unwrap());
    tools::succeed("mkfs.btrfs", &["-q", "--rootdir", tree.to_str().unwrap(), name]);
    path
}

#[test]
#[ignore = "campaign: boots virtual machines"]
fn campaign_kernel_other_kernels_mount_what_was_edited() {
    let bench = Bench::new();
    let disks = [bench.ext4(), bench.xfs(), btrfs(&bench)];
    let edited: Vec<_> = disks.each_ref().map(|disk| bench.edit(std::slice::from_ref(disk))).into();
    let script = "
modprobe ext4; modprobe xfs; modprobe btrfs
dmesg -c >/dev/null
seen ext4 /dev/vdb ext4; complaints ext4
seen xfs /dev/vdc xfs; complaints xfs
mount -t btrfs /dev/vdd /mnt
btrfs scrub start -B -r /mnt >/tmp/scrub || echo 'scrub fails'
grep 'Error summary' /tmp/scrub
umount /mnt
seen btrfs /dev/vdd btrfs; complaints btrfs";
    for kernel in [Kernel::Old, Kernel::New] {
        let said = Machine::new(kernel).copies(&disks).run(script);
        let mut expected: Vec<String> =
            ["ext4", "xfs", "btrfs"].into_iter().flat_map(seen).collect();
        expected.push("Error summary:    no errors found".to_owned());
        assert_said(&said, &expected);
    }
    for edited in &edited {
        bench.undo(edited);
    }
}
