//! Comparing everything that one allocation group says in more than one place.
//!
//! Format: "XFS Algorithms & Data Structures", chapters "Allocation Groups", "Reverse-Mapping B+tree" and "Reference
//! Count B+tree". This is how an edit is verified: it shares no code with the modules that edit space and inodes,
//! only the reading of trees and headers, and reads everything anew.
//!
//! | compared | with |
//! |----------|------|
//! | bnobt | cntbt: the same extents, none of which touch |
//! | AGF: free blocks, longest, blocks of the trees | what the trees have |
//! | AGFL, blocks of inode chunks | bnobt: none of them is free |
//! | inobt | finobt: the same chunks with free inodes |
//! | AGI: inodes, free inodes, blocks of the trees | what the trees have |
//! | rmapbt | bnobt: every block has an owner or is free, and only blocks of files have several |
//! | rmapbt: owners that are no inodes | headers, log, blocks of the trees and the AGFL, inode chunks |
//! | rmapbt: overlaps, waiting copies | refcountbt |
//!
//! Not handled: what forks map (each is checked when it is read), unlinked lists, trees with more records than
//! [`RECORDS_MAX`], of which the answer says so.

mod inodes;
mod owners;
mod space;
#[cfg(test)]
mod stress_tests;
#[cfg(test)]
mod tests;

use super::ag::{Agf, Agfl, Agi, TreeRoot};
use super::btree::{Bnobt, Cntbt, Finobt, FreeExtent, Inobt, InodeChunk};
use super::btree::{GroupSource, Summary, Tree, TreeKind};
use super::btree::{Refcountbt, ReferenceCount, ReverseMap, Rmapbt};
use super::units::AgNumber;
use super::volume::Volume;
use crate::bytes::arith::len_u64;
use crate::error::{Corrupt, Error, ErrorKind, Result};
use std::fmt;

/// Bound on the records of one tree, and on its blocks: a few MiB to read and to hold.
pub(crate) const RECORDS_MAX: u64 = 50_000;

