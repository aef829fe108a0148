//! Edits of forks on volumes that the kernel filled, against a plain vector of bytes, judged by xfs_repair.

use super::resize::fork_bytes_needed;
use super::tests::{content, extents, inodes, open};
use super::*;
use crate::disk::overlay::Overlay;
use crate::fs::xfs::inode::{ForkFormat, Inode, flag};
use crate::fs::xfs::testing::{assert_silent, fixture};
use crate::fs::xfs::units::FileBlock;
use crate::fs::xfs::volume::Volume;
use std::sync::Arc;

/// A sequence of numbers that a seed decides.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A file under edit, and what it should contain.
struct File {
    inode: Inode,
    bytes: Vec<u8>,
}

impl File {
    fn new(volume: &Volume, inode: Inode) -> Self {
        let bytes = content(volume, &inode);
        Self { inode, bytes }
    }

    fn write(&mut self, volume: &mut Volume, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[offset..end].copy_from_slice(bytes);
        volume.write_content(&mut self.inode, offset as u64, bytes, "content").unwrap();
    }

    fn cut(&mut self, volume: &mut Volume, size: usize) {
        self.bytes.resize(size, 0);
        volume.cut_content(&mut self.inode, size as u64, "content").unwrap();
    }

    fn punch(&mut self, volume: &mut Volume, from: u64, end: u64) {
        let block_size = volume.superblock().block_size();
        let range = from * block_size..(end * block_size).min(self.bytes.len() as u64);
        if range.start < range.end {
            self.bytes[range.start as usize..range.end as usize].fill(0);
        }
        let (from, end) = (FileBlock(from), FileBlock(end));
        volume.unmap_blocks(&mut self.inode, ForkKind::Data, from, end).unwrap();
    }

    /// One edit somewhere in or just behind the first `limit` bytes.
    fn edit(&mut self, volume: &mut Volume, numbers: &mut Numbers, limit: u64) {
        let block_size = volume.superblock().block_size();
        let size = self.bytes.len() as u64;
        let fill = (numbers.below(255) + 1) as u8;
        match numbers.below(10) {
            0..=3 => {
                let len = 1 + numbers.below(block_size * 3);
                let offset = numbers.below(limit);
                self.write(volume, offset as usize, &vec![fill; len as usize]);
            }
            4..=5 => {
                let len = 1 + numbers.below(block_size);
                self.write(volume, size as usize, &vec![fill; len as usize]);
            }
            6..=7 => {
                let from = numbers.below(limit.div_ceil(block_size));
                let end = from + 1 + numbers.below(5);
                self.punch(volume, from, end);
            }
            8 => {
                let size = size.saturating_sub(numbers.below(block_size * 8));
                self.cut(volume, size as usize);
            }
            _ => {
                let size = size + numbers.below(block_size * 4);
                self.cut(volume, size.min(limit) as usize);
            }
        }
    }

    fn compare(&self, volume: &Volume, what: &str) {
        let found = content(volume, &self.inode);
        assert!(found.len() == self.bytes.len(), "{what}: {} bytes", found.len());
        let differs = found.iter().zip(&self.bytes).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{what}");
    }

    fn store(&mut self, volume: &Volume) {
        extents(volume, &self.inode, ForkKind::Data);
        volume.store_inode(&mut self.inode).unwrap();
    }
}

/// Edits files in turn; looks at the content and asks the checker now and then.
fn edit_at_random(name: &str, paths: &[&str], seed: u64, edits: usize) -> (Arc<Overlay>, Volume) {
    let disk = fixture(name);
    let mut volume = open(&disk);
    let mut files: Vec<_> =
        inodes(&volume, &disk, paths).into_iter().map(|inode| File::new(&volume, inode)).collect();
    let mut numbers = Numbers(seed);
    for round in 0..edits {
        let index = numbers.below(files.len() as u64) as usize;
        let file = &mut files[index];
        let limit = (file.bytes.len() as u64 + 20_000).min(3_000_000);
        file.edit(&mut volume, &mut numbers, limit);
        let what = format!("{name}, seed {seed}, round {round}, {}", paths[index]);
        if round % 16 == 0 {
            file.compare(&volume, &what);
        }
        if round % 60 == 59 || round + 1 == edits {
            for (file, path) in files.iter_mut().zip(paths) {
                file.compare(&volume, &format!("{what}: {path}"));
                file.store(&volume);
            }
            assert_silent(&*disk, &what);
        }
    }
    (disk, volume)
}

const PLAIN: &[&str] = &[
    "/data/forms/fragments",
    "/data/forms/large",
    "/data/forms/unwritten",
    "/data/forms/behind-the-end",
    "/data/forms/empty",
];

#[test]
fn random_edits_of_plain_files() {
    for (name, seed) in
        [("block-1k-rmap", 1), ("parent-1k", 2), ("rhel7", 3), ("rhel10", 4), ("parent", 5)]
    {
        edit_at_random(name, PLAIN, 0x9e37_79b9_7f4a_7c15 ^ seed, 60);
    }
}

