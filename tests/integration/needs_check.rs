//! Volumes that must be checked first, and volumes without room: what the program says, that what it advises
//! helps, and that it writes nothing.

use crate::support::image::{self, ImageBuilder};
use crate::support::regain::{Regain, Run};
use crate::support::root::{self, KEY_FILE};
use crate::support::scratch::Scratch;
use crate::support::{oracle, sparse, structures, tools, tree};
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::fs::ext::Ext;
use regain::fs::path::{GuestPath, find};
use regain::fs::{FileEdit as _, NewNode, NodeId, Timestamp};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BLOCK: u64 = 4096;
const HOME: &str = "/home/admin";

/// Edits `image` with the library, as preparation.
fn edit(image: &Path, work: impl FnOnce(&mut Ext)) {
    let mut bytes = std::fs::read(image).unwrap();
    let overlay = Arc::new(Overlay::new(Arc::new(MemoryDisk::new(bytes.clone()))));
    let clock = Timestamp { seconds: image::BUILD_SECONDS, nanoseconds: 0 };
    work(&mut Ext::open(overlay.clone(), clock).unwrap());
    for change in overlay.changes().unwrap() {
        let at = change.offset_bytes as usize;
        bytes[at..at + change.after.len()].copy_from_slice(&change.after);
    }
    std::fs::write(image, bytes).unwrap();
    oracle::assert_clean(image, 0, "after the preparation");
}

fn create(ext: &mut Ext, path: &str) -> NodeId {
    let (directory, name) = path.rsplit_once('/').unwrap();
    let directory = find(ext, &GuestPath::new(directory)).unwrap().unwrap().node;
    let new = NewNode { mode: 0o600, ..NewNode::default() };
    ext.create_file(directory, name.as_bytes(), &new, b"").unwrap()
}

/// The number of free blocks and free inodes, as the superblock has them.
fn free(image: &Path) -> (u64, u64) {
    let text = tools::succeed("dumpe2fs", &["-h", image.to_str().unwrap()]);
    let number = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().parse().unwrap()
    };
    (number("Free blocks:"), number("Free inodes:"))
}

fn add(scratch: &Scratch, image: &Path) -> Run {
    let key = scratch.join("new.pub");
    std::fs::write(&key, root::NEW_KEY).unwrap();
    Regain::new(scratch.path()).key_add(image, root::USER, &key, &[])
}

/// Runs `key add`, which must fail with `statuses` and leave the image alone. Gives message and hint.
fn refused(scratch: &Scratch, image: &Path, statuses: &[i32]) -> (String, String) {
    let before = sparse::digest(image);
    let run = add(scratch, image);
    let error = run.failure(statuses);
    assert_eq!(sparse::digest(image), before, "{run:?}");
    let text = |key: &str| error[key].as_str().unwrap().to_owned();
    (text("message"), text("hint"))
}

/// A root disk whose last `left` blocks are free.
fn with_free_blocks(scratch: &Scratch, left: u64) -> PathBuf {
    let builder = ImageBuilder::new("ext4", 8).nodes(root::bare());
    let image = builder.build_in(scratch, "disk.img");
    let taken = (free(&image).0 - left) * BLOCK;
    edit(&image, |ext| {
        let filler = create(ext, "/var/filler");
        ext.append(filler, &vec![b'f'; taken as usize]).unwrap();
    });
    assert_eq!(free(&image).0, left);
    image
}

#[test]
fn a_full_volume_is_refused_with_the_numbers() {
    for (left, message) in [
        (0, Some("no free blocks of 4096 bytes: 1 needed, 0 available")),
        (1, Some("no free blocks of 4096 bytes: 2 needed, 1 available")),
        (2, None),
    ] {
        let scratch = Scratch::new();
        let image = with_free_blocks(&scratch, left);
        match message {
            Some(expected) => {
                let (message, hint) = refused(&scratch, &image, &[4]);
                assert!(message.ends_with(expected), "{message}");
                assert!(hint.contains("make room on it"), "{hint}");
            }
            // These are reserved for the superuser, whose edit it is.
            None => {
                add(&scratch, &image).success();
            }
        }
        oracle::assert_clean(&image, 0, "full");
    }
}

#[test]
fn a_volume_without_inodes_is_refused_with_the_numbers() {
    for left in [0u64, 1] {
        let scratch = Scratch::new();
        let builder = ImageBuilder::new("ext4", 8).arguments("-N 64").nodes(root::bare());
        let image = builder.build_in(&scratch, "disk.img");
        let count = free(&image).1 - left;
        edit(&image, |ext| {
            for index in 0..count {
                create(ext, &format!("/var/f{index}"));
            }
        });
        let (message, _) = refused(&scratch, &image, &[4]);
        let expected = format!("no free inodes: {} needed, {left} available", left + 1);
        assert!(message.ends_with(&expected), "{message}");
        oracle::assert_clean(&image, 0, "without inodes");
    }
}

