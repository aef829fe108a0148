//! A `$BITMAP` attribute, which may lie in a record or in clusters: that of `$MFT`, and that of an index.

use super::super::attribute::{AttributeKind, Sizes};
use super::super::bitmap::{self, BitDefect};
use super::super::stream::Place;
use super::Editor;
use super::file::EditedFile;
use super::space::BitmapStream;
use super::store::needs_check;
use crate::bytes::arith::{self, len_u64};
use crate::error::{Corrupt, Error, Result};
use std::ops::Range;

const KIND: AttributeKind = AttributeKind::BITMAP;
/// The length of such a bitmap is a multiple of this, in bytes.
const STEP_BYTES: u64 = 8;

/// Which bitmap, and what it is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct BitsName<'a> {
    /// Name of the attribute.
    pub(super) name: &'a [u16],
    /// As in "$MFT:$BITMAP".
    pub(super) what: &'static str,
    /// What one bit stands for.
    pub(super) unit: &'static str,
}

/// Where the bits are.
enum Bits {
    Resident(Vec<u8>),
    Clusters(BitmapStream),
}

impl BitsName<'_> {
    fn load(&self, file: &EditedFile) -> Result<Option<Bits>> {
        Ok(match file.stream(KIND, self.name)?.map(|stream| stream.place) {
            Some(Place::Resident(bytes)) => Some(Bits::Resident(bytes)),
            Some(Place::Clusters { runs, sizes, .. }) => {
                let bits = arith::mul(sizes.initialised, 8)?;
                let (what, unit) = (self.what, self.unit);
                Some(Bits::Clusters(BitmapStream { runs, bits, what, unit }))
            }
            None => None,
        })
    }

    fn missing(&self, file: &EditedFile) -> Error {
        file.damage("attributes", BitsDefect(self.what))
    }

    fn disagrees(&self, defect: BitDefect) -> Error {
        match defect {
            BitDefect::Unexpected { bit, is_set } => {
                let state = if is_set { "in use" } else { "free" };
                needs_check(format!("{} calls {} {bit} {state}", self.what, self.unit))
            }
            other => Corrupt::new(self.what, other).into(),
        }
    }

    /// True if `bit` is there and set.
    pub(super) fn is_set(&self, editor: &Editor<'_>, file: &EditedFile, bit: u64) -> Result<bool> {
        match self.load(file)? {
            Some(Bits::Resident(bytes)) => Ok(bitmap::is_set(&bytes, bit).unwrap_or(false)),
            Some(Bits::Clusters(stream)) if bit < stream.bits => {
                let byte = editor.read_clusters(&stream.runs, bit >> 3, 1)?;
                Ok(bitmap::is_set(&byte, bit & 7).unwrap_or(false))
            }
            _ => Ok(false),
        }
    }

    /// The first clear bit of `within`.
    pub(super) fn first_clear(
        &self,
        editor: &Editor<'_>,
        file: &EditedFile,
        within: Range<u64>,
    ) -> Result<Option<u64>> {
        let mut found = None;
        match self.load(file)? {
            None => return Err(self.missing(file)),
            Some(Bits::Resident(bytes)) => {
                found = bitmap::next_clear(&bytes, within).map(|clear| clear.start);
            }
            Some(Bits::Clusters(stream)) => {
                stream.each_clear(editor, within, usize::MAX, &mut |clear| {
                    found = Some(clear.start);
                    false
                })?;
            }
        }
        Ok(found)
    }

    /// Sets or clears a bit that must be the other way.
    ///
    /// # Errors
    /// `Refused` (needs a check) if it is not.
    pub(super) fn flip(
        &self,
        editor: &mut Editor<'_>,
        file: &mut EditedFile,
        bit: u64,
        to_set: bool,
    ) -> Result<()> {
        let bits = bit..arith::add(bit, 1)?;
        match self.load(file)? {
            None => Err(self.missing(file)),
            Some(Bits::Resident(mut bytes)) => {
                let flipped = bitmap::flip(&mut bytes, bits, to_set);
                flipped.map_err(|defect| self.disagrees(defect))?;
                file.put_resident(editor, KIND, self.name, &bytes)
            }
            Some(Bits::Clusters(stream)) => stream.flip(editor, bits, to_set),
        }
    }

    /// Makes the bitmap, which may be missing, long enough for `bits`. New bits are clear.
    pub(super) fn grow(
        &self,
        editor: &mut Editor<'_>,
        file: &mut EditedFile,
        bits: u64,
    ) -> Result<()> {
        let needed = arith::round_up(arith::div_ceil(bits, 8)?, STEP_BYTES)?;
        match self.load(file)? {
            Some(Bits::Clusters(_)) => self.grow_clusters(editor, file, needed),
            resident => {
                let mut bytes = match resident {
                    Some(Bits::Resident(bytes)) => bytes,
                    _ => Vec::new(),
                };
                if len_u64(bytes.len()) >= needed {
                    return Ok(());
                }
                bytes.resize(arith::to(needed)?, 0);
                file.put_resident(editor, KIND, self.name, &bytes)
            }
        }
    }

    fn grow_clusters(
        &self,
        editor: &mut Editor<'_>,
        file: &mut EditedFile,
        needed: u64,
    ) -> Result<()> {
        let (mut sizes, mut runs) = file.non_resident(KIND, self.name)?;
        if sizes.initialised >= needed {
            return Ok(());
        }
        let from = sizes.initialised;
        let geometry = *editor.volume.geometry();
        if needed > sizes.allocated {
            let clusters = geometry.clusters_for(needed)?;
            editor.resize_runs(&mut runs, clusters, None)?;
            sizes.allocated = arith::mul(clusters, geometry.cluster_size())?;
        }
        editor.write_zeros(&runs, from, needed, self.what)?;
        sizes = Sizes { value: sizes.value.max(needed), initialised: needed, ..sizes };
        file.put_runs(editor, KIND, self.name, &runs, sizes)
    }
}

/// The attribute is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has no {0}")]
struct BitsDefect(&'static str);
