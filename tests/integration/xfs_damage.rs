//! Random damage to XFS volumes: a few bytes of their structures changed, mostly with the right checksum put on
//! it, then read and edited by the library.
//!
//! Never a panic, never an endless read; and an edit makes nothing worse: where xfs_repair found nothing before, it
//! finds nothing after. `REGAIN_DAMAGE_ROUNDS=N` asks for more than the usual number of rounds, and
//! `REGAIN_DAMAGE_SEED=N` for others. The fuzz targets (`fuzz/README.md`) look further.

use crate::support::attempt::{self, CLOCK, XFS};
use crate::support::rng::Rng;
use crate::support::scratch::Scratch;
use crate::support::sequence::{number, store};
use crate::support::xfs_tools::{self, RepairVerdict};
use crate::support::{regain, xfs_image};
use ::regain::disk::memory::MemoryDisk;
use ::regain::disk::overlay::Overlay;
use ::regain::disk::{Disk, DiskEdit};
use ::regain::fs::known;
use ::regain::fs::path::{self, GuestPath};
use ::regain::fs::probe::ProbeKind;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// Rounds without `REGAIN_DAMAGE_ROUNDS`.
const ROUNDS: u64 = 400;

const VOLUMES: [&str; 7] =
    ["default", "rhel7", "parent", "parent-1k", "block-1k-rmap", "sector-4k", "inode-2k"];

/// How long a structure is.
#[derive(Debug, Clone, Copy)]
enum Length {
    Sector,
    Inode,
    Block,
}

/// The structures with checksums: magic number, where it is, where the checksum is, and how long it is.
const STRUCTURES: [(&[u8], usize, usize, Length); 18] = [
    (b"XFSB", 0, 224, Length::Sector),
    (b"XAGF", 0, 216, Length::Sector),
    (b"XAGI", 0, 312, Length::Sector),
    (b"XAFL", 0, 32, Length::Sector),
    (b"AB3B", 0, 52, Length::Block),
    (b"AB3C", 0, 52, Length::Block),
    (b"IAB3", 0, 52, Length::Block),
    (b"FIB3", 0, 52, Length::Block),
    (b"RMB3", 0, 52, Length::Block),
    (b"R3FC", 0, 52, Length::Block),
    (b"BMA3", 0, 64, Length::Block),
    (b"IN", 0, 100, Length::Inode),
    (b"XDB3", 0, 4, Length::Block),
    (b"XDD3", 0, 4, Length::Block),
    (b"XDF3", 0, 4, Length::Block),
    (b"\x3e\xbe", 8, 12, Length::Block),
    (b"\x3d\xf1", 8, 12, Length::Block),
    (b"\x3b\xee", 8, 12, Length::Block),
];

/// One structure on a volume.
#[derive(Debug, Clone, Copy)]
struct Structure {
    offset_bytes: u64,
    len: usize,
    checksum_at: usize,
}

/// A volume with the places of its structures.
struct Volume {
    _scratch: Scratch,
    path: PathBuf,
    disk: Arc<MemoryDisk>,
    /// By kind, so that the few of one kind are hit as often as the many of another.
    structures: Vec<Vec<Structure>>,
}

impl Volume {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new();
        let path = xfs_image::unpack(&scratch, name);
        let bytes = std::fs::read(&path).unwrap();
        let number = |at: usize, len: usize| {
            bytes[at..at + len].iter().fold(0, |all, byte| all << 8 | usize::from(*byte))
        };
        let (block, sector, inode) = (number(4, 4), number(102, 2), number(104, 2));
        let structures = STRUCTURES.map(|(magic, at, checksum_at, length)| {
            let len = match length {
                Length::Sector => sector,
                Length::Inode => inode,
                Length::Block => block,
            };
            let units = bytes.chunks_exact(len).enumerate();
            let found = units.filter(|(_, unit)| unit[at..].starts_with(magic));
            let structure = |(index, _): (usize, &[u8])| Structure {
                offset_bytes: (index * len) as u64,
                len,
                checksum_at,
            };
            found.map(structure).collect::<Vec<_>>()
        });
        let structures = structures.into_iter().filter(|of_kind| !of_kind.is_empty()).collect();
        let disk = Arc::new(MemoryDisk::new(bytes));
        Self { _scratch: scratch, path, disk, structures }
    }

    /// The volume with one to three structures changed.
    fn damaged(&self, rng: &mut Rng) -> Arc<Overlay> {
        let base: Arc<dyn Disk> = self.disk.clone();
        let damaged = Overlay::new(base);
        for _ in 0..=rng.below(3) {
            let of_kind = &self.structures[rng.index(self.structures.len())];
            damage(&damaged, of_kind[rng.index(of_kind.len())], rng);
        }
        Arc::new(damaged)
    }

    fn check(&self, changed: &Overlay) -> RepairVerdict {
        let changes = changed.changes().unwrap();
        let file = File::options().write(true).open(&self.path).unwrap();
        store(&file, &changes, |change| &change.after);
        let verdict = xfs_tools::repair(&self.path, None);
        store(&file, &changes, |change| &change.before);
        verdict
    }
}

