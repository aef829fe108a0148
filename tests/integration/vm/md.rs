//! Mirrors that the kernel's md made: edited as a whole or not at all, and in step afterwards.

use super::machine::{Kernel, Machine, device, lines};
use super::{Bench, assert_said, seen};
use crate::support::mounted_disk::MountedDisk;
use crate::support::sparse;
use std::path::PathBuf;

/// Copies the volume on the first disk into a new mirror of two disks.
const MAKE: &str = "
modprobe raid1
modprobe ext4
# make NUMBER SOURCE METADATA BITMAP DEVICES
make() {
    number=$1 source=$2 metadata=$3 bitmap=$4
    shift 4
    mdadm --create /dev/md$number --run --quiet --level=1 --raid-devices=2 --metadata=$metadata --bitmap=$bitmap $*
    until [ idle = $(cat /sys/block/md$number/md/sync_action) ]; do sleep 0.2; done
    dd if=$source of=/dev/md$number bs=1M conv=fsync
}
";

/// Puts a mirror together and compares its members block by block.
const CHECK: &str = "
modprobe raid1
modprobe ext4
dmesg -c >/dev/null
# check NAME NUMBER DEVICES
check() {
    name=$1 number=$2
    shift 2
    mdadm --assemble --run --quiet /dev/md$number $*
    sys=/sys/block/md$number/md
    echo \"$name is $(cat $sys/sync_action) without $(cat $sys/degraded)\"
    echo check >$sys/sync_action
    until [ idle = $(cat $sys/sync_action) ]; do sleep 0.2; done
    echo \"$name differs in $(cat $sys/mismatch_cnt) after $(cat $sys/last_sync_action)\"
}
";

/// Lines that [`CHECK`] and `seen` say of a mirror in step.
fn in_step(name: &str) -> Vec<String> {
    let state = [format!("{name} is idle without 0"), format!("{name} differs in 0 after check")];
    [state, seen(name)].concat()
}

/// The names of the devices of mirror `number`, if `first` disks come before the mirrors.
fn members(first: usize, number: usize) -> [String; 2] {
    [0, 1].map(|member| device(first + 2 * number + member))
}

#[test]
#[ignore = "campaign: boots virtual machines"]
fn campaign_kernel_mirrors_stay_in_step() {
    let bench = Bench::new();
    let kinds =
        [("0.90", "none"), ("1.0", "none"), ("1.1", "none"), ("1.2", "none"), ("1.2", "internal")];
    let disks = bench.disks("member", 2 * kinds.len(), 40);
    let made = kinds.iter().enumerate().map(|(number, (metadata, bitmap))| {
        let members = members(1, number).join(" ");
        format!(
            "make {number} /dev/vdb {metadata} {bitmap} {members}; mdadm --stop /dev/md{number}"
        )
    });
    let script = format!("{MAKE}{}", lines(made));
    Machine::new(Kernel::Old).disks(&[bench.ext4()]).disks(&disks).run(&script);

    let mirrors: Vec<&[PathBuf]> = disks.chunks(2).collect();
    for mirror in &mirrors {
        for alone in [&mirror[..1], &mirror[1..]] {
            bench.refused(alone, "not given");
        }
    }
    let edited: Vec<_> = mirrors.iter().map(|mirror| bench.edit(mirror)).collect();
    let names: Vec<String> =
        kinds.iter().map(|(kind, bitmap)| format!("{kind}/{bitmap}")).collect();
    let judged = names.iter().enumerate().map(|(number, name)| {
        let members = members(0, number).join(" ");
        format!(
            "check {name} {number} {members}; seen {name} /dev/md{number} ext4; complaints {name}"
        )
    });
    let said = Machine::new(Kernel::Old).copies(&disks).run(&format!("{CHECK}{}", lines(judged)));
    let expected: Vec<String> = names.iter().flat_map(|name| in_step(name)).collect();
    assert_said(&said, &expected);
    for edited in &edited {
        bench.undo(edited);
    }
}

