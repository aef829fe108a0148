//! The one place that composes: opens a target, finds its volumes and systems, runs an action on an overlay,
//! and hands out the patch.
//!
//! Every volume has an overlay of its own over one shared cache, so that replaying the journal of a volume that
//! is only looked at never becomes part of a patch. Nothing here writes to a target.

pub mod clock;
pub mod edit;
mod expect;
pub mod select;

use crate::bytes::text::escape;
use crate::disk::cache::Cache;
use crate::disk::overlay::Overlay;
use crate::disk::window::Window;
use crate::disk::{Disk, DiskEdit};
use crate::error::{Context as _, Error, ErrorKind, Refusal, Result};
use crate::fs::known;
use crate::fs::probe::{Probe, ProbeKind, probe};
use crate::fs::{FileEdit, FileSystem, Health, Timestamp};
use crate::guest::{self, System, windows};
use crate::image::{self, Image, format::Format};
use crate::volume::{self, Layout, TableKind, Volume};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Number and name of the one volume of a disk without a table.
pub const WHOLE_DISK_ID: &str = "0";

/// How to look at a target.
#[derive(Debug, Clone, Copy)]
pub struct OpenOptions<'a> {
    /// The container format, if the caller knows better.
    pub format: Option<Format>,
    /// Further disks that belong to the target, such as that of an external log. They are only read.
    pub devices: &'a [PathBuf],
    /// The clock of every edit.
    pub clock: Timestamp,
    /// Let NTFS volumes be edited although their log is not clean, and empty it (never the default, WIN-34).
    pub clears_ntfs_log: bool,
}

/// A target with everything that was found on it.
#[derive(Debug)]
pub struct Session {
    /// The target.
    pub image: Image,
    /// Further disks that belong to it.
    pub devices: Vec<Image>,
    /// Its partition table; without one, a layout with one volume, [`WHOLE_DISK_ID`].
    pub layout: Layout,
    /// The volumes in the order of `layout.volumes`.
    pub volumes: Vec<SessionVolume>,
}

/// A volume and what is on it.
#[derive(Debug)]
pub struct SessionVolume {
    /// Where it lies.
    pub volume: Volume,
    /// What its superblock says; none if it was not recognised.
    pub probe: Option<Probe>,
    /// The open file system, or why there is none.
    pub content: Content,
}

/// What became of a volume.
#[derive(Debug)]
pub enum Content {
    /// A file system that we read.
    Open(Box<OpenVolume>),
    /// Nothing that was recognised.
    Unknown,
    /// A file system that regain does not read, or that could not be opened.
    Closed(Error),
}

/// An open file system over its own overlay.
#[derive(Debug)]
pub struct OpenVolume {
    /// The changed sectors of this volume, addressed on the whole disk.
    pub overlay: Arc<Overlay>,
    /// The volume inside the overlay.
    pub window: Arc<Window>,
    /// Further devices that may belong to the file system.
    pub devices: Vec<Arc<dyn Disk>>,
    /// The file system.
    pub fs: Box<dyn FileEdit>,
    /// Its kind.
    pub kind: ProbeKind,
    /// The operating system, if its root is here; or why it could not be looked at.
    pub system: Result<Option<System>>,
}

impl Session {
    /// Opens `target` for reading and looks at every volume.
    ///
    /// Damage to one volume does not hide the others: it is kept in [`Content::Closed`].
    ///
    /// # Errors
    /// As [`image::open`] and [`volume::find`]; `NotFound` if there is neither a table nor a file system.
    pub fn open(target: &Path, options: &OpenOptions<'_>) -> Result<Self> {
        if let Some(snapshot) = target.to_str().and_then(|text| text.strip_prefix("ebs:")) {
            let what =
                format!("ebs:{}: EBS snapshots are not supported yet", escape(snapshot.as_bytes()));
            return Err(Error::unsupported(what));
        }
        let image = image::open(target, options.format)?;
        let name = || escape(target.as_os_str().as_encoded_bytes());
        let disk: Arc<dyn Disk> = Arc::new(Cache::new(image.disk.clone()));
        let layout = find_layout(disk.as_ref()).context(name)?;
        let open_device = |path: &PathBuf| image::open(path, None);
        let devices: Vec<Image> = options.devices.iter().map(open_device).collect::<Result<_>>()?;
        let further: Vec<Arc<dyn Disk>> = devices.iter().map(cached).collect();
        let volumes: Vec<SessionVolume> = layout
            .volumes
            .iter()
            .map(|volume| open_volume(&disk, volume, &further, options))
            .collect::<Result<_>>()
            .context(name)?;
        Ok(Self { image, devices, layout, volumes })
    }

    /// The target as it was given, safe to print.
    pub fn target_name(&self) -> String {
        escape(self.image.path.as_os_str().as_encoded_bytes())
    }

    /// Bytes read from the host so far.
    pub fn bytes_read(&self) -> u64 {
        let images = [&self.image].into_iter().chain(&self.devices);
        images.fold(0, |sum, image| sum.saturating_add(image.bytes_read()))
    }
}

impl OpenVolume {
    /// The file system for reading.
    pub fn file_system(&self) -> &dyn FileSystem {
        self.fs.as_file_system()
    }

    /// The Windows system whose volume it is, as it was when the volume was opened.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn windows(&self) -> Result<&windows::System> {
        match &self.system {
            Ok(Some(System::Windows(system))) => Ok(system),
            _ => Err(Error::not_found("a Windows system")),
        }
    }

    /// True if damage keeps the system on it from being read.
    fn is_damaged(&self) -> bool {
        self.system.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::Corrupt(_)))
    }
}

