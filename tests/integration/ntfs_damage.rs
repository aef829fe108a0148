//! Random damage to NTFS volumes: a few bytes of their structures changed, with fix-ups that are right again, then
//! read and edited by the library.
//!
//! Never a panic, never an endless read; and an edit makes nothing worse: the strict checker finds nothing afterwards
//! that it had not found before. `REGAIN_DAMAGE_ROUNDS=N` asks for more than the usual number of rounds, and
//! `REGAIN_DAMAGE_SEED=N` for others.

use crate::support::attempt::{self, Places};
use crate::support::ntfs_bench::{CLOCK, split};
use crate::support::ntfs_check::surgeon::{Good, Surgeon};
use crate::support::rng::Rng;
use crate::support::sequence::number;
use crate::support::{ntfs_check, ntfs_image};
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::disk::{Disk, DiskEdit};
use regain::error::{Error, ErrorKind, Result};
use regain::fs::ntfs::Ntfs;
use regain::fs::path::{GuestPath, find};
use regain::fs::{FILE_BYTES_MAX, FileEdit, FileSystem as _, NewNode, NodeId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Rounds without `REGAIN_DAMAGE_ROUNDS`.
const ROUNDS: u64 = 80;

const VOLUMES: [&str; 4] = ["c4k", "c1k", "s2k", "c8k"];

const PLACES: Places =
    Places { many: "/names/200", one_of_many: b"a-rather-long-name-077", large: "/forms/pieces" };

/// What is edited, and so what is damaged most.
const FILES: [&str; 9] = [
    "/forms/resident",
    "/forms/several",
    "/forms/pieces",
    "/forms/twin-large.data",
    "/lists/many-pieces",
    "/lists/many-links",
    "/lists/two-links",
    "/forms/object-id",
    "/ProgramData/Amazon/EC2Launch/state/.run-once",
];
const DIRECTORIES: [&str; 8] = [
    "/",
    "/forms",
    "/lists",
    "/lists/links",
    "/names/3",
    "/names/30",
    "/names/200",
    "/ProgramData/Amazon/EC2Launch/state",
];

/// Streams that have no fix-ups, by record and type: the bitmaps, the mirror, the descriptors, the table of capitals.
const STREAMS: [(u64, u32, &str, u64); 6] = [
    (6, 0x80, "", 400),
    (0, 0xb0, "", 40),
    (1, 0x80, "", 4096),
    (9, 0x80, "$SDS", 500),
    (10, 0x80, "", 512),
    (7, 0x80, "", 512),
];

fn damage(surgeon: &mut Surgeon<'_>, rng: &mut Rng) {
    match rng.below(12) {
        0..=4 => {
            let number = surgeon.find(FILES[rng.index(FILES.len())]);
            let all = [vec![number], surgeon.extensions(number)].concat();
            let number = all[rng.index(all.len())];
            surgeon.record(number, |record| spoil(record, rng));
        }
        5 | 6 => {
            let number = surgeon.find(DIRECTORIES[rng.index(DIRECTORIES.len())]);
            surgeon.record(number, |record| spoil(record, rng));
        }
        7 => surgeon.record(rng.below(12), |record| spoil(record, rng)),
        8..=10 => {
            let number = surgeon.find(DIRECTORIES[rng.index(DIRECTORIES.len())]);
            let count = surgeon.index_blocks(number);
            if count > 0 {
                surgeon.index_block(number, rng.below(count), |block| spoil(block, rng));
            }
        }
        _ => {
            let (record, kind, name, len) = STREAMS[rng.index(STREAMS.len())];
            let at = surgeon.place(record, kind, name, rng.below(len));
            surgeon.bytes[at] = rng.next() as u8;
        }
    }
}

/// Changes one to three bytes; the beginning has the counts.
fn spoil(bytes: &mut [u8], rng: &mut Rng) {
    let used: Vec<usize> = (4..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    for _ in 0..=rng.below(2) {
        let at = match rng.below(4) {
            0 => 8 + rng.index(100),
            1 => rng.index(bytes.len() - 8) + 8,
            _ => used[rng.index(used.len())],
        };
        bytes[at] = match rng.below(4) {
            0 => 0,
            1 => bytes[at].wrapping_add(1),
            2 => bytes[at] ^ (1 << rng.below(8)),
            _ => rng.next() as u8,
        };
    }
}

fn node(fs: &Ntfs, path: &str) -> Result<NodeId> {
    let found = find(fs, &GuestPath::new(path))?;
    Ok(found.ok_or_else(|| Error::not_found(path.to_owned()))?.node)
}

/// One edit of many kinds.
fn edit(fs: &mut Ntfs, rng: &mut Rng) -> Result<()> {
    let file = FILES[rng.index(FILES.len())];
    let directory = DIRECTORIES[rng.index(DIRECTORIES.len())];
    let content = rng.bytes(rng.clone().index(6000));
    let new = NewNode::default();
    match rng.below(8) {
        0 => fs.append(node(fs, file)?, &content),
        1 => fs.replace(node(fs, file)?, &content),
        2 => {
            let node = node(fs, file)?;
            let size = fs.metadata(node)?.size_bytes;
            fs.overwrite(node, 0, &content[..content.len().min(size as usize)])
        }
        3 | 4 => {
            let (parent, name) = split(file);
            fs.remove(node(fs, parent)?, name.as_bytes())
        }
        5 => fs.remove(node(fs, "/names/200")?, b"a-rather-long-name-077"),
        6 => {
            let directory = node(fs, directory)?;
            for index in 0..=rng.below(20) {
                fs.create_file(directory, format!("new-{index}").as_bytes(), &new, b"new")?;
            }
            Ok(())
        }
        _ => fs.create_directory(node(fs, directory)?, b"a new directory", &new).map(drop),
    }
}

fn open(disk: Arc<dyn DiskEdit>) -> Result<Ntfs> {
    let fs = Ntfs::open(disk, CLOCK)?;
    fs.check_writable()?;
    Ok(fs)
}

/// True for what damage may be answered with.
fn assert_orderly(error: &Error, what: &str) {
    let is_orderly = matches!(
        error.kind(),
        ErrorKind::Refused(_)
            | ErrorKind::Corrupt(_)
            | ErrorKind::NotFound(_)
            | ErrorKind::Unsupported(_)
            | ErrorKind::Limit { .. }
    );
    assert!(is_orderly, "{what}: {error}");
}

/// Reads everything, then makes some edits. Gives the edited volume unless all of them are refused.
fn try_volume(disk: &Arc<MemoryDisk>, rng: &mut Rng, what: &str) -> Option<Arc<Overlay>> {
    let below: Arc<dyn Disk> = disk.clone();
    let fs = Ntfs::open(Arc::new(Overlay::new(below.clone())), CLOCK);
    let fs = fs.inspect_err(|error| assert_orderly(error, what)).ok()?;
    attempt::walk(&fs, &PLACES);
    for path in FILES {
        let read = node(&fs, path).and_then(|node| fs.read(node, FILE_BYTES_MAX));
        let _ = read.inspect_err(|error| assert_orderly(error, what));
    }
    let edited = Arc::new(Overlay::new(below));
    let mut done = 0;
    for _ in 0..4 {
        let savepoint = edited.savepoint();
        let made = open(edited.clone()).and_then(|mut fs| {
            edit(&mut fs, rng)?;
            fs.finish()
        });
        match made {
            Ok(()) => done += 1,
            Err(error) => {
                assert_orderly(&error, what);
                edited.roll_back(savepoint);
            }
        }
    }
    (done > 0).then_some(edited)
}

#[test]
fn random_damage_is_refused_or_made_no_worse() {
    let seed = number("REGAIN_DAMAGE_SEED", 1);
    let rounds = number("REGAIN_DAMAGE_ROUNDS", ROUNDS);
    let (mut refused, mut clean, mut unclean) = (0, 0, 0);
    let mut worse = Vec::new();
    for (which, fixture) in VOLUMES.into_iter().enumerate() {
        let bytes = ntfs_image::bytes(fixture);
        let good = Good::read(&bytes);
        for round in (which as u64..rounds).step_by(VOLUMES.len()) {
            let what = format!("REGAIN_DAMAGE_SEED={seed}, round {round} on {fixture}");
            let mut rng = Rng::new(seed << 32 | round);
            let mut surgeon = good.spoil();
            for _ in 0..=rng.below(2) {
                damage(&mut surgeon, &mut rng);
            }
            let damaged = surgeon.bytes;
            let disk = Arc::new(MemoryDisk::new(damaged.clone()));
            let Some(edited) = try_volume(&disk, &mut rng, &what) else {
                refused += 1;
                continue;
            };
            let before: BTreeSet<String> = ntfs_check::check_bytes(&damaged).into_iter().collect();
            let after = edited.read_vec(0, damaged.len()).unwrap();
            let after = ntfs_check::check_bytes(&after);
            if before.is_empty() {
                clean += 1;
            } else {
                unclean += 1;
            }
            let new: Vec<&String> = after.iter().filter(|it| !before.contains(*it)).collect();
            if !new.is_empty() {
                worse.push(format!("{what}: {:#?} beside {before:#?}", &new[..new.len().min(8)]));
            }
        }
    }
    println!("{refused} refused; edited: {clean} clean before, {unclean} not");
    assert!(worse.is_empty(), "{}", worse.join("\n"));
}
