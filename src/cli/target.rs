//! Opening the target of a command, and reporting which one it was.

use super::args::TargetArgs;
use super::output::{Failure, Outcome, Ui};
use crate::disk::Disk as _;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::Timestamp;
use crate::image::format::{Conversion, Format};
use crate::image::{self, Image, ImageKind};
use crate::report::Target;
use crate::session::{OpenOptions, Session};
use std::path::Path;

/// Opens the target of `args` and looks at every volume.
pub(crate) fn open(ui: &Ui, args: &TargetArgs, clock: Timestamp) -> Outcome<Session> {
    let format = format(args)?;
    let session = Session::open(&args.target, &OpenOptions { format, clock });
    let session = session.map_err(|error| with_format_hint(error, &args.target))?;
    for warning in &session.layout.warnings {
        ui.warn(warning);
    }
    Ok(session)
}

/// Opens the target of `args` without looking inside.
pub(crate) fn open_image(args: &TargetArgs) -> Outcome<Image> {
    let format = format(args)?;
    let image = image::open(&args.target, format);
    image.map_err(|error| with_format_hint(error, &args.target))
}

fn format(args: &TargetArgs) -> Result<Option<Format>> {
    args.format.as_deref().map(str::parse).transpose()
}

/// A container that regain does not read can be converted: says how.
fn with_format_hint(error: Error, path: &Path) -> Box<Failure> {
    let is_unsupported = matches!(error.kind(), ErrorKind::Unsupported(_));
    let failure = Failure::from(error);
    let found = if is_unsupported { image::recognise(path).ok() } else { None };
    let name = super::hints::shell_word(&super::shown(path));
    Box::new(match found.map(Format::conversion) {
        Some(Conversion::QemuImg) => {
            failure.hint(format!("convert it first: qemu-img convert -p -O raw {name} disk.img"))
        }
        Some(Conversion::Decompress(program)) => {
            failure.hint(format!("unpack it first: {program} -d -k {name}"))
        }
        Some(Conversion::Unlock) => failure.hint(format!(
            "unlock it first: cryptsetup open {name} NAME, then use /dev/mapper/NAME"
        )),
        Some(Conversion::None) | None => failure,
    })
}

/// What a report says of an open target.
pub(crate) fn report(session: &Session) -> Target {
    report_image(&session.image)
}

/// What a report says of an open image.
pub(crate) fn report_image(image: &Image) -> Target {
    Target {
        path: Some(super::shown(&image.path)),
        kind: Some(match image.kind {
            ImageKind::File => "image",
            ImageKind::BlockDevice => "block_device",
        }),
        format: Some(image.format.to_string()),
        size_bytes: Some(image.disk.len_bytes()),
        volume_id: None,
    }
}
