//! Directories of the kernel before us, and directories of ours before xfs_repair.
//!
//! For the second, mkfs.xfs makes a volume with an empty directory and a large file; the blocks of
//! the file then become those of the directory. All names are hard links to one file.

#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::check::{check, check_short};
use super::short::Short;
use super::tests::{Tested, name_of};
use super::*;
use crate::disk::Disk as _;
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::fs::Timestamp;
use crate::fs::xfs::btree::{EXTENT_BYTES, Extent};
use crate::fs::xfs::checksum;
use crate::fs::xfs::inode::{ForkFormat, ForkKind, Inode};
use crate::fs::xfs::testing::{Copy, RepairVerdict, repair, tools};
use crate::fs::xfs::units::FsBlock;
use crate::fs::xfs::volume::Volume;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// The blocks of a directory of a volume, for reading.
#[derive(Debug)]
struct OnDisk<'a> {
    volume: &'a Volume,
    inode: Inode,
    format: DaFormat,
}

fn format_of(volume: &Volume, inode: InodeNumber) -> DaFormat {
    let superblock = volume.superblock();
    DaFormat {
        block_size_bytes: superblock.block_size_bytes,
        da_block_size_bytes: superblock.block_size_bytes << superblock.directory_block_log,
        inode,
        has_crc: superblock.has_crc(),
        has_file_type: superblock.features.has_file_type(),
        is_ascii_ci: superblock.features.is_ascii_ci(),
        meta_uuid: superblock.meta_uuid,
    }
}

impl DaBlocks for OnDisk<'_> {
    fn format(&self) -> &DaFormat {
        &self.format
    }

    fn read(&self, at: FileBlock) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        for block in at.0..at.0 + self.format.blocks_per_da_block() {
            let at = FileBlock(block);
            let Some(extent) = self.volume.find_extent(&self.inode, ForkKind::Data, at)? else {
                return Ok(None);
            };
            bytes.extend(self.volume.read_blocks(extent.block_at(at)?, 1)?);
        }
        Ok(Some(bytes))
    }

    fn daddr(&self, at: FileBlock) -> Result<u64> {
        let extent = self.volume.find_extent(&self.inode, ForkKind::Data, at)?.unwrap();
        self.volume.superblock().daddr(extent.block_at(at)?)
    }

    fn next_mapped(&self, from: FileBlock) -> Result<Option<FileBlock>> {
        let next = self.volume.next_extent(&self.inode, ForkKind::Data, from)?;
        Ok(next.map(|extent| extent.file_block.max(from)))
    }

    fn write(&mut self, _: FileBlock, _: &[u8], _: &str) -> Result<()> {
        panic!("write");
    }

    fn allocate(&mut self, _: FileBlock) -> Result<()> {
        panic!("allocate");
    }

    fn free(&mut self, _: FileBlock) -> Result<()> {
        panic!("free");
    }
}

fn open(image: Vec<u8>) -> (Volume, Arc<Overlay>) {
    let overlay = Arc::new(Overlay::new(Arc::new(MemoryDisk::new(image))));
    let clock = Timestamp { seconds: 0, nanoseconds: 0 };
    (Volume::open(overlay.clone(), clock).unwrap(), overlay)
}

/// All names of a directory, which is checked.
fn listed(volume: &Volume, number: InodeNumber) -> Vec<Entry> {
    let inode = volume.load_inode(number).unwrap();
    let format = format_of(volume, number);
    let size: usize = inode.size_bytes() as usize;
    let mut found = Vec::new();
    let mut take = |entry: &Entry| {
        found.push(entry.clone());
        Ok(ControlFlow::Continue(()))
    };
    if inode.format(ForkKind::Data).unwrap() == ForkFormat::Local {
        let bytes = &inode.fork(ForkKind::Data)[..size];
        check_short(&format, bytes).unwrap();
        visit_short(&format, bytes, &mut take).unwrap();
        for entry in &found {
            assert_eq!(lookup_short(&format, bytes, &entry.name).unwrap().as_ref(), Some(entry));
        }
        assert_eq!(Short::parse(bytes, &format).unwrap().encode(&format).unwrap(), bytes);
        return found;
    }
    let size_bytes = inode.size_bytes();
    let blocks = OnDisk { volume, inode, format };
    let summary = check(&blocks, size_bytes).unwrap();
    visit(&blocks, &mut take).unwrap();
    assert_eq!(summary.names + 2, found.len() as u64);
    // All of them in a small directory; a sample of a large one.
    for entry in found.iter().step_by(found.len() / 50 + 1) {
        assert_eq!(lookup(&blocks, &entry.name).unwrap().as_ref(), Some(entry));
    }
    assert_eq!(lookup(&blocks, b"no such name").unwrap(), None);
    found
}

