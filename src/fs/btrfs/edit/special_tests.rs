//! Edits of what is rare: names with the same hash, names outside of their usual item, every way to store content, a
//! snapshot that is half removed, a volume without room for trees.

use super::super::Btrfs;
use super::super::extent::change::Extent;
use super::super::extent::item::{ExtentItem, Reference};
use super::super::item::{FileExtent, InodeRef, Placement};
use super::super::key::{Key, item};
use super::super::place::Place;
use super::super::testing::{CLOCK, assert_clean, dump, fixture, recorded, sized};
use super::super::volume::Volume;
use super::tests::{new, nodes, random_edits};
use crate::bytes::field::{put, put_le_u64};
use crate::disk::overlay::Overlay;
use crate::error::{ErrorKind, Refusal};
use crate::fs::{FileEdit as _, FileSystem as _, NewNode};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

fn open(disk: &Arc<Overlay>) -> Btrfs {
    Btrfs::open(disk.clone(), CLOCK).unwrap()
}

/// The CRC-32C of both is the same.
const NAMES: [&[u8]; 2] = [b"mtwjgxhjk", b"cyvilpkff"];
const ATTRIBUTES: [&[u8]; 2] = [b"user.lyyjygkkm", b"user.rrrkassux"];

#[test]
fn names_and_attributes_with_equal_hashes_share_an_item() {
    for removed in [0, 1] {
        let disk = fixture(&["-n", "4096"]);
        let mut fs = open(&disk);
        let root = fs.root();
        for name in NAMES {
            let file = fs.create_file(root, name, &new(0o644), name).unwrap();
            for attribute in ATTRIBUTES {
                fs.set_xattr(file, attribute, Some(attribute)).unwrap();
            }
        }
        let exists = fs.create_file(root, NAMES[0], &new(0o644), b"").unwrap_err();
        assert!(exists.to_string().contains("exists already"), "{exists}");
        fs.finish().unwrap();
        assert_clean(&*disk, "both");
        let mut fs = open(&disk);
        let kept = fs.lookup(root, NAMES[1 - removed]).unwrap().unwrap();
        fs.remove(root, NAMES[removed]).unwrap();
        fs.set_xattr(kept, ATTRIBUTES[removed], None).unwrap();
        fs.finish().unwrap();
        assert_clean(&*disk, "one");
        let fs = open(&disk);
        assert_eq!(fs.lookup(root, NAMES[removed]).unwrap(), None);
        assert_eq!(fs.lookup(root, NAMES[1 - removed]).unwrap(), Some(kept));
        assert_eq!(fs.read(kept, 100).unwrap(), NAMES[1 - removed]);
        assert_eq!(fs.xattr(kept, ATTRIBUTES[removed]).unwrap(), None);
        let attribute = ATTRIBUTES[1 - removed];
        assert_eq!(fs.xattr(kept, attribute).unwrap().as_deref(), Some(attribute));
    }
}

