//! A volume of a session, and what is on it.

use super::{Root, Source};
use crate::bytes::text::escape;
use crate::disk::Disk;
use crate::disk::overlay::Overlay;
use crate::error::{Context as _, Error, ErrorKind, Refusal, Result};
use crate::fs::mounted::{Mounted, Shared};
use crate::fs::path::GuestPath;
use crate::fs::probe::{Probe, ProbeKind};
use crate::fs::{FileEdit, FileSystem, Health};
use crate::guest::{System, windows};
use crate::volume::Volume;
use crate::volume::place::Place;
use std::sync::Arc;

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
    /// The roots of several systems, where none was chosen by what they say.
    pub(super) roots: Vec<Root>,
    /// The root that the caller chose.
    pub(super) chosen_root: Option<GuestPath>,
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
    pub(super) fn editor(&mut self) -> &mut dyn FileEdit {
        match &mut self.tree {
            Some(tree) => tree,
            None => &mut self.fs,
        }
    }

    /// Its kind.
    ///
    /// # Errors
    /// `NotFound` for a directory.
    pub(super) fn kind_on_disk(&self) -> Result<ProbeKind> {
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
                // To choose between several systems is all that is missing.
                let unreadable = || open.system.as_ref().err().filter(|_| open.roots.is_empty());
                let unreadable = || unreadable().map(ToString::to_string);
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