fn damage(disk: &Overlay, structure: Structure, rng: &mut Rng) {
    let mut bytes = disk.read_vec(structure.offset_bytes, structure.len).unwrap();
    let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    for _ in 0..=rng.below(2) {
        // The beginning has the counts.
        let at = match rng.below(3) {
            0 => rng.index(bytes.len().min(200)),
            1 => rng.index(bytes.len()),
            _ => used[rng.index(used.len())],
        };
        bytes[at] = match rng.below(4) {
            0 => 0,
            1 => bytes[at].wrapping_add(1),
            2 => bytes[at] ^ (1 << rng.below(8)),
            _ => rng.next() as u8,
        };
    }
    if rng.below(8) > 0 {
        let checksum = structure.checksum_at..structure.checksum_at + 4;
        bytes[checksum.clone()].fill(0);
        let sum = crc32c::crc32c(&bytes);
        bytes[checksum].copy_from_slice(&sum.to_le_bytes());
    }
    disk.write_at(structure.offset_bytes, &bytes, "damage").unwrap();
}

/// Reads everything, then edits. Gives the edited volume unless that is refused.
fn try_volume(damaged: &Arc<Overlay>) -> Option<Arc<Overlay>> {
    let reading: Arc<dyn Disk> = damaged.clone();
    let fs = known::open(ProbeKind::Xfs, Arc::new(Overlay::new(reading.clone())), CLOCK).ok()?;
    attempt::walk(fs.as_file_system(), &XFS);
    let edited = Arc::new(Overlay::new(reading));
    let mut fs = known::open(ProbeKind::Xfs, edited.clone(), CLOCK).ok()?;
    attempt::edit(&mut *fs, &XFS).ok()?;
    let again = known::open(ProbeKind::Xfs, edited.clone(), CLOCK).unwrap();
    let file = GuestPath::new(attempt::NEW_FILE);
    let content = path::read_file(again.as_file_system(), &file, 1 << 20).unwrap();
    assert_eq!(content.as_deref(), Some(attempt::LINE));
    Some(edited)
}

/// The damage and the edit in one.
fn combined(volume: &Volume, edited: &Overlay) -> Overlay {
    let base: Arc<dyn Disk> = volume.disk.clone();
    let all = Overlay::new(base);
    for structures in &volume.structures {
        for structure in structures {
            let bytes = edited.read_vec(structure.offset_bytes, structure.len).unwrap();
            all.write_at(structure.offset_bytes, &bytes, "all").unwrap();
        }
    }
    for change in edited.changes().unwrap() {
        all.write_at(change.offset_bytes, &change.after, "all").unwrap();
    }
    all
}

#[test]
fn random_damage_is_refused_or_made_no_worse() {
    let volumes = VOLUMES.map(Volume::new);
    let seed = number("REGAIN_DAMAGE_SEED", 1);
    let (mut refused, mut clean, mut unclean) = (0, 0, 0);
    let mut worse = Vec::new();
    for round in 0..number("REGAIN_DAMAGE_ROUNDS", ROUNDS) {
        let mut rng = Rng::new(seed << 32 | round);
        let which = round as usize % VOLUMES.len();
        let volume = &volumes[which];
        let damaged = volume.damaged(&mut rng);
        let Some(edited) = try_volume(&damaged) else {
            refused += 1;
            continue;
        };
        let before = volume.check(&damaged);
        if before != RepairVerdict::Silent {
            println!("round {round} on {}: edited although {before:?}", VOLUMES[which]);
            unclean += 1;
            continue;
        }
        clean += 1;
        let after = volume.check(&combined(volume, &edited));
        if after != RepairVerdict::Silent {
            worse.push(format!("round {round} on {}: {after:?}", VOLUMES[which]));
        }
    }
    println!("{refused} refused; edited: {clean} clean before, {unclean} not");
    assert!(worse.is_empty(), "seed {seed}: {worse:#?}");
}

/// The same through the program, whose memory and time are bounded.
#[test]
fn the_program_survives_a_damaged_log() {
    let scratch = Scratch::new();
    let key = scratch.join("key.pub");
    std::fs::write(&key, crate::support::root::NEW_KEY).unwrap();
    let program = regain::Regain::new(scratch.path());
    for name in ["dirty/create", "dirty/xattrs-parent", "dirty/log-wrapped-rmap"] {
        let path = xfs_image::unpack(&scratch, name);
        let whole = std::fs::read(&path).unwrap();
        let sectors = whole.chunks(512).enumerate();
        let records: Vec<usize> = sectors
            .filter(|(_, sector)| sector.starts_with(&[0xfe, 0xed, 0xba, 0xbe]))
            .map(|(index, _)| index * 512)
            .collect();
        let mut rng = Rng::new(1);
        for round in 0..30 {
            let mut bytes = whole.clone();
            let at = records[rng.index(records.len())];
            for _ in 0..=rng.below(3) {
                bytes[at + rng.index(2048)] = rng.next() as u8;
            }
            std::fs::write(&path, &bytes).unwrap();
            let run = program.key_add(&path, crate::support::root::USER, &key, &["--dry-run"]);
            println!("{name} {round}: {}", run.status);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
