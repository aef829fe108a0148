//! Editing files: content, names, metadata.
//!
//! WIN-103 to WIN-114. An edit loads the files that it needs with all their records, changes them in memory, and
//! stores what changed. Everything that it relies on is checked before it is changed. The order of writes does
//! not matter: an edit happens in an overlay. `$LogFile`, `$UsnJrnl` and `$Secure` are never touched.
//!
//! ```text
//!  create, remove     files and directories come and go
//!  content, metadata  what they hold
//!  names, host        directories and other indexes
//!  information        $STANDARD_INFORMATION, and its copies in directories
//!  file, room, list   the records of a file; room for attributes; $ATTRIBUTE_LIST
//!  space, mft, bits   clusters and records: taken and given back
//!  store              writes
//! ```

mod bits;
mod content;
mod create;
mod file;
mod file_edit;
mod host;
mod information;
mod list;
mod metadata;
mod mft;
mod names;
mod remove;
mod room;
mod space;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use super::volume::Volume;
use space::BitmapStream;

/// An edit of a volume.
#[derive(Debug)]
struct Editor<'v> {
    volume: &'v mut Volume,
    /// `$Bitmap`, once it was needed. It never moves.
    clusters: Option<BitmapStream>,
}

impl<'v> Editor<'v> {
    /// Begins an edit.
    fn new(volume: &'v mut Volume) -> Self {
        Self { volume, clusters: None }
    }
}
