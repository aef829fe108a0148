//! Whether a volume may be edited at all: what Windows would do with it when it starts.
//!
//! Rules WIN-16 to WIN-23, WIN-33 and WIN-34. BitLocker (WIN-16) has another signature in the boot sector, so that no
//! volume is opened. The order of the gates is that of the table: what cannot be forced comes first.
//!
//! | gate | may be forced |
//! |------|---------------|
//! | hibernated, or being resumed (WIN-17, WIN-18) | no |
//! | cached metadata, log version 2.0 (WIN-19) | no |
//! | other version than 3.1 (WIN-23) | no |
//! | upgrade or chkdsk under way (WIN-22) | no |
//! | log not clean (WIN-20, WIN-32) | yes: it is cleared, and chkdsk runs at the next start |
//! | marked as dirty (WIN-22) | yes, the same way |

use super::attribute::{AttributeKind, INDEX_NAME};
use super::boot::BootSector;
use super::index::{Collation, Index};
use super::index_view::IndexView;
use super::log_file::{self, LOG_HEAD_BYTES, LogState, Unclean};
use super::name::{to_wtf8, units_from_le};
use super::record::Record;
use super::stream::Stream;
use super::units::MftRecordNumber;
use super::volume::Volume;
use crate::bytes::arith::{add, len_u64, mul};
use crate::bytes::field::{self, le_u16, u8_at};
use crate::error::{Corrupt, Error, ErrorKind, Refusal, Result};
use crate::fs::Health;

/// Longest `$LogFile` that is looked through or cleared, in bytes. Windows makes 64 MiB.
const LOG_BYTES_MAX: u64 = 1 << 30;
/// A page of the log as Windows makes them, in bytes.
const LOG_PAGE_BYTES: usize = 4096;
/// Bytes of the log that are cleared at once.
const LOG_CHUNK_BYTES: usize = 1 << 20;
/// Length of the header of `hiberfil.sys`.
const HIBERNATION_HEADER_BYTES: usize = 4096;
const VERSION: (u8, u8) = (3, 1);

/// Flags of `$VOLUME_INFORMATION`.
pub(crate) mod volume_flag {
    /// chkdsk is to run.
    pub(crate) const DIRTY: u16 = 0x0001;
    /// The volume is to be upgraded.
    pub(crate) const UPGRADE: u16 = 0x0004;
    /// chkdsk is at work.
    pub(crate) const CHKDSK_UNDER_WAY: u16 = 0x4000;
}

/// Where the flags stand in `$VOLUME_INFORMATION`.
const FLAGS_AT: usize = 0x0a;

/// What `hiberfil.sys` says (WIN-17, WIN-18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hibernation {
    /// There is no such file, or it is empty.
    None,
    /// Windows will go on from it.
    Hibernated,
    /// Windows was stopped while it did.
    Resuming,
    /// It was used, or holds something else: no more than a reason to look twice.
    Left(&'static str),
    /// It cannot be read.
    Unreadable(String),
}

/// What is known about the volume as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Name of the volume as WTF-8; empty if it has none.
    pub(crate) label: Vec<u8>,
    /// Version: major, minor.
    pub(crate) version: (u8, u8),
    /// See [`volume_flag`].
    pub(crate) flags: u16,
    pub(crate) log: LogState,
    pub(crate) hibernation: Hibernation,
}

impl State {
    /// Reads `$Volume`, the head of `$LogFile`, and the header of `hiberfil.sys`. Damage to the latter two is no
    /// reason not to read the volume, and is kept for [`State::refusal`].
    ///
    /// # Errors
    /// `Corrupt` if `$Volume` makes no sense; `Io`.
    pub(crate) fn read(volume: &Volume) -> Result<Self> {
        let file = volume.load_file(MftRecordNumber::VOLUME)?;
        let information = file.resident(AttributeKind::VOLUME_INFORMATION)?;
        let version = (u8_at(information, 0x08)?, u8_at(information, 0x09)?);
        let flags = le_u16(information, FLAGS_AT)?;
        let label = match file.stream(volume, AttributeKind::VOLUME_NAME, &[])? {
            Some(name) => to_wtf8(&units_from_le(&name.read(volume, 0, 256)?)),
            None => Vec::new(),
        };
        let head = log_stream(volume).and_then(|log| log.read(volume, 0, LOG_HEAD_BYTES));
        let log = match head {
            Ok(head) => log_file::examine(&head),
            Err(error) => LogState::Unclean(Unclean::Unreadable(damage(error)?)),
        };
        let hibernation = match read_hibernation(volume) {
            Ok(hibernation) => hibernation,
            Err(error) => Hibernation::Unreadable(damage(error)?),
        };
        Ok(Self { label, version, flags, log, hibernation })
    }

