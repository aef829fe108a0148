//! Whether a key opens the account of a user today: what "the last working key" is decided by.
//!
//! A key works unless sshd surely refuses it: one whose verdict depends on the client may be somebody's way in.

use super::key_source::Reader;
use crate::error::Result;
use crate::login::{Guest, PublicKey, Verdict};
use std::collections::BTreeMap;

/// Bound on the keys of one user that are tried; beyond it none more is taken to work.
const KEYS_TRIED_MAX: usize = 1024;

/// Answers the question, each time once.
pub(super) struct WorkingKeys<'a, 'g> {
    guest: &'a Guest<'g>,
    /// By user and key.
    known: BTreeMap<(Vec<u8>, Vec<u8>), bool>,
}

impl<'a, 'g> WorkingKeys<'a, 'g> {
    pub(super) fn new(guest: &'a Guest<'g>) -> Self {
        Self { guest, known: BTreeMap::new() }
    }

    /// The first of `blobs` that lets `reader` in, as far as [`KEYS_TRIED_MAX`] of them tell.
    pub(super) fn first<'b>(
        &mut self,
        reader: &Reader<'_>,
        blobs: impl IntoIterator<Item = &'b [u8]>,
    ) -> Result<Option<&'b [u8]>> {
        for blob in blobs.into_iter().take(KEYS_TRIED_MAX) {
            if self.works(reader, blob)? {
                return Ok(Some(blob));
            }
        }
        Ok(None)
    }

    fn works(&mut self, reader: &Reader<'_>, blob: &[u8]) -> Result<bool> {
        let key = (reader.user.name.clone(), blob.to_vec());
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        // A key that sshd takes from nobody opens nothing.
        let works = match PublicKey::new(blob.to_vec(), "") {
            Ok(key) => self.guest.check_key(reader.user, &key)?.verdict != Verdict::Refused,
            Err(_) => false,
        };
        self.known.insert(key, works);
        Ok(works)
    }
}
