//! Encrypted volumes (LUKS) that are unlocked, so that what is in them is found.

use super::super::open::Found;
use super::super::{Content, Source};
use super::Layers;
use crate::error::{Error, ErrorKind, Refusal, Result, VolumeObstacle};
use crate::volume::luks::{Header, Unlocked};
use crate::volume::{Volume, place::Place};
use std::sync::Arc;

/// Bound on the passphrases that are tried on one volume.
const ATTEMPTS_MAX: usize = 16;

impl Layers<'_> {
    /// Unlocks the volume at `index` with what the caller knows, and adds what is inside.
    pub(super) fn read_encrypted(&mut self, index: usize, place: &Arc<Place>) -> Result<()> {
        let stack = self.finder.stack(place)?;
        let header = Header::read(stack.as_ref())?;
        let Some(volume) = self.volumes.get(index) else { return Ok(()) };
        let (id, name) = (volume.volume.id.clone(), volume.describe());
        let warnings = header.warnings.iter();
        self.warnings.extend(warnings.map(|warning| format!("{name}: {warning}")));
        if let Some(obstacle) = header.obstacle() {
            return Err(obstacle);
        }
        let mut reason = Error::from(Refusal::Locked { what: "the LUKS volume".to_owned() });
        for attempt in 0..ATTEMPTS_MAX {
            let passphrases = self.finder.options.passphrases;
            let Some(secret) = passphrases.secret(&name, attempt)? else { break };
            match header.unlock(stack.as_ref(), &secret) {
                Ok(key) => {
                    let text = format!("an encrypted volume, open as luks:{id}");
                    self.set_content(index, Content::Layer(text));
                    return self.add_unlocked(index, &id, place, key);
                }
                Err(error) if is_wrong_passphrase(&error) => reason = error,
                Err(error) => return Err(error),
            }
        }
        Err(reason)
    }

    fn add_unlocked(
        &mut self,
        index: usize,
        id: &str,
        place: &Arc<Place>,
        key: Unlocked,
    ) -> Result<()> {
        let place = Arc::new(Place::Unlocked { key, cipher: place.clone() });
        let uuid = self.volumes.get(index).and_then(|volume| volume.probe.as_ref());
        let source = Source::Unlocked { uuid: uuid.map(|it| it.uuid.clone()).unwrap_or_default() };
        let volume = Volume {
            id: format!("luks:{id}"),
            number: 0,
            offset_bytes: 0,
            size_bytes: self.finder.stack(&place)?.len_bytes(),
            type_label: "LUKS".to_owned(),
            name: Vec::new(),
            part_uuid: None,
        };
        self.add(Found { volume, place, source, parents: vec![index], obstacle: None })
    }
}

fn is_wrong_passphrase(error: &Error) -> bool {
    let wrong = VolumeObstacle::WrongPassphrase;
    matches!(
        error.kind(),
        ErrorKind::Refused(Refusal::UnsuitableVolume { obstacle, .. }) if *obstacle == wrong
    )
}
