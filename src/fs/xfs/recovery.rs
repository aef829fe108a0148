//! What is done with a log that is not clean.
//!
//! A crashed machine is the normal case. The log is replayed into a layer of its own, so that everything is seen as
//! the kernel would leave it, and edits are made on a second layer above. At the end there are two ways:
//!
//! * The edit touches nothing that the log names. Then it commutes with the kernel's replay: only the edit goes to
//!   the disk, and the log stays as it is, for the kernel.
//! * Otherwise both layers go to the disk, deleted files that were still open are finished as the kernel would,
//!   and the log is written clean, so that nobody replays old changes over the edit.
//!
//! A log on another device is never written. When that device is given and its log is clean, the volume is edited
//! like any other; else it is only read.
//!
//! Open intents, which only the kernel can finish, are all that stays in the log then, with the deleted files; the
//! edit must touch nothing that they name.

use super::log::{self, ConflictSet, DeviceLogState, LogState, Pending, Purpose};
use super::superblock::Superblock;
use super::units::{AgInode, AgNumber, InodeNumber};
use super::volume::Volume;
use crate::bytes::arith::{div, div_ceil, mul, rem, to};
use crate::disk::overlay::Overlay;
use crate::disk::{Disk, DiskEdit};
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::fs::{Health, Timestamp};
use std::ops::Range;
use std::sync::Arc;

/// The layers over a volume whose log is not clean.
#[derive(Debug)]
pub(super) struct Layers {
    below: Arc<dyn DiskEdit>,
    replayed: Arc<Overlay>,
    edits: Arc<Overlay>,
    named: ConflictSet,
    /// What only a mount can finish.
    pending: Pending,
    /// Why the log cannot be replayed for good.
    refusal: Option<Refusal>,
}

/// A volume as it is to be seen, and what is to be known of its log.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) volume: Volume,
    pub(super) health: Health,
    /// None if the log is clean, or cannot be read.
    pub(super) layers: Option<Layers>,
    /// Why nothing can be edited.
    pub(super) refusal: Option<Refusal>,
    pub(super) warnings: Vec<String>,
}

/// Opens the volume on `disk`, with what its log holds; the log may lie on one of `devices`.
///
/// # Errors
/// As [`Volume::open`]; `Io`.
pub(super) fn recover(
    disk: Arc<dyn DiskEdit>,
    devices: &[Arc<dyn Disk>],
    clock: Timestamp,
) -> Result<Recovered> {
    let volume = Volume::open(disk.clone(), clock)?;
    if volume.superblock().log_start.0 == 0 {
        return with_log_elsewhere(volume, devices);
    }
    let refusal = match log::scan(&volume) {
        Ok(LogState::Clean(_)) => None,
        Ok(LogState::Dirty(dirty)) => return replay(disk, clock, *dirty),
        Err(error) => Some(refusal_of(error)?),
    };
    let health = Health::Clean;
    Ok(Recovered { volume, health, layers: None, refusal, warnings: Vec::new() })
}

/// Looks for the log of `volume` on `devices`: the first one that holds it counts.
fn with_log_elsewhere(volume: Volume, devices: &[Arc<dyn Disk>]) -> Result<Recovered> {
    let mut reasons = Vec::new();
    let mut warnings = Vec::new();
    let (mut health, mut refusal) = (Health::Clean, None);
    for (index, device) in devices.iter().enumerate() {
        match log::scan_device(&volume, device.clone()) {
            Ok(DeviceLogState::Clean) => {
                return Ok(Recovered { volume, health, layers: None, refusal: None, warnings });
            }
            Ok(DeviceLogState::Dirty) => {
                health = Health::JournalDirty;
                let detail = "a log on another device is not replayed".to_owned();
                refusal = Some(Refusal::DirtyLog { detail });
                let warning =
                    "the log on another device is not clean: what is seen is the state before it";
                warnings.push(warning.to_owned());
                break;
            }
            Err(error) => {
                let number = index.saturating_add(1);
                reasons.push(format!("device {number}: {}", refusal_of(error)?));
            }
        }
    }
    let elsewhere = || {
        let found = reasons.iter().map(|reason| format!("; {reason}"));
        Refusal::LogElsewhere { detail: found.collect() }
    };
    let refusal = Some(refusal.unwrap_or_else(elsewhere));
    Ok(Recovered { volume, health, layers: None, refusal, warnings })
}

