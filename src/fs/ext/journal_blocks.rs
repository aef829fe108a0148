//! The journal as a file of the volume, for the `journal` module, and what is done with a dirty one.

use super::content::Mapping;
use super::feature::compat;
use super::inode::Inode;
use super::journal::{JournalState, LogBlocks, Replay, ReplayLimits, inspect, replay};
use super::units::{FileBlock, FsBlock, InodeNumber};
use super::volume::Volume;
use crate::bytes::arith::{div, len_u64, to};
use crate::error::{Corrupt, Error, ErrorKind, Refusal, Result};

/// Bound on the pieces of a journal: mke2fs makes it of one or a few, and with a block map there is one
/// for each indirect block.
const JOURNAL_RUNS_MAX: usize = 65_536;

/// What is wrong with the file that holds the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum JournalFileDefect {
    #[error("its {0} bytes are more blocks than a journal can have")]
    Size(u64),
    #[error("block {0} of it is a hole")]
    Hole(u32),
    #[error("block {0} of the file system belongs to it twice")]
    Twice(u64),
    #[error("there is no block {0} in it")]
    Behind(u32),
}

/// Blocks of the journal that lie next to each other.
#[derive(Debug, Clone, Copy)]
struct LogRun {
    first: u32,
    start: FsBlock,
    length: u32,
}

/// The blocks of the journal's inode. All places are looked up before anything is replayed, so that a
/// replay cannot move the log that it reads.
struct JournalBlocks<'a> {
    volume: &'a Volume,
    object: String,
    block_count: u32,
    /// Ascending by `first`, without gaps.
    runs: Vec<LogRun>,
    /// The same runs, ascending by `start`, none overlapping.
    by_place: Vec<LogRun>,
}

impl<'a> JournalBlocks<'a> {
    fn open(volume: &'a Volume) -> Result<Self> {
        let inode = volume.read_inode(InodeNumber(volume.superblock().journal_inode))?;
        let object = inode.number.to_string();
        let size = inode.size_bytes();
        let count = div(size, volume.superblock().block_size())?;
        let too_large = |_| corrupt(&object, JournalFileDefect::Size(size));
        let block_count = u32::try_from(count).map_err(too_large)?;
        let runs = find_runs(volume, &inode, block_count)?;
        let mut by_place = runs.clone();
        by_place.sort_unstable_by_key(|run| run.start);
        let mut free_from = 0;
        for run in &by_place {
            if run.start.0 < free_from {
                return Err(corrupt(&object, JournalFileDefect::Twice(run.start.0)));
            }
            free_from = run.start.plus(run.length.into())?.0;
        }
        Ok(Self { volume, object, block_count, runs, by_place })
    }

    fn place(&self, log_block: u32) -> Result<FsBlock> {
        let behind = self.runs.partition_point(|run| run.first <= log_block);
        let run = behind.checked_sub(1).and_then(|index| self.runs.get(index));
        let offset = run.map_or(0, |run| log_block.saturating_sub(run.first));
        match run.filter(|run| offset < run.length) {
            Some(run) => run.start.plus(offset.into()),
            None => Err(corrupt(&self.object, JournalFileDefect::Behind(log_block))),
        }
    }
}

fn corrupt(object: &str, defect: JournalFileDefect) -> Error {
    Corrupt::new("journal file", defect).of(object).into()
}

/// Where the first `block_count` blocks of `inode` lie.
fn find_runs(volume: &Volume, inode: &Inode, block_count: u32) -> Result<Vec<LogRun>> {
    let mut runs = Vec::new();
    let mut first = 0;
    while first < block_count {
        let found = volume.find_block(inode, FileBlock(first))?;
        let Mapping::Mapped(start) = found.mapping else {
            return Err(corrupt(&inode.number.to_string(), JournalFileDefect::Hole(first)));
        };
        let left = block_count.saturating_sub(first);
        let length: u32 = to(found.length.clamp(1, left.into()))?;
        runs.push(LogRun { first, start, length });
        if runs.len() > JOURNAL_RUNS_MAX {
            let (limit, actual) = (len_u64(JOURNAL_RUNS_MAX), len_u64(runs.len()));
            return Err(Error::limit("number of pieces of the journal", limit, actual));
        }
        first = first.saturating_add(length);
    }
    Ok(runs)
}

