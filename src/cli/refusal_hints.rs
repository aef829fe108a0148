//! What helps against each refusal: one sentence, with the next command to type where there is one.

use super::failed_volume::FailedVolume;
use super::hints::shell_word;
use super::{container_hints, volume_hints};
use crate::error::Refusal;
use crate::fs::probe::ProbeKind;

/// What helps against a refusal. `target` is a word for the shell.
pub(super) fn hint(refusal: &Refusal, target: &str, volume: &FailedVolume) -> String {
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
