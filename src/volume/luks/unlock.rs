//! Opening a header with a secret.

use super::decrypted_disk::DecryptedDisk;
use super::kdf::iterations_cost;
use super::keyslot::Keyslot;
use super::xts::Xts;
use super::{Header, Secret, Segment, Unusable};
use crate::disk::{Disk, DiskEdit};
use crate::error::{Error, ErrorKind, Result, VolumeObstacle};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bound on what the slots of a header may cost together, in thousandths of what one may cost: a header can have 32
/// slots, and each of them minutes.
pub(super) const COST_MAX: u64 = 4000;

/// The key of an encrypted volume, with what it opens.
#[derive(Debug, Clone)]
pub struct Unlocked {
    /// Number of the slot that opened.
    keyslot: u32,
    cipher: Xts,
    segment: Segment,
}

impl Header {
    /// Tries `secret` on every slot, the preferred ones first. `disk` is where the header was read from. Takes as
    /// long as the key derivation of the slots wants.
    ///
    /// # Errors
    /// * `Refused` - no slot opens, with how many were tried and why the others were not; or the volume cannot be used, see [`Header::obstacle`].
    /// * `Io`.
    pub fn unlock(&self, disk: &dyn Disk, secret: &Secret) -> Result<Unlocked> {
        let segment = self.usable()?;
        let mut tried = Vec::new();
        let mut not_tried = Vec::new();
        let mut cost: u64 = 0;
        for slot in &self.keyslots {
            cost = cost.saturating_add(self.cost(slot));
            if cost > COST_MAX {
                let reason = "the key derivations of all slots together cost too much";
                not_tried.push(format!("slot {} was not tried: {reason}", slot.number));
                continue;
            }
            match open(slot, disk, secret)? {
                Ok(key) if self.recognises(slot.number, &key)? => {
                    return unlocked(slot.number, &key, segment);
                }
                Ok(_) => tried.push(slot),
                Err(reason) => {
                    not_tried.push(format!("slot {} was not tried: {reason}", slot.number));
                }
            }
        }
        Err(refused(&tried, &not_tried).into())
    }

    /// What it costs to try `slot`.
    pub(super) fn cost(&self, slot: &Keyslot) -> u64 {
        let derivation = slot.method.as_ref().map_or(0, |method| method.kdf.cost());
        let digests = self.digests.iter().filter(|digest| digest.covers(slot.number));
        let digests = digests.map(|digest| iterations_cost(digest.iterations));
        digests.fold(derivation, u64::saturating_add)
    }

    fn recognises(&self, slot: u32, key: &Zeroizing<Vec<u8>>) -> Result<bool> {
        for digest in self.digests.iter().filter(|digest| digest.covers(slot)) {
            if digest.is_of(key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn unlocked(keyslot: u32, key: &[u8], segment: Segment) -> Result<Unlocked> {
    let cipher = Xts::new(key).filter(|_| key.len() == segment.key_bytes);
    let cipher = cipher.ok_or_else(|| Error::unsupported("a volume key of that length"))?;
    Ok(Unlocked { keyslot, cipher, segment })
}

/// What `slot` holds if `secret` is the right one; or why it was not tried.
///
/// # Errors
/// `Io`.
fn open(
    slot: &Keyslot,
    disk: &dyn Disk,
    secret: &Secret,
) -> Result<std::result::Result<Zeroizing<Vec<u8>>, String>> {
    let method = match &slot.method {
        Ok(method) => method,
        Err(reason) => return Ok(Err(reason.clone())),
    };
    match method.open(disk, secret) {
        Ok(key) => Ok(Ok(key)),
        Err(error) if matches!(error.kind(), ErrorKind::Io(_)) => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

fn refused(tried: &[&Keyslot], not_tried: &[String]) -> Unusable {
    let tokens: Option<Vec<&str>> = tried.iter().map(|slot| slot.token.as_deref()).collect();
    let (obstacle, mut reason) = match (tried.len(), tokens) {
        (0, _) => (VolumeObstacle::Layout, "no key slot could be tried".to_owned()),
        (count, Some(tokens)) => {
            let tokens = tokens.join(", ");
            let reason =
                format!("its {count} key slots are for tokens ({tokens}), and do not open");
            (VolumeObstacle::NoPassphrase, reason)
        }
        (1, None) => (VolumeObstacle::WrongPassphrase, "the 1 key slot does not open".to_owned()),
        (count, None) => {
            (VolumeObstacle::WrongPassphrase, format!("none of the {count} key slots opens"))
        }
    };
    if !tried.is_empty() {
        reason.push_str(" with this passphrase or key file");
    }
    for other in not_tried {
        reason.push_str("; ");
        reason.push_str(other);
    }
    Unusable { obstacle, reason }
}

impl Unlocked {
    /// Number of the slot that opened.
    pub fn keyslot(&self) -> u32 {
        self.keyslot
    }

    /// The clear text of the volume over `disk`, the disk of the header: reads decrypt, writes encrypt.
    ///
    /// # Errors
    /// `Corrupt` if the encrypted segment does not lie on the disk.
    pub fn over(&self, disk: Arc<dyn DiskEdit>) -> Result<Arc<dyn DiskEdit>> {
        Ok(Arc::new(DecryptedDisk::new(disk, self.cipher.clone(), self.segment)?))
    }

    /// For tests that know the key.
    #[cfg(test)]
    pub(super) fn with_key(key: &[u8], segment: Segment) -> Self {
        unlocked(0, key, segment).unwrap()
    }
}
