//! NTFS as the kernel's ntfs3 reads it, and as a root that ntfs3 has mounted.

use super::machine::{Kernel, Machine, device, lines};
use super::{assert_said, mounted};
use crate::support::ntfs_check;
use crate::support::windows_disk::{ALL, NONE, WindowsDisk};
use std::collections::BTreeMap;

/// The digest of each file that a script listed with `digests`.
fn digests_of(said: &[String]) -> BTreeMap<String, String> {
    let listed = said.iter().filter_map(|line| {
        let (facts, path) = line.split_once("  ./")?;
        Some((format!("/{path}"), facts.rsplit(' ').next()?.to_owned()))
    });
    listed.collect()
}

/// The disks of all agents.
fn windows() -> Vec<(&'static str, WindowsDisk)> {
    let names = ALL.into_iter().filter(|name| *name != NONE);
    names.map(|name| (name, WindowsDisk::new(name))).collect()
}

/// A line for each disk, with its number and its device.
fn for_each(disks: &[(&str, WindowsDisk)], line: impl Fn(usize, &str) -> String) -> String {
    lines((0..disks.len()).map(|number| line(number, &device(number))))
}

#[test]
#[ignore = "campaign: boots virtual machines"]
fn campaign_kernel_ntfs3_reads_what_was_edited() {
    let disks = windows();
    let before: BTreeMap<&str, String> =
        disks.iter().map(|(name, disk)| (*name, disk.digest_now())).collect();
    let mut volumes = Vec::new();
    for (_, disk) in &disks {
        disk.run("password reset win.img --yes --json --undo-file undo").success();
        volumes.push(disk.volume_image());
    }
    let script = for_each(&disks, |_, device| {
        format!(
            "mount -t ntfs3 -o ro {device} /mnt\necho volume\ndigests /mnt\n\
             umount /mnt; complaints ntfs3"
        )
    });
    let script = format!("modprobe ntfs3\ndmesg -c >/dev/null\n{script}");
    let said = Machine::new(Kernel::New).copies(&volumes).run(&script);
    let parts: Vec<&[String]> = said.split(|line| line == "volume").skip(1).collect();
    assert_eq!(parts.len(), disks.len(), "{said:#?}");
    for ((name, disk), said) in disks.iter().zip(parts) {
        let found = digests_of(said);
        assert_eq!(found.len(), said.len(), "{name}: {said:#?}");
        let tree = ntfs_check::tree(&disk.volume());
        for (path, digest) in &found {
            assert_eq!(Some(digest), tree.0[path].get("content"), "{name}: {path}");
        }
        disk.run("undo undo win.img --yes --json").success();
        assert_eq!(disk.digest_now(), before[*name], "{name}");
    }
}

/// Not judged by the strict checker: ntfs3 gives records that it makes no number.
#[test]
#[ignore = "campaign: boots virtual machines"]
fn campaign_kernel_a_root_mounted_by_ntfs3_is_reset_and_taken_back() {
    let disks = windows();
    let volumes: Vec<_> = disks.iter().map(|(_, disk)| disk.volume_image()).collect();
    let rounds = for_each(&disks, |number, device| {
        format!("round win{number} {device} ntfs3 'password reset'")
    });
    let machine = mounted::with_program(Machine::new(Kernel::New)).disks(&volumes);
    let said = machine.run(&format!("{}{rounds}", mounted::ROUND));
    let expected = (0..disks.len()).flat_map(|number| mounted::expected(&format!("win{number}")));
    assert_said(&said, &expected.collect::<Vec<_>>());
}
