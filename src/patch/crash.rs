//! The proof that an interrupted run can always be finished and always be taken back.
//!
//! Small patches are explored exhaustively: from the image before and the image after the edit,
//! both directions are run and interrupted at every operation, with every tear of a write at sector
//! granularity, and with every subset of the unsynced sectors surviving, which covers every subset
//! and every order of the unsynced writes. What is left is explored in turn until nothing new turns
//! up, so crashes during recovery are covered to any depth. Large patches are sampled by proptest,
//! which prints and shrinks what fails.

use super::state::Direction;
use super::tests::{change, description};
use super::{DurableUndo, Outcome, Patch, State, apply, state, undo};
use crate::disk::COMPLETING_LABEL;
use crate::disk::fault::{Failure, Fault, FaultMedium, Operation};
use crate::disk::memory::MemoryDisk;
use crate::error::Result;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Sectors whose survival is explored exhaustively: every subset of them.
const EXHAUSTIVE_SECTORS_MAX: usize = 8;

const DIRECTIONS: [Direction; 2] = [Direction::Apply, Direction::Undo];

/// A patch with the images on both of its sides.
struct Case {
    patch: Patch,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Case {
    /// The runs that start at these sectors complete the edit.
    fn completed_by(mut self, sectors: &[usize]) -> Self {
        for run in &mut self.patch.runs {
            if sectors.contains(&(run.offset_bytes as usize / 512)) {
                run.labels = vec![COMPLETING_LABEL.to_owned()];
            }
        }
        self
    }

    /// A disk of `size_bytes` on which the runs (first sector, count) change.
    fn new(size_bytes: usize, runs: &[(usize, usize)]) -> Self {
        let before: Vec<u8> = (0..size_bytes).map(|at| (at / 512 % 100 + 1) as u8).collect();
        let mut after = before.clone();
        let mut changes = Vec::new();
        for &(sector, count) in runs {
            let range = sector * 512..((sector + count) * 512).min(size_bytes);
            after[range.clone()].iter_mut().for_each(|byte| *byte += 100);
            changes.push(change(range.start as u64, &before[range.clone()], &after[range]));
        }
        let patch = Patch::new(description(size_bytes as u64), changes).unwrap();
        Self { patch, before, after }
    }

    fn wanted(&self, direction: Direction) -> &[u8] {
        match direction {
            Direction::Apply => &self.after,
            Direction::Undo => &self.before,
        }
    }

    fn run(&self, direction: Direction, medium: &mut FaultMedium) -> Result<Outcome> {
        match direction {
            Direction::Apply => apply(&self.patch, medium, &DurableUndo::waived(), &mut |_, _| ()),
            Direction::Undo => undo(&self.patch, medium, &mut |_, _| ()),
        }
    }

    /// What an undisturbed run does.
    fn operations(&self, direction: Direction, image: &[u8]) -> Vec<Operation> {
        let mut medium = FaultMedium::new(image.to_vec());
        self.run(direction, &mut medium).unwrap();
        medium.operations()
    }

    /// The promise itself: never foreign, can be finished, can be taken back.
    fn check(&self, image: &[u8]) {
        let found = state(&self.patch, &MemoryDisk::new(image.to_vec())).unwrap();
        assert!(!matches!(found, State::Foreign { .. }), "{found:?}");
        for direction in DIRECTIONS {
            let mut medium = FaultMedium::new(image.to_vec());
            let outcome = self.run(direction, &mut medium).unwrap();
            assert_eq!(outcome.found, found);
            assert_eq!(medium.durable(), self.wanted(direction), "{direction:?} from {found:?}");
        }
    }
}

/// Every failure at every operation: cuts with every tear, single errors, lies.
pub(super) fn faults(operations: &[Operation]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        let torn_sectors_max = match operation {
            Operation::Write { sectors } => *sectors,
            _ => 0,
        };
        let cuts = (0..=torn_sectors_max).map(|torn_sectors| Failure::PowerCut { torn_sectors });
        for failure in cuts.chain([Failure::Once, Failure::Lie]) {
            faults.push(Fault { at, failure });
        }
    }
    faults
}

