//! Edits of damaged volumes: tree blocks with changed bytes and right checksums. Either the edit is refused or fails, or
//! what was clean before is clean after.
//!
//! `REGAIN_DAMAGE_ROUNDS` sets how many, `REGAIN_SEED` where they start.

use super::super::Btrfs;
use super::super::key::{Key, item, object};
use super::super::node::Node;
use super::super::testing::{CLOCK, base, check, recorded};
use super::super::tree::TreeRoot;
use super::super::volume::Volume;
use super::tests::new;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk as _, DiskEdit as _};
use crate::error::Result;
use crate::fs::{FileEdit as _, FileSystem as _, NodeId};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The addresses of all blocks of all trees but the chunk tree.
fn blocks(volume: &Volume) -> Vec<u64> {
    let mut roots = vec![volume.root_tree()];
    let (from, to) = (Key::MIN, Key::last_of(object::LAST_FREE));
    volume
        .for_each(&volume.root_tree(), from, to, &mut |key, data| {
            if key.kind == item::ROOT_ITEM {
                roots.push(TreeRoot::parse(key.objectid, data)?);
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    let mut blocks = Vec::new();
    for root in roots {
        collect(volume, &root, &volume.root_node(&root).unwrap(), &mut blocks);
    }
    blocks.sort_unstable();
    blocks.dedup();
    blocks
}

fn collect(volume: &Volume, root: &TreeRoot, node: &Node, blocks: &mut Vec<u64>) {
    blocks.push(node.bytenr);
    for index in 0..node.pointers().len() {
        collect(volume, root, &volume.child(root, node, index).unwrap(), blocks);
    }
}

/// Changes one to three bytes of a block in all copies, where something stands.
fn damage(disk: &Overlay, volume: &Volume, blocks: &[u64], random: &mut TestRng) {
    let bytenr = blocks[random.next_u32() as usize % blocks.len()];
    let size = usize::try_from(volume.node_bytes()).unwrap();
    let copies = volume.chunks().copies(bytenr, volume.node_bytes()).unwrap();
    let mut bytes = disk.read_vec(copies[0], size).unwrap();
    for _ in 0..=random.next_u32() % 3 {
        let used: Vec<usize> = (48..size).filter(|at| bytes[*at] != 0).collect();
        let at = used[random.next_u32() as usize % used.len()] ^ (random.next_u32() as usize % 8);
        bytes[at.clamp(48, size - 1)] = match random.next_u32() % 4 {
            0 => 0,
            1 => 0xff,
            2 => bytes[at.clamp(48, size - 1)] ^ 1,
            _ => random.next_u32() as u8,
        };
    }
    let sum = volume.superblock().checksum.of(&bytes[32..]);
    bytes[..32].copy_from_slice(&sum);
    for physical in copies {
        disk.write_at(physical, &bytes, "damage").unwrap();
    }
}

/// A bit of everything.
fn edit(disk: &Arc<Overlay>) -> Result<()> {
    let mut fs = Btrfs::open(disk.clone(), CLOCK)?;
    let mut root = fs.root();
    for subvolume in fs.subvolumes()? {
        if !subvolume.is_read_only {
            root = subvolume.root;
        }
    }
    let directory = fs.create_directory(root, b"made", &new(0o755))?;
    let file = fs.create_file(directory, b"file", &new(0o600), b"content\n")?;
    fs.append(file, &[b'x'; 9000])?;
    let mut known: Vec<(Vec<u8>, NodeId)> = Vec::new();
    fs.read_dir(root, &mut |entry| {
        known.push((entry.name, entry.node));
        Ok(ControlFlow::Continue(()))
    })?;
    for (name, node) in known {
        if fs.metadata(node)?.kind == crate::fs::NodeKind::File {
            fs.set_xattr(node, b"user.x", Some(b"y"))?;
            fs.append(node, b"more")?;
            fs.remove(root, &name)?;
        }
    }
    fs.finish()
}

#[test]
fn damaged_volumes_do_not_get_worse() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let rounds = number("REGAIN_DAMAGE_ROUNDS").unwrap_or(12);
    let seed = u8::try_from(number("REGAIN_SEED").unwrap_or(1)).unwrap();
    let (mut failed, mut judged) = (0, 0);
    for (index, name) in ["mkfs", "shared/balanced", "mixed", "blake2"].into_iter().enumerate() {
        let good = || {
            let made = || Arc::new(Overlay::new(base(&["-n", "4096"])));
            if name == "mkfs" { made() } else { recorded(name) }
        };
        let seed = seed.wrapping_add(u8::try_from(index).unwrap());
        let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let disk = good();
        let volume = Volume::open(disk.clone()).unwrap();
        let blocks = blocks(&volume);
        for round in 0..rounds {
            let disk = good();
            damage(&disk, &volume, &blocks, &mut random);
            let before = disk.savepoint();
            let Ok(()) = edit(&disk) else {
                failed += 1;
                continue;
            };
            // The checker is slow, and most damage it finds before.
            if round % 4 != 0 {
                continue;
            }
            let after = check(&*disk);
            disk.roll_back(before);
            if !after.is_empty() {
                let before = check(&*disk);
                assert!(!before.is_empty(), "{name}, seed {seed}, round {round}: {after}");
            }
            judged += 1;
        }
    }
    assert!(failed > 0 && judged > 0, "{failed} {judged}");
}
