//! Writes JBD2 logs into images: dirty journals of every kind, whole and torn.
//!
//! Made from the kernel documentation ("ext4 Data Structures and Algorithms", "Journal (jbd2)")
//! alone, with no code of the library, and judged by `debugfs -R logdump` and by what e2fsck
//! recovers.

use std::ops::Range;
use std::path::Path;
use std::process::Command;

const MAGIC: u32 = 0xc03b_3998;

/// How blocks of the log are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    None,
    V1,
    V2,
    V3,
}

/// A log that is being written into the bytes of an image.
pub(crate) struct LogWriter<'a> {
    image: &'a mut [u8],
    block_bytes: usize,
    /// Where the blocks of the journal lie in the file system.
    map: Vec<u64>,
    checksum: Checksum,
    has_64bit: bool,
    incompat: u32,
    seed: u32,
    last: u32,
    /// Where the next block goes, and its transaction.
    pub(crate) position: u32,
    pub(crate) sequence: u32,
    seconds: u64,
}

fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// The CRC-32 of checksum v1, bit by bit.
fn crc32_be(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 { (crc << 1) ^ 0x04c1_1db7 } else { crc << 1 };
        }
    }
    crc
}

fn put(block: &mut [u8], offset: usize, value: u32) {
    block[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
}

fn get(block: &[u8], offset: usize) -> u32 {
    u32::from_be_bytes(block[offset..offset + 4].try_into().unwrap())
}

impl<'a> LogWriter<'a> {
    /// Starts a log at `start` with transaction `sequence`. `map` has the blocks of the journal,
    /// its superblock first; `incompat` are further feature bits.
    pub(crate) fn new(
        image: &'a mut [u8],
        map: Vec<u64>,
        checksum: Checksum,
        has_64bit: bool,
        incompat: u32,
        (start, sequence): (u32, u32),
    ) -> Self {
        let at = 1024 + 0x18;
        let log_block_size = u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
        let block_bytes = 1024usize << log_block_size;
        let version = match checksum {
            Checksum::None | Checksum::V1 => 0,
            Checksum::V2 => 8,
            Checksum::V3 => 16,
        };
        let incompat = incompat | 1 | (u32::from(has_64bit) << 1) | version;
        let at = map[0] as usize * block_bytes;
        let superblock = &image[at..at + 1024];
        let seed = crc32c(!0, &superblock[0x30..0x40]);
        let last = get(superblock, 0x10);
        let mut writer = Self {
            image,
            block_bytes,
            map,
            checksum,
            has_64bit,
            incompat,
            seed,
            last,
            position: start,
            sequence,
            seconds: 1_700_000_000,
        };
        writer.set_superblock(start, sequence);
        writer.set_needs_recovery();
        writer
    }

    /// Where log block `log_block` lies in the image.
    pub(crate) fn range(&self, log_block: u32) -> Range<usize> {
        let at = self.map[log_block as usize] as usize * self.block_bytes;
        at..at + self.block_bytes
    }

    /// Overwrites the start of a block of the journal.
    pub(crate) fn put(&mut self, log_block: u32, bytes: &[u8]) {
        let start = self.range(log_block).start;
        self.image[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// Flips bits in a block of the log.
    pub(crate) fn damage(&mut self, log_block: u32, offset: usize) {
        let range = self.range(log_block);
        self.image[range][offset] ^= 0x5a;
    }

    /// Stores a big-endian number in the journal superblock, and its checksum.
    pub(crate) fn set_field(&mut self, offset: usize, value: u32) {
        let range = self.range(0);
        let superblock = &mut self.image[range][..1024];
        put(superblock, offset, value);
        put(superblock, 0xfc, 0);
        if matches!(self.checksum, Checksum::V2 | Checksum::V3) {
            let checksum = crc32c(!0, superblock);
            put(superblock, 0xfc, checksum);
        }
    }

    fn set_superblock(&mut self, start: u32, sequence: u32) {
        let has_crc32c = matches!(self.checksum, Checksum::V2 | Checksum::V3);
        let kind = if has_crc32c { 4 << 24 } else { 0 };
        for (offset, value) in [
            (0x18, sequence),
            (0x1c, start),
            (0x24, u32::from(self.checksum == Checksum::V1)),
            (0x28, self.incompat),
            (0x50, kind),
        ] {
            self.set_field(offset, value);
        }
    }

    fn set_needs_recovery(&mut self) {
        let superblock = &mut self.image[1024..2048];
        superblock[0x60] |= 4;
        if superblock[0x65] & 4 != 0 {
            let checksum = crc32c(!0, &superblock[..0x3fc]);
            superblock[0x3fc..].copy_from_slice(&checksum.to_le_bytes());
        }
    }

    fn tag_bytes(&self) -> usize {
        match (self.checksum, self.has_64bit) {
            (Checksum::V3, _) => 16,
            (Checksum::V2, is_wide) => 10 + 4 * usize::from(is_wide),
            (_, is_wide) => 8 + 4 * usize::from(is_wide),
        }
    }

    fn has_tails(&self) -> bool {
        matches!(self.checksum, Checksum::V2 | Checksum::V3)
    }

    fn header(&self, kind: u32) -> Vec<u8> {
        let mut block = vec![0; self.block_bytes];
        put(&mut block, 0, MAGIC);
        put(&mut block, 4, kind);
        put(&mut block, 8, self.sequence);
        block
    }

    /// Writes a block at the head of the log and says where it went.
    fn push(&mut self, block: &[u8]) -> u32 {
        let log_block = self.position;
        let range = self.range(log_block);
        self.image[range].copy_from_slice(block);
        self.position = if log_block + 1 == self.last { 1 } else { log_block + 1 };
        log_block
    }

    fn seal(&self, block: &mut [u8], offset: usize) {
        if self.has_tails() {
            put(block, offset, 0);
            let checksum = crc32c(self.seed, block);
            put(block, offset, checksum);
        }
    }

    /// Writes a transaction: revocations, then blocks; `commits` ends it. Gives the blocks of the
    /// log that it uses, the commit block last.
    pub(crate) fn transaction(
        &mut self,
        blocks: &[(u64, Vec<u8>)],
        revoked: &[u64],
        commits: bool,
    ) -> Vec<u32> {
        let mut used = Vec::new();
        if !revoked.is_empty() {
            let block = self.revoke_block(revoked);
            used.push(self.push(&block));
        }
        let mut crc32 = !0;
        let room = self.block_bytes - 12 - 16 - 4 * usize::from(self.has_tails());
        for part in blocks.chunks((room / self.tag_bytes()).max(1)) {
            let (descriptor, data) = self.descriptor(part);
            crc32 = crc32_be(crc32, &descriptor);
            used.push(self.push(&descriptor));
            for block in data {
                crc32 = crc32_be(crc32, &block);
                used.push(self.push(&block));
            }
        }
        if commits {
            let block = self.commit_block(crc32);
            used.push(self.push(&block));
            self.sequence = self.sequence.wrapping_add(1);
        }
        used
    }

    fn revoke_block(&self, revoked: &[u64]) -> Vec<u8> {
        let mut block = self.header(5);
        let width = if self.has_64bit { 8 } else { 4 };
        put(&mut block, 12, 16 + (width * revoked.len()) as u32);
        for (index, number) in revoked.iter().enumerate() {
            let bytes = number.to_be_bytes();
            let at = 16 + width * index;
            block[at..at + width].copy_from_slice(&bytes[8 - width..]);
        }
        let tail = block.len() - 4;
        self.seal(&mut block, tail);
        block
    }

    fn descriptor(&self, part: &[(u64, Vec<u8>)]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut block = self.header(1);
        let mut data = Vec::new();
        let mut at = 12;
        for (index, (target, content)) in part.iter().enumerate() {
            let mut content = content.clone();
            let mut flags = if index == 0 { 0 } else { 2 };
            if get(&content, 0) == MAGIC {
                put(&mut content, 0, 0);
                flags |= 1;
            }
            if index + 1 == part.len() {
                flags |= 8;
            }
            let checksum = crc32c(crc32c(self.seed, &self.sequence.to_be_bytes()), &content);
            put(&mut block, at, *target as u32);
            if self.checksum == Checksum::V3 {
                put(&mut block, at + 4, flags);
                put(&mut block, at + 12, checksum);
            } else {
                let low = if self.checksum == Checksum::V2 { checksum << 16 } else { 0 };
                put(&mut block, at + 4, low | flags);
            }
            if self.has_64bit {
                put(&mut block, at + 8, (*target >> 32) as u32);
            }
            at += self.tag_bytes() + if index == 0 { 16 } else { 0 };
            data.push(content);
        }
        let tail = block.len() - 4;
        self.seal(&mut block, tail);
        (block, data)
    }

    fn commit_block(&mut self, crc32: u32) -> Vec<u8> {
        let mut block = self.header(2);
        if self.checksum == Checksum::V1 {
            block[12..14].copy_from_slice(&[1, 4]);
            put(&mut block, 16, crc32);
        }
        self.seconds += 1;
        block[0x30..0x38].copy_from_slice(&self.seconds.to_be_bytes());
        self.seal(&mut block, 16);
        block
    }
}

/// Where the blocks of an inode of `image` lie, by debugfs: lines like `(0-9):100-109, (IND):1034`.
pub(crate) fn blocks_of(image: &Path, inode: u32) -> Vec<u64> {
    let request = format!("stat <{inode}>");
    let output = Command::new("debugfs").args(["-R", &request]).arg(image).output();
    let output = output.unwrap_or_else(|error| panic!("debugfs (e2fsprogs) is needed: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, list) = text.split_once("BLOCKS:\n").or(text.split_once("EXTENTS:\n")).unwrap();
    let mut map = Vec::new();
    for part in list.lines().next().unwrap().split(", ") {
        let (logical, physical) = part.split_once("):").unwrap();
        if logical.starts_with("(ETB") || logical.ends_with("IND") {
            continue;
        }
        let mut ends = physical.split('-').map(|number| number.parse::<u64>().unwrap());
        let first = ends.next().unwrap();
        map.extend(first..=ends.next().unwrap_or(first));
    }
    map
}