/// Every image that a power cut now can leave.
pub(super) fn crash_images(medium: &FaultMedium) -> BTreeSet<Vec<u8>> {
    let sectors: usize = medium.unsynced_sectors().iter().sum();
    assert!(sectors <= EXHAUSTIVE_SECTORS_MAX, "{sectors} unsynced sectors");
    let image_of = |subset: u32| {
        let mut position = 0;
        let mut survives = |_, _| {
            position += 1;
            subset >> (position - 1) & 1 == 1
        };
        medium.after_crash(&mut survives).unwrap()
    };
    (0..1u32 << sectors).map(image_of).collect()
}

/// What can be left if `direction` goes wrong once on `image` and the power goes then.
fn interrupted(case: &Case, direction: Direction, image: &[u8]) -> BTreeSet<Vec<u8>> {
    interrupted_by(case, direction, image, &faults(&case.operations(direction, image)))
}

fn interrupted_by(
    case: &Case,
    direction: Direction,
    image: &[u8],
    faults: &[Fault],
) -> BTreeSet<Vec<u8>> {
    let mut images = BTreeSet::new();
    for &fault in faults {
        let mut medium = FaultMedium::new(image.to_vec()).with_fault(fault);
        let result = case.run(direction, &mut medium);
        if let Failure::PowerCut { .. } = fault.failure {
            assert!(result.is_err(), "{fault:?} passed unnoticed");
        }
        if result.is_ok() {
            assert_eq!(medium.durable(), case.wanted(direction), "success in spite of {fault:?}");
        }
        images.extend(crash_images(&medium));
    }
    images
}

/// Follows crashes and crashes during recovery until no new image turns up; gives how many there
/// were.
fn explore(case: &Case) -> usize {
    images_left(case, &|_| true).len()
}

/// All that can be left by crashes, and by crashes during recovery, if only such failures happen.
fn images_left(case: &Case, happens: &dyn Fn(&Fault) -> bool) -> BTreeSet<Vec<u8>> {
    let mut known = BTreeSet::from([case.before.clone(), case.after.clone()]);
    let mut open: Vec<_> = known.iter().cloned().collect();
    while let Some(image) = open.pop() {
        case.check(&image);
        for direction in DIRECTIONS {
            let mut faults = faults(&case.operations(direction, &image));
            faults.retain(happens);
            for left in interrupted_by(case, direction, &image, &faults) {
                if known.insert(left.clone()) {
                    open.push(left);
                }
            }
        }
    }
    known
}

#[test]
fn every_crash_of_a_small_patch_can_be_finished_and_taken_back() {
    for (size_bytes, runs, sectors) in [
        (2048, [(1, 1)].as_slice(), 1),
        (3072, &[(0, 2), (4, 1)], 3),
        // Touching runs, a long run, and the odd end of the disk.
        (4296, &[(1, 1), (2, 2), (6, 1), (8, 1)], 5),
        // Six single writes between two syncs.
        (8192, &[(0, 1), (2, 1), (4, 1), (6, 1), (9, 1), (15, 1)], 6),
    ] {
        let case = Case::new(size_bytes, runs);
        assert_eq!(case.patch.sectors_changed(), sectors);
        // Any mix of the two sides can be left behind, and nothing else.
        assert_eq!(explore(&case), 1 << sectors, "{runs:?}");
    }
}

