//! One remedy sentence for every way to fail, with the next command to type where there is one.

use super::container_hints;
use super::volume_hints;
use crate::error::{Corrupt, Error, ErrorKind, Refusal};
use crate::fs::probe::ProbeKind;

/// The volume that an error is about, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct FailedVolume {
    /// The file system.
    pub(crate) kind: Option<ProbeKind>,
    /// The target.
    pub(crate) path: Option<String>,
    /// Where the volume starts in the target.
    pub(crate) offset_bytes: u64,
}

/// What to do about `error` of `command` on the target that was given as `target`.
///
pub(crate) fn hint(
    error: &Error,
    command: &str,
    target: Option<&str>,
    volume: &FailedVolume,
) -> String {
    let target = target.map_or_else(|| "TARGET".to_owned(), shell_word);
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
        ErrorKind::Refused(refusal) => refusal_hint(refusal, &target, volume),
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

impl FailedVolume {
    /// The checker of the file system with the volume. Programs of e2fsprogs find a file system inside a file or
    /// device with `?offset=`; those of xfsprogs do not.
    fn check_command(&self) -> String {
        let path = self.path.as_ref();
        match (self.kind, self.offset_bytes) {
            (None, _) => {
                "ext: `e2fsck -f VOLUME`, XFS: `xfs_repair VOLUME`, NTFS: `chkdsk`".to_owned()
            }
            (Some(ProbeKind::Xfs), 0) => {
                let place = path.map_or_else(|| "VOLUME".to_owned(), |path| shell_word(path));
                format!("`xfs_repair {place}`")
            }
            (Some(ProbeKind::Xfs), _) => "`xfs_repair` of its partition device".to_owned(),
            (Some(ProbeKind::Ntfs), _) => "`chkdsk` of a Windows machine".to_owned(),
            (Some(ProbeKind::Btrfs), 0) => {
                let place = path.map_or_else(|| "VOLUME".to_owned(), |path| shell_word(path));
                format!("`btrfs check --readonly {place}`")
            }
            (Some(ProbeKind::Btrfs), _) => {
                "`btrfs check --readonly` of its partition device".to_owned()
            }
            (Some(_), offset) => {
                let place = path.map(|path| match offset {
                    0 => shell_word(path),
                    offset => shell_word(&format!("{path}?offset={offset}")),
                });
                format!("`e2fsck -f {}`", place.unwrap_or_else(|| "VOLUME".to_owned()))
            }
        }
    }

    /// What replays a log that regain does not.
    fn replay_hint(&self) -> String {
        match self.kind {
            Some(ProbeKind::Xfs) => {
                "start the machine and stop it cleanly, or mount the volume once with `-o \
                                     nouuid` on a kernel that knows its features, then try again"
                    .to_owned()
            }
            Some(ProbeKind::Btrfs) => {
                "start the machine and stop it cleanly, or mount and unmount the volume once on a rescue machine, which \
                 replays the log, then try again"
                    .to_owned()
            }
            _ => format!(
                "start the machine and stop it cleanly, then try again (or let {} replay the \
                 journal, best on a copy)",
                self.check_command()
            ),
        }
    }
}

fn refusal_hint(refusal: &Refusal, target: &str, volume: &FailedVolume) -> String {
    if volume.kind == Some(ProbeKind::Ntfs)
        && let Some(hint) = ntfs_hint(refusal, target)
    {
        return hint;
    }
    match refusal {
        Refusal::DirtyLog { .. } => volume.replay_hint(),
        Refusal::LogElsewhere { .. } => {
            "name the disk or image with the log: --device PATH (it is only read)".to_owned()
        }
        Refusal::Hibernated => {
            "resume the machine and shut it down completely, then try again".to_owned()
        }
        Refusal::Encrypted { .. } => volume_hints::ENCRYPTED.to_owned(),
        Refusal::Locked { .. } => volume_hints::LOCKED.to_owned(),
        Refusal::InUse { .. } => {
            "unmount it, or stop the virtual machine that uses it, then try again".to_owned()
        }
        Refusal::UnknownFeature { .. } | Refusal::NotWritable { .. } => format!(
            "this version cannot edit it safely; `regain inspect {target}` shows the features, and \
             `regain user-data` another way in"
        ),
        Refusal::UnsuitableVolume { obstacle, .. } => volume_hints::hint(*obstacle, target),
        Refusal::NeedsCheck { .. } => format!(
            "run {}, best on a copy or snapshot of the volume, then try again",
            volume.check_command()
        ),
        Refusal::ReadOnly { .. }
        | Refusal::MountedReadOnly { .. }
        | Refusal::ForeignMount { .. }
        | Refusal::RunningSystem
        | Refusal::ReadOnlySubvolume { .. } => read_only_hint(refusal),
        Refusal::NoSpace { .. } => {
            "make room on it: mount it on a rescue machine and empty /var/cache or old logs"
                .to_owned()
        }
        Refusal::ProtectedFile { flag, .. } => format!(
            "somebody set the {flag} flag on purpose: mount it and remove the flag with chattr, or \
             choose another user with --user"
        ),
        Refusal::UnsuitableFile { .. } => {
            "look at that path on the volume; regain does not edit what it cannot understand"
                .to_owned()
        }
        Refusal::WouldNotAccept { .. }
        | Refusal::NoPasswordLogin { .. }
        | Refusal::LastKey { .. }
        | Refusal::NotDecided { .. }
        | Refusal::UnsuitableKey { .. } => login_hint(refusal, target),
        Refusal::DomainController { .. }
        | Refusal::NoAgent { .. }
        | Refusal::AgentUnusable { .. }
        | Refusal::ServiceDisabled { .. }
        | Refusal::NoSshServer { .. } => windows_hint(refusal, target),
        Refusal::ForeignFile { .. }
        | Refusal::UnknownBackingFormat { .. }
        | Refusal::ContainerNeedsCheck { .. }
        | Refusal::ContainerNotWritable { .. } => container_hints::refusal_hint(refusal, target),
        Refusal::FileExists { .. } | Refusal::NotVerified { .. } | Refusal::NotConfirmed { .. } => {
            run_hint(refusal)
        }
    }
}

/// What helps where nothing is wrong with the volume.
fn run_hint(refusal: &Refusal) -> String {
    match refusal {
        Refusal::FileExists { .. } => "choose another name, or move that file away".to_owned(),
        Refusal::NotVerified { .. } => {
            "please report this with the output of `regain inspect --json`; nothing was written"
                .to_owned()
        }
        _ => "answer with y, or look first with --dry-run or --patch-out FILE".to_owned(),
    }
}

/// What helps where a login would not work.
fn login_hint(refusal: &Refusal, target: &str) -> String {
    match refusal {
        Refusal::WouldNotAccept { .. } | Refusal::NoPasswordLogin { .. } => {
            "add --fix to repair what is in the way, or name another user with --user".to_owned()
        }
        Refusal::LastKey { .. } => format!(
            "`regain key rotate {target} --key NEW.pub` puts a new key in its place; --force removes it \
             without one"
        ),
        Refusal::NotDecided { .. } => {
            "look at what it depends on; `regain key add --dry-run` shows what an edit would do"
                .to_owned()
        }
        _ => {
            "make a new key with `ssh-keygen -t ed25519`, or let regain make one with --generate-key"
                .to_owned()
        }
    }
}

/// What helps against the states of an NTFS volume, where that is not what helps anywhere (WIN-33).
fn ntfs_hint(refusal: &Refusal, target: &str) -> Option<String> {
    let last_resort = "(last resort: --clear-ntfs-log, see `regain password reset --help`)";
    match refusal {
        Refusal::DirtyLog { .. } => Some(format!(
            "start the machine and stop it normally, which needs no login, then try again {last_resort}"
        )),
        Refusal::NeedsCheck { .. } => Some(format!(
            "start the machine, let Windows check the volume and stop it normally, then try again \
             {last_resort}"
        )),
        Refusal::UnknownFeature { .. } | Refusal::NotWritable { .. } => Some(format!(
            "this version cannot edit it safely; `regain inspect {target}` shows what it is"
        )),
        Refusal::NoSpace { .. } => Some(
            "make room on it: mount it on a rescue machine and empty \\Windows\\Temp".to_owned(),
        ),
        _ => None,
    }
}

/// What helps where nothing can be written.
fn read_only_hint(refusal: &Refusal) -> String {
    match refusal {
        Refusal::ReadOnly { .. } => {
            "make it writable (chmod u+w, blockdev --setrw), or work on a copy".to_owned()
        }
        Refusal::ReadOnlySubvolume { .. } => {
            "change it from inside the system (transactional-update shell on SLE Micro), or choose a user whose home is \
             on a writable subvolume"
                .to_owned()
        }
        Refusal::MountedReadOnly { mount, .. } => {
            format!("make it writable: mount -o remount,rw {}", shell_word(mount))
        }
        Refusal::ForeignMount { .. } => {
            "in place of the directory, name the disk or image behind it, on the machine that has it".to_owned()
        }
        _ => "name the mounted root of another system, as in /mnt/rescue".to_owned(),
    }
}

/// What helps where a password or key of Windows cannot be set.
fn windows_hint(refusal: &Refusal, target: &str) -> String {
    let script = format!("`regain password reset {target} --method startup-script --generate`");
    match refusal {
        Refusal::DomainController { .. } => {
            "reset the account in the domain: from another domain controller, or in Directory Services \
             Restore Mode"
                .to_owned()
        }
        Refusal::ServiceDisabled { .. } => format!(
            "add --enable-service to have it start again, or use a start-up script: {script}"
        ),
        Refusal::NoSshServer { .. } => {
            format!("set a new password in place of a key: `regain password reset {target}`")
        }
        _ => format!("a start-up script can set it: {script}"),
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
