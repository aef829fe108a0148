//! Images with holes: only what is stored is read, hashed and compared. Most of a test image is a hole.

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The unit in which images are compared and hashed.
pub(crate) const BLOCK: usize = 4096;

/// The bytes of the file at `path`.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    let file = File::open(path).unwrap();
    // Memory that is never written is not there, either.
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    for range in stored(&file) {
        let part = &mut bytes[range.start as usize..range.end as usize];
        file.read_exact_at(part, range.start).unwrap();
    }
    bytes
}

/// Writes a file with these bytes; blocks of zeros become holes.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    let file = File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (number, block) in (0..).zip(bytes.chunks(BLOCK)) {
        if !is_zero(block) {
            file.write_all_at(block, number * BLOCK as u64).unwrap();
        }
    }
}

/// A digest that two files share if and only if they have the same bytes, wherever their holes are. Only for comparing
/// with itself: what others call the digest of a file is [`super::digest::of_file`].
pub(crate) fn digest(path: &Path) -> String {
    let file = File::open(path).unwrap();
    let mut hasher = Sha256::new();
    hasher.update(file.metadata().unwrap().len().to_le_bytes());
    let mut buffer = vec![0; 256 * BLOCK];
    for block in runs_of_blocks(stored(&file), buffer.len() / BLOCK) {
        let start = block.start * BLOCK as u64;
        let len =
            read_at_most(&file, &mut buffer[..(block.end - block.start) as usize * BLOCK], start);
        for (number, bytes) in (block.start..).zip(buffer[..len].chunks(BLOCK)) {
            if !is_zero(bytes) {
                hasher.update(number.to_le_bytes());
                hasher.update(bytes);
            }
        }
    }
    super::digest::hex(&hasher.finalize())
}

/// The numbers of the blocks of two files that may hold anything in one of them, ascending.
pub(crate) fn stored_blocks(a: &Path, b: &Path) -> BTreeSet<usize> {
    let mut blocks = BTreeSet::new();
    for path in [a, b] {
        for run in runs_of_blocks(stored(&File::open(path).unwrap()), usize::MAX) {
            blocks.extend(run.start as usize..run.end as usize);
        }
    }
    blocks
}

/// The parts of a file that are no holes, ascending.
fn stored(file: &File) -> Vec<Range<u64>> {
    let len = file.metadata().unwrap().len();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < len {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            Err(errno) => panic!("SEEK_DATA: {errno}"),
        };
        let end = seek(file, SeekFrom::Hole(start)).unwrap();
        ranges.push(start..end);
        at = end;
    }
    ranges
}

/// The same in blocks, each once, and at most `most` together.
fn runs_of_blocks(ranges: Vec<Range<u64>>, most: usize) -> Vec<Range<u64>> {
    let mut runs = Vec::new();
    let mut next = 0;
    for range in ranges {
        let end = range.end.div_ceil(BLOCK as u64);
        next = next.max(range.start / BLOCK as u64);
        while next < end {
            let until = end.min(next.saturating_add(most as u64));
            runs.push(next..until);
            next = until;
        }
    }
    runs
}

fn is_zero(block: &[u8]) -> bool {
    *block == [0; BLOCK][..block.len()]
}

/// Fills `buffer` as far as the file goes.
fn read_at_most(file: &File, buffer: &mut [u8], start: u64) -> usize {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], start + done as u64).unwrap() {
            0 => break,
            count => done += count,
        }
    }
    done
}

/// Holes and zeros are the same; nothing else is.
#[test]
fn files_are_told_apart_by_their_bytes_alone() {
    let scratch = super::scratch::Scratch::new();
    let path = |name: &str| scratch.join(name);
    let len = 10 * BLOCK + 77;
    let mut bytes = vec![0; len];
    std::fs::write(path("zeros"), &bytes).unwrap();
    File::create(path("hole")).unwrap().set_len(len as u64).unwrap();
    assert_eq!(digest(&path("zeros")), digest(&path("hole")));
    let mut seen = BTreeSet::from([digest(&path("hole"))]);
    for at in [0, 1, BLOCK - 1, BLOCK, 5 * BLOCK + 9, len - 78, len - 1] {
        bytes[at] = 1;
        std::fs::write(path("full"), &bytes).unwrap();
        write(&path("sparse"), &bytes);
        assert!(read(&path("full")) == bytes && read(&path("sparse")) == bytes, "{at}");
        assert_eq!(digest(&path("full")), digest(&path("sparse")), "{at}");
        assert!(seen.insert(digest(&path("full"))), "{at}");
        assert!(stored_blocks(&path("hole"), &path("sparse")).contains(&(at / BLOCK)));
    }
    File::create(path("longer")).unwrap().set_len(len as u64 + 1).unwrap();
    assert!(seen.insert(digest(&path("longer"))));
}