fn unpacked(path: &Path) -> Vec<u8> {
    let output = Command::new("zstd").args(["-q", "-d", "-c"]).arg(path).output();
    let output = output.unwrap_or_else(|error| panic!("zstd (package zstd): {error}"));
    assert!(output.status.success(), "{}: {output:?}", path.display());
    output.stdout
}

#[test]
fn every_directory_of_every_fixture_is_sound() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/xfs");
    let mut names: Vec<_> =
        std::fs::read_dir(&fixtures).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let mut large = 0;
    for name in names.iter().filter_map(|name| name.to_str()?.strip_suffix(".zst")) {
        // Logs and realtime devices; and blocks so large that the image is, too.
        if name.contains('.') || name == "block-64k" {
            continue;
        }
        let image = unpacked(&fixtures.join(format!("{name}.zst")));
        let (volume, _) = open(image);
        let mut queue = vec![volume.superblock().root];
        let mut seen = BTreeSet::new();
        while let Some(number) = queue.pop() {
            assert!(seen.insert(number), "{name}: {number}");
            for entry in listed(&volume, number) {
                let is_directory = match entry.kind() {
                    Some(kind) => kind == NodeKind::Directory,
                    None => {
                        volume.load_inode(entry.inode).unwrap().kind().unwrap()
                            == NodeKind::Directory
                    }
                };
                if is_directory && entry.name != b"." && entry.name != b".." {
                    queue.push(entry.inode);
                }
            }
        }
        large += seen.len();
    }
    assert!(large > 500, "{large}");
}

/// The lines of `ls` in xfs_db, which give inode, hash and name, and whether the hash is right.
#[test]
fn listings_are_those_of_xfs_db() {
    for name in ["default", "directory-8k", "block-1k", "v4-no-ftype", "v4-512", "parent"] {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/xfs");
        let (volume, overlay) = open(unpacked(&fixtures.join(format!("{name}.zst"))));
        let copy = Copy::of(&*overlay);
        for directory in ["short", "block", "leaf", "node"] {
            let path = format!("path /data/{directory}");
            let said = tools::db(&copy.path, &[&path, "ls"]);
            let theirs: BTreeSet<String> = said
                .lines()
                .map(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    format!("{} {} {} {}", words[1], words[3], words[5], words[6])
                })
                .collect();
            let own = said.lines().find(|line| line.ends_with(" . (good)")).unwrap();
            let number = own.split_whitespace().nth(1).unwrap().parse().unwrap();
            let format = format_of(&volume, InodeNumber(number));
            let ours: BTreeSet<String> = listed(&volume, InodeNumber(number))
                .iter()
                .map(|entry| {
                    let hash = hash_name(&format, &entry.name);
                    let name = String::from_utf8_lossy(&entry.name);
                    format!("{} {hash:#010x} {name} (good)", entry.inode.0)
                })
                .collect();
            assert_eq!(ours, theirs, "{name}: {directory}");
        }
    }
}

/// A volume with a directory that takes its blocks from a file.
struct Placed {
    volume: Volume,
    overlay: Arc<Overlay>,
    copy: Copy,
    pool: Inode,
    pool_extent: Extent,
    file: InodeNumber,
    directory: InodeNumber,
    tested: Tested,
}

const POOL_BYTES: usize = 8 << 20;

fn extents_of(inode: &Inode) -> Vec<Extent> {
    let count = inode.extent_count(ForkKind::Data) as usize;
    let records = inode.fork(ForkKind::Data).chunks_exact(EXTENT_BYTES).take(count);
    records.map(|record| Extent::parse(record).unwrap()).collect()
}