    /// The state as the report says it: the gravest first.
    pub(crate) fn health(&self) -> Health {
        let is_hibernated =
            matches!(self.hibernation, Hibernation::Hibernated | Hibernation::Resuming);
        if is_hibernated {
            return Health::Hibernated;
        }
        match self.log {
            LogState::CachedMetadata | LogState::Unclean(_) => Health::JournalDirty,
            LogState::Clean | LogState::EmptyHead if self.flags & volume_flag::DIRTY != 0 => {
                Health::Errors
            }
            LogState::Clean | LogState::EmptyHead => Health::Clean,
        }
    }

    /// Why nothing may be edited. `allows_unclean` passes the gates that may be forced.
    pub(crate) fn refusal(&self, allows_unclean: bool) -> Option<Refusal> {
        let needs_check = |detail: String| Some(Refusal::NeedsCheck { detail });
        match &self.hibernation {
            Hibernation::Hibernated | Hibernation::Resuming => return Some(Refusal::Hibernated),
            Hibernation::Unreadable(why) => {
                return needs_check(format!("hiberfil.sys cannot be read: {why}"));
            }
            Hibernation::None | Hibernation::Left(_) => {}
        }
        if self.log == LogState::CachedMetadata {
            let detail = "$LogFile has version 2.0: Windows was stopped by force, copied while it ran, or \
                          went into fast start-up, and keeps changes that are not on the disk";
            return Some(Refusal::DirtyLog { detail: detail.to_owned() });
        }
        if self.version != VERSION {
            let (major, minor) = self.version;
            return Some(Refusal::NotWritable { feature: format!("NTFS {major}.{minor}") });
        }
        for (flag, what) in [
            (volume_flag::UPGRADE, "Windows is to upgrade the volume"),
            (volume_flag::CHKDSK_UNDER_WAY, "chkdsk has not finished"),
        ] {
            if self.flags & flag != 0 {
                return needs_check(format!("{what} (flags of $Volume: {:#06x})", self.flags));
            }
        }
        // After a resume that was not recorded as such only a clean log says that nothing is missing (WIN-18).
        let may_force = allows_unclean && self.hibernation == Hibernation::None;
        if may_force {
            return None;
        }
        if let LogState::Unclean(why) = &self.log {
            return Some(Refusal::DirtyLog { detail: why.to_string() });
        }
        if self.flags & volume_flag::DIRTY != 0 {
            return needs_check("the volume is marked as dirty, so that chkdsk runs".to_owned());
        }
        None
    }

    /// What the user should know before an edit.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Hibernation::Left(what) = self.hibernation {
            warnings.push(format!("hiberfil.sys {what}; the log of the file system is clean"));
        }
        warnings
    }
}

/// Where record 3, which names the volume, starts in bytes, and its length, by the boot `sector` alone: the records
/// before it are never in pieces. `None` if the sector makes no sense.
pub(crate) fn volume_record(sector: &[u8]) -> Option<(u64, usize)> {
    let boot = BootSector::parse(sector, u64::MAX).ok()?;
    let start = boot.mft.to_byte_offset(&boot.geometry).ok()?;
    let skipped = mul(MftRecordNumber::VOLUME.0, boot.geometry.record_size()).ok()?;
    Some((add(start, skipped).ok()?, boot.geometry.record_len().ok()?))
}

/// The name of the volume in the stored record 3, if it has one and is whole.
pub(crate) fn label_in(stored: Vec<u8>) -> Option<Vec<u8>> {
    let record = Record::parse(MftRecordNumber::VOLUME, stored).ok()?;
    let name = record.attribute(AttributeKind::VOLUME_NAME, &[]).ok()??;
    Some(to_wtf8(&units_from_le(name.resident()?.value)))
}

