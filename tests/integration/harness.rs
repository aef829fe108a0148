//! The harness itself: the outside readers must see what was built, and complain about what was broken.

use crate::support::image::{self, Content, ImageBuilder};
use crate::support::oracle::{self, Verdict};
use crate::support::scratch::Scratch;
use crate::support::tree::{self, Difference};
use crate::support::{digest, root, tools};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt as _;

#[test]
fn an_image_holds_what_it_was_populated_with() {
    let scratch = Scratch::new();
    let mut nodes = root::with_key();
    let label = ("security.selinux".to_owned(), b"system_u:object_r:etc_t:s0\0".to_vec());
    nodes.directory("/etc/x", 0o1777, 7).xattrs.push(label);
    nodes.add("/etc/x/pipe", Content::Fifo, 0o600, 7);
    nodes.add("/etc/x/zero", Content::Device, 0o666, 0);
    nodes.add("/etc/x/also", Content::HardLink("/etc/passwd".to_owned()), 0o644, 0);
    nodes.link("/etc/x/long", &"a/".repeat(100));
    let path = ImageBuilder::new("ext4", 8).nodes(nodes).build_in(&scratch, "a.img");
    let tree = tree::read(&path, 0).0;

    let key_file = &tree[root::KEY_FILE];
    assert_eq!(key_file["content"], digest::of_bytes(root::OLD_KEY.as_bytes()));
    assert_eq!((key_file["mode"].as_str(), key_file["uid"].as_str()), ("0600", "1000"));
    assert!(key_file["mtime"].starts_with("0x6553f100"), "{key_file:?}");
    assert!(tree["/etc/x"]["xattr security.selinux"].contains("etc_t"));
    assert_eq!(tree["/etc/x"]["mode"], "01777");
    assert_eq!(tree["/etc/x/pipe"]["type"], "FIFO");
    assert_eq!(tree["/etc/x/zero"]["type"], "character");
    assert_eq!(tree["/etc/x/also"]["inode"], tree["/etc/passwd"]["inode"]);
    assert_eq!(tree["/etc/passwd"]["links"], "2");
    assert_eq!(tree["/bin"]["target"], "\"usr/bin\"");
    assert_eq!(tree["/etc/x/long"]["content"], digest::of_bytes("a/".repeat(100).as_bytes()));
}

#[test]
fn a_tree_comparison_names_exactly_what_changed() {
    let scratch = Scratch::new();
    let builder = ImageBuilder::new("ext4", 8).nodes(root::with_key());
    let path = builder.build_in(&scratch, "a.img");
    let before = tree::read(&path, 0);
    assert!(tree::diff(&before, &tree::read(&path, 0)).is_empty());
    image::edit(
        &path,
        &[format!("sif {} mode 0100640", root::KEY_FILE), "rm /etc/hostname".to_owned()],
    );
    let changed = |fields: &[&str]| {
        Difference::Changed(fields.iter().map(|field| (*field).to_owned()).collect::<BTreeSet<_>>())
    };
    let expected = BTreeMap::from([
        (root::KEY_FILE.to_owned(), changed(&["mode"])),
        ("/etc/hostname".to_owned(), Difference::Removed),
    ]);
    let mut found = tree::diff(&before, &tree::read(&path, 0));
    found.retain(|path, _| path != "/etc");
    assert_eq!(found, expected);
}

#[test]
fn the_oracle_finds_a_wrong_count_that_the_checker_accepts() {
    let scratch = Scratch::new();
    let path = ImageBuilder::new("ext2", 8).nodes(root::bare()).build_in(&scratch, "a.img");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    // s_free_blocks_count_lo of the primary superblock.
    file.write_all_at(&7u32.to_le_bytes(), 1024 + 0xc).unwrap();
    assert!(matches!(oracle::check(&path, 0), Verdict::Findings(_)));
}

#[test]
fn the_oracle_finds_damage_and_refuses_to_judge_rubbish() {
    let scratch = Scratch::new();
    let path = ImageBuilder::new("ext4", 8).nodes(root::bare()).build_in(&scratch, "a.img");
    image::edit(&path, &["clri /etc/passwd".to_owned()]);
    assert!(matches!(oracle::check(&path, 0), Verdict::Findings(_)));
    std::fs::write(&path, vec![0x55; 100_000]).unwrap();
    assert!(matches!(oracle::check(&path, 0), Verdict::NotAVerdict(_)));
}

#[test]
fn two_builds_of_one_image_differ_only_in_what_mke2fs_stamps() {
    let scratch = Scratch::new();
    let builder = ImageBuilder::new("ext4", 8).nodes(root::with_key());
    let first = tree::read(&builder.build_in(&scratch, "a.img"), 0);
    let second = tree::read(&builder.build_in(&scratch, "b.img"), 0);
    let stamped = ["crtime", "atime", "ctime", "mtime"].map(str::to_owned);
    for (path, difference) in tree::diff(&first, &second) {
        let Difference::Changed(fields) = difference else { panic!("{path}: {difference:?}") };
        assert!(fields.iter().all(|field| stamped.contains(field)), "{path}: {fields:?}");
    }
}

#[test]
fn a_crowded_directory_gets_an_index() {
    let scratch = Scratch::new();
    let mut nodes = root::bare();
    root::crowd(&mut nodes, "/home", 300, 40);
    let builder = ImageBuilder::new("ext4", 8).nodes(nodes).rehashed();
    let path = builder.build_in(&scratch, "a.img");
    let answer = tree::debugfs(path.to_str().unwrap(), &["htree_dump /home".to_owned()]);
    assert!(answer[0].contains("Indirect levels: 0"), "{answer:?}");
}

#[test]
fn a_sparse_copy_is_equal() {
    let scratch = Scratch::new();
    let path = ImageBuilder::new("ext4", 8).nodes(root::bare()).build_in(&scratch, "a.img");
    let copy = scratch.join("b.img");
    tools::copy_sparse(&path, &copy);
    assert_eq!(digest::of_file(&path), digest::of_file(&copy));
}