/// What two places of an allocation group can disagree on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CrossDefect {
    #[error("the free extent {0} is in one of bnobt and cntbt only")]
    FreeInOne(Run),
    #[error("the free extents {0} and {1} touch")]
    Touching(Run, Run),
    #[error("the header counts {stored} {what}, but there are {found}")]
    Count { what: &'static str, stored: u64, found: u64 },
    #[error("{what} {run} is free as well")]
    NotFree { what: &'static str, run: Run },
    #[error("blocks {0} are neither free nor owned")]
    Lost(Run),
    #[error("blocks {0} are free and owned")]
    FreeAndOwned(Run),
    #[error("blocks {0} have several owners that cannot share them")]
    OwnedTwice(Run),
    #[error("the rmapbt has {found} as {what}, which should be {expected}")]
    Owner { what: &'static str, found: Runs, expected: Runs },
    #[error("the rmapbt counts {found} blocks as {what}, which should be {expected}")]
    OwnerBlocks { what: &'static str, found: u64, expected: u64 },
    #[error("the refcountbt has {found} as {what}, which should be {expected}")]
    References { what: &'static str, found: Runs, expected: Runs },
    #[error("the chunk of inodes at {0} differs between inobt and finobt")]
    Chunk(u32),
}

/// Blocks of an allocation group from `start` up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// A run, or nothing, in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Runs(Option<Run>);

impl Run {
    fn of(start: super::units::AgBlock, count: u32) -> Self {
        let start = u64::from(start.0);
        Self { start, end: start.saturating_add(u64::from(count)) }
    }

    fn count(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(run) => run.fmt(f),
            None => f.write_str("nothing more"),
        }
    }
}

/// The outcome of [`cross_check`] when nothing disagrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrossCheck {
    /// Everything was compared.
    Complete {
        /// Records read, of all trees.
        records: u64,
    },
    /// The trees of owners or references are larger than [`RECORDS_MAX`]; all else was compared.
    WithoutOwners {
        /// Records read, of all trees.
        records: u64,
    },
    /// Another tree is larger than [`RECORDS_MAX`]; nothing was compared.
    TooLarge,
}

/// All that is compared.
struct Group {
    agf: Agf,
    agi: Agi,
    by_block: Read<FreeExtent>,
    by_size: Read<FreeExtent>,
    inodes: Read<InodeChunk>,
    free_inodes: Option<Read<InodeChunk>>,
    owners: Option<Read<ReverseMap>>,
    references: Option<Read<ReferenceCount>>,
    /// A tree of owners or references exists, but is too large to be here.
    lacks_owners: bool,
    /// The blocks of the free list.
    listed: Vec<Run>,
}

/// A tree that was read whole.
struct Read<R> {
    records: Vec<R>,
    blocks: u64,
}

/// Compares what the trees and headers of `ag` say, after checking each tree whole.
///
/// # Errors
/// `Corrupt` with a [`CrossDefect`], or with the defect of a tree or header; `Io`.
pub(crate) fn cross_check(volume: &Volume, ag: AgNumber) -> Result<CrossCheck> {
    cross_check_up_to(volume, ag, RECORDS_MAX)
}

fn cross_check_up_to(volume: &Volume, ag: AgNumber, records_max: u64) -> Result<CrossCheck> {
    let Some(group) = unless_too_large(read(volume, ag, records_max))? else {
        return Ok(CrossCheck::TooLarge);
    };
    let records = group.record_count();
    let compared = space::compare(volume, &group)
        .and_then(|()| inodes::compare(volume, &group))
        .and_then(|()| owners::compare(volume, ag, &group));
    match compared {
        Ok(()) if group.lacks_owners => Ok(CrossCheck::WithoutOwners { records }),
        Ok(()) => Ok(CrossCheck::Complete { records }),
        Err(Compare::Defect(defect)) => {
            Err(Corrupt::new("allocation group", defect).of(ag.to_string()).into())
        }
        Err(Compare::Other(error)) => Err(error),
    }
}

/// A disagreement, or an error on the way to one.
enum Compare {
    Defect(CrossDefect),
    Other(Error),
}

impl From<CrossDefect> for Compare {
    fn from(defect: CrossDefect) -> Self {
        Self::Defect(defect)
    }
}

impl<E: Into<Error>> From<E> for Compare
where
    E: NotADefect,
{
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Errors that are no [`CrossDefect`].
trait NotADefect {}
impl NotADefect for Error {}
impl NotADefect for crate::bytes::arith::OutOfRange {}

/// `None` if a bound was exceeded.
fn unless_too_large<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if matches!(error.kind(), ErrorKind::Limit { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(volume: &Volume, ag: AgNumber, records_max: u64) -> Result<Group> {
    let (agf, agi) = (Agf::load(volume, ag)?, Agi::load(volume, ag)?);
    let listed = Agfl::load(volume, &agf)?.blocks(agf.free_list)?;
    let mut listed: Vec<Run> = listed.into_iter().map(|block| Run::of(block, 1)).collect();
    listed.sort_unstable();
    let tree = GroupReader { volume, ag, records_max };
    let owners = agf.reverse_map.map(|root| unless_too_large(tree.read::<Rmapbt>(root)));
    let owners = owners.transpose()?;
    let references = agf.reference_counts;
    let references = references.map(|root| unless_too_large(tree.read::<Refcountbt>(root)));
    let references = references.transpose()?;
    let lacks_owners = matches!(owners, Some(None)) || matches!(references, Some(None));
    Ok(Group {
        by_block: tree.read::<Bnobt>(agf.by_block)?,
        by_size: tree.read::<Cntbt>(agf.by_size)?,
        inodes: tree.read::<Inobt>(agi.inodes)?,
        free_inodes: agi.free_inodes.map(|root| tree.read::<Finobt>(root)).transpose()?,
        owners: owners.flatten(),
        references: references.flatten(),
        lacks_owners,
        agf,
        agi,
        listed,
    })
}

/// Reads whole trees of one group.
struct GroupReader<'v> {
    volume: &'v Volume,
    ag: AgNumber,
    records_max: u64,
}

impl GroupReader<'_> {
    fn read<K: TreeKind>(&self, root: TreeRoot) -> Result<Read<K::Record>> {
        let tree = Tree::<K, _>::new(GroupSource::new(self.volume, self.ag, root)?);
        let mut records = Vec::new();
        let Summary { blocks, .. } = tree.check(self.records_max, |record| {
            let count = len_u64(records.len());
            if count >= self.records_max {
                return Err(Error::limit("number of records of a tree", self.records_max, count));
            }
            records.push(record);
            Ok(())
        })?;
        Ok(Read { records, blocks })
    }
}

impl Group {
    fn record_count(&self) -> u64 {
        let optional = [
            self.free_inodes.as_ref().map(|read| read.records.len()),
            self.owners.as_ref().map(|read| read.records.len()),
            self.references.as_ref().map(|read| read.records.len()),
        ];
        let always = [&self.by_block, &self.by_size].map(|read| read.records.len()).into_iter();
        let all = always.chain([self.inodes.records.len()]);
        all.chain(optional.into_iter().flatten()).map(len_u64).fold(0, u64::saturating_add)
    }
}

/// Joins runs that touch or overlap; `runs` is ascending by start.
fn join(runs: impl IntoIterator<Item = Run>) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => joined.push(run),
        }
    }
    joined
}

/// The first place where two lists differ.
fn difference(found: &[Run], expected: &[Run]) -> Option<(Runs, Runs)> {
    let len = found.len().max(expected.len());
    let pairs = (0..len).map(|at| (found.get(at).copied(), expected.get(at).copied()));
    let mut differing = pairs.filter(|(found, expected)| found != expected);
    differing.next().map(|(found, expected)| (Runs(found), Runs(expected)))
}

/// Checks a number of a header.
fn check_count(what: &'static str, stored: u64, found: u64) -> Result<(), CrossDefect> {
    if stored == found { Ok(()) } else { Err(CrossDefect::Count { what, stored, found }) }
}

/// Checks that none of `runs` is free; both lists are ascending.
fn check_not_free(
    what: &'static str,
    free: &[FreeExtent],
    runs: &[Run],
) -> Result<(), CrossDefect> {
    for run in runs {
        let behind = free.partition_point(|extent| u64::from(extent.start.0) < run.end);
        let before = behind.checked_sub(1).and_then(|index| free.get(index));
        if before.is_some_and(|extent| extent.end() > run.start) {
            return Err(CrossDefect::NotFree { what, run: *run });
        }
    }
    Ok(())
}