/// One that lost a member is edited and rebuilt from there; one that lost its power while it was written to is not.
#[test]
#[ignore = "campaign: boots virtual machines"]
fn campaign_kernel_mirrors_that_lost_a_member_or_their_power() {
    let bench = Bench::new();
    let disks = bench.disks("member", 4, 40);
    let script = format!(
        "{MAKE}
make 0 /dev/vdb 1.2 none {}
mdadm --quiet /dev/md0 --fail /dev/vdd
mdadm --quiet /dev/md0 --remove /dev/vdd
dd if=/dev/vdb of=/dev/md0 bs=1M conv=fsync
mdadm --stop --quiet /dev/md0
make 1 /dev/vdb 1.2 none {}
echo 0 >/sys/block/md1/md/safe_mode_delay
dd if=/dev/vdb of=/dev/md1 bs=64k count=1 oflag=direct",
        members(1, 0).join(" "),
        members(1, 1).join(" "),
    );
    Machine::new(Kernel::Old).disks(&[bench.ext4()]).disks(&disks).run_to_the_cut(&script);
    bench.refused(&disks[2..], "not stopped cleanly");
    bench.refused(&disks[1..2], "not given");
    let edited = bench.edit(&disks[..1]);
    let script = format!(
        "{CHECK}
mdadm --assemble --run --quiet /dev/md0 /dev/vdb
echo \"alone without $(cat /sys/block/md0/md/degraded)\"
mdadm --quiet /dev/md0 --add /dev/vdc
until [ idle = $(cat /sys/block/md0/md/sync_action) ]; do sleep 0.2; done
mdadm --stop --quiet /dev/md0
check rebuilt 0 /dev/vdb /dev/vdc
seen rebuilt /dev/md0 ext4
complaints rebuilt"
    );
    let said = Machine::new(Kernel::Old).copies(&disks[..2]).run(&script);
    let mut expected = in_step("rebuilt");
    expected.push("alone without 1".to_owned());
    assert_said(&said, &expected);
    bench.undo(&edited);
    // Both given: the one that was thrown out has old data, and stays as it is.
    let stale = sparse::digest(&disks[1]);
    let edited = bench.edit(&disks[..2]);
    assert_eq!(sparse::digest(&disks[1]), stale);
    bench.undo(&edited);
}

/// Two whole disks as one, with the superblock at their ends: each looks like a disk with a table of its own.
#[test]
#[ignore = "campaign: boots virtual machines"]
fn campaign_kernel_partitions_inside_a_mirror_of_whole_disks() {
    let bench = Bench::new();
    let disk = MountedDisk::with_mbr(&bench.scratch, "table.img", &[&bench.ext4()]);
    let disks = bench.disks("member", 4, 40);
    let made = ["0.90", "1.0"].iter().enumerate().map(|(number, metadata)| {
        let members = members(1, number).join(" ");
        format!("make {number} /dev/vdb {metadata} none {members}; mdadm --stop /dev/md{number}")
    });
    let script = format!("{MAKE}{}", lines(made));
    Machine::new(Kernel::Old).disks(&[&disk.path]).disks(&disks).run(&script);
    let mirrors: Vec<&[PathBuf]> = disks.chunks(2).collect();
    for mirror in &mirrors {
        for alone in [&mirror[..1], &mirror[1..]] {
            bench.refused(alone, "not given");
        }
    }
    let edited: Vec<_> = mirrors.iter().map(|mirror| bench.edit(mirror)).collect();
    let names = ["0.90", "1.0"];
    let judged = names.iter().enumerate().map(|(number, name)| {
        let members = members(0, number).join(" ");
        let partition = format!("/dev/md{number}p1");
        format!("check {name} {number} {members}; seen {name} {partition} ext4; complaints {name}")
    });
    let said = Machine::new(Kernel::Old).copies(&disks).run(&format!("{CHECK}{}", lines(judged)));
    let expected: Vec<String> = names.iter().flat_map(|name| in_step(name)).collect();
    assert_said(&said, &expected);
    for edited in &edited {
        bench.undo(edited);
    }
}