impl Volume {
    /// Checks that a log of which the head is empty was not used since it was filled (WIN-21).
    ///
    /// Without restart pages nobody can find a record further on. So the log is not read as a whole: a page at
    /// every power of two, where restart pages may lie, and the last one must be empty too.
    ///
    /// # Errors
    /// `Refused` if one is not; `Limit` if the log is too long.
    pub(crate) fn check_log_is_empty(&self) -> Result<()> {
        let log = log_stream(self)?;
        let page_bytes = len_u64(LOG_PAGE_BYTES);
        // At most as many powers as LOG_BYTES_MAX has bits.
        let powers = std::iter::successors(Some(page_bytes), |at| at.checked_mul(2));
        let inside = powers.take_while(|at| *at < log.size_bytes());
        for offset_bytes in inside.chain([log.size_bytes().saturating_sub(page_bytes)]) {
            if !log_file::is_empty(&log.read(self, offset_bytes, LOG_PAGE_BYTES)?) {
                return Err(Refusal::DirtyLog { detail: Unclean::NotEmpty.to_string() }.into());
            }
        }
        Ok(())
    }

    /// Empties a log that is not clean, and marks the volume as dirty so that chkdsk runs at the next start.
    ///
    /// The whole log is written, but the overlay keeps only sectors that change: a log of 64 MiB that was in use
    /// makes a patch, and an undo record, that is larger by up to 64 MiB.
    ///
    /// # Errors
    /// `Refused` if the log does not lie in clusters of its own; `Limit` if it is too long; `Corrupt`.
    pub(crate) fn clear_log(&self) -> Result<()> {
        let log = log_stream(self)?;
        let empty = vec![log_file::EMPTY_BYTE; LOG_CHUNK_BYTES];
        let mut offset_bytes = 0;
        // Every round takes a chunk of the log, which is bounded.
        while offset_bytes < log.size_bytes() {
            let chunk = log.read(self, offset_bytes, LOG_CHUNK_BYTES)?;
            if !log_file::is_empty(&chunk) {
                let bytes = field::slice(&empty, 0, chunk.len())?;
                log.overwrite(self, offset_bytes, bytes, "$LogFile")?;
            }
            offset_bytes = add(offset_bytes, len_u64(chunk.len()))?;
        }
        self.mark_dirty()
    }

    /// Sets the flag that makes Windows run chkdsk.
    fn mark_dirty(&self) -> Result<()> {
        let mut record = self.read_record(MftRecordNumber::VOLUME)?;
        let kind = AttributeKind::VOLUME_INFORMATION;
        let corrupt = |defect| Record::corrupt(MftRecordNumber::VOLUME, defect);
        let found = record.attribute(kind, &[]).map_err(corrupt)?;
        let Some((at, value)) = found.and_then(|attribute| {
            let resident = attribute.resident()?;
            Some((attribute.offset.saturating_add(resident.value_offset), resident.value))
        }) else {
            return Err(Corrupt::new("$Volume", "has no $VOLUME_INFORMATION").into());
        };
        let flags = le_u16(value, FLAGS_AT)? | volume_flag::DIRTY;
        record.put(at.saturating_add(FLAGS_AT), &flags.to_le_bytes()).map_err(corrupt)?;
        self.write_record(&record)
    }
}

/// The content of `$LogFile`.
fn log_stream(volume: &Volume) -> Result<Stream> {
    let file = volume.load_file(MftRecordNumber::LOG_FILE)?;
    let Some(stream) = file.stream(volume, AttributeKind::DATA, &[])? else {
        return Err(Corrupt::new("$LogFile", "has no content").into());
    };
    if stream.size_bytes() > LOG_BYTES_MAX {
        let what = "size of $LogFile in bytes";
        return Err(Error::limit(what, LOG_BYTES_MAX, stream.size_bytes()));
    }
    Ok(stream)
}

fn read_hibernation(volume: &Volume) -> Result<Hibernation> {
    let root = volume.load_file(MftRecordNumber::ROOT)?;
    let view = IndexView::open(volume, &root, &INDEX_NAME)?;
    let cluster_bytes = volume.geometry().cluster_size_bytes;
    let index = Index::open(&view, cluster_bytes, Collation::FileName(volume.up_case()))?;
    let name: Vec<u16> = "hiberfil.sys".encode_utf16().collect();
    let Some(entry) = index.find_name(&name)? else { return Ok(Hibernation::None) };
    let file = volume.load_reference(entry.file())?;
    let header = match file.stream(volume, AttributeKind::DATA, &[])? {
        Some(stream) => stream.read(volume, 0, HIBERNATION_HEADER_BYTES)?,
        None => Vec::new(),
    };
    Ok(hibernation(&header))
}

