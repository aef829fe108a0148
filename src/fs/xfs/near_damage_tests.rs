//! Damage with right checksums near to an edit that could be made without noticing it: the edit or its verification
//! refuses, and xfs_repair says that there is something to find.

use super::ag::{Agf, Agi};
use super::testing::{RepairVerdict, assert_silent, fixture, repair};
use super::units::{AgBlock, AgNumber, FsBlock};
use super::volume::{AgSector, Volume};
use super::{Xfs, check, checksum};
use crate::bytes::field::{be_u32, put_be_u32};
use crate::disk::overlay::Overlay;
use crate::error::Result;
use crate::fs::{FileEdit as _, FileSystem as _, NewNode, Timestamp};
use std::sync::Arc;

const CLOCK: Timestamp = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
const FIRST: AgNumber = AgNumber(0);
const SECOND: AgNumber = AgNumber(1);

/// Makes a file in the root directory and verifies that, on a layer of its own.
fn edit(disk: Arc<Overlay>) -> Result<Arc<Overlay>> {
    let layer = Arc::new(Overlay::new(disk));
    let mut xfs = Xfs::open(layer.clone(), CLOCK)?;
    let node = NewNode { mode: 0o600, uid: 1, gid: 1, xattrs: Vec::new() };
    xfs.create_file(xfs.root(), b"new", &node, &[b'x'; 20_000])?;
    xfs.finish()?;
    let written = layer.written();
    check::verify(&Xfs::open(layer.clone(), CLOCK)?, &written, &[])?;
    Ok(layer)
}

/// What the edit says after `damage`; xfs_repair finds something as well.
fn refusal(name: &str, damage: impl FnOnce(&Volume)) -> String {
    let disk = fixture(name);
    damage(&Volume::open(disk.clone(), CLOCK).unwrap());
    // With copies of the superblock that differ, xfs_repair finds that and gives up.
    assert_ne!(repair(&*disk), RepairVerdict::Silent, "{name}: xfs_repair agrees");
    edit(disk).map(drop).unwrap_err().to_string()
}

#[test]
fn the_same_edit_of_good_volumes_is_verified() {
    for name in ["default", "rhel7", "block-1k"] {
        assert_silent(&*edit(fixture(name)).unwrap(), name);
    }
}

/// Counts one free inode more in every record of the leaf that is the root of a tree.
fn miscount(volume: &Volume, root: AgBlock, size_of_count: usize) {
    let block: FsBlock = volume.superblock().join(FIRST, root).unwrap();
    let mut bytes = volume.read_blocks(block, 1).unwrap();
    assert_eq!(bytes[4..6], [0, 0], "a leaf");
    let records = usize::from(u16::from_be_bytes([bytes[6], bytes[7]]));
    for record in bytes[56..56 + records * 16].chunks_mut(16) {
        record[8 - size_of_count..8][size_of_count - 1] += 1;
    }
    checksum::seal(&mut bytes, 52).unwrap();
    volume.write_blocks(block, &bytes, "damage").unwrap();
}

#[test]
fn free_inodes_of_a_chunk_must_be_counted_right() {
    type Root = fn(&Agi) -> AgBlock;
    let cases: [(&str, Root, usize); 3] = [
        ("default", |agi| agi.free_inodes.unwrap().block, 1),
        ("default", |agi| agi.inodes.block, 1),
        // Without sparse inodes, the count has four bytes; without finobt, the inobt is searched.
        ("rhel7", |agi| agi.inodes.block, 4),
    ];
    for (name, root, size_of_count) in cases {
        let message = refusal(name, |volume| {
            miscount(volume, root(&Agi::load(volume, FIRST).unwrap()), size_of_count);
        });
        assert!(message.contains("free"), "{name}: {message}");
    }
}

#[test]
fn unused_places_of_the_free_list_must_be_blocks() {
    let damage = |volume: &Volume, entry: u32| {
        let unused = (Agf::load(volume, FIRST).unwrap().free_list.last + 20) % 119;
        let mut bytes = volume.read_sector(FIRST, AgSector::Agfl).unwrap();
        put_be_u32(&mut bytes, 36 + unused as usize * 4, entry).unwrap();
        checksum::seal(&mut bytes, 32).unwrap();
        volume.write_sector(FIRST, AgSector::Agfl, &bytes, "damage").unwrap();
    };
    for outside in [0x7fff_ffff, 0xffff_fffe] {
        let message = refusal("default", |volume| damage(volume, outside));
        assert!(message.contains("an entry out of use"), "{message}");
    }
    let disk = fixture("default");
    damage(&Volume::open(disk.clone(), CLOCK).unwrap(), u32::MAX);
    assert_silent(&*edit(disk).unwrap(), "an entry that was never used");
}

#[test]
fn copies_of_the_superblock_must_have_its_geometry() {
    for (at, name) in [
        (0, "magic number"),
        (12, "number of blocks"),
        (84, "allocation groups"),
        (180, "alignment of inodes"),
    ] {
        let message = refusal("default", |volume| {
            let mut bytes = volume.read_sector(SECOND, AgSector::Superblock).unwrap();
            let value = be_u32(&bytes, at).unwrap() ^ 2;
            put_be_u32(&mut bytes, at, value).unwrap();
            checksum::seal(&mut bytes, 224).unwrap();
            volume.write_sector(SECOND, AgSector::Superblock, &bytes, "damage").unwrap();
        });
        assert!(message.contains(name), "{message}");
    }
}