fn replay(disk: Arc<dyn DiskEdit>, clock: Timestamp, dirty: log::Dirty) -> Result<Recovered> {
    let ((replayed, pending), refusal) = match replay_into_layer(&disk, clock, Purpose::Edit) {
        Ok(layer) => (layer, None),
        Err(error) => {
            let refusal = refusal_of(error)?;
            // What cannot be replayed for good can mostly be looked at.
            match replay_into_layer(&disk, clock, Purpose::View) {
                Ok(layer) => (layer, Some(refusal)),
                Err(error) => return unreplayed(disk, clock, refusal_of(error)?),
            }
        }
    };
    let base: Arc<dyn Disk> = replayed.clone();
    let edits = Arc::new(Overlay::new(base));
    let volume = Volume::open(edits.clone(), clock)?;
    let mut warnings = Vec::new();
    if !pending.is_empty() {
        warnings.push(
            "the log announces changes that only a mount makes: the files they are about are seen as before"
                .to_owned(),
        );
    }
    let layers = Layers { below: disk, replayed, edits, named: dirty.named, pending, refusal };
    let health = Health::JournalDirty;
    Ok(Recovered { volume, health, layers: Some(layers), refusal: None, warnings })
}

/// The state that the log leads to, as a layer above `disk`.
fn replay_into_layer(
    disk: &Arc<dyn DiskEdit>,
    clock: Timestamp,
    purpose: Purpose,
) -> Result<(Arc<Overlay>, Pending)> {
    let base: Arc<dyn Disk> = disk.clone();
    let layer = Arc::new(Overlay::new(base));
    let replayed = log::replay(&mut Volume::open(layer.clone(), clock)?, purpose)?;
    Ok((layer, replayed.map(|replayed| replayed.pending).unwrap_or_default()))
}

/// The volume as it is without its log, which nobody may edit.
fn unreplayed(disk: Arc<dyn DiskEdit>, clock: Timestamp, refusal: Refusal) -> Result<Recovered> {
    let warning = "the log could not be replayed: what is seen is the state before it".to_owned();
    Ok(Recovered {
        volume: Volume::open(disk, clock)?,
        health: Health::JournalDirty,
        layers: None,
        refusal: Some(refusal),
        warnings: vec![warning],
    })
}

/// Why an edit is refused when looking at the log failed.
///
/// # Errors
/// `error` itself if the host failed.
fn refusal_of(error: Error) -> Result<Refusal> {
    match error.kind() {
        ErrorKind::Refused(refusal) => Ok(refusal.clone()),
        ErrorKind::Io(_) => Err(error),
        _ => Ok(Refusal::DirtyLog { detail: error.to_string() }),
    }
}

impl Layers {
    /// True if a mount has to finish something before all trees agree with each other.
    pub(super) fn has_open_intents(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Brings the edit down to the disk, with the replay or without it. `finish` deletes a file that no name
    /// leads to any more.
    ///
    /// # Errors
    /// `Refused` ([`Refusal::DirtyLog`]) if the edit needs a replay that is not possible; as the overlay.
    pub(super) fn settle(
        &self,
        volume: &mut Volume,
        finish: &mut dyn FnMut(&mut Volume, InodeNumber) -> Result<()>,
    ) -> Result<()> {
        let written = self.edits.written();
        if written.is_empty() {
            return Ok(());
        }
        if self.commutes(volume.superblock(), &written)? {
            return self.edits.write_to(self.below.as_ref());
        }
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone().into());
        }
        if self.pending.is_empty() {
            for number in volume.unlinked()? {
                finish(volume, number)?;
            }
        } else if names_any(self.pending.named(), volume.superblock(), &written)? {
            let detail = "an intent that was left open names what is to be edited".to_owned();
            return Err(Refusal::DirtyLog { detail }.into());
        }
        log::finish(volume, &self.pending)?;
        self.replayed.write_to(self.below.as_ref())?;
        self.edits.write_to(self.below.as_ref())
    }

    /// True if the log names nothing in `written`, and its replay changes nothing there.
    fn commutes(&self, superblock: &Superblock, written: &[Range<u64>]) -> Result<bool> {
        let is_replayed = |range: &Range<u64>| {
            let replayed = self.replayed.written();
            replayed.iter().any(|other| other.start < range.end && range.start < other.end)
        };
        if written.iter().any(is_replayed) {
            return Ok(false);
        }
        Ok(!names_any(&self.named, superblock, written)?)
    }
}

/// True if `named` has anything in `written`.
fn names_any(named: &ConflictSet, superblock: &Superblock, written: &[Range<u64>]) -> Result<bool> {
    let inode_bytes = u64::from(superblock.inode_size_bytes);
    let ag_bytes = mul(u64::from(superblock.ag_blocks), superblock.block_size())?;
    for range in written {
        // Whether inodes lie there or not: what is not named as an inode is named by its sectors.
        for slot in div(range.start, inode_bytes)?..div_ceil(range.end, inode_bytes)? {
            let at = mul(slot, inode_bytes)?;
            let ag = AgNumber(to(div(at, ag_bytes)?)?);
            let inside = AgInode(to(div(rem(at, ag_bytes)?, inode_bytes)?)?);
            let number = superblock.join_inode(ag, inside)?;
            if named.names_inode(superblock, number)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