fn set_extents(inode: &mut Inode, extents: &[Extent]) {
    let mut bytes = vec![0; extents.len() * EXTENT_BYTES];
    for (record, extent) in bytes.chunks_exact_mut(EXTENT_BYTES).zip(extents) {
        extent.encode(record).unwrap();
    }
    inode.set_format(ForkKind::Data, ForkFormat::Extents).unwrap();
    inode.put_fork(ForkKind::Data, &bytes).unwrap();
    inode.set_extent_count(ForkKind::Data, extents.len() as u64).unwrap();
    let blocks = extents.iter().map(|extent| u64::from(extent.count)).sum();
    inode.set_block_count(blocks).unwrap();
}

impl Placed {
    fn new(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (image, proto, zeros) =
            (directory.path().join("i"), directory.path().join("p"), directory.path().join("z"));
        std::fs::write(&zeros, vec![0; POOL_BYTES]).unwrap();
        let lines = format!(
            "/\n0 0\nd--755 0 0\npool ---644 0 0 {}\nfile ---644 0 0 /dev/null\nd d--755 0 0\n$\n$\n",
            zeros.display()
        );
        std::fs::write(&proto, lines).unwrap();
        std::fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        let fixed = ["-q", "-f", "-d", "agcount=2", "-p", proto.to_str().unwrap()];
        let arguments = [&fixed[..], options, &[image.to_str().unwrap()]].concat();
        let output = tools::run("mkfs.xfs", &arguments);
        assert!(output.status.success(), "{options:?}: {output:?}");

        let (volume, overlay) = open(std::fs::read(&image).unwrap());
        let root = listed(&volume, volume.superblock().root);
        let named = |name: &[u8]| root.iter().find(|it| it.name == name).unwrap().inode;
        let pool = volume.load_inode(named(b"pool")).unwrap();
        let extents = extents_of(&pool);
        let pool_extent = extents[0];
        assert_eq!(extents.len(), 1, "{options:?}");
        let (directory, file) = (named(b"d"), named(b"file"));
        let format = format_of(&volume, directory);
        let mut tested = Tested::new(format, volume.load_inode(directory).unwrap().literal_len());
        tested.short = Some(empty_short(&format, volume.superblock().root).unwrap());
        let copy = Copy::of(&*overlay);
        let mut placed = Self { volume, overlay, copy, pool, pool_extent, file, directory, tested };
        placed.place_blocks();
        placed
    }

    /// Directory blocks of the pool for data, for leaves and nodes, and for the free index.
    fn shares(&self) -> [u64; 3] {
        let step = self.tested.format.blocks_per_da_block();
        let all = u64::from(self.pool_extent.count) / step;
        let (leaf, free) = (all / 4, all / 16);
        [all - leaf - free, leaf, free]
    }

    /// Which block of the pool is block `at` of the directory.
    fn pool_block(&self, at: u64) -> u64 {
        let format = &self.tested.format;
        let step = format.blocks_per_da_block();
        let leaf = leaf_extent(format);
        let [data, leaves, _] = self.shares();
        let (base, start) = if at < leaf.root.0 {
            (0, 0)
        } else if at < leaf.end.0 {
            (data * step, leaf.root.0)
        } else {
            ((data + leaves) * step, leaf.end.0)
        };
        base + at - start
    }

    /// Tells the directory where its blocks will be.
    fn place_blocks(&mut self) {
        let format = self.tested.format;
        let step = format.blocks_per_da_block();
        let leaf = leaf_extent(&format);
        let [data, leaves, free] = self.shares();
        let areas = [(0, data), (leaf.root.0, leaves), (leaf.end.0, free)];
        for (start, count) in areas {
            for at in (start..start + count * step).step_by(step as usize) {
                let block = FsBlock(self.pool_extent.start.0 + self.pool_block(at));
                let daddr = self.volume.superblock().daddr(block).unwrap();
                self.tested.blocks.daddrs.insert(at, daddr);
            }
        }
    }

