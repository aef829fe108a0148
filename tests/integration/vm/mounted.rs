//! The program inside the machine, on roots that its kernel has mounted.

use super::machine::{Kernel, Machine};
use super::{Bench, assert_said, bare};
use crate::support::{oracle, tools, xfs_tools};
use std::path::Path;
use std::process::Command;

/// Edits a mounted root, mounts it again, sees that nothing is left to do, and takes it back.
pub(super) const ROUND: &str = "
regain() { ./loader --library-path . ./regain \"$@\"; }
# round NAME DEVICE TYPE COMMAND OPTIONS
round() {
    name=$1 device=$2 type=$3 command=$4
    shift 4
    modprobe $type
    dmesg -c >/dev/null
    mount -t $type $device /mnt
    digests /mnt >before
    regain $command /mnt \"$@\" --yes --json --undo-file $name.undo >answer || cat answer
    grep -q '\"changed\": *true' answer && echo \"$name changed\"
    umount /mnt
    mount -t $type $device /mnt
    regain $command /mnt \"$@\" --yes --json >answer || cat answer
    grep -q '\"changed\": *false' answer && echo \"$name stays\"
    ! digests /mnt | cmp -s before - && echo \"$name differs\"
    regain undo $name.undo /mnt --yes --json >answer || cat answer
    umount /mnt
    mount -t $type $device /mnt
    digests /mnt | diff before - && echo \"$name is as before\"
    umount /mnt
    complaints $name
}
";

/// What it says of each.
pub(super) fn expected(name: &str) -> [String; 4] {
    ["changed", "stays", "differs", "is as before"].map(|line| format!("{name} {line}"))
}

/// Gives a machine the program, with the libraries of this one.
pub(super) fn with_program(machine: Machine) -> Machine {
    let program = env!("CARGO_BIN_EXE_regain");
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new);
    let machine = machine.file(Path::new(program), "regain");
    paths.fold(machine, |machine, path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        machine.file(path, if name.starts_with("ld-linux") { "loader" } else { name })
    })
}

#[test]
#[ignore = "campaign: boots virtual machines"]
fn campaign_kernel_mounted_roots_are_edited_and_taken_back() {
    let bench = Bench::new();
    let disks = [bench.ext4(), bench.xfs(), bare::btrfs(&bench)];
    let kinds = ["ext4", "xfs", "btrfs"];
    let rounds = kinds.iter().enumerate().map(|(number, kind)| {
        let device = super::machine::device(number);
        format!("round {kind} {device} {kind} 'key add' --user admin --key new.pub")
    });
    let script = format!("{ROUND}{}", super::machine::lines(rounds));
    let machine = with_program(Machine::new(Kernel::Old)).file(&bench.key, "new.pub");
    let said = machine.disks(&disks).run(&script);
    assert_said(&said, &kinds.into_iter().flat_map(expected).collect::<Vec<_>>());
    oracle::assert_clean(&disks[0], 0, "ext4");
    xfs_tools::assert_silent(&disks[1], "xfs");
    tools::succeed("btrfs", &["check", "--readonly", disks[2].to_str().unwrap()]);
}
