//! What to do when a logical volume, a mirror or an encrypted volume cannot be edited.

use crate::error::VolumeObstacle;

/// What to do about cipher text that regain does not open.
pub(super) const ENCRYPTED: &str =
    "unlock it with its own tools first, and give regain the clear-text device";

/// What to do about an encrypted volume without a passphrase.
pub(super) const LOCKED: &str = "give its passphrase: --luks-passphrase-file FILE (- is standard input), or \
     --luks-key-file FILE";

/// One remedy sentence. `target` is a word for the shell.
pub(super) fn hint(obstacle: VolumeObstacle, target: &str) -> String {
    match obstacle {
        VolumeObstacle::Layout => "activate it on a rescue machine (`vgchange -ay`, `cryptsetup open`, `mdadm \
             --assemble`), and give regain the device under /dev/mapper or /dev/md"
            .to_owned(),
        VolumeObstacle::Incomplete => {
            format!("give the missing disks as well: --device PATH, once for each; `regain inspect {target}` counts them")
        }
        VolumeObstacle::Shared => {
            "take it back on a rescue machine first (`vgimport`, `vgchange --lock-type none`), then try again".to_owned()
        }
        VolumeObstacle::Snapshot => {
            "remove or merge the snapshot on a rescue machine (`lvremove`, `lvconvert --merge`), then try again".to_owned()
        }
        VolumeObstacle::Unfinished => {
            "let the machine finish what it began (`lvs -a`, /proc/mdstat, `cryptsetup reencrypt \
             --resume-only`), shut it down, then try again"
                .to_owned()
        }
        VolumeObstacle::OutOfSync => {
            "let the mirror resynchronise on a rescue machine (`mdadm --assemble`, then wait for \
             /proc/mdstat), stop it, then try again"
                .to_owned()
        }
        VolumeObstacle::Damaged => {
            "repair its metadata on a copy first (`vgck --updatemetadata`, `pvck`, `cryptsetup repair`), then try again"
                .to_owned()
        }
        VolumeObstacle::ReadOnly => "make it writable first (`vgchange -p rw`, `lvchange -p rw`), then try again".to_owned(),
        VolumeObstacle::WrongPassphrase => "check the passphrase or the key file: a key file counts with its last \
             line break"
            .to_owned(),
        VolumeObstacle::NoPassphrase => {
            "add a passphrase on the machine that can unlock it (`cryptsetup luksAddKey`), or open it there and \
             give regain the device under /dev/mapper"
                .to_owned()
        }
    }
}