/// A root disk with checksums: the home has an attribute block, and the key file, if there is one, an extent node.
fn good(scratch: &Scratch, has_key_file: bool) -> PathBuf {
    let mut nodes = if has_key_file { root::with_key() } else { root::bare() };
    let home = nodes.0.get_mut(HOME).unwrap();
    home.xattrs.push(("user.big".to_owned(), vec![5; 3000]));
    let builder = ImageBuilder::new("ext4", 8).features("metadata_csum").nodes(nodes);
    let image = builder.build_in(scratch, "disk.img");
    if has_key_file {
        edit(&image, |ext| {
            let keys = find(ext, &GuestPath::new(KEY_FILE)).unwrap().unwrap().node;
            let other = create(ext, "/var/other");
            for _ in 0..6 {
                ext.append(keys, format!("#{}\n", "-".repeat(4094)).as_bytes()).unwrap();
                ext.append(other, &[1; 4096]).unwrap();
            }
        });
    }
    image
}

fn number_after(text: &str, name: &str) -> u64 {
    let rest = &text[text.find(name).unwrap() + name.len()..];
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// Where the structures are that adding a key needs.
fn places(image: &Path) -> Vec<(&'static str, u64)> {
    let target = oracle::at(image, 0);
    let text = tools::succeed("dumpe2fs", &[&target]);
    let stat = tree::debugfs(&target, &[format!("stat {HOME}"), format!("blocks {HOME}")]);
    let home = number_after(&stat[0], "Inode: ");
    let block: u64 = stat[1].split_whitespace().next().unwrap().parse().unwrap();
    let mut places = vec![
        // s_kbytes_written, the free count of group 0, and the access time of the home.
        ("superblock", 1024 + 0x178),
        ("group descriptor", BLOCK + 0xc),
        ("inode", structures::inode_offset(image, 0, home) + 0x8),
        ("directory block", block * BLOCK + 3000),
        ("extended attributes", number_after(&stat[0], "File ACL: ") * BLOCK + 3000),
    ];
    let bytes = std::fs::read(image).unwrap();
    let is_node = |block: &[u8]| block[..2] == [0x0a, 0xf3] && block[6] == 0;
    let node = bytes.chunks(BLOCK as usize).position(is_node);
    if let Some(node) = node {
        // eh_generation.
        places.push(("extent tree node", node as u64 * BLOCK + 0x8));
    } else {
        let bitmap = |name: &str| number_after(&text, name) * BLOCK + 5;
        places.push(("block bitmap", bitmap("Block bitmap at ")));
        places.push(("inode bitmap", bitmap("Inode bitmap at ")));
    }
    places
}

/// One flipped byte in each structure that an edit needs.
#[test]
fn a_damaged_structure_leads_to_the_checker() {
    for has_key_file in [false, true] {
        let scratch = Scratch::new();
        let image = good(&scratch, has_key_file);
        let whole = std::fs::read(&image).unwrap();
        for (name, at) in places(&image) {
            // An append needs no attributes of the home.
            if has_key_file && name == "extended attributes" {
                continue;
            }
            let file = std::fs::File::options().write(true).open(&image).unwrap();
            file.write_all_at(&[whole[at as usize] ^ 0x10], at).unwrap();
            let (message, hint) = refused(&scratch, &image, &[4, 5]);
            assert!(message.contains(name), "{name}: {message}");
            let command = format!("`e2fsck -f {}`", image.to_str().unwrap());
            assert!(hint.contains(&command), "{name}: {hint}");
            if name == "superblock" {
                // The checker needs a copy, which a volume of one group does not have.
                std::fs::write(&image, &whole).unwrap();
                continue;
            }
            // The advice helps.
            let output = tools::run("e2fsck", &["-fy", image.to_str().unwrap()]);
            assert!(matches!(output.status.code(), Some(0..=2)), "{name}: {output:?}");
            let run = add(&scratch, &image);
            assert!(run.status == 0, "{name}: {run:?}");
            oracle::assert_clean(&image, 0, name);
            std::fs::write(&image, &whole).unwrap();
        }
    }
}

#[test]
fn a_volume_marked_with_errors_leads_to_the_checker() {
    let scratch = Scratch::new();
    let image = good(&scratch, true);
    image::edit(&image, &["ssv state 3".to_owned()]);
    let (message, hint) = refused(&scratch, &image, &[4]);
    assert!(message.ends_with("it is marked as having errors"), "{message}");
    assert!(hint.contains(&format!("`e2fsck -f {}`", image.to_str().unwrap())), "{hint}");

    // Inside a partition the checker is told where the volume starts.
    let mut disk = vec![0; 1 << 20];
    disk.extend(std::fs::read(&image).unwrap());
    disk[446..462].copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x40, 0, 0]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let whole = scratch.join("whole.img");
    std::fs::write(&whole, disk).unwrap();
    let (_, hint) = refused(&scratch, &whole, &[4]);
    let target = oracle::at(&whole, 1 << 20);
    assert!(hint.contains(&format!("`e2fsck -f '{target}'`")), "{hint}");
    let output = tools::run("e2fsck", &["-fy", &target]);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    add(&scratch, &whole).success();
    oracle::assert_clean(&whole, 1 << 20, "checked and edited");
}