impl SessionVolume {
    /// The open file system, if there is one.
    pub fn open(&self) -> Option<&OpenVolume> {
        match &self.content {
            Content::Open(open) => Some(open),
            Content::Unknown | Content::Closed(_) => None,
        }
    }

    /// Reads the open file system; errors name the volume.
    ///
    /// # Errors
    /// `NotFound` if the volume is not open; otherwise those of `look`.
    pub fn read<T>(&self, look: impl FnOnce(&OpenVolume) -> Result<T>) -> Result<T> {
        let open = self.open().ok_or_else(|| Error::not_found("no file system that regain knows"));
        open.and_then(look).context(|| self.describe())
    }

    /// The system whose root is on this volume.
    pub fn system(&self) -> Option<&System> {
        self.open()?.system.as_ref().ok()?.as_ref()
    }

    /// The JSON word for the state of the file system, if it is known.
    pub fn health(&self) -> Option<&'static str> {
        if let Some(ProbeKind::Swap { is_hibernated: true }) = self.probe.as_ref().map(|p| p.kind) {
            return Some("hibernated");
        }
        match &self.content {
            Content::Open(open) => Some(match open.fs.health() {
                _ if open.is_damaged() => "errors",
                Health::Clean => "clean",
                Health::JournalDirty => "journal_dirty",
                Health::Hibernated => "hibernated",
                Health::Errors => "errors",
            }),
            Content::Closed(error) => match error.kind() {
                ErrorKind::Refused(Refusal::Encrypted { .. }) => Some("encrypted"),
                ErrorKind::Refused(Refusal::Hibernated) => Some("hibernated"),
                ErrorKind::Refused(Refusal::DirtyLog { .. }) => Some("journal_dirty"),
                ErrorKind::Corrupt(_) => Some("errors"),
                _ => None,
            },
            Content::Unknown => None,
        }
    }

    /// Why nothing on this volume can be edited; none if it can.
    pub fn reason_against_writing(&self) -> Option<String> {
        match &self.content {
            Content::Open(open) => {
                let unreadable = || open.system.as_ref().err().map(ToString::to_string);
                open.fs.check_writable().err().map(|error| error.to_string()).or_else(unreadable)
            }
            Content::Closed(error) => Some(error.to_string()),
            Content::Unknown => Some("no known file system".to_owned()),
        }
    }

    /// What the user should know about the file system before an edit, each with the name of the volume.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.open().map(|open| open.fs.warnings()).unwrap_or_default();
        warnings.iter().map(|warning| format!("{}: {warning}", self.describe())).collect()
    }

    /// The volume for people, as in `volume 1 (ext4 "root")`.
    pub fn describe(&self) -> String {
        let Some(probe) = &self.probe else { return format!("volume {}", self.volume.id) };
        let label = match probe.label.as_slice() {
            [] => String::new(),
            label => format!(" \"{}\"", escape(label)),
        };
        format!("volume {} ({}{label})", self.volume.id, probe.kind.type_name())
    }
}

/// A further disk, of which nothing is read twice.
fn cached(image: &Image) -> Arc<dyn Disk> {
    Arc::new(Cache::new(image.disk.clone()))
}

/// The partitions of `disk`, or the whole disk as one volume if a file system starts at its first byte.
fn find_layout(disk: &dyn Disk) -> Result<Layout> {
    let has_bare_file_system = probe(disk)?.is_some();
    if !has_bare_file_system {
        let layout = volume::find(disk)?;
        if layout.volumes.is_empty() && matches!(layout.table, TableKind::None) {
            let what = "no partition table and no file system that regain knows";
            return Err(Error::not_found(what));
        }
        return Ok(layout);
    }
    let whole = Volume {
        id: WHOLE_DISK_ID.to_owned(),
        number: 0,
        offset_bytes: 0,
        size_bytes: disk.len_bytes(),
        type_label: String::new(),
        name: Vec::new(),
        part_uuid: None,
    };
    Ok(Layout {
        table: TableKind::None,
        table_guid: None,
        sector_size_bytes: disk.sector_size_bytes(),
        volumes: vec![whole],
        warnings: Vec::new(),
    })
}

/// Looks at one volume. Only a failing host is an error.
fn open_volume(
    disk: &Arc<dyn Disk>,
    volume: &Volume,
    devices: &[Arc<dyn Disk>],
    options: &OpenOptions<'_>,
) -> Result<SessionVolume> {
    let overlay = Arc::new(Overlay::new(disk.clone()));
    let below: Arc<dyn DiskEdit> = overlay.clone();
    let window = Arc::new(Window::new(below, volume.offset_bytes, volume.size_bytes)?);
    let probe = probe(window.as_ref())?;
    let content = match probe.as_ref().map(|probe| probe.kind) {
        None => Content::Unknown,
        Some(kind) => match open_file_system(kind, overlay, window, devices, options) {
            Ok(open) => Content::Open(Box::new(open)),
            Err(error) => Content::Closed(error),
        },
    };
    Ok(SessionVolume { volume: volume.clone(), probe, content })
}

fn open_file_system(
    kind: ProbeKind,
    overlay: Arc<Overlay>,
    window: Arc<Window>,
    devices: &[Arc<dyn Disk>],
    options: &OpenOptions<'_>,
) -> Result<OpenVolume> {
    let fs = if options.clears_ntfs_log && kind == ProbeKind::Ntfs {
        known::open_clearing_log(kind, window.clone(), options.clock)?
    } else {
        known::open_with(kind, window.clone(), devices, options.clock)?
    };
    let system = guest::detect(fs.as_ref());
    Ok(OpenVolume { overlay, window, devices: devices.to_vec(), fs, kind, system })
}