/// Two copies of a superblock among other sectors: whatever an honest medium is left with, a copy that is after the edit
/// stands on sectors that are, and at most one copy is torn.
#[test]
fn what_completes_an_edit_is_written_last_and_taken_back_first() {
    let runs = [(1, 1), (3, 1), (8, 1), (20, 1), (21, 1), (23, 1)];
    let case = Case::new(16_384, &runs).completed_by(&[3, 8, 21, 23]);
    let left = images_left(&case, &|fault| fault.failure != Failure::Lie);
    for image in &left {
        let is_after = |sector: usize| image[sector * 512] == case.after[sector * 512];
        let [others, first, second] = [[1, 20], [3, 8], [21, 23]]
            .map(|sectors| sectors.into_iter().filter(|sector| is_after(*sector)).count());
        assert!(others == 2 || first + second == 0, "{others}, {first}, {second}");
        assert!(first != 1 || second != 1, "both copies are torn");
    }
    // 4 mixes of the others, and then 3 more of each copy.
    assert_eq!(left.len(), 4 + 3 + 3);
}

/// The program is killed but the host lives, so that the next run starts on a cache with unsynced
/// writes; then the power goes during that run.
#[test]
fn a_kill_followed_by_a_crash_can_be_finished_and_taken_back() {
    let case = Case::new(4296, &[(1, 2), (6, 1), (8, 1)]);
    let mut left = BTreeSet::new();
    for (first, image) in [(Direction::Apply, &case.before), (Direction::Undo, &case.after)] {
        for fault in faults(&case.operations(first, image)) {
            let mut killed = FaultMedium::new(image.clone()).with_fault(fault);
            let _ = case.run(first, &mut killed);
            let killed = killed.after_kill();
            for second in DIRECTIONS {
                let mut undisturbed = killed.clone();
                case.run(second, &mut undisturbed).unwrap();
                assert_eq!(undisturbed.durable(), case.wanted(second), "{fault:?}, {second:?}");
                for fault in faults(&undisturbed.operations()) {
                    let mut medium = killed.clone().with_fault(fault);
                    let _ = case.run(second, &mut medium);
                    left.extend(crash_images(&medium));
                }
            }
        }
    }
    assert_eq!(left.len(), 16);
    for image in &left {
        case.check(image);
    }
}

/// What is not part of the patch survives everything, also right beside a run.
#[test]
fn a_crash_never_reaches_beyond_the_runs() {
    let case = Case::new(4096, &[(1, 2), (5, 1)]);
    for image in interrupted(&case, Direction::Apply, &case.before) {
        for sector in [0, 3, 4, 6, 7] {
            let range = sector * 512..(sector + 1) * 512;
            assert_eq!(image[range.clone()], case.before[range]);
        }
    }
}

/// One sampled interruption.
#[derive(Debug, Clone)]
struct Interruption {
    is_undo: bool,
    at: prop::sample::Index,
    torn_sectors: usize,
    is_kept: Vec<bool>,
}

fn interruption() -> impl Strategy<Value = Interruption> {
    let is_kept = prop::collection::vec(any::<bool>(), 200);
    (any::<bool>(), any::<prop::sample::Index>(), 0usize..12, is_kept).prop_map(
        |(is_undo, at, torn_sectors, is_kept)| Interruption { is_undo, at, torn_sectors, is_kept },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Large patches, and chains of interrupted recoveries.
    #[test]
    fn sampled_crashes_of_large_patches_can_be_finished_and_taken_back(
        shape in prop::collection::vec((0usize..4, 1usize..12), 1..16),
        interruptions in prop::collection::vec(interruption(), 1..5),
    ) {
        let mut runs = Vec::new();
        let mut sector = 0;
        for (gap, count) in shape {
            runs.push((sector + gap, count));
            sector += gap + count;
        }
        let case = Case::new(sector * 512 - 100, &runs);
        let mut image = case.before.clone();
        for Interruption { is_undo, at, torn_sectors, is_kept } in interruptions {
            let direction = DIRECTIONS[usize::from(is_undo)];
            let at = at.index(case.operations(direction, &image).len());
            let failure = Failure::PowerCut { torn_sectors };
            let mut medium = FaultMedium::new(image).with_fault(Fault { at, failure });
            prop_assert!(case.run(direction, &mut medium).is_err());
            let mut kept = is_kept.into_iter();
            image = medium.after_crash(&mut |_, _| kept.next().unwrap_or(false)).unwrap();
            case.check(&image);
        }
    }
}
