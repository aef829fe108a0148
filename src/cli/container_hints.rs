//! What to do about an image that cannot be opened, or must not be written, as it is.

use super::hints::shell_word;
use crate::error::{Error, ErrorKind, Refusal};
use crate::image::format::{Conversion, Format};
use crate::image::recognise;
use std::path::Path;

/// The remedy for a refusal of a container. `target` is one word of a shell.
pub(super) fn refusal_hint(refusal: &Refusal, target: &str) -> String {
    match refusal {
        Refusal::ForeignFile { .. } => {
            "if that file really belongs to the image, name it: --allow-backing PATH".to_owned()
        }
        Refusal::UnknownBackingFormat { file, found, .. } => format!(
            "say what it is: qemu-img rebase -u -b {} -F {found} {target} (or -F raw, if its guest wrote that \
             header)",
            shell_word(file)
        ),
        Refusal::ContainerNeedsCheck { .. } => {
            format!("repair it, best a copy: qemu-img check -r all {target}")
        }
        // Neither qemu-img nor anybody else converts it before the log is replayed.
        Refusal::ContainerNotWritable { what } if what.contains("log was not replayed") => {
            format!("replay it, best in a copy: qemu-img check -r all {target}")
        }
        _ => convert(target),
    }
}

/// The remedy for `error`, with which the image at `path` was not opened.
pub(super) fn open_hint(error: &Error, path: &Path) -> Option<String> {
    let is_damaged = matches!(error.kind(), ErrorKind::Corrupt(_));
    if !is_damaged && !matches!(error.kind(), ErrorKind::Unsupported(_)) {
        return None;
    }
    let name = shell_word(&super::shown(path));
    let format = recognise(path).ok()?;
    if is_damaged {
        let is_image = format.conversion() == Conversion::QemuImg;
        return is_image.then(|| {
            format!("compare its size with the original: it may be cut short; `qemu-img info {name}` tells what qemu makes of it")
        });
    }
    let message = error.to_string();
    Some(match format.conversion() {
        Conversion::None => return None,
        Conversion::QemuImg if message.contains("LUKS encryption") => decrypt(&name),
        Conversion::QemuImg if format == Format::Vmdk && message.contains("name the file") => {
            "name the file with the descriptor, a small text file".to_owned()
        }
        Conversion::QemuImg => convert(&name),
        Conversion::Decompress(program) => format!("unpack it first: {program} -d -k {name}"),
        Conversion::Unpack => format!(
            "unpack it first: tar -xf {name}, then convert the disk in it: qemu-img convert -p -O raw DISK.vmdk \
             disk.raw"
        ),
        Conversion::Unlock => {
            format!("unlock it first: cryptsetup open {name} NAME, then use /dev/mapper/NAME")
        }
    })
}

/// The remedy where a file to which the image at `path` refers is not there; none if that is no image.
pub(super) fn missing_file_hint(path: &Path) -> Option<String> {
    let name = shell_word(&super::shown(path));
    match recognise(path).ok()? {
        Format::Qcow2 => Some(format!(
            "put that file back, or tell the image where it lies now: qemu-img rebase -u -b FILE -F FORMAT {name}"
        )),
        format if format.conversion() == Conversion::QemuImg => {
            Some(format!("put that file back to where {name} names it"))
        }
        _ => None,
    }
}

fn convert(name: &str) -> String {
    format!("convert it first: qemu-img convert -p -O raw {name} {}", beside(name))
}

fn decrypt(name: &str) -> String {
    format!(
        "decrypt it first: qemu-img convert -p -O raw --object secret,id=key,file=PASSPHRASE_FILE --image-opts \
         driver=qcow2,file.filename={name},encrypt.key-secret=key {}",
        beside(name)
    )
}

/// `name`, already one word of a shell, with another ending.
fn beside(name: &str) -> String {
    match name.strip_suffix('\'') {
        Some(quoted) => format!("{quoted}.raw'"),
        None => format!("{name}.raw"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_quotes() {
        assert!(convert("disk.vmdk").ends_with(" disk.vmdk disk.vmdk.raw"));
        assert!(convert("'a b'").ends_with(" 'a b' 'a b.raw'"));
        let refusal = Refusal::ContainerNeedsCheck { what: String::new() };
        let hint = refusal_hint(&refusal, "disk.qcow2");
        assert_eq!(hint, "repair it, best a copy: qemu-img check -r all disk.qcow2");
    }
}
