//! The log tree: what fsync wrote since the last transaction.

use super::view::View;
use crate::error::{Error, Result};

/// Replays the log over the committed trees.
///
/// # Errors
/// `Unsupported`.
pub(super) fn replay(_: &mut View) -> Result<()> {
    Err(Error::unsupported("replay of the log"))
}
