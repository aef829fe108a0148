//! The journal as a file of the volume, for the `journal` module, and what is done with a dirty one.

use super::content::Mapping;
use super::feature::compat;
use super::inode::{Inode, InodeDefect};
use super::journal::{LogBlocks, ReplayLimits, replay};
use super::units::{FileBlock, FsBlock, InodeNumber};
use super::volume::Volume;
use crate::bytes::arith::div;
use crate::error::{ErrorKind, Refusal, Result};

/// The blocks of the journal's inode.
struct JournalBlocks<'a> {
    volume: &'a Volume,
    inode: Inode,
    block_count: u32,
}

impl<'a> JournalBlocks<'a> {
    fn open(volume: &'a Volume) -> Result<Self> {
        let inode = volume.read_inode(InodeNumber(volume.superblock().journal_inode))?;
        let size = inode.size_bytes();
        let count = div(size, volume.superblock().block_size())?;
        let too_large = |_| inode.corrupt(InodeDefect::Size(size));
        let block_count = u32::try_from(count).map_err(too_large)?;
        Ok(Self { volume, inode, block_count })
    }

    fn place(&self, log_block: u32) -> Result<FsBlock> {
        match self.volume.find_block(&self.inode, FileBlock(log_block))?.mapping {
            Mapping::Mapped(block) if log_block < self.block_count => Ok(block),
            _ => Err(self.inode.corrupt(InodeDefect::Size(self.inode.size_bytes()))),
        }
    }
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
}

/// Replays a dirty journal. A journal that cannot be replayed leaves the volume readable as it is; the reason
/// is given back, and refuses every edit.
///
/// # Errors
/// `Io`.
pub(super) fn recover(volume: &mut Volume) -> Result<Option<Refusal>> {
    let superblock = volume.superblock();
    if !superblock.needs_recovery() || !superblock.features.has_compat(compat::HAS_JOURNAL) {
        return Ok(None);
    }
    if superblock.journal_inode == 0 {
        let detail = "it lies on another device".to_owned();
        return Ok(Some(Refusal::DirtyLog { detail }));
    }
    let limits = ReplayLimits::new(superblock.blocks_count, superblock.block_size_bytes)?;
    let replayed = JournalBlocks::open(volume)
        .and_then(|mut log| replay(&mut log, volume.disk().as_ref(), &limits));
    match replayed {
        Ok(replayed) => {
            volume.finish_recovery()?;
            Ok(replayed.errno.map(|errno| {
                let detail = format!("the journal was aborted with error {errno}");
                Refusal::NeedsCheck { detail }
            }))
        }
        Err(error) => match error.kind() {
            ErrorKind::Io(_) => Err(error),
            ErrorKind::Refused(refusal) => Ok(Some(refusal.clone())),
            _ => Ok(Some(Refusal::DirtyLog { detail: error.to_string() })),
        },
    }
}
