//! Who knows the passphrases of encrypted volumes.

use crate::error::Result;
use crate::volume::luks::Secret;
use std::fmt::Debug;
use std::rc::Rc;

/// Gives passphrases and keys; a session asks for every encrypted volume that it finds.
pub trait Passphrases: Debug {
    /// The secret to try on `volume`, which is its name for people; `attempt` counts from 0 for each volume. None if
    /// there are no more: then the volume stays locked.
    ///
    /// # Errors
    /// `Io`.
    fn secret(&self, volume: &str, attempt: usize) -> Result<Option<Rc<Secret>>>;
}

/// Nobody: encrypted volumes stay locked.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Passphrases for Nobody {
    fn secret(&self, _volume: &str, _attempt: usize) -> Result<Option<Rc<Secret>>> {
        Ok(None)
    }
}