#[test]
fn random_edits_of_shared_files_leave_the_others_alone() {
    for (name, seed) in [("default", 1), ("parent-1k", 2), ("block-1k", 3), ("rhel10", 4)] {
        let disk = fixture(name);
        let volume = open(&disk);
        let third = content(&volume, &inodes(&volume, &disk, &["/data/shared/third"])[0]);
        let paths = ["/data/shared/first", "/data/shared/second"];
        let (disk, volume) = edit_at_random(name, &paths, 0x1234_5678_9abc_def1 ^ seed, 60);
        let found = content(&volume, &inodes(&volume, &disk, &["/data/shared/third"])[0]);
        assert!(found == third, "{name}: the third sibling changed");
    }
}

/// Every second file block is unwritten or has to be taken from a piece of free space below 32 KiB.
#[test]
fn random_edits_where_space_is_scattered() {
    for (name, seed) in [("scattered", 1), ("scattered-1k", 2)] {
        let paths = ["/scattered/1-1", "/scattered/2-1", "/scattered/d2/1"];
        edit_at_random(name, &paths, 0x0fed_cba9_8765_4321 ^ seed, 60);
        let disk = fixture(name);
        let mut volume = open(&disk);
        let inode = inodes(&volume, &disk, &paths[2..]).remove(0);
        let mut file = File::new(&volume, inode);
        let bytes: Vec<_> = (0..500_000u32).map(|at| at.to_le_bytes()[1]).collect();
        file.write(&mut volume, 0, &bytes);
        file.compare(&volume, name);
        file.store(&volume);
        assert_silent(&*disk, name);
        let found = extents(&volume, &file.inode, ForkKind::Data);
        assert!(found.len() >= 500_000 / 32_768, "{name}: {found:?}");
    }
}

/// A file whose blocks lie apart, each second one a hole, with `count` extents.
fn fragmented(volume: &mut Volume, inode: Inode, count: u64) -> File {
    let mut file = File::new(volume, inode);
    file.cut(volume, 0);
    let block_size = volume.superblock().block_size();
    for index in 0..count {
        let text = format!("block {index} ").repeat(100);
        let offset = index * 2 * block_size;
        file.write(volume, offset as usize, &text.as_bytes()[..500]);
    }
    file
}

#[test]
fn a_list_becomes_a_tree_and_a_tree_a_list() {
    for name in ["rhel7", "parent-1k"] {
        let disk = fixture(name);
        let mut volume = open(&disk);
        let inode = inodes(&volume, &disk, &["/data/forms/empty"]).remove(0);
        let room = inode.fork(ForkKind::Data).len() as u64 / 16;
        let mut file = fragmented(&mut volume, inode, room);
        assert_eq!(file.inode.format(ForkKind::Data).unwrap(), ForkFormat::Extents, "{name}");
        assert_eq!(file.inode.block_count(), room);
        let block_size = volume.superblock().block_size();
        file.write(&mut volume, (room * 2 * block_size) as usize, b"one more");
        assert_eq!(file.inode.format(ForkKind::Data).unwrap(), ForkFormat::Btree, "{name}");
        assert_eq!(file.inode.extent_count(ForkKind::Data), room + 1, "{name}");
        assert_eq!(file.inode.block_count(), room + 2, "with the block of the tree");
        file.compare(&volume, name);
        file.store(&volume);
        assert_silent(&*disk, name);
        file.punch(&mut volume, 0, 1);
        assert_eq!(file.inode.format(ForkKind::Data).unwrap(), ForkFormat::Extents, "{name}");
        assert_eq!(file.inode.block_count(), room, "{name}");
        file.compare(&volume, name);
        file.store(&volume);
        assert_silent(&*disk, name);
    }
}

#[test]
fn holes_that_are_filled_join_their_neighbours() {
    let disk = fixture("rhel7");
    let mut volume = open(&disk);
    let inode = inodes(&volume, &disk, &["/data/forms/empty"]).remove(0);
    let mut file = fragmented(&mut volume, inode, 40);
    file.write(&mut volume, 0, &vec![7; 80 * 4096]);
    let found = extents(&volume, &file.inode, ForkKind::Data);
    assert!(found.windows(2).all(|pair| pair[0].joined(&pair[1]).is_none()), "{found:?}");
    file.compare(&volume, "filled");
    file.store(&volume);
    assert_silent(&*disk, "filled");
}

