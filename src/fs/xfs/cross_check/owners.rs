//! Owners of blocks: the rmapbt against everything that has blocks without saying so.

use super::inodes::chunk_blocks;
use super::{Compare, CrossDefect, Group, Run, difference, join};
use crate::bytes::arith::{OutOfRange, len_u64, to};
use crate::fs::xfs::ag::header_blocks;
use crate::fs::xfs::btree::{
    FreeExtent, OWNER_AG, OWNER_COW, OWNER_FILE_SYSTEM, OWNER_INOBT, OWNER_INODES, OWNER_LOG,
    OWNER_REFCOUNT, ReferenceCount, ReverseMap,
};
use crate::fs::xfs::units::{AgNumber, FsBlock};
use crate::fs::xfs::volume::Volume;

/// Compares the rmapbt, if there is one, with everything else.
pub(super) fn compare(volume: &Volume, ag: AgNumber, group: &Group) -> Result<(), Compare> {
    let Some(owners) = group.owners.as_ref().filter(|_| !group.lacks_owners) else {
        return Ok(());
    };
    let (owners, owner_blocks) = (&owners.records, owners.blocks);
    let length = volume.superblock().ag_length(ag)?;
    let shared = sweep(length, &group.by_block.records, owners, group.references.is_some())?;
    check_special(volume, ag, group, owners)?;

    let listed = len_u64(group.listed.len());
    let for_space = [group.by_block.blocks, group.by_size.blocks, owner_blocks, listed];
    let free_inodes = group.free_inodes.as_ref().map_or(0, |read| read.blocks);
    let references = group.references.as_ref().map_or(0, |read| read.blocks);
    for (what, owner, expected) in [
        ("free space and rmapbt", OWNER_AG, for_space.into_iter().fold(0, u64::saturating_add)),
        ("inode trees", OWNER_INOBT, group.inodes.blocks.saturating_add(free_inodes)),
        ("refcountbt", OWNER_REFCOUNT, references),
    ] {
        let runs = runs_of(owners, owner);
        let found = runs.iter().map(|run| run.count()).fold(0, u64::saturating_add);
        if found != expected {
            return Err(CrossDefect::OwnerBlocks { what, found, expected }.into());
        }
    }
    let ours = runs_of(owners, OWNER_AG);
    let is_owned = |run: &&Run| ours.iter().any(|own| own.start <= run.start && run.end <= own.end);
    if let Some(run) = group.listed.iter().find(|run| !is_owned(run)) {
        let (found, expected) = (super::Runs(None), super::Runs(Some(*run)));
        return Err(CrossDefect::Owner { what: "blocks of the AGFL", found, expected }.into());
    }
    if let Some(references) = &group.references {
        check_references(&references.records, &shared, &runs_of(owners, OWNER_COW))?;
    }
    Ok(())
}

/// Headers, log and inode chunks have exactly the blocks that the rmapbt gives them.
fn check_special(
    volume: &Volume,
    ag: AgNumber,
    group: &Group,
    owners: &[ReverseMap],
) -> Result<(), Compare> {
    let superblock = volume.superblock();
    let headers = Run { start: 0, end: header_blocks(superblock)?.into() };
    let mut log = Vec::new();
    if superblock.log_start != FsBlock(0) {
        let (log_ag, start) = superblock.split(superblock.log_start)?;
        if log_ag == ag {
            log.push(Run::of(start, superblock.log_blocks));
        }
    }
    for (what, owner, expected) in [
        ("headers", OWNER_FILE_SYSTEM, vec![headers]),
        ("the log", OWNER_LOG, log),
        ("inode chunks", OWNER_INODES, chunk_blocks(volume, &group.inodes.records)?),
    ] {
        if let Some((found, expected)) = difference(&runs_of(owners, owner), &expected) {
            return Err(CrossDefect::Owner { what, found, expected }.into());
        }
    }
    Ok(())
}

/// The blocks of a special owner, joined.
fn runs_of(owners: &[ReverseMap], owner: u64) -> Vec<Run> {
    let own = owners.iter().filter(|record| record.owner == owner);
    join(own.map(|record| Run::of(record.start, record.count)))
}

/// Blocks with a number of references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shared {
    run: Run,
    references: u64,
}