impl LogBlocks for JournalBlocks<'_> {
    fn block_count(&self) -> u32 {
        self.block_count
    }

    fn block_size_bytes(&self) -> u32 {
        self.volume.superblock().block_size_bytes
    }

    fn read(&self, log_block: u32) -> Result<Vec<u8>> {
        self.volume.read_block(self.place(log_block)?)
    }

    fn write(&mut self, log_block: u32, bytes: &[u8]) -> Result<()> {
        self.volume.write_block(self.place(log_block)?, 0, bytes, "journal superblock")
    }

    fn is_log_block(&self, fs_block: u64) -> bool {
        let behind = self.by_place.partition_point(|run| run.start.0 <= fs_block);
        let run = behind.checked_sub(1).and_then(|index| self.by_place.get(index));
        run.is_some_and(|run| fs_block.saturating_sub(run.start.0) < u64::from(run.length))
    }
}

/// What became of a dirty journal.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// Why it was not replayed, or why nothing may be edited although it was.
    pub(super) refusal: Option<Refusal>,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
    is_replayed: bool,
}

impl Recovery {
    fn refused(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::default() }
    }

    fn done(replayed: &Replay) -> Self {
        let refusal = replayed.errno.map(|errno| Refusal::NeedsCheck { detail: aborted(errno) });
        let mut warnings = Vec::new();
        if replayed.blocks_replayed > 0 {
            warnings.push(format!(
                "the journal holds changes that are not in place yet (transactions: {}, blocks: {}); \
                 they are replayed in memory, and an edit writes them too",
                replayed.transactions, replayed.blocks_replayed
            ));
        }
        if let Some(discarded) = &replayed.discarded {
            warnings.push(format!(
                "the end of the journal is damaged, so what was written last is lost, as after a \
                 power cut ({discarded})"
            ));
        }
        Self { refusal, warnings, is_replayed: true }
    }

    /// Brings the superblock in memory up to date with what was replayed.
    fn finish(mut self, volume: &mut Volume) -> Result<Self> {
        if !self.is_replayed {
            return Ok(self);
        }
        match volume.finish_recovery()? {
            Err(error) if matches!(error.kind(), ErrorKind::Io(_)) => return Err(error),
            Err(error) => {
                self.refusal = Some(Refusal::NeedsCheck { detail: error.to_string() });
            }
            Ok(()) => {}
        }
        Ok(self)
    }
}

/// Replays a dirty journal. A journal that cannot be replayed leaves the volume readable as it is; the reason
/// is given back, and refuses every edit.
///
/// # Errors
/// `Io`; `Corrupt` or `Unsupported` if the superblock that was replayed makes no sense.
pub(super) fn recover(volume: &mut Volume) -> Result<Recovery> {
    let superblock = volume.superblock();
    let needs_recovery = superblock.needs_recovery();
    if !superblock.features.has_compat(compat::HAS_JOURNAL) {
        let detail = "it says that its journal must be replayed, but it has none".to_owned();
        let refused = || Recovery::refused(Refusal::NeedsCheck { detail });
        return Ok(if needs_recovery { refused() } else { Recovery::default() });
    }
    if superblock.journal_inode == 0 {
        let detail = "it lies on another device".to_owned();
        let refused = || Recovery::refused(Refusal::DirtyLog { detail });
        return Ok(if needs_recovery { refused() } else { Recovery::default() });
    }
    let recovered = if needs_recovery { replay_into(volume) } else { look(volume) };
    recovered
        .or_else(|error| match error.kind() {
            ErrorKind::Io(_) => Err(error),
            ErrorKind::Refused(refusal) => Ok(Recovery::refused(refusal.clone())),
            _ => Ok(Recovery::refused(Refusal::DirtyLog { detail: error.to_string() })),
        })?
        .finish(volume)
}

/// Looks at the journal of a volume that says that nothing is to be replayed. The kernel would forget what
/// is in it all the same, and e2fsck would replay it, so an edit could be right for one of them only.
fn look(volume: &Volume) -> Result<Recovery> {
    let inspection = inspect(&JournalBlocks::open(volume)?)?;
    let detail = match (inspection.state, inspection.errno) {
        (JournalState::NeedsReplay { .. }, _) => {
            "its journal holds changes, but it says that none is to be replayed".to_owned()
        }
        (_, Some(errno)) => aborted(errno),
        _ => return Ok(Recovery::default()),
    };
    Ok(Recovery::refused(Refusal::NeedsCheck { detail }))
}

fn replay_into(volume: &Volume) -> Result<Recovery> {
    let superblock = volume.superblock();
    let limits = ReplayLimits::new(superblock.blocks_count, superblock.block_size_bytes)?;
    let mut log = JournalBlocks::open(volume)?;
    let replayed = replay(&mut log, volume.disk().as_ref(), &limits)?;
    Ok(Recovery::done(&replayed))
}

fn aborted(errno: i32) -> String {
    format!("the journal was aborted with error {errno}")
}
