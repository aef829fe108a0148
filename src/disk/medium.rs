//! What a patch is written to: the only interface of the library with which bytes leave the program.
//!
//! Assumption about every medium: a sector of 512 bytes is written wholly or not at all, and is durable once
//! [`Medium::sync`] has returned.

use crate::error::Result;
use std::fmt::Debug;
use std::ops::Range;

/// A target that is open for writing and held exclusively.
pub trait Medium: Debug {
    /// Length in bytes.
    fn len_bytes(&self) -> u64;

    /// Fills `buffer` from `offset_bytes`.
    ///
    /// # Errors
    /// `Corrupt` if the range ends behind the medium; `Io`.
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()>;

    /// Checks, before anything is written, that `ranges` can be. A container may have no room for them, or may be
    /// damaged where they are.
    ///
    /// # Errors
    /// `Refused` if one of them cannot be written; `Corrupt`, `Io`.
    fn can_write(&self, ranges: &[Range<u64>]) -> Result<()>;

    /// Writes `bytes`, which start and end on sector boundaries or at the end of the medium.
    ///
    /// # Errors
    /// `Corrupt` if the range ends behind the medium; `Io`.
    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()>;

    /// Returns once everything written is durable.
    ///
    /// # Errors
    /// `Io`. What was written since the last success is then in doubt, and a later success does not mend that.
    fn sync(&mut self) -> Result<()>;

    /// Drops what the host has cached, so that the next reads come from the medium where the host allows that.
    ///
    /// # Errors
    /// `Io`.
    fn drop_cache(&mut self) -> Result<()>;
}

/// A host file that is open for writing, and can change its length: what a container is written to.
///
/// [`Medium::write_at`] stays inside the length and takes any range, not only whole sectors; whoever needs more room
/// calls [`HostMedium::set_len`] first. Like a write, a new length is durable once [`Medium::sync`] has returned.
pub trait HostMedium: Medium + Send {
    /// Makes the file longer, with zeros, or cuts it off. A device cannot change its length.
    ///
    /// # Errors
    /// `Io`.
    fn set_len(&mut self, len_bytes: u64) -> Result<()>;

    /// True if it can become longer: a file, not a device.
    fn can_grow(&self) -> bool;
}

impl<M: Medium + ?Sized> Medium for &mut M {
    fn len_bytes(&self) -> u64 {
        (**self).len_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        (**self).read_at(offset_bytes, buffer)
    }

    fn can_write(&self, ranges: &[Range<u64>]) -> Result<()> {
        (**self).can_write(ranges)
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        (**self).write_at(offset_bytes, bytes)
    }

    fn sync(&mut self) -> Result<()> {
        (**self).sync()
    }

    fn drop_cache(&mut self) -> Result<()> {
        (**self).drop_cache()
    }
}
