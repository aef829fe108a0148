//! NTFS 3.1: reading and editing.
//!
//! Formats: the linux-ntfs project's "NTFS Documentation" and libyal libfsntfs, "New Technologies File System
//! (NTFS)", which the module docs cite by section; WIN-n are the rules of the Windows half. [`Ntfs`] works on an
//! overlay and believes that it edits a disk. Edits are made in place, without `$LogFile`, which must be clean.
//!
//! ```text
//!  edit                    the operations
//!  index                   directories and other trees of sorted entries
//!  secure                  security descriptors
//!  attribute_list, stream  values of attributes, whatever holds them; compress: LZNT1
//!  mft, file               records by number, and all records of one file
//!  attribute, run_list     what a record holds, and where values lie
//!  record, bitmap          fix-ups of a record; bits in use
//!  verify, cross_check     whether an edit was finished well
//!  gate, log_file          whether the volume may be edited
//!  upcase, name, file_name names and how they compare
//!  reparse, standard_information, boot, volume, units
//! ```
//!
//! Not handled: versions other than 3.1 for writing, BitLocker, encrypted files, files whose content is kept by a
//! filter (WOF, deduplication), alternate data streams (all refused or ignored by name).

mod attribute;
mod attribute_list;
mod bitmap;
mod boot;
mod compress;
mod cross_check;
#[cfg(test)]
mod damage_tests;
mod edit;
mod file;
mod file_name;
mod file_system;
mod fix_up;
mod gate;
mod index;
mod index_view;
mod log_file;
mod mft;
mod name;
#[cfg(test)]
mod oracle_tests;
mod record;
mod reparse;
mod run_list;
mod secure;
mod standard_information;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
mod units;
mod upcase;
mod verify;
#[cfg(test)]
mod verify_tests;
mod volume;

pub use file_system::Ntfs;
pub(crate) use gate::{label_in, volume_record};
pub use verify::verify;
