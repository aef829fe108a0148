//! The files of a qcow2 image: itself, its data file, and the images of which it is an overlay.

use super::header::{Backing, Header};
use super::reader::Qcow2Disk;
use crate::bytes::arith::len_u64;
use crate::bytes::text::escape;
use crate::disk::Disk;
use crate::error::{Context as _, Error, Refusal, Result};
use crate::image::container::files::{FileId, ReadFiles};
use crate::image::format::{self, Format};
use crate::image::host_file::Role;
use std::sync::Arc;

/// Bound on the images of one chain of overlays.
const CHAIN_DEPTH_MAX: usize = 32;

/// An image and what it is made of, open for reading.
#[derive(Debug)]
pub(super) struct Layer {
    /// Its header.
    pub(super) header: Header,
    /// Its external data file.
    pub(super) data: Option<(FileId, Arc<dyn Disk>)>,
    /// The disk of which it is an overlay.
    pub(super) backing: Option<Arc<dyn Disk>>,
    /// The disk that the guest sees.
    pub(super) disk: Arc<dyn Disk>,
}

/// Opens the target of `files` and all that it refers to.
///
/// # Errors
/// As [`super::open`].
pub(super) fn open(files: &mut dyn ReadFiles) -> Result<Layer> {
    let target = files.target();
    open_layer(files, FileId::TARGET, &target, 1)
}

fn open_layer(
    files: &mut dyn ReadFiles,
    id: FileId,
    image: &Arc<dyn Disk>,
    depth: usize,
) -> Result<Layer> {
    if depth > CHAIN_DEPTH_MAX {
        let (limit, actual) = (len_u64(CHAIN_DEPTH_MAX), len_u64(depth));
        return Err(Error::limit("number of overlays", limit, actual));
    }
    let header = Header::read(image.as_ref())?;
    let role = if id == FileId::TARGET { Role::Written } else { Role::OnlyRead };
    let data = match &header.data_file {
        Some(name) => Some(files.open(id, name, role)?),
        None => None,
    };
    let backing = match &header.backing {
        Some(backing) => Some(open_backing(files, id, backing, depth)?),
        None => None,
    };
    let data_disk = data.as_ref().map(|(_, disk)| disk.clone());
    let disk = Qcow2Disk::new(header.clone(), image.clone(), data_disk, backing.clone());
    let disk = Arc::new(disk);
    Ok(Layer { header, data, backing, disk })
}

fn open_backing(
    files: &mut dyn ReadFiles,
    from: FileId,
    backing: &Backing,
    depth: usize,
) -> Result<Arc<dyn Disk>> {
    let layer = || format!("backing file {:?}", escape(backing.name.as_bytes()));
    let (id, disk) = files.open(from, &backing.name, Role::OnlyRead)?;
    if backing_format(backing, disk.as_ref()).context(layer)? == Format::Raw {
        return Ok(disk);
    }
    let below = open_layer(files, id, &disk, depth.saturating_add(1)).context(layer)?;
    Ok(below.disk)
}

/// The format of the backing file as the overlay has it.
///
/// A guest that owns a raw disk can write the header of any format into it. So a format that is not named is taken for
/// raw if the content looks like nothing else, and is not guessed otherwise.
fn backing_format(backing: &Backing, disk: &dyn Disk) -> Result<Format> {
    match backing.format.as_deref() {
        Some("raw" | "file" | "host_device") => Ok(Format::Raw),
        Some("qcow2") => Ok(Format::Qcow2),
        Some(other) => Err(Error::unsupported(format!(
            "a backing file of format {}",
            escape(other.as_bytes())
        ))),
        None => match format::detect(disk)? {
            Format::Raw => Ok(Format::Raw),
            found => {
                let file = escape(backing.name.as_bytes());
                let reason = format!("looks like {found}, but the overlay does not say so");
                Err(Refusal::UnknownBackingFormat { file, reason, found: found.name() }.into())
            }
        },
    }
}
