//! The content of a regular file: written over, continued, replaced.
//!
//! WIN-111. A value stays in its record as long as it fits, then moves to clusters for good, but for an empty one.
//! Clusters are used again where they are. A compressed file that is replaced or continued becomes a plain one.

use super::super::attribute::{AttributeKind, Sizes};
use super::super::run_list::RunList;
use super::super::standard_information::file_flag;
use super::super::stream::{Place, Stream};
use super::super::units::Vcn;
use super::Editor;
use super::file::EditedFile;
use super::names::unsuitable;
use crate::bytes::arith::{self, len_u64};
use crate::error::{Error, Result};
use crate::fs::{FILE_BYTES_MAX, NodeId};

const KIND: AttributeKind = AttributeKind::DATA;
/// Bound on zeros that are written between what was ever written and new bytes, in bytes.
const GAP_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl Editor<'_> {
    /// Writes `bytes` over the content from `offset_bytes`.
    ///
    /// The times change in the file alone. Its directory entries have copies of them, which Windows itself brings up to
    /// date at some later time; the size, which programs ask the directory for, stays as it is.
    ///
    /// # Errors
    /// `Refused` if the range ends behind the file, and as in [`super`].
    pub(super) fn overwrite(
        &mut self,
        node: NodeId,
        offset_bytes: u64,
        bytes: &[u8],
    ) -> Result<()> {
        let mut file = self.editable_file(node)?;
        let data = Self::data(&file)?;
        let end = arith::add(offset_bytes, len_u64(bytes.len()))?;
        if end > data.size_bytes() {
            return Err(unsuitable(&file, "is shorter than the range that is to be written"));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if data.is_compressed() {
            let mut content = data.read_all(self.volume, FILE_BYTES_MAX)?;
            crate::bytes::field::put(&mut content, arith::to(offset_bytes)?, bytes)?;
            self.put_plain(&mut file, &content)?;
            return self.store_content(file, true);
        }
        match data.place {
            Place::Resident(_) => {
                let parts = file.parts(KIND, &[])?;
                let part = *parts.first().ok_or(arith::OutOfRange)?;
                file.overwrite_resident(part, arith::to(offset_bytes)?, bytes)?;
            }
            Place::Clusters { runs, mut sizes, .. } => {
                self.fill_gap(&file, &runs, sizes, offset_bytes)?;
                self.write_clusters(&runs, offset_bytes, bytes, &data_label(&file))?;
                if end > sizes.initialised {
                    sizes.initialised = end;
                    let parts = file.parts(KIND, &[])?;
                    file.set_sizes(*parts.first().ok_or(arith::OutOfRange)?, sizes)?;
                }
            }
        }
        self.store_content(file, false)
    }

    /// Continues the content with `bytes`.
    ///
    /// # Errors
    /// As in [`super`].
    pub(super) fn append(&mut self, node: NodeId, bytes: &[u8]) -> Result<()> {
        let mut file = self.editable_file(node)?;
        let data = Self::data(&file)?;
        if bytes.is_empty() {
            return Ok(());
        }
        if data.is_compressed() || matches!(data.place, Place::Resident(_)) {
            let mut content = data.read_all(self.volume, FILE_BYTES_MAX)?;
            content.extend_from_slice(bytes);
            self.put_content(&mut file, &content)?;
        } else if let Place::Clusters { mut runs, mut sizes, .. } = data.place {
            let geometry = file.geometry;
            let from = sizes.value;
            let end = arith::add(from, len_u64(bytes.len()))?;
            if end > sizes.allocated {
                let clusters = geometry.clusters_for(end)?;
                self.resize_runs(&mut runs, clusters, None)?;
                sizes.allocated = arith::mul(clusters, geometry.cluster_size())?;
            }
            self.fill_gap(&file, &runs, sizes, from)?;
            self.write_clusters(&runs, from, bytes, &data_label(&file))?;
            sizes.value = end;
            sizes.initialised = end;
            file.put_runs(self, KIND, &[], &runs, sizes)?;
        }
        self.store_content(file, true)
    }

    /// Replaces the content.
    ///
    /// # Errors
    /// `Limit` if the new content is too long, and as in [`super`].
    pub(super) fn replace(&mut self, node: NodeId, content: &[u8]) -> Result<()> {
        let mut file = self.editable_file(node)?;
        Self::data(&file)?;
        self.put_content(&mut file, content)?;
        self.store_content(file, true)
    }

    /// The content, unless it has holes: those cannot be written without allocation.
    fn data(file: &EditedFile) -> Result<Stream> {
        let Some(data) = file.stream(KIND, &[])? else {
            return Err(unsuitable(file, "has no content"));
        };
        let is_sparse = data.flags & super::super::attribute::flag::SPARSE != 0
            || file.information()?.flags & file_flag::SPARSE != 0;
        let has_holes = data.runs().is_some_and(RunList::has_holes) && !data.is_compressed();
        if is_sparse || has_holes {
            return Err(unsuitable(file, "is a sparse file"));
        }
        Ok(data)
    }

    /// Writes zeros from the end of what was ever written to `offset_bytes`.
    fn fill_gap(
        &self,
        file: &EditedFile,
        runs: &RunList,
        sizes: Sizes,
        offset_bytes: u64,
    ) -> Result<()> {
        let gap = offset_bytes.saturating_sub(sizes.initialised);
        if gap > GAP_BYTES_MAX {
            let what = "bytes of the file that were never written";
            return Err(Error::limit(what, GAP_BYTES_MAX, gap));
        }
        self.write_zeros(runs, sizes.initialised, offset_bytes, &data_label(file))
    }

    /// Gives the unnamed stream this content, wherever it fits.
    pub(super) fn put_content(&mut self, file: &mut EditedFile, content: &[u8]) -> Result<()> {
        let size = len_u64(content.len());
        if size > FILE_BYTES_MAX {
            return Err(Error::limit("size of the new content in bytes", FILE_BYTES_MAX, size));
        }
        let data = file.stream(KIND, &[])?;
        if data.as_ref().is_some_and(Stream::is_compressed) {
            return self.put_plain(file, content);
        }
        match data.map(|data| data.place) {
            Some(Place::Clusters { runs, .. }) if content.is_empty() => {
                self.free_clusters(runs.runs())?;
                file.put_resident(self, KIND, &[], content)
            }
            Some(Place::Clusters { runs, sizes, .. }) => {
                self.put_in_clusters(file, runs, Some(sizes), content)
            }
            Some(Place::Resident(_)) => {
                let parts = file.parts(KIND, &[])?;
                let part = *parts.first().ok_or(arith::OutOfRange)?;
                if file.try_set_value(part, content)? {
                    return Ok(());
                }
                clear_compression(file)?;
                self.put_in_clusters(file, RunList::new(Vcn(0)), None, content)
            }
            None => Err(unsuitable(file, "has no content")),
        }
    }

    /// Writes the content to clusters: those of `runs`, more or fewer.
    fn put_in_clusters(
        &mut self,
        file: &mut EditedFile,
        mut runs: RunList,
        old: Option<Sizes>,
        content: &[u8],
    ) -> Result<()> {
        let geometry = file.geometry;
        let value = len_u64(content.len());
        let clusters = geometry.clusters_for(value)?;
        self.resize_runs(&mut runs, clusters, None)?;
        self.write_clusters(&runs, 0, content, &data_label(file))?;
        let allocated = arith::mul(clusters, geometry.cluster_size())?;
        let sizes = Sizes { allocated, value, initialised: value, compressed: None };
        if old == Some(sizes) {
            return Ok(());
        }
        file.put_runs(self, KIND, &[], &runs, sizes)
    }

    /// Replaces a compressed stream by a plain one (WIN-106).
    fn put_plain(&mut self, file: &mut EditedFile, content: &[u8]) -> Result<()> {
        file.remove_stream(self, KIND, &[])?;
        file.set_file_flags(file.information()?.flags & !file_flag::COMPRESSED)?;
        if content.is_empty() {
            return file.put_resident(self, KIND, &[], content);
        }
        self.put_in_clusters(file, RunList::new(Vcn(0)), None, content)
    }

    /// Sets the times, stores the file, and brings its directory entries up to date.
    fn store_content(&mut self, mut file: EditedFile, is_shown: bool) -> Result<()> {
        self.touch_content(&mut file)?;
        file.store(self)?;
        if is_shown {
            self.refresh_names(&file)?;
        }
        Ok(())
    }
}

/// A value that leaves its record is stored as a plain one.
fn clear_compression(file: &mut EditedFile) -> Result<()> {
    let flags = file.information()?.flags;
    if flags & file_flag::COMPRESSED != 0 {
        file.set_file_flags(flags & !file_flag::COMPRESSED)?;
    }
    Ok(())
}

fn data_label(file: &EditedFile) -> String {
    format!("data of {}", file.label())
}