    /// Puts the directory into the image; false if it has more extents than fit the inode.
    fn store(&mut self) -> bool {
        let mut inode = self.volume.load_inode(self.directory).unwrap();
        let mut extents: Vec<Extent> = Vec::new();
        let mut rest: Vec<Extent> = Vec::new();
        let push = |extents: &mut Vec<Extent>, file_block: u64, block: u64| {
            let start = self.pool_extent.start.0 + block;
            match extents.last_mut() {
                Some(last)
                    if last.end() == file_block
                        && last.start.0 + u64::from(last.count) == start =>
                {
                    last.count += 1;
                }
                _ => extents.push(Extent {
                    file_block: FileBlock(file_block),
                    start: FsBlock(start),
                    count: 1,
                    is_unwritten: false,
                }),
            }
        };
        let step = self.tested.format.blocks_per_da_block();
        let mut used = BTreeSet::new();
        for at in self.tested.blocks.blocks.keys().flat_map(|at| *at..*at + step) {
            used.insert(self.pool_block(at));
            push(&mut extents, at, self.pool_block(at));
        }
        for block in (0..u64::from(self.pool_extent.count)).filter(|it| !used.contains(it)) {
            push(&mut rest, block, block);
        }
        let room = inode.literal_len() / EXTENT_BYTES;
        if extents.len().max(rest.len()) > room {
            return false;
        }
        if let Some(short) = &self.tested.short {
            inode.put_fork(ForkKind::Data, short).unwrap();
        } else {
            set_extents(&mut inode, &extents);
        }
        inode.set_size_bytes(self.tested.size_bytes).unwrap();
        self.volume.store_inode(&mut inode).unwrap();
        set_extents(&mut self.pool, &rest);
        self.volume.store_inode(&mut self.pool).unwrap();
        let mut file = self.volume.load_inode(self.file).unwrap();
        file.set_link_count(1 + self.tested.check().names as u32).unwrap();
        self.volume.store_inode(&mut file).unwrap();
        for (at, bytes) in &self.tested.blocks.blocks {
            let block = FsBlock(self.pool_extent.start.0 + self.pool_block(*at));
            self.volume.write_blocks(block, bytes, "directory").unwrap();
        }
        true
    }

    /// Puts the directory into the image and asks xfs_repair.
    fn assert_silent(&mut self, what: &str) {
        assert!(self.store(), "{what}: too many extents");
        let file = std::fs::OpenOptions::new().write(true).open(&self.copy.path).unwrap();
        for range in self.overlay.written() {
            let len = (range.end - range.start) as usize;
            let bytes = self.overlay.read_vec(range.start, len).unwrap();
            file.write_all_at(&bytes, range.start).unwrap();
        }
        assert_eq!(tools::repair(&self.copy.path, None), RepairVerdict::Silent, "{what}");
    }

    fn insert(&mut self, name: &[u8]) {
        self.tested.insert(name, self.file.0).unwrap();
    }
}

/// Grows a directory to `count` names and empties it again.
fn grow_and_shrink(options: &[&str], count: u32, len_max: usize) {
    let mut placed = Placed::new(options);
    let mut form = None;
    let mut checked = 0;
    for number in 0..count {
        placed.insert(&name_of(number, len_max));
        let next = (placed.tested.form(), placed.tested.blocks.blocks.len());
        if form != Some(next) && (checked < 24 || number % 64 == 0) || number + 1 == count {
            placed.assert_silent(&format!("{options:?}: {} names", number + 1));
            form = Some(next);
            checked += 1;
        }
    }
    // Single names that leave holes in data blocks, then all of the front, which leaves blocks empty.
    for number in (0..count).filter(|number| number % 7 == 3) {
        placed.tested.remove(&name_of(number, len_max)).unwrap();
    }
    placed.assert_silent(&format!("{options:?}: every seventh name removed"));
    for (done, number) in (0..count).filter(|number| number % 7 != 3).enumerate() {
        placed.tested.remove(&name_of(number, len_max)).unwrap();
        if (done as u32).is_multiple_of(count / 8) {
            placed.assert_silent(&format!("{options:?}: {done} names removed"));
        }
        if done as u32 == count / 2 {
            for number in 0..count / 10 {
                placed.insert(format!("again {number}").as_bytes());
            }
            placed.assert_silent(&format!("{options:?}: {} names again", count / 10));
        }
    }
    placed.assert_silent(&format!("{options:?}: nearly empty"));
    assert_eq!(listed(&placed.volume, placed.directory).len(), placed.tested.list().len());
}

const PLAIN: &[&str] = &["-m", "rmapbt=0,reflink=0"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [PLAIN, more].concat()
}

#[test]
fn xfs_repair_accepts_directories_of_small_blocks() {
    grow_and_shrink(&with(&["-b", "size=1024", "-i", "size=512"]), 1200, 12);
}

