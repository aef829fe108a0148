//! The one place that composes: opens the disks of a target, finds its volumes and systems, runs an action on
//! overlays, and hands out the patch.
//!
//! Every volume has an overlay of its own, addressed as the volume, over disks that are only read: so replaying
//! the journal of a volume that is only looked at never becomes part of a patch, and what a file system writes
//! is seen by its readers before it is brought down to the disks ([`lower`]). Nothing here writes to a target.

pub mod clock;
mod describe;
pub mod directory;
mod disks;
pub mod edit;
mod expect;
mod layers;
mod lower;
mod mounts;
mod open;
mod passphrases;
pub mod select;
mod source;
pub mod tree;

pub use disks::{SessionDisk, check_distinct, table_guid};
pub use passphrases::{Nobody, Passphrases};
pub use source::Source;

use crate::bytes::text::escape;
use crate::disk::Disk;
use crate::disk::overlay::Overlay;
use crate::error::{Context as _, Error, ErrorKind, Refusal, Result};
use crate::fs::mounted::{Mounted, Shared};
use crate::fs::probe::{Probe, ProbeKind};
use crate::fs::{FileEdit, FileSystem, Health, Timestamp};
use crate::guest::{System, windows};
use crate::image::{self, Image, format::Format};
use crate::volume::place::{DiskIndex, Place};
use crate::volume::{Layout, Volume};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Number and name of the one volume of a disk without a table.
pub const WHOLE_DISK_ID: &str = "0";

/// How to look at a target.
#[derive(Debug, Clone, Copy)]
pub struct OpenOptions<'a> {
    /// The container format, if the caller knows better.
    pub format: Option<Format>,
    /// Further disks that belong to the target: those of its logical volumes, or that of an external log.
    pub devices: &'a [PathBuf],
    /// Files that the images may refer to although they lie elsewhere.
    pub allowed_files: &'a [PathBuf],
    /// Who knows the passphrases of encrypted volumes.
    pub passphrases: &'a dyn Passphrases,
    /// The clock of every edit.
    pub clock: Timestamp,
    /// Let NTFS volumes be edited although their log is not clean, and empty it (never the default, WIN-34).
    pub clears_ntfs_log: bool,
}

/// A target with everything that was found on it.
#[derive(Debug)]
pub struct Session {
    /// The disk that was named first; none if that is a directory.
    target: Option<SessionDisk>,
    /// The directory, if one was named.
    directory: Option<directory::SessionDirectory>,
    /// The further ones, in their order.
    further: Vec<SessionDisk>,
    /// The volumes: those of each disk in its order, then those that lie on others.
    pub volumes: Vec<SessionVolume>,
    /// What is odd about the layers between disks and volumes.
    layer_warnings: Vec<String>,
}

/// A volume and what is on it.
#[derive(Debug)]
pub struct SessionVolume {
    /// What it is called, and how large it is.
    pub volume: Volume,
    /// Where it lies.
    pub place: Arc<Place>,
    /// What made it.
    pub source: Source,
    /// Indices of the volumes that it lies on; none for a partition of a disk.
    pub parents: Vec<usize>,
    /// Why it must not be written, whatever is on it.
    pub obstacle: Option<Refusal>,
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
    /// No file system: other volumes lie on it. What it is, as in "a physical volume of the group vg".
    Layer(String),
    /// Nothing that was recognised.
    Unknown,
    /// A file system that regain does not read, or that could not be opened.
    Closed(Error),
}

/// An open file system over its own overlay.
#[derive(Debug)]
pub struct OpenVolume {
    /// The changed sectors of this volume, addressed as the volume.
    pub overlay: Arc<Overlay>,
    /// Further devices that may belong to the file system.
    pub devices: Vec<Arc<dyn Disk>>,
    /// The file system.
    pub fs: Shared,
    /// Its kind; none for a directory.
    pub kind: Option<ProbeKind>,
    /// What is mounted in it, with it as the root; none if nothing is.
    pub tree: Option<Mounted>,
    /// The operating system, if its root is here; or why it could not be looked at.
    pub system: Result<Option<System>>,
}

impl Session {
    /// Opens `target` and the further disks for reading and looks at every volume.
    ///
    /// Damage to one volume does not hide the others: it is kept in [`Content::Closed`].
    ///
    /// # Errors
    /// As [`image::open`] and [`crate::volume::find`]; `NotFound` if there is
    /// neither a table nor a file system on the target.
    pub fn open(target: &Path, options: &OpenOptions<'_>) -> Result<Self> {
        if let Some(snapshot) = target.to_str().and_then(|text| text.strip_prefix("ebs:")) {
            let what =
                format!("ebs:{}: EBS snapshots are not supported yet", escape(snapshot.as_bytes()));
            return Err(Error::unsupported(what));
        }
        if target.is_dir() {
            return Self::open_directory(target, options);
        }
        let allowed_files = options.allowed_files;
        let as_given = image::Options { format: options.format, allowed_files };
        let detected = image::Options { format: None, allowed_files };
        let target = SessionDisk::open(target, &as_given)?;
        let open_further = |path: &PathBuf| SessionDisk::open_further(path, &detected);
        let further = options.devices.iter().map(open_further).collect::<Result<_>>()?;
        let (volumes, layer_warnings) = (Vec::new(), Vec::new());
        let mut session =
            Self { target: Some(target), directory: None, further, volumes, layer_warnings };
        check_distinct(&session.disks().map(|disk| &disk.image).collect::<Vec<_>>())?;
        (session.volumes, session.layer_warnings) = layers::volumes(&session, options)?;
        session.mount_systems()?;
        Ok(session)
    }