/// Inodes of tree 5 with their names that stand in INODE_EXTREF items.
fn extended_names(fs: &Btrfs) -> Vec<(u64, InodeRef)> {
    let mut names = Vec::new();
    fs.view
        .for_each(5, Key::MIN, Key::MAX, &mut |key, data| {
            if key.kind == item::INODE_EXTREF {
                let found = InodeRef::parse_all_extended(data).unwrap();
                names.extend(found.into_iter().map(|name| (key.objectid, name)));
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    names
}

#[test]
fn names_outside_of_their_usual_item_are_removed() {
    for name in ["default", "sha256"] {
        let disk = recorded(name);
        let mut fs = open(&disk);
        let names = extended_names(&fs);
        let inode = |inode| Place { subvolume: 5, inode }.node().unwrap();
        let links = fs.metadata(inode(names[0].0)).unwrap().link_count;
        let chosen: Vec<_> =
            names.iter().filter(|found| found.0 == names[0].0).step_by(3).collect();
        assert!(chosen.len() > 20, "{name}");
        for (_, one) in &chosen {
            fs.remove(inode(one.parent), &one.name).unwrap();
        }
        fs.finish().unwrap();
        assert_clean(&*disk, name);
        let fs = open(&disk);
        assert_eq!(extended_names(&fs).len(), names.len() - chosen.len());
        let left = fs.metadata(inode(names[0].0)).unwrap().link_count;
        assert_eq!(u64::from(links - left), chosen.len() as u64);
        for (_, one) in &chosen {
            assert_eq!(fs.lookup(inode(one.parent), &one.name).unwrap(), None);
        }
    }
}

/// How the content of a file is stored.
fn forms(fs: &Btrfs, place: Place) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    let key = |offset| Key::new(place.inode, item::EXTENT_DATA, offset);
    fs.view
        .for_each(place.subvolume, key(0), key(u64::MAX), &mut |_, data| {
            let extent = FileExtent::parse(data).unwrap();
            let form = match extent.placement {
                Placement::Inline(_) => "inline",
                Placement::Hole { .. } => "hole",
                Placement::Regular(_) => "regular",
                Placement::Preallocated(_) => "preallocated",
            };
            forms.insert(format!("{form} {:?}", extent.compression));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    let flags = fs.view.inode(place).unwrap().flags;
    forms.insert(format!("flags {:#x}", flags.0 & 0x13));
    forms
}

/// Every file of a volume that has all of them is replaced, appended to, and written over in the middle.
#[test]
fn every_way_to_store_content_is_edited() {
    for way in 0..3 {
        let disk = recorded("default");
        let mut fs = open(&disk);
        let (mut seen, mut expected) = (BTreeSet::new(), Vec::new());
        for (number, (directory, name)) in nodes(&fs).1.into_iter().enumerate() {
            let node = fs.lookup(directory, &name).unwrap().unwrap();
            let size = fs.metadata(node).unwrap().size_bytes;
            let forms = forms(&fs, Place::of(node));
            // One of each sort and shape is enough.
            if size > 2 << 20 || (seen.is_superset(&forms) && number % 40 != 0) {
                continue;
            }
            let mut content = fs.read(node, 4 << 20).unwrap();
            let result = match way {
                0 => {
                    content = vec![b'r'; [10, 2048, 2049, 70_000][number % 4]];
                    fs.replace(node, &content)
                }
                1 => {
                    content.extend([b'a'; 3000]);
                    fs.append(node, &[b'a'; 3000])
                }
                _ => {
                    let at = content.len() / 2;
                    let len = (content.len() - at).min(5000);
                    content[at..at + len].fill(b'o');
                    fs.overwrite(node, at as u64, &vec![b'o'; len])
                }
            };
            match result {
                Ok(()) => {
                    seen.extend(forms);
                    // A file with several names is met several times.
                    expected.retain(|(known, _)| *known != node);
                    expected.push((node, content));
                }
                Err(error) => assert_eq!(error.kind_name(), "refused", "{error}"),
            }
        }
        let wanted = [
            "inline Zlib",
            "inline Lzo",
            "inline Zstd",
            "regular Zlib",
            "regular Lzo",
            "regular Zstd",
            "preallocated None",
            "inline None",
            "regular None",
            "flags 0x13",
        ];
        let missing: Vec<_> = wanted.iter().filter(|form| !seen.contains(**form)).collect();
        fs.finish().unwrap();
        assert_clean(&*disk, &format!("way {way}"));
        let fs = open(&disk);
        for (node, content) in expected {
            assert!(fs.read(node, 4 << 20).unwrap() == content, "way {way}: {node:?}");
        }
        assert!(missing.is_empty(), "{missing:?} of {seen:?}");
    }
}

/// `shared/removing` after the first step of the removal: the tree of the subvolume has given up its reference to a leaf
/// that a snapshot shares, and the root item says so.
pub(super) fn partly_dropped() -> Arc<Overlay> {
    let disk = recorded("shared/removing");
    let mut volume = Volume::open(disk.clone()).unwrap();
    let root = volume.root(256).unwrap();
    let top = volume.root_node(&root).unwrap();
    let node = volume.child(&root, &top, 0).unwrap();
    assert_eq!((top.level, node.level), (2, 1));
    let (first, next) = (node.pointers()[0], node.pointers()[1]);
    let (key, data) = volume.extent_item(first.bytenr, Extent::Block(0)).unwrap().unwrap();
    let shared = ExtentItem::parse(key, &data).unwrap();
    let ours = Reference::Tree(256);
    assert!(shared.refs > 1 && shared.inline.iter().any(|(user, _)| *user == ours), "{shared:?}");
    volume.change_reference(first.bytenr, Extent::Block(0), ours, -1);
    // Its owner is gone for it, so what it points to is referenced by its address; this one points to nothing.
    let leaf = volume.child(&root, &node, 0).unwrap();
    let extents = leaf.items().iter().filter(|found| found.key.kind == item::EXTENT_DATA);
    for extent in extents {
        let placement = FileExtent::parse(&extent.data).unwrap().placement;
        assert!(matches!(placement, Placement::Inline(_)), "{placement:?}");
    }
    volume.pending().changes.set_full_backref(first.bytenr, Extent::Block(0));
    let (key, mut data) = volume.root_item(256).unwrap().unwrap();
    put(&mut data, 220, &next.key.to_bytes()).unwrap();
    put(&mut data, 237, &[1]).unwrap();
    volume.replace(1, key, data).unwrap();
    volume.commit(CLOCK).unwrap();
    assert!(dump(&*disk, &["-t", "1"]).contains("drop_level 1"));
    disk
}

#[test]
fn a_half_removed_snapshot_is_left_to_the_kernel() {
    let disk = partly_dropped();
    assert_clean(&*disk, "half removed");
    let mut fs = open(&disk);
    let removed = Place::root_of(256).node().unwrap();
    let error = fs.create_file(removed, b"new", &new(0o644), b"").unwrap_err();
    assert_eq!(error.kind_name(), "refused", "{error}");
    random_edits(&disk, "half removed", 21, 4, true);
}

/// Metadata block groups fill up, on a device without room for more of them.
#[test]
fn what_linux_needs_to_remove_a_file_is_left() {
    let disk = Arc::new(Overlay::new(sized(110 << 20, &["-m", "single", "-n", "16384"])));
    let mut raw = crate::disk::Disk::read_vec(&*disk, 65536, 4096).unwrap();
    // No more space than the chunks have.
    let volume = Volume::open(disk.clone()).unwrap();
    let chunks: u64 =
        volume.chunks().iter().map(|chunk| chunk.length * chunk.stripes.len() as u64).sum();
    put_le_u64(&mut raw, 0xd1, chunks + (1 << 20)).unwrap();
    let sum = volume.superblock().checksum.of(&raw[32..]);
    put(&mut raw, 0, &sum).unwrap();
    crate::disk::DiskEdit::write_at(&*disk, 65536, &raw, "superblock").unwrap();
    let reserve = Volume::open(disk.clone()).unwrap().reserve_bytes().unwrap();
    assert_eq!(reserve, 5_767_168);
    let plain = NewNode { mode: 0o644, ..NewNode::default() };
    let mut refused = None;
    for round in 0..60 {
        let before = disk.savepoint();
        let mut fs = open(&disk);
        let root = fs.root();
        let directory = fs.create_directory(root, format!("d{round}").as_bytes(), &plain).unwrap();
        for number in 0..60 {
            let name = format!("file-{number}");
            fs.create_file(directory, name.as_bytes(), &plain, &[b'x'; 2000]).unwrap();
        }
        if let Err(error) = fs.finish() {
            disk.roll_back(before);
            refused = Some(error);
            break;
        }
    }
    let error = refused.unwrap();
    let ErrorKind::Refused(Refusal::NoSpace { what, needed, available }) = error.kind() else {
        panic!("{error}")
    };
    assert!(what.contains("that Linux needs") && needed > available, "{error}");
    let mut volume = Volume::open(disk.clone()).unwrap();
    let groups: Vec<_> =
        volume.chunks().iter().filter(|chunk| chunk.kind & 4 != 0).cloned().collect();
    let free = groups.iter().map(|chunk| chunk.length - volume.group(chunk.logical).unwrap().used);
    let free: u64 = free.sum();
    assert!(free >= reserve / 2 && free - available == reserve / 2, "{free} {reserve} {available}");
    // What takes no more room than before goes in.
    let mut fs = open(&disk);
    let directory = fs.lookup(fs.root(), b"d0").unwrap().unwrap();
    for number in 0..30 {
        fs.remove(directory, format!("file-{number}").as_bytes()).unwrap();
    }
    fs.finish().unwrap();
}

/// The superblock leads to the log until it is written over, so nothing else is before.
#[test]
fn the_blocks_of_a_log_are_not_written_over() {
    let plain = NewNode { mode: 0o644, ..NewNode::default() };
    for name in ["dirty/append", "dirty/many", "dirty/holes"] {
        let disk = recorded(name);
        let volume = Volume::open(disk.clone()).unwrap();
        let blocks = super::super::log::blocks(&volume).unwrap();
        assert!(blocks.len() >= 2, "{name}");
        let read = || -> Vec<Vec<u8>> {
            let bytes = usize::try_from(volume.node_bytes()).unwrap();
            let read = |block: &u64| {
                let mut buffer = vec![0; bytes];
                volume.read_logical(*block, &mut buffer).unwrap();
                buffer
            };
            blocks.iter().map(read).collect()
        };
        let before = read();
        let mut fs = open(&disk);
        let root = fs.root();
        for number in 0..1000 {
            let name = format!("file-{number}");
            fs.create_file(root, name.as_bytes(), &plain, &[b'x'; 2000]).unwrap();
        }
        fs.finish().unwrap();
        assert!(read() == before, "{name}");
        assert_clean(&*disk, name);
    }
}
