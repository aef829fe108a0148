//! What must be refused by name, without touching the image.

use super::Bench;
use crate::support::image::{self, Content, ImageBuilder, Nodes};
use crate::support::root::{self, KEY_FILE, USER_ID};
use crate::support::scratch::Scratch;
use std::os::unix::fs::FileExt as _;

fn bench(nodes: Nodes, script: &[&str]) -> Bench {
    shaped(&ImageBuilder::new("ext4", 16), nodes, script)
}

fn shaped(builder: &ImageBuilder, nodes: Nodes, script: &[&str]) -> Bench {
    let scratch = Scratch::new();
    let image = builder.clone().nodes(nodes).build_in(&scratch, "disk.img");
    let commands: Vec<String> = script.iter().map(|command| (*command).to_owned()).collect();
    image::edit(&image, &commands);
    Bench::new(scratch, image, 0)
}

#[test]
fn protected_files() {
    for (flags, word) in [("0x80010", "immutable"), ("0x80020", "append")] {
        let command = format!("sif {KEY_FILE} flags {flags}");
        bench(root::with_key(), &[&command]).assert_refused(&[4], &[word]);
    }
    bench(root::bare(), &["sif /home/admin flags 0x80010"]).assert_refused(&[4], &["immutable"]);
}

#[test]
fn a_volume_marked_with_errors() {
    bench(root::with_key(), &["ssv state 2"]).assert_refused(&[4], &["e2fsck"]);
}

#[test]
fn unknown_features_are_named() {
    for (field, bit) in [("feature_incompat", 0x4000_0000u32), ("feature_ro_compat", 0x2000_0000)] {
        let scratch = Scratch::new();
        let builder =
            ImageBuilder::new("ext4", 16).features("^metadata_csum").nodes(root::with_key());
        let image = builder.build_in(&scratch, "disk.img");
        let at = if field == "feature_incompat" { 0x60 } else { 0x64 };
        let file = std::fs::File::options().read(true).write(true).open(&image).unwrap();
        let mut word = [0; 4];
        file.read_exact_at(&mut word, 1024 + at).unwrap();
        let changed = u32::from_le_bytes(word) | bit;
        file.write_all_at(&changed.to_le_bytes(), 1024 + at).unwrap();
        Bench::new(scratch, image, 0).assert_refused(&[4, 5], &[&format!("{bit:#x}")]);
    }
}

#[test]
fn an_external_journal() {
    let script = ["ssv journal_inum 0", "ssv journal_dev 0x801", "ssv journal_uuid random"];
    bench(root::with_key(), &script).assert_refused(&[4, 5], &["journal"]);
}

#[test]
fn an_encrypted_or_casefolded_home() {
    let encrypted = ImageBuilder::new("ext4", 16).features("encrypt");
    let command = "sif /home/admin flags 0x80800";
    shaped(&encrypted, root::bare(), &[command]).assert_refused(&[4], &["encrypted"]);
    let folded = ImageBuilder::new("ext4", 16).features("casefold");
    let command = "sif /home/admin flags 0x40080000";
    shaped(&folded, root::bare(), &[command]).assert_refused(&[4], &["casefold"]);
}

#[test]
fn structures_with_a_wrong_checksum() {
    for command in [
        format!("sif {KEY_FILE} checksum 0x12345678"),
        "sif /home/admin checksum 0x12345678".to_owned(),
    ] {
        bench(root::with_key(), &[&command]).assert_refused(&[4, 5], &["inode"]);
    }
    // Nothing can be looked up: that is not the same as "no operating system".
    let script = ["set_bg 0 checksum 0x1234"];
    bench(root::with_key(), &script).assert_refused(&[4, 5], &["group descriptor"]);
    let script = ["set_bg 0 block_bitmap_csum 0x1234", "set_bg 0 checksum calc"];
    bench(root::bare(), &script).assert_refused(&[4, 5], &["bitmap"]);
}

#[test]
fn key_files_that_are_no_files() {
    for (content, word) in [
        (Content::Fifo, "named pipe"),
        (Content::Device, "device"),
        (Content::Directory, "directory"),
        (Content::Symlink("authorized_keys".to_owned()), "symbolic link"),
    ] {
        let mut nodes = root::bare();
        nodes.directory("/home/admin/.ssh", 0o700, USER_ID);
        nodes.add(KEY_FILE, content, 0o600, USER_ID);
        bench(nodes, &[]).assert_refused(&[4], &[word]);
    }
}

#[test]
fn homes_that_sshd_would_not_trust() {
    let mut open = root::with_key();
    open.0.get_mut("/home/admin").unwrap().mode = 0o777;
    let mut foreign = root::with_key();
    foreign.0.get_mut(KEY_FILE).unwrap().uid = 1234;
    for nodes in [open, foreign] {
        bench(nodes, &[]).assert_refused(&[4], &["LOGIN-"]);
    }
}

#[test]
fn a_file_system_that_is_not_supported_yet() {
    let scratch = Scratch::new();
    let image = scratch.join("disk.img");
    std::fs::File::create(&image).unwrap().set_len(128 * 1024 * 1024).unwrap();
    crate::support::tools::succeed("mkfs.f2fs", &["-q", image.to_str().unwrap()]);
    Bench::new(scratch, image, 0).assert_refused(&[3, 4, 5], &["F2FS"]);
}