/// What the first bytes of `hiberfil.sys` say.
fn hibernation(header: &[u8]) -> Hibernation {
    if header.len() < HIBERNATION_HEADER_BYTES {
        return Hibernation::Hibernated;
    }
    let signature = header.get(..4).unwrap_or_default();
    match signature {
        b"hibr" | b"HIBR" => Hibernation::Hibernated,
        b"rstr" | b"RSTR" => Hibernation::Resuming,
        b"wake" | b"WAKE" => Hibernation::Left("says that Windows was resumed from it"),
        _ if header.iter().all(|byte| *byte == 0) => Hibernation::None,
        _ => Hibernation::Left("holds something that is not known"),
    }
}

/// The text of damage to the volume, or the error itself if it is anything else.
fn damage(error: Error) -> Result<String> {
    match error.kind() {
        ErrorKind::Io(_) => Err(error),
        _ => Ok(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> State {
        State {
            label: Vec::new(),
            version: VERSION,
            flags: 0,
            log: LogState::Clean,
            hibernation: Hibernation::None,
        }
    }

    /// WIN-17, WIN-18.
    #[test]
    fn hibernation_is_told_by_the_header() {
        let with = |signature: &[u8]| {
            let mut header = vec![0; HIBERNATION_HEADER_BYTES];
            header[..signature.len()].copy_from_slice(signature);
            header
        };
        for (header, expected) in [
            (with(b"hibr"), Hibernation::Hibernated),
            (with(b"HIBR"), Hibernation::Hibernated),
            (with(b"RSTR"), Hibernation::Resuming),
            (with(b"wake"), Hibernation::Left("says that Windows was resumed from it")),
            (with(b"WAKE"), Hibernation::Left("says that Windows was resumed from it")),
            (with(b""), Hibernation::None),
            (with(b"xxxx"), Hibernation::Left("holds something that is not known")),
            (vec![0; HIBERNATION_HEADER_BYTES - 1], Hibernation::Hibernated),
            (Vec::new(), Hibernation::Hibernated),
        ] {
            assert_eq!(hibernation(&header), expected);
        }
    }

    /// WIN-17 to WIN-23, and what may be forced.
    #[test]
    fn every_gate_has_its_reason() {
        let unclean = LogState::Unclean(Unclean::InUse);
        let left = Hibernation::Left("says that Windows was resumed from it");
        for (state, health, refusal, is_forced) in [
            (clean(), Health::Clean, None, true),
            (State { log: LogState::EmptyHead, ..clean() }, Health::Clean, None, true),
            (
                State { hibernation: Hibernation::Hibernated, log: unclean.clone(), ..clean() },
                Health::Hibernated,
                Some("the system on it is hibernated"),
                false,
            ),
            (
                State { hibernation: Hibernation::Resuming, ..clean() },
                Health::Hibernated,
                Some("the system on it is hibernated"),
                false,
            ),
            (
                State { log: LogState::CachedMetadata, ..clean() },
                Health::JournalDirty,
                Some("version 2.0"),
                false,
            ),
            (
                State { log: unclean.clone(), ..clean() },
                Health::JournalDirty,
                Some("was not dismounted"),
                true,
            ),
            (
                State { log: unclean, hibernation: left.clone(), ..clean() },
                Health::JournalDirty,
                Some("was not dismounted"),
                false,
            ),
            (State { hibernation: left, ..clean() }, Health::Clean, None, true),
            (State { flags: 0x8001, ..clean() }, Health::Errors, Some("marked as dirty"), true),
            (State { flags: 0x0004, ..clean() }, Health::Clean, Some("upgrade"), false),
            (State { flags: 0x4000, ..clean() }, Health::Clean, Some("chkdsk"), false),
            (State { version: (3, 0), ..clean() }, Health::Clean, Some("NTFS 3.0"), false),
            (State { version: (1, 2), ..clean() }, Health::Clean, Some("NTFS 1.2"), false),
            (
                State { hibernation: Hibernation::Unreadable("x".into()), ..clean() },
                Health::Clean,
                Some("hiberfil.sys cannot be read: x"),
                false,
            ),
        ] {
            assert_eq!(state.health(), health, "{state:?}");
            let found = state.refusal(false).map(|refusal| refusal.to_string());
            match refusal {
                Some(part) => {
                    assert!(found.as_ref().is_some_and(|f| f.contains(part)), "{found:?}");
                }
                None => assert_eq!(found, None),
            }
            assert_eq!(state.refusal(true).is_none(), is_forced, "{state:?}");
        }
    }
}
