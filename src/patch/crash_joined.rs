//! The same proof as in [`crash`](super::crash), for a patch of two disks that fail and lose writes each on its own.

use super::crash::{crash_images, faults};
use super::tests::{change, description};
use super::{DurableUndo, Outcome, PartIdentity, Patch, State, apply, parts, state, undo};
use crate::disk::Disk;
use crate::disk::fault::FaultMedium;
use crate::disk::joined::{JoinedDisk, JoinedMedium};
use crate::disk::memory::MemoryDisk;
use crate::error::Result;
use crate::patch::Description;
use crate::patch::state::Direction;
use std::collections::BTreeSet;
use std::sync::Arc;

const DIRECTIONS: [Direction; 2] = [Direction::Apply, Direction::Undo];

/// What both disks hold.
type Images = [Vec<u8>; 2];

struct Case {
    patch: Patch,
    before: Images,
    after: Images,
}

impl Case {
    /// Two disks on which the runs (first sector, count) change. The first one has an odd end.
    fn new(runs: [&[(usize, usize)]; 2]) -> Self {
        let before = [1100usize, 2048].map(|len| vec![1; len]);
        let mut after = before.clone();
        let mut disks = Vec::new();
        for (number, runs) in runs.into_iter().enumerate() {
            let len = before[number].len();
            let mut changes = Vec::new();
            for &(sector, count) in runs {
                let range = sector * 512..((sector + count) * 512).min(len);
                after[number][range.clone()].fill(100);
                let bytes = [&before, &after].map(|images| images[number][range.clone()].to_vec());
                changes.push(change(range.start as u64, &bytes[0], &bytes[1]));
            }
            let name = format!("disk {number}");
            let size_bytes = len as u64;
            let part = PartIdentity { name, size_bytes, sector_size_bytes: 512, table_guid: None };
            disks.push((part, changes));
        }
        let (identity, changes) = parts::join(disks).unwrap();
        let patch = Patch::new(Description { identity, ..description(0) }, changes).unwrap();
        Self { patch, before, after }
    }

    fn wanted(&self, direction: Direction) -> &Images {
        match direction {
            Direction::Apply => &self.after,
            Direction::Undo => &self.before,
        }
    }

    fn run(&self, direction: Direction, media: &mut [FaultMedium; 2]) -> Result<Outcome> {
        let [first, second] = media;
        let mut joined = JoinedMedium::new(vec![Box::new(first), Box::new(second)]).unwrap();
        let waived = DurableUndo::waived();
        match direction {
            Direction::Apply => apply(&self.patch, &mut joined, &waived, &mut |_, _| ()),
            Direction::Undo => undo(&self.patch, &mut joined, &mut |_, _| ()),
        }
    }

    fn state(&self, images: &Images) -> State {
        let disk = |image: &Vec<u8>| Arc::new(MemoryDisk::new(image.clone())) as Arc<dyn Disk>;
        let joined = JoinedDisk::new(images.iter().map(disk).collect()).unwrap();
        state(&self.patch, &joined).unwrap()
    }

    /// Never foreign, can be finished, can be taken back.
    fn check(&self, images: &Images) {
        let found = self.state(images);
        assert!(!matches!(found, State::Foreign { .. }), "{found:?}");
        for direction in DIRECTIONS {
            let mut media = images.clone().map(FaultMedium::new);
            assert_eq!(self.run(direction, &mut media).unwrap().found, found);
            let durable = media.map(|medium| medium.durable().to_vec());
            assert_eq!(&durable, self.wanted(direction), "{direction:?} from {found:?}");
        }
    }

    /// What can be left if one of the disks fails once while `direction` is on its way, and the power goes then.
    fn interrupted(&self, direction: Direction, images: &Images) -> BTreeSet<Images> {
        let mut undisturbed = images.clone().map(FaultMedium::new);
        self.run(direction, &mut undisturbed).unwrap();
        let mut left = BTreeSet::new();
        for failing in 0..2 {
            for fault in faults(&undisturbed[failing].operations()) {
                let mut media = images.clone().map(FaultMedium::new);
                media[failing] = media[failing].clone().with_fault(fault);
                if self.run(direction, &mut media).is_ok() {
                    let durable = media.clone().map(|medium| medium.durable().to_vec());
                    assert_eq!(&durable, self.wanted(direction), "success in spite of {fault:?}");
                }
                for first in crash_images(&media[0]) {
                    let images = crash_images(&media[1]).into_iter();
                    left.extend(images.map(|second| [first.clone(), second]));
                }
            }
        }
        left
    }
}

#[test]
fn every_crash_between_two_disks_can_be_finished_and_taken_back() {
    for (runs, sectors) in
        [([[(0, 1)].as_slice(), [(0, 1)].as_slice()], 2), ([&[(1, 2)], &[(0, 1), (2, 2)]], 5)]
    {
        let case = Case::new(runs);
        assert_eq!(case.patch.sectors_changed(), sectors);
        let mut known = BTreeSet::from([case.before.clone(), case.after.clone()]);
        let mut open: Vec<_> = known.iter().cloned().collect();
        while let Some(images) = open.pop() {
            case.check(&images);
            for direction in DIRECTIONS {
                for left in case.interrupted(direction, &images) {
                    if known.insert(left.clone()) {
                        open.push(left);
                    }
                }
            }
        }
        assert_eq!(known.len(), 1 << sectors, "any mix of the two sides, and nothing else");
    }
}