    /// The disk that was named first; none if that is a directory.
    pub fn target(&self) -> Option<&Image> {
        self.target.as_ref().map(|target| &target.image)
    }

    /// The same with its partition table.
    pub fn target_disk(&self) -> Option<&SessionDisk> {
        self.target.as_ref()
    }

    /// Every disk in the order of [`DiskIndex`]: the target, then the further ones.
    pub fn disks(&self) -> impl Iterator<Item = &SessionDisk> {
        self.target.iter().chain(&self.further)
    }

    /// The disk of that number.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn disk(&self, DiskIndex(index): DiskIndex) -> Result<&SessionDisk> {
        let disk = self.disks().nth(index);
        disk.ok_or_else(|| Error::not_found(format!("disk {index} of the target")))
    }

    /// The partition table of the target; none if that is a directory.
    pub fn layout(&self) -> Option<&Layout> {
        self.target.as_ref().map(|target| &target.layout)
    }

    /// What was wrong with partition tables and other layers without making them useless.
    pub fn table_warnings(&self) -> Vec<String> {
        let tables = self.disks().flat_map(|disk| &disk.layout.warnings);
        tables.chain(&self.layer_warnings).cloned().collect()
    }

    /// The target as it was given, safe to print.
    pub fn target_name(&self) -> String {
        match (&self.target, self.directory()) {
            (Some(target), _) => target.name(),
            (None, directory) => {
                let path = directory.map(|directory| directory.path.as_os_str());
                escape(path.unwrap_or_default().as_encoded_bytes())
            }
        }
    }

    /// Bytes read from the host so far.
    pub fn bytes_read(&self) -> u64 {
        let directory = self.directory().map_or(0, |directory| directory.bytes_read());
        self.disks().fold(directory, |sum, disk| sum.saturating_add(disk.image.bytes_read()))
    }
}

impl OpenVolume {
    /// The file system for reading, with everything that is mounted in it.
    pub fn file_system(&self) -> &dyn FileSystem {
        match &self.tree {
            Some(tree) => tree,
            None => &self.fs,
        }
    }

    /// The same for editing.
    fn editor(&mut self) -> &mut dyn FileEdit {
        match &mut self.tree {
            Some(tree) => tree,
            None => &mut self.fs,
        }
    }

    /// Its kind.
    ///
    /// # Errors
    /// `NotFound` for a directory.
    fn kind_on_disk(&self) -> Result<ProbeKind> {
        self.kind.ok_or_else(|| Error::not_found("the file system of a disk"))
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
            Content::Layer(_) | Content::Unknown | Content::Closed(_) => None,
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
                ErrorKind::Refused(Refusal::Encrypted { .. } | Refusal::Locked { .. }) => {
                    Some("encrypted")
                }
                _ if self.is_luks() => Some("encrypted"),
                ErrorKind::Refused(Refusal::Hibernated) => Some("hibernated"),
                ErrorKind::Refused(Refusal::DirtyLog { .. }) => Some("journal_dirty"),
                ErrorKind::Corrupt(_) => Some("errors"),
                _ => None,
            },
            Content::Layer(_) | Content::Unknown => None,
        }
    }

    fn is_luks(&self) -> bool {
        matches!(self.probe, Some(Probe { kind: ProbeKind::Luks { .. }, .. }))
    }

    /// Why nothing on this volume can be edited; none if it can.
    pub fn reason_against_writing(&self) -> Option<String> {
        match &self.content {
            Content::Open(open) => {
                let unreadable = || open.system.as_ref().err().map(ToString::to_string);
                let obstacle = self.obstacle.as_ref().map(ToString::to_string);
                let of_file_system = open.fs.check_writable().err().map(|error| error.to_string());
                obstacle.or(of_file_system).or_else(unreadable)
            }
            Content::Layer(what) => Some(what.clone()),
            Content::Closed(error) => Some(error.to_string()),
            Content::Unknown => Some("no known file system".to_owned()),
        }
    }

    /// Refuses a volume that must not be written, whatever is on it.
    ///
    /// # Errors
    /// `Refused`.
    pub fn check_writable(&self) -> Result<()> {
        self.obstacle.clone().map_or(Ok(()), |obstacle| Err(obstacle.into()))
    }

    /// What the user should know about the file system before an edit, each with the name of the volume.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.open().map(|open| open.fs.warnings()).unwrap_or_default();
        warnings.iter().map(|warning| format!("{}: {warning}", self.describe())).collect()
    }

    /// The type of the file system, as in "ext4".
    pub fn type_name(&self) -> Option<&'static str> {
        let probed = self.probe.as_ref().map(|probe| probe.kind.type_name());
        probed.or_else(|| Some(self.open()?.fs.identity().type_name))
    }

    /// The volume for people, as in `volume 1 (ext4 "root")`.
    pub fn describe(&self) -> String {
        let Some(probe) = &self.probe else {
            let type_name = self.type_name();
            let type_name = type_name.map(|name| format!(" ({name})")).unwrap_or_default();
            return format!("volume {}{type_name}", self.volume.id);
        };
        let label = match probe.label.as_slice() {
            [] => String::new(),
            label => format!(" \"{}\"", escape(label)),
        };
        format!("volume {} ({}{label})", self.volume.id, probe.kind.type_name())
    }
}
