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
mod roots;
pub mod select;
mod source;
pub mod tree;
mod volume;

pub use disks::{SessionDisk, check_distinct, table_guid};
pub use passphrases::{Nobody, Passphrases};
pub use roots::Root;
pub use source::Source;
pub use volume::{Content, OpenVolume, SessionVolume};

use crate::bytes::text::escape;
use crate::error::{Error, Result};
use crate::fs::Timestamp;
use crate::image::{self, Image, format::Format};
use crate::volume::Layout;
use crate::volume::place::DiskIndex;
use std::path::{Path, PathBuf};

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