#[test]
fn xfs_repair_accepts_directories_of_usual_blocks() {
    grow_and_shrink(&with(&["-i", "size=2048"]), 800, 60);
}

#[test]
fn xfs_repair_accepts_directory_blocks_of_several_blocks() {
    grow_and_shrink(&with(&["-b", "size=1024", "-n", "size=4096"]), 600, 100);
    grow_and_shrink(&with(&["-n", "size=8192"]), 600, 100);
    grow_and_shrink(&with(&["-n", "size=65536"]), 900, 250);
}

#[test]
#[ignore = "campaign: nodes of two levels, two blocks of the free index"]
fn xfs_repair_accepts_directories_of_many_names() {
    grow_and_shrink(&with(&["-b", "size=1024", "-i", "size=512"]), 12000, 100);
    grow_and_shrink(&["-m", "crc=0", "-b", "size=512", "-i", "size=256"], 6000, 60);
}

/// The kernel lists what we made, and works on with it.
#[test]
#[ignore = "needs root and loop devices"]
fn the_kernel_works_on_with_directories() {
    let options: [&[&str]; 3] = [
        &["-b", "size=1024", "-i", "size=512"],
        &["-i", "size=2048"],
        &["-n", "size=8192", "-i", "size=2048"],
    ];
    for options in options {
        let mut placed = Placed::new(&with(options));
        for count in [3, 20, 100, 700, 3000] {
            for number in placed.tested.check().names as u32..count {
                placed.insert(format!("{number:040}").as_bytes());
            }
            placed.assert_silent("grown");
            let mount = tempfile::tempdir().unwrap();
            let (image, at) = (placed.copy.path.to_str().unwrap(), mount.path().to_str().unwrap());
            let scratch = format!("{image}.mounted");
            // Names go and come in the kernel's way, so that every block of ours is read and changed.
            let script = format!(
                "set -e; cp {image} {scratch}; mount -o loop {scratch} {at}; trap 'umount {at}' EXIT; \
                 cd {at}/d; ls -f | wc -l; ls -f | tail -n +4 | sed -n 'p;n;n' | xargs -r rm; \
                 for i in $(seq 300); do ln ../file k$i; done; ls -f | wc -l; \
                 ls -f | tail -n +4 | xargs -r rm; cd /"
            );
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert!(output.status.success(), "{options:?} {count}: {output:?}");
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(said.lines().next().unwrap(), (count + 2).to_string());
            tools::assert_silent(Path::new(&scratch), &format!("{options:?} {count}"));
        }
    }
}

/// The judge sees what is wrong in the places where directories are put, and so do we.
#[test]
fn xfs_repair_finds_a_wrong_index() {
    let mut placed = Placed::new(&with(&["-i", "size=2048"]));
    for number in 0..700 {
        placed.insert(&name_of(number, 60));
    }
    let leaf = leaf_extent(&placed.tested.format);
    // The last byte of the first hash of the root, and of the first free space.
    for (at, byte, crc_at) in [(leaf.root.0, 67, 12), (leaf.end.0, 65, 4)] {
        placed.assert_silent("sound");
        let good = placed.tested.blocks.blocks[&at].clone();
        let mut damaged = good.clone();
        damaged[byte] ^= 1;
        checksum::seal(&mut damaged, crc_at).unwrap();
        let block = FsBlock(placed.pool_extent.start.0 + placed.pool_block(at));
        placed.volume.write_blocks(block, &damaged, "directory").unwrap();
        let verdict = repair(&*placed.overlay);
        assert!(matches!(verdict, RepairVerdict::Findings(_)), "{at}: {verdict:?}");
        placed.tested.blocks.blocks.insert(at, damaged);
        assert!(check(&placed.tested.blocks, placed.tested.size_bytes).is_err());
        placed.tested.blocks.blocks.insert(at, good);
    }
}

#[test]
fn xfs_repair_accepts_directories_of_version_4() {
    let old = ["-m", "crc=0"];
    grow_and_shrink(&[&old[..], &["-i", "size=2048"]].concat(), 500, 60);
    grow_and_shrink(&[&old[..], &["-n", "ftype=0", "-i", "size=2048"]].concat(), 500, 60);
}

#[test]
fn xfs_repair_accepts_directories_without_case() {
    grow_and_shrink(&with(&["-n", "version=ci", "-i", "size=2048"]), 300, 40);
}
