//! One remedy sentence for every way to fail, with the next command to type where there is one.

use super::failed_volume::FailedVolume;
use super::refusal_hints;
use crate::error::{Corrupt, Error, ErrorKind, Refusal};

/// What to do about an image that ends before what it holds.
pub(super) const CUT_SHORT: &str =
    "compare the size of this copy with the original: it may be cut short";

/// What to do about `error` of `command` on the target that was given as `target`.
pub(crate) fn hint(
    error: &Error,
    command: &str,
    target: Option<&str>,
    volume: &FailedVolume,
) -> String {
    let target = target.map_or_else(|| "TARGET".to_owned(), shell_word);
    if is_cut_short(error) {
        return CUT_SHORT.to_owned();
    }
    match error.kind() {
        ErrorKind::Io(error) => io_hint(error),
        ErrorKind::NotFound(_) if command == "inspect" => {
            "check the path and --volume: a disk image or block device is needed".to_owned()
        }
        ErrorKind::NotFound(_) => {
            format!(
                "`regain inspect {target}` shows the volumes, systems and users that were found"
            )
        }
        ErrorKind::Ambiguous { what, .. }
            if what.contains("user") && command == "password reset" =>
        {
            "choose with --user NAME".to_owned()
        }
        ErrorKind::Ambiguous { what, .. } if what.contains("user") => {
            "choose with --user NAME, or take all of them with --all-users".to_owned()
        }
        ErrorKind::Ambiguous { .. } => {
            format!("choose with --volume ID; `regain inspect {target}` shows the volumes")
        }
        ErrorKind::Unsupported(_) if command == "inspect" => {
            "`regain --help` shows which targets and commands this version knows".to_owned()
        }
        ErrorKind::Unsupported(_) => {
            format!(
                "`regain inspect {target}` shows what this version can edit, and why not the rest"
            )
        }
        ErrorKind::Corrupt(_) if is_about_patch(command) => {
            "get the patch file again from where it was made; this copy is damaged".to_owned()
        }
        ErrorKind::Corrupt(corrupt) if is_about_table(corrupt) => format!(
            "repair the partition table of a copy first (`gdisk`, `testdisk`), then run `regain \
             inspect {target}` again"
        ),
        ErrorKind::Corrupt(_) => format!(
            "check a copy of the volume with its own checker ({}), then run `regain inspect \
             {target}` again",
            volume.check_command()
        ),
        ErrorKind::Refused(refusal) => refusal_hints::hint(refusal, &target, volume),
        ErrorKind::Mismatch(_) => {
            "`regain show PATCH` says which target and which bytes the patch is for".to_owned()
        }
        ErrorKind::Limit { .. } => {
            "nothing real is that large: look at the object that is named, or choose another volume"
                .to_owned()
        }
        ErrorKind::Usage(_) if command.is_empty() => {
            "`regain --help` shows the commands".to_owned()
        }
        ErrorKind::Usage(_) => format!("`regain {command} --help` explains the arguments"),
    }
}

/// True if what is on a disk does not fit on it: a checker would only remove what is missing.
fn is_cut_short(error: &Error) -> bool {
    let said = match error.kind() {
        ErrorKind::Corrupt(corrupt) => corrupt.to_string(),
        ErrorKind::Refused(Refusal::NeedsCheck { detail }) => detail.clone(),
        _ => return false,
    };
    [
        "bytes of file system on",
        "does not fit a disk of",
        "on a disk or partition of",
        "partitions lies inside the disk",
    ]
    .iter()
    .any(|words| said.contains(words))
}

fn is_about_table(corrupt: &Corrupt) -> bool {
    matches!(corrupt.structure, "MBR" | "GPT")
}

fn is_about_patch(command: &str) -> bool {
    matches!(command, "show" | "apply" | "undo")
}

fn io_hint(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "check the path".to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            "run it as root, or as a user who may do that".to_owned()
        }
        std::io::ErrorKind::StorageFull => {
            "make room, or put the undo file elsewhere with --undo-file FILE".to_owned()
        }
        _ => "check the medium and the kernel log (dmesg), then run the same command again"
            .to_owned(),
    }
}

/// `text` as one word of a POSIX shell command line.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::probe::ProbeKind;

    #[test]
    fn shell_words_survive_the_shell() {
        for (text, word) in
            [("disk.img", "disk.img"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''")]
        {
            assert_eq!(shell_word(text), word);
        }
    }

    #[test]
    fn hints_name_the_next_command() {
        let unknown = FailedVolume::default();
        let error = Error::not_found("no system");
        let text = hint(&error, "key add", Some("a b.img"), &unknown);
        assert!(text.contains("regain inspect 'a b.img'"));
        let error = Error::usage("what");
        assert!(hint(&error, "key add", None, &unknown).contains("regain key add --help"));
        let error = Refusal::NeedsCheck { detail: "it is so".to_owned() }.into();
        for (kind, offset_bytes, expected) in [
            (Some(ProbeKind::Ext4), 1_048_576, "`e2fsck -f 'd.img?offset=1048576'`"),
            (Some(ProbeKind::Xfs), 0, "`xfs_repair d.img`"),
            (Some(ProbeKind::Xfs), 512, "`xfs_repair` of its partition device"),
            (None, 0, "ext: `e2fsck -f VOLUME`, XFS: `xfs_repair VOLUME`, NTFS: `chkdsk`"),
            (Some(ProbeKind::Ntfs), 512, "let Windows check the volume"),
        ] {
            let volume = FailedVolume { kind, path: Some("d.img".to_owned()), offset_bytes };
            let text = hint(&error, "key add", Some("d.img"), &volume);
            assert!(text.contains(expected), "{text}");
        }
        let error = Refusal::DirtyLog { detail: "it is so".to_owned() }.into();
        let volume = FailedVolume { kind: Some(ProbeKind::Xfs), ..unknown };
        assert!(hint(&error, "key add", None, &volume).contains("nouuid"));
    }
}
