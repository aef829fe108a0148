//! Encrypted volumes that cryptsetup and dm-crypt made, also over and under logical volumes.

use super::machine::{Kernel, Machine};
use super::{Bench, assert_said, seen};

/// One disk for each: LUKS1, LUKS2, LUKS2 on a logical volume, a logical volume on LUKS2.
const MAKE: &str = "
modprobe dm_mod; modprobe dm_crypt
luks() {
    device=$1
    shift
    cryptsetup -q luksFormat --key-file passphrase $* $device
}
fast='--pbkdf pbkdf2 --pbkdf-force-iterations 1000'
opened() {
    cryptsetup open --key-file passphrase $1 $2
}
luks /dev/vdc --type luks1 $fast
luks /dev/vdd --type luks2 --sector-size 4096 --pbkdf argon2id --pbkdf-memory 32768 --pbkdf-force-iterations 4
for name in vdc vdd; do
    opened /dev/$name $name
    dd if=/dev/vdb of=/dev/mapper/$name bs=1M conv=fsync
    cryptsetup close $name
done
lvm pvcreate -q /dev/vde
lvm vgcreate -q -s 1M under /dev/vde
lvm lvcreate -q -y -Wn -n root -l 50 under
luks /dev/under/root --type luks2 $fast
opened /dev/under/root inner
dd if=/dev/vdb of=/dev/mapper/inner bs=1M conv=fsync
cryptsetup close inner
lvm vgchange -q -an under
luks /dev/vdf --type luks2 $fast
opened /dev/vdf outer
lvm pvcreate -q /dev/mapper/outer
lvm vgcreate -q -s 1M over /dev/mapper/outer
lvm lvcreate -q -y -Wn -n root -l 26 over
dd if=/dev/vdb of=/dev/over/root bs=1M conv=fsync
lvm vgchange -q -an over
cryptsetup close outer";

/// Opens and judges all of them.
const JUDGE: &str = "
modprobe ext4; modprobe dm_mod; modprobe dm_crypt
dmesg -c >/dev/null
opened() {
    cryptsetup open --key-file passphrase $1 $2
}
opened /dev/vdb luks1
seen luks1 /dev/mapper/luks1 ext4; complaints luks1
opened /dev/vdc luks2
seen luks2 /dev/mapper/luks2 ext4; complaints luks2
lvm vgchange -q -ay under >&2
opened /dev/under/root on-lvm
seen on-lvm /dev/mapper/on-lvm ext4; complaints on-lvm
opened /dev/vde outer
lvm vgchange -q -ay over >&2
seen under-lvm /dev/over/root ext4; complaints under-lvm";

#[test]
#[ignore = "campaign: boots virtual machines"]
fn campaign_kernel_encrypted_volumes_are_opened_by_dm_crypt() {
    let mut bench = Bench::new();
    let passphrase = bench.scratch.join("passphrase");
    std::fs::write(&passphrase, "open sesame").unwrap();
    let disks = bench.disks("disk", 4, 64);
    let machine = Machine::new(Kernel::Old).disks(&[bench.ext4()]).disks(&disks);
    machine.file(&passphrase, "passphrase").run(MAKE);

    bench.options = ["--luks-passphrase-file", super::word(&passphrase)].map(str::to_owned).into();
    let edited: Vec<_> = disks.iter().map(|disk| bench.edit(std::slice::from_ref(disk))).collect();
    let machine = Machine::new(Kernel::Old).copies(&disks).file(&passphrase, "passphrase");
    let said = machine.run(JUDGE);
    let names = ["luks1", "luks2", "on-lvm", "under-lvm"];
    assert_said(&said, &names.into_iter().flat_map(seen).collect::<Vec<_>>());
    for edited in &edited {
        bench.undo(edited);
    }
}