#[test]
fn a_deep_tree_grows_and_goes_away_without_a_trace() {
    let name = "parent-1k";
    let disk = fixture(name);
    let mut volume = open(&disk);
    let free = volume.superblock().free_blocks;
    let inode = inodes(&volume, &disk, &["/data/forms/empty"]).remove(0);
    let mut file = fragmented(&mut volume, inode, 1300);
    let level = file.inode.fork(ForkKind::Data)[1];
    assert!(level >= 2, "{name}: {level}");
    file.compare(&volume, name);
    file.store(&volume);
    assert_silent(&*disk, name);
    volume.free_fork(&mut file.inode, ForkKind::Data).unwrap();
    file.inode.set_size_bytes(0).unwrap();
    assert_eq!(file.inode.block_count(), 0, "{name}");
    assert_eq!(file.inode.format(ForkKind::Data).unwrap(), ForkFormat::Extents, "{name}");
    file.store(&volume);
    assert_silent(&*disk, name);
    // The trees of the allocation group may keep a block that they grew by.
    let lost = free - volume.superblock().free_blocks;
    assert!(lost <= 2, "{name}: {lost} blocks lost");
}

#[test]
fn the_border_between_the_forks_moves() {
    for name in ["rhel7", "block-1k-rmap"] {
        let disk = fixture(name);
        let mut volume = open(&disk);
        let inode = inodes(&volume, &disk, &["/data/forms/empty"]).remove(0);
        let mut file = fragmented(&mut volume, inode, 12);
        let literal = file.inode.literal_len();
        let needed = fork_bytes_needed(&file.inode, ForkKind::Attribute).unwrap();
        for offset in [160, 64, 248, 56, literal - needed.next_multiple_of(8).max(24)] {
            volume.set_fork_offset(&mut file.inode, offset).unwrap();
            assert_eq!(file.inode.fork(ForkKind::Data).len(), offset, "{name}");
            file.compare(&volume, &format!("{name}: {offset}"));
            file.store(&volume);
            assert_silent(&*disk, &format!("{name}: {offset}"));
        }
        let mut large = fragmented(&mut volume, file.inode, 300);
        for offset in [72, 200, literal - needed.next_multiple_of(8).max(24)] {
            volume.set_fork_offset(&mut large.inode, offset).unwrap();
            large.compare(&volume, &format!("{name}: {offset}"));
            large.store(&volume);
            assert_silent(&*disk, &format!("{name}: tree, {offset}"));
        }
        assert!(volume.set_fork_offset(&mut large.inode, literal).is_err(), "{name}");
    }
}

#[test]
fn what_fits_the_last_block_takes_no_other() {
    let disk = fixture("parent");
    let mut volume = open(&disk);
    let inode = inodes(&volume, &disk, &["/data/forms/small"]).remove(0);
    let mut file = File::new(&volume, inode);
    let end = file.bytes.len();
    file.write(&mut volume, end, b"another line\n");
    file.compare(&volume, "appended");
    let changes = disk.changes().unwrap();
    assert_eq!(changes.len(), 1, "one sector of content: {changes:?}");
    assert_eq!(changes[0].after.len(), 512);
    assert_eq!(changes[0].labels, ["content"]);
    file.store(&volume);
    assert_silent(&*disk, "appended");
}

#[test]
fn stale_bytes_behind_the_end_never_become_content() {
    let disk = fixture("default");
    let mut volume = open(&disk);
    let inode = inodes(&volume, &disk, &["/data/forms/large"]).remove(0);
    let mut file = File::new(&volume, inode);
    // As a kernel leaves it: shorter, with everything else as it was.
    file.bytes.truncate(5000);
    file.inode.set_size_bytes(5000).unwrap();
    file.store(&volume);
    assert_silent(&*disk, "blocks behind the end");
    file.write(&mut volume, 5000, b"x");
    file.write(&mut volume, 30_000, b"y");
    file.cut(&mut volume, 50_001);
    file.compare(&volume, "stale bytes");
    file.store(&volume);
    assert_silent(&*disk, "stale bytes");
}

#[test]
fn files_that_need_more_than_blocks_are_refused_by_name() {
    let disk = fixture("default");
    let mut volume = open(&disk);
    let mut inode = inodes(&volume, &disk, &["/data/forms/small"]).remove(0);
    inode.set_flags(inode.flags() | flag::EXTSIZE).unwrap();
    let refused = volume.write_content(&mut inode, 9000, b"x", "content").unwrap_err();
    assert!(refused.to_string().contains("extent size hint (inode "), "{refused}");
    volume.write_content(&mut inode, 0, b"X", "content").unwrap();
    inode.set_flags(flag::REALTIME).unwrap();
    let refused = volume.read_content(&inode, 0, 1).unwrap_err();
    assert!(refused.to_string().starts_with("content on a realtime device"), "{refused}");
    let refused = volume.cut_content(&mut inode, 0, "content").unwrap_err();
    assert!(refused.to_string().starts_with("content on a realtime device"), "{refused}");
    inode.set_flags(0).unwrap();
    inode.set_format(ForkKind::Data, ForkFormat::Local).unwrap();
    let refused = volume.read_content(&inode, 0, 1).unwrap_err();
    assert!(refused.to_string().contains("is in the inode"), "{refused}");
}
