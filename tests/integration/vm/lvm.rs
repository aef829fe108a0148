//! Logical volumes that lvm2 and the device mapper made.

use super::machine::{Kernel, Machine};
use super::{Bench, assert_said, seen};

/// Two disks for each of: a linear volume over both, a striped one, and a group with a snapshot and a thin volume.
const MAKE: &str = "
modprobe dm_mod; modprobe dm_snapshot; modprobe dm_thin_pool
# group NAME DEVICES
group() {
    name=$1
    shift
    for device; do lvm pvcreate -q $device; done
    lvm vgcreate -q -s 1M $name $*
}
group line /dev/vdd /dev/vde
lvm lvcreate -q -y -Wn -n root -l 16 line /dev/vde
lvm lvextend -q -l 26 line/root /dev/vdd
dd if=/dev/vdb of=/dev/line/root bs=1M conv=fsync
group stripe /dev/vdf /dev/vdg
lvm lvcreate -q -y -Wn -n root -i 2 -I 64k -l 32 stripe
dd if=/dev/vdc of=/dev/stripe/root bs=1M conv=fsync
group odd /dev/vdh /dev/vdi
lvm lvcreate -q -y -Wn -n root -l 26 odd
dd if=/dev/vdb of=/dev/odd/root bs=1M conv=fsync
lvm lvcreate -q -y -s -n before -l 8 odd/root
lvm lvcreate -q -y -T -n pool -l 32 odd
lvm lvcreate -q -y -V 26M -n thin --thinpool odd/pool
dd if=/dev/vdb of=/dev/odd/thin bs=1M conv=fsync
lvm vgchange -q -an";

#[test]
#[ignore = "campaign: boots virtual machines"]
fn campaign_kernel_logical_volumes_are_opened_by_lvm2() {
    let bench = Bench::new();
    let disks = bench.disks("disk", 6, 64);
    Machine::new(Kernel::Old).disks(&[bench.ext4(), bench.xfs()]).disks(&disks).run(MAKE);

    let edited = [bench.edit(&disks[..2]), bench.edit(&disks[2..4])];
    for (volume, words) in [("odd/root", "snapshot"), ("odd/thin", "thin")] {
        let key = super::word(&bench.key);
        let arguments = ["--volume", volume, "--user", "admin", "--key", key, "--yes"];
        let error = bench.run("key add", &disks[4..], &arguments).failure(&[4, 5]);
        assert!(error.to_string().contains(words), "{volume}: {error}");
    }
    let script = "
modprobe ext4; modprobe xfs; modprobe dm_mod
dmesg -c >/dev/null
lvm vgchange -q -ay line stripe >&2
seen linear /dev/line/root ext4; complaints linear
seen striped /dev/stripe/root xfs; complaints striped";
    let said = Machine::new(Kernel::Old).copies(&disks[..4]).run(script);
    assert_said(&said, &["linear", "striped"].into_iter().flat_map(seen).collect::<Vec<_>>());
    for edited in &edited {
        bench.undo(edited);
    }
}
