//! What regain does not edit is shown by its name, beside what it does: the boot partitions of most images, and file
//! systems that are never written.

use crate::support::regain::Regain;
use crate::support::scratch::Scratch;
use crate::support::{sparse, tools};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// Size of each partition in MiB.
const PART_MIB: u64 = 16;
/// From the start of one to that of the next.
const STEP_MIB: u64 = PART_MIB + 1;

/// One file system of each kind, made by its own tool.
fn volumes(scratch: &Scratch) -> Vec<PathBuf> {
    let tree = scratch.join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("file"), "content\n").unwrap();
    let names = ["esp", "boot", "erofs", "squashfs"];
    let paths: Vec<PathBuf> = names.iter().map(|name| scratch.join(name)).collect();
    for path in &paths[..2] {
        File::create(path).unwrap().set_len(PART_MIB << 20).unwrap();
    }
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let tree = text(&tree);
    tools::succeed("mkfs.vfat", &["-n", "EFI", &text(&paths[0])]);
    tools::succeed("mke2fs", &["-q", "-t", "ext4", "-L", "boot", &text(&paths[1])]);
    tools::succeed("mkfs.erofs", &[&text(&paths[2]), &tree]);
    tools::succeed("mksquashfs", &[&tree, &text(&paths[3]), "-noappend", "-quiet"]);
    paths
}

#[test]
fn an_esp_a_boot_partition_and_read_only_file_systems_are_shown() {
    let scratch = Scratch::new();
    let disk = scratch.join("disk.img");
    let parts = volumes(&scratch);
    let file = File::create(&disk).unwrap();
    file.set_len((parts.len() as u64 * STEP_MIB + 2) << 20).unwrap();
    let path = disk.to_str().unwrap();
    for (index, part) in parts.iter().enumerate() {
        let start = (1 + index as u64 * STEP_MIB) << 20;
        let new = format!("--new={}:{}:+{}M", index + 1, start / 512, PART_MIB);
        tools::succeed("sgdisk", &[&new, path]);
        file.write_all_at(&std::fs::read(part).unwrap(), start).unwrap();
    }
    let before = sparse::digest(&disk);
    let regain = Regain::new(scratch.path());
    let document = regain.run(&["inspect", path, "--json"]).success();
    let shown: Vec<(&str, bool)> = document["result"]["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| {
            let kind = volume["file_system"].as_str().unwrap();
            (kind, volume["writable"].as_bool().unwrap())
        })
        .collect();
    let expected = [("vfat", false), ("ext4", true), ("erofs", false), ("squashfs", false)];
    assert_eq!(shown, expected, "{document}");
    let text = document.to_string();
    for reason in ["FAT: editing not supported", "editing with erofs", "editing with squashfs"] {
        assert!(text.contains(reason), "{reason}: {text}");
    }
    regain.run(&["key", "list", path, "--json"]).failure(&[3, 4, 5]);
    assert_eq!(sparse::digest(&disk), before);
}