/// What begins or ends at a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Free,
    /// Owned by something that does not share.
    Exclusive,
    /// Owned by the data fork of a file.
    File,
}

/// A place where something begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: u32,
    class: Class,
    is_begin: bool,
}

/// Goes over all blocks and checks that each is free or owned; returns those with several owners.
fn sweep(
    length: u32,
    free: &[FreeExtent],
    owners: &[ReverseMap],
    may_share: bool,
) -> Result<Vec<Shared>, Compare> {
    let mut events = Vec::new();
    for extent in free {
        push(&mut events, Run::of(extent.start, extent.count), Class::Free)?;
    }
    for record in owners {
        let is_file = record.is_of_inode() && !record.is_attribute_fork && !record.is_bmbt;
        let class = if is_file { Class::File } else { Class::Exclusive };
        push(&mut events, Run::of(record.start, record.count), class)?;
    }
    events.push(Event { at: length, class: Class::Free, is_begin: true });
    events.sort_unstable();
    let (mut at, mut counts) = (0, Counts::default());
    let mut shared = Vec::new();
    for event in events {
        if event.at > at {
            let run = Run { start: at.into(), end: event.at.into() };
            counts.judge(run, may_share, &mut shared)?;
            at = event.at;
        }
        counts.apply(event);
    }
    Ok(shared)
}

fn push(events: &mut Vec<Event>, run: Run, class: Class) -> Result<(), OutOfRange> {
    events.push(Event { at: to(run.start)?, class, is_begin: true });
    events.push(Event { at: to(run.end)?, class, is_begin: false });
    Ok(())
}

/// What covers the blocks at hand.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    free: u64,
    exclusive: u64,
    files: u64,
}

impl Counts {
    fn apply(&mut self, event: Event) {
        let count = match event.class {
            Class::Free => &mut self.free,
            Class::Exclusive => &mut self.exclusive,
            Class::File => &mut self.files,
        };
        *count = if event.is_begin { count.saturating_add(1) } else { count.saturating_sub(1) };
    }

    fn judge(self, run: Run, may_share: bool, shared: &mut Vec<Shared>) -> Result<(), CrossDefect> {
        match (self.free, self.exclusive, self.files) {
            (1, 0, 0) | (0, 1, 0) | (0, 0, 1) => Ok(()),
            (0, 0, 0) => Err(CrossDefect::Lost(run)),
            (0, 0, references) if may_share => {
                add_shared(shared, Shared { run, references });
                Ok(())
            }
            (0, ..) => Err(CrossDefect::OwnedTwice(run)),
            _ => Err(CrossDefect::FreeAndOwned(run)),
        }
    }
}

/// Appends a run; one that continues the last with as many references is joined to it.
fn add_shared(all: &mut Vec<Shared>, next: Shared) {
    match all.last_mut() {
        Some(last) if last.run.end == next.run.start && last.references == next.references => {
            last.run.end = next.run.end;
        }
        _ => all.push(next),
    }
}

/// The refcountbt has the shared blocks with their numbers, and those that wait for a copy.
fn check_references(
    records: &[ReferenceCount],
    shared: &[Shared],
    waiting: &[Run],
) -> Result<(), CrossDefect> {
    let mut counted: Vec<Shared> = Vec::new();
    for record in records.iter().filter(|record| !record.is_cow) {
        let run = Run::of(record.start, record.count);
        add_shared(&mut counted, Shared { run, references: record.references.into() });
    }
    let len = counted.len().max(shared.len());
    let mut pairs = (0..len).map(|at| (counted.get(at), shared.get(at)));
    if let Some((found, expected)) = pairs.find(|(found, expected)| found != expected) {
        let run = |shared: Option<&Shared>| super::Runs(shared.map(|shared| shared.run));
        let (found, expected) = (run(found), run(expected));
        return Err(CrossDefect::References { what: "shared blocks", found, expected });
    }
    let cow = records.iter().filter(|record| record.is_cow);
    let cow = join(cow.map(|record| Run::of(record.start, record.count)));
    match difference(&cow, waiting) {
        None => Ok(()),
        Some((found, expected)) => {
            Err(CrossDefect::References { what: "blocks that wait for a copy", found, expected })
        }
    }
}
