//! Power cuts while an edit is brought onto a volume, or taken back: at every write and between all of them, with any of
//! the unsynced sectors on the medium, the volume is whole, without the edit or with it.

use super::super::Btrfs;
use super::super::testing::{CLOCK, Copy, assert_clean, recorded, run_newer};
use super::kernel_tests::{Seen, ours};
use super::tests::random_edits;
use crate::disk::medium::Medium;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk, DiskEdit as _, SECTOR_BYTES};
use crate::error::Result;
use crate::fs::FileSystem as _;
use crate::patch::tests::description;
use crate::patch::{DurableUndo, Patch, apply, undo};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Where the second superblock stands.
const SECOND_COPY: u64 = 64 * 1024 * 1024;

/// Sectors that may reach the medium in any order.
type Unsynced = Vec<(u64, Vec<u8>)>;

/// A medium that remembers what was written between its syncs.
#[derive(Debug)]
struct Recorder {
    disk: Arc<Overlay>,
    parts: Vec<Unsynced>,
}

impl Medium for Recorder {
    fn len_bytes(&self) -> u64 {
        self.disk.len_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.disk.read_at(offset_bytes, buffer)
    }

    fn can_write(&self, _ranges: &[Range<u64>]) -> Result<()> {
        Ok(())
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            let at = offset_bytes + (index * SECTOR_BYTES) as u64;
            self.parts.last_mut().unwrap().push((at, sector.to_vec()));
        }
        self.disk.write_at(offset_bytes, bytes, "")
    }

    fn sync(&mut self) -> Result<()> {
        self.parts.push(Vec::new());
        Ok(())
    }

    fn drop_cache(&mut self) -> Result<()> {
        Ok(())
    }
}

/// An edit with the volume on both of its sides.
struct Case {
    name: &'static str,
    sides: [Arc<Overlay>; 2],
    trees: [BTreeMap<Vec<u8>, Seen>; 2],
    patch: Patch,
}

fn open(disk: &Arc<Overlay>) -> Result<Btrfs> {
    Btrfs::open(disk.clone(), CLOCK)
}

impl Case {
    fn new(name: &'static str) -> Self {
        let before = recorded(name);
        let after = Arc::new(Overlay::new(before.clone()));
        random_edits(&after, name, 3, 1, false);
        let changes = after.changes().unwrap();
        let patch = Patch::new(description(before.len_bytes()), changes).unwrap();
        let trees = [&before, &after].map(|disk| ours(&open(disk).unwrap()));
        assert!(trees[0] != trees[1], "{name}");
        Self { name, sides: [before, after], trees, patch }
    }

    /// What is written from one side to the other, as far as the next sync each.
    fn parts(&self, from: usize) -> Vec<Unsynced> {
        let disk = Arc::new(Overlay::new(self.sides[from].clone()));
        let mut medium = Recorder { disk, parts: vec![Vec::new()] };
        let ignore = &mut |_, _| ();
        match from {
            0 => apply(&self.patch, &mut medium, &DurableUndo::waived(), ignore),
            _ => undo(&self.patch, &mut medium, ignore),
        }
        .unwrap();
        medium.parts.retain(|part| !part.is_empty());
        medium.parts
    }

    /// Which side a volume is on; none if no superblock of it can be read.
    fn side(&self, disk: &Arc<Overlay>, is_thorough: bool) -> Option<usize> {
        let fs = open(disk).ok()?;
        let generation = fs.view.volume().superblock().generation;
        let before = open(&self.sides[0]).unwrap().view.volume().superblock().generation;
        let side = usize::from(generation != before);
        if is_thorough {
            assert!(ours(&fs) == self.trees[side], "{}: side {side}", self.name);
        } else {
            fs.subvolumes().unwrap();
        }
        Some(side)
    }

    /// Cuts the power in every part, with some or all choices of its sectors on the medium.
    fn cut(&self, from: usize, random: &mut TestRng) {
        let parts = self.parts(from);
        let copies = if self.sides[0].len_bytes() > SECOND_COPY { 2 } else { 1 };
        assert_eq!(parts.len(), copies + 1, "{}", self.name);
        // Everything else, then the superblocks, the first one last; on the way back the other way round.
        let (first, others) = if from == 0 { (copies, 0) } else { (0, copies) };
        let disk = Arc::new(Overlay::new(self.sides[from].clone()));
        for (number, part) in parts.iter().enumerate() {
            let choices = if number == others { 6 } else { 1u64 << part.len() };
            for choice in 0..choices {
                let left = Arc::new(Overlay::new(disk.clone()));
                let mut kept = 0;
                for (index, (at, sector)) in part.iter().enumerate() {
                    let keeps = if number == others {
                        choice == 0 || random.next_u32() & 1 == 0
                    } else {
                        choice >> index & 1 == 1
                    };
                    if keeps {
                        left.write_at(*at, sector, "").unwrap();
                        kept += 1;
                    }
                }
                let is_torn = number != others && kept != 0 && kept != part.len();
                let is_turned = number > first || (number == first && kept == part.len());
                let expected = if is_torn && number == first {
                    // The other copy is that of the new state.
                    (copies == 2).then_some(1)
                } else {
                    Some(if is_turned { 1 - from } else { from })
                };
                let what = format!("{}, from {from}: part {number}, choice {choice}", self.name);
                assert_eq!(self.side(&left, choice < 2), expected, "{what}");
                if choice == 0 {
                    assert_clean(&*left, &what);
                } else if is_torn && choice == 1 && copies == 2 {
                    self.judge_torn(&left, number == first);
                }
            }
            for (at, sector) in part {
                disk.write_at(*at, sector, "").unwrap();
            }
        }
        assert_eq!(self.side(&disk, true), Some(1 - from));
    }

    /// The copy that is not torn leads to a clean volume.
    fn judge_torn(&self, disk: &Arc<Overlay>, is_first: bool) {
        let copy = Copy::of(&**disk);
        let number = if is_first { "1" } else { "0" };
        let path = copy.path.to_str().unwrap();
        let output = run_newer("btrfs", &["check", "--readonly", "-s", number, path]);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(text.contains("no error found"), "{}: {text}", self.name);
    }
}

#[test]
fn a_power_cut_leaves_the_old_state_or_the_new_one() {
    for (number, name) in ["xxhash", "dirty/append", "dirty/shared"].into_iter().enumerate() {
        let case = Case::new(name);
        let seed = [u8::try_from(number).unwrap(); 32];
        let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        case.cut(0, &mut random);
        case.cut(1, &mut random);
    }
}
