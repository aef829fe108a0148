//! The disks of a session: what they are made of, and how they are divided.

use super::WHOLE_DISK_ID;
use crate::bytes::text::escape;
use crate::disk::cache::Cache;
use crate::disk::{Disk, DiskEdit, fixed::Fixed};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::fs::probe::probe;
use crate::image::{self, Image};
use crate::volume::{self, Layout, TableKind, Volume, md};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// One disk that was given, of which nothing is read twice.
#[derive(Debug)]
pub struct SessionDisk {
    /// What it is made of.
    pub image: Image,
    /// Its partition table; without one, a layout with one volume, [`WHOLE_DISK_ID`], or none if nothing on it is
    /// known.
    pub layout: Layout,
    /// Its bytes, behind a cache.
    pub(super) bytes: Arc<dyn Disk>,
}

impl SessionDisk {
    /// Opens the target.
    ///
    /// # Errors
    /// As [`image::open`] and [`volume::find`]; `NotFound` if there is neither a table nor a file system.
    pub(super) fn open(path: &Path, options: &image::Options<'_>) -> Result<Self> {
        let image = image::open_with(path, options)?;
        let bytes: Arc<dyn Disk> = Arc::new(Cache::new(image.disk.clone()));
        let name = || escape(path.as_os_str().as_encoded_bytes());
        let layout = find_layout(bytes.as_ref()).context(name)?;
        if layout.volumes.is_empty() && matches!(layout.table, TableKind::None) {
            let what = "no partition table and no file system that regain knows";
            return Err(Error::not_found(what)).context(name);
        }
        Ok(Self { image, layout, bytes })
    }

    /// Opens a further disk. Nothing needs to be known of it: it may hold the log of a file system and nothing else.
    ///
    /// # Errors
    /// As [`image::open`]; `Io`.
    pub(super) fn open_further(path: &Path, options: &image::Options<'_>) -> Result<Self> {
        let image = image::open_with(path, options)?;
        let bytes: Arc<dyn Disk> = Arc::new(Cache::new(image.disk.clone()));
        let name = || escape(path.as_os_str().as_encoded_bytes());
        let layout = match find_layout(bytes.as_ref()) {
            Ok(layout) => layout,
            Err(error) if matches!(error.kind(), ErrorKind::Io(_)) => {
                return Err(error).context(name);
            }
            Err(error) => {
                let warnings = vec![format!("{}: {error}", name())];
                Layout { warnings, ..empty_layout(bytes.as_ref()) }
            }
        };
        Ok(Self { image, layout, bytes })
    }

    /// The disk as it was given, safe to print.
    pub fn name(&self) -> String {
        escape(self.image.path.as_os_str().as_encoded_bytes())
    }

    /// The bottom of a stack.
    pub(super) fn bottom(&self) -> Arc<dyn DiskEdit> {
        Arc::new(Fixed::new(self.bytes.clone()))
    }
}

/// Refuses a disk that was given twice, by one name or by two.
///
/// # Errors
/// `Usage`.
pub fn check_distinct(images: &[&Image]) -> Result<()> {
    let mut known: Vec<&Image> = Vec::new();
    for image in images {
        let (one, path) = (image.file.identity, image.path.as_os_str().as_encoded_bytes());
        let is_same = |other: &&Image| {
            let other = other.file.identity;
            one == other || (one.device_number != 0 && one.device_number == other.device_number)
        };
        if known.iter().any(is_same) {
            return Err(Error::usage(format!("{} is given twice", escape(path))));
        }
        known.push(image);
    }
    Ok(())
}

/// The disk GUID of the partition table of `image`, if there is a sound one.
pub fn table_guid(image: &Image) -> Option<String> {
    let layout = find_layout(image.disk.as_ref()).ok()?;
    layout.table_guid.map(|guid| guid.to_string())
}

fn ranges(layout: &Layout) -> Vec<Range<u64>> {
    let range = |volume: &Volume| {
        volume.offset_bytes..volume.offset_bytes.saturating_add(volume.size_bytes)
    };
    layout.volumes.iter().map(range).collect()
}

fn empty_layout(disk: &dyn Disk) -> Layout {
    Layout {
        table: TableKind::None,
        table_guid: None,
        sector_size_bytes: disk.sector_size_bytes(),
        volumes: Vec::new(),
        warnings: Vec::new(),
    }
}

/// The partitions of `disk`, or the whole disk as one volume if a file system starts at its first byte.
pub(super) fn find_layout(disk: &dyn Disk) -> Result<Layout> {
    let has_bare_file_system = probe(disk)?.is_some();
    if !has_bare_file_system {
        let layout = volume::find(disk)?;
        // The partitions of an array whose superblock is at the end show on each of its members, too: to edit one of
        // them alone would part the copies.
        if layout.volumes.is_empty() || !md::is_whole_member(disk, &ranges(&layout))? {
            return Ok(layout);
        }
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
    Ok(Layout { volumes: vec![whole], ..empty_layout(disk) })
}
