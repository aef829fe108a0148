//! Opening the target of a command, and reporting which one it was.

use super::args::{DeviceArgs, TargetArgs, VolumeArgs};
use super::container_hints;
use super::failed_volume::FailedVolume;
use super::output::{Failure, Outcome, Ui};
use super::unlock::Keyring;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::Timestamp;
use crate::fs::probe::ProbeKind;
use crate::image::format::Format;
use crate::image::{self, Image, ImageKind};
use crate::report::Target;
use crate::session::{OpenOptions, Session, check_distinct};
use std::path::Path;

/// Opens the target of `args`, with the disks that belong to it, and looks at every volume.
pub(crate) fn open(ui: &Ui, args: &VolumeArgs, clock: Timestamp) -> Outcome<Session> {
    open_with(ui, args, clock, false)
}

/// As [`open`]; with `clears_ntfs_log` an NTFS volume can be edited although its log is not clean.
pub(crate) fn open_with(
    ui: &Ui,
    args: &VolumeArgs,
    clock: Timestamp,
    clears_ntfs_log: bool,
) -> Outcome<Session> {
    let VolumeArgs { target, devices, unlock, .. } = args;
    let format = format(target)?;
    let keyring = Keyring::new(ui, unlock)?;
    let passphrases = &keyring;
    let (devices, allowed_files) = (&devices.device, &target.allow_backing);
    let options =
        OpenOptions { format, devices, allowed_files, passphrases, clock, clears_ntfs_log };
    let session = Session::open(&target.target, &options);
    let session = session.map_err(|error| with_open_hint(error, &target.target))?;
    for warning in session.table_warnings() {
        ui.warn(&warning);
    }
    Ok(session)
}

/// Chooses the volume with the system, and warns of volumes that may have hidden another one.
pub(crate) fn choose(ui: &Ui, session: &mut Session, wanted: Option<&str>) -> Outcome<usize> {
    let index = session.choose(wanted).map_err(|error| with_volume_hint(error, session))?;
    if wanted.is_none() {
        for reason in session.unreadable_besides(index) {
            ui.warn(&format!("not looked at for a system: {reason}"));
        }
    }
    Ok(index)
}

/// Opens the target of `args`, and the disks that belong to it, without looking inside.
pub(crate) fn open_images(args: &TargetArgs, devices: &DeviceArgs) -> Outcome<Vec<Image>> {
    let open = |path: &Path, format| {
        let options = image::Options { format, allowed_files: &args.allow_backing };
        image::open_with(path, &options).map_err(|error| with_open_hint(error, path))
    };
    let mut images = vec![open(&args.target, format(args)?)?];
    for device in &devices.device {
        images.push(open(device, None)?);
    }
    check_distinct(&images.iter().collect::<Vec<_>>())?;
    Ok(images)
}

fn format(args: &TargetArgs) -> Result<Option<Format>> {
    args.format.as_deref().map(str::parse).transpose()
}

/// What to do about a target that cannot be opened.
fn with_open_hint(error: Error, path: &Path) -> Box<Failure> {
    let container_hint = container_hints::open_hint(&error, path);
    let is_unsupported = matches!(error.kind(), ErrorKind::Unsupported(_));
    let is_not_found = matches!(error.kind(), ErrorKind::NotFound(_));
    let failure = Failure::from(error);
    let name = super::hints::shell_word(&super::shown(path));
    if is_not_found {
        let hint = match path.metadata() {
            Err(_) => "check the path; `lsblk` lists the disks of this machine".to_owned(),
            Ok(metadata) if metadata.is_file() && metadata.len() == 0 => {
                "copy or download the image again: nothing of it has arrived".to_owned()
            }
            Ok(_) => container_hints::missing_file_hint(path).unwrap_or_else(|| {
                format!("`file -s {name}` tells what else it is; a disk image is needed")
            }),
        };
        return Box::new(failure.hint(hint));
    }
    if path.is_dir() {
        if is_unsupported {
            let hint = format!(
                "name the root of a mounted system; `findmnt -T {name}` shows what is there"
            );
            return Box::new(failure.hint(hint));
        }
        return Box::new(failure);
    }
    Box::new(match container_hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}

/// What to do about a volume that is whole, but of a kind that regain does not edit.
fn with_volume_hint(error: Error, session: &Session) -> Box<Failure> {
    let kind = match error.kind() {
        ErrorKind::Unsupported(_) => session.blocking_kind(),
        _ => None,
    };
    let is_cut_short = matches!(error.kind(), ErrorKind::NotFound(_))
        && session.table_warnings().iter().any(|warning| warning.contains("is ignored"));
    let failure = Failure::from(error);
    let hint = match kind {
        Some(ProbeKind::F2fs | ProbeKind::Zfs) => {
            "mount it on a rescue machine and add the key by hand, or see `regain user-data --help`"
        }
        _ if is_cut_short => super::hints::CUT_SHORT,
        _ => return Box::new(failure),
    };
    Box::new(failure.hint(hint))
}

/// The volume `id`, or the only one, for hints; nothing is known if that is not one volume.
pub(crate) fn failed_volume(session: &Session, id: Option<&str>) -> FailedVolume {
    let volumes = &session.volumes;
    let volume = match (id, volumes.as_slice()) {
        (Some(id), _) => volumes.iter().find(|volume| volume.volume.id == id),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let Some(volume) = volume else { return FailedVolume::default() };
    let start = volume.place.start();
    let disk = start.and_then(|(disk, _)| session.disk(disk).ok());
    FailedVolume {
        kind: volume.probe.as_ref().map(|probe| probe.kind),
        path: disk.map(|disk| super::shown(&disk.image.path)),
        offset_bytes: start.map_or(0, |(_, offset_bytes)| offset_bytes),
    }
}

/// What a report says of an open target.
pub(crate) fn report(session: &Session) -> Target {
    match (session.target(), session.directory()) {
        (Some(image), _) => report_image(image),
        (None, Some(directory)) => super::directory::report(directory),
        (None, None) => Target::default(),
    }
}

/// What a report says of an open image.
pub(crate) fn report_image(image: &Image) -> Target {
    Target {
        path: Some(super::shown(&image.path)),
        kind: Some(match image.file.kind {
            ImageKind::File => "image",
            ImageKind::BlockDevice => "block_device",
        }),
        format: Some(image.format.to_string()),
        size_bytes: Some(image.disk.len_bytes()),
        volume_id: None,
    }
}
