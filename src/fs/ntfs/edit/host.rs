//! An index of a file, as [`IndexEditor`] needs it: `$INDEX_ROOT` in its record, blocks in `$INDEX_ALLOCATION`, and
//! which of them are in use in `$BITMAP`.

use super::super::attribute::{AttributeKind, Sizes};
use super::super::index::{
    Collation, Entry, Index, IndexBlock, IndexEditor, IndexHost, IndexRoot, IndexSource,
};
use super::super::run_list::RunList;
use super::super::stream::Stream;
use super::super::units::Vcn;
use super::Editor;
use super::bits::BitsName;
use super::file::EditedFile;
use super::store::on_record;
use crate::bytes::arith::{self, len_u64};
use crate::error::{Error, Result};

/// The index `name` of `file`, to be edited. What changes in the records is stored with the file.
#[derive(Debug)]
pub(super) struct FileIndex<'a, 'v> {
    editor: &'a mut Editor<'v>,
    file: &'a mut EditedFile,
    name: &'a [u16],
}

impl<'a, 'v> FileIndex<'a, 'v> {
    pub(super) fn new(
        editor: &'a mut Editor<'v>,
        file: &'a mut EditedFile,
        name: &'a [u16],
    ) -> Self {
        Self { editor, file, name }
    }

    /// The entry with exactly this key.
    pub(super) fn find(&self, collation: Collation<'_>, key: &[u8]) -> Result<Option<Entry>> {
        Index::open(self, self.cluster_bytes(), collation)?.find(key)
    }

    /// The entry of a directory with this name, whatever its case.
    pub(super) fn find_name(
        &self,
        collation: Collation<'_>,
        name: &[u16],
    ) -> Result<Option<Entry>> {
        Index::open(self, self.cluster_bytes(), collation)?.find_name(name)
    }

    /// Inserts an entry; false if there is one with this key.
    pub(super) fn insert(&mut self, collation: Collation<'_>, entry: Entry) -> Result<bool> {
        let cluster_bytes = self.cluster_bytes();
        IndexEditor::open(self, cluster_bytes, collation)?.insert(entry)
    }

    /// Removes an entry; `None` if there is none.
    pub(super) fn remove(&mut self, collation: Collation<'_>, key: &[u8]) -> Result<Option<Entry>> {
        let cluster_bytes = self.cluster_bytes();
        IndexEditor::open(self, cluster_bytes, collation)?.remove(key)
    }

    /// Replaces the key of an entry of the same rank; false if there is none.
    pub(super) fn replace_key(&mut self, collation: Collation<'_>, key: &[u8]) -> Result<bool> {
        let cluster_bytes = self.cluster_bytes();
        IndexEditor::open(self, cluster_bytes, collation)?.replace_key(key)
    }

    fn cluster_bytes(&self) -> u32 {
        self.file.geometry.cluster_size_bytes
    }

    fn bits(&self) -> BitsName<'a> {
        BitsName { name: self.name, what: "$BITMAP of an index", unit: "index block" }
    }

    fn allocation(&self) -> Result<Option<Stream>> {
        self.file.stream(AttributeKind::INDEX_ALLOCATION, self.name)
    }

    fn allocation_or_damage(&self) -> Result<Stream> {
        let missing = || self.damage(BlockDefect::NoAllocation);
        self.allocation()?.ok_or_else(missing)
    }

    fn damage(&self, defect: BlockDefect) -> Error {
        self.file.damage("index", defect)
    }

    /// Checks that `block` lies inside the allocation, and says where.
    fn offset(&self, stream: &Stream, block: IndexBlock, len: usize) -> Result<u64> {
        let offset = arith::mul(block.0, len_u64(len))?;
        if arith::add(offset, len_u64(len))? > stream.initialised_bytes() {
            return Err(self.damage(BlockDefect::Outside(block.0)));
        }
        Ok(offset)
    }

    fn label(&self) -> String {
        format!("index of {}", self.file.label())
    }

    /// Makes `$INDEX_ALLOCATION`, which may be missing, one block longer.
    fn grow(&mut self, len: usize) -> Result<()> {
        let kind = AttributeKind::INDEX_ALLOCATION;
        let geometry = self.file.geometry;
        let (mut sizes, mut runs) = match self.allocation()? {
            Some(_) => self.file.non_resident(kind, self.name)?,
            None => (Sizes::default(), RunList::new(Vcn(0))),
        };
        if sizes.value != sizes.initialised || runs.has_holes() {
            return Err(self.damage(BlockDefect::Sizes));
        }
        sizes.value = arith::add(sizes.value, len_u64(len))?;
        sizes.initialised = sizes.value;
        if sizes.value > sizes.allocated {
            let clusters = geometry.clusters_for(sizes.value)?;
            self.editor.resize_runs(&mut runs, clusters, None)?;
            sizes.allocated = arith::mul(clusters, geometry.cluster_size())?;
        }
        self.file.put_runs(self.editor, kind, self.name, &runs, sizes)
    }
}

impl IndexSource for FileIndex<'_, '_> {
    fn root_value(&self) -> Result<Vec<u8>> {
        self.file.resident(AttributeKind::INDEX_ROOT, self.name)
    }

    fn read_block(&self, block: IndexBlock, len: usize) -> Result<Vec<u8>> {
        let stream = self.allocation_or_damage()?;
        let offset = self.offset(&stream, block, len)?;
        stream.read(self.editor.volume, offset, len)
    }

    fn block_count(&self) -> Result<u64> {
        let Some(stream) = self.allocation()? else { return Ok(0) };
        let root = IndexRoot::parse(&self.root_value()?);
        let root = root.map_err(|defect| self.file.damage("$INDEX_ROOT", defect))?;
        Ok(arith::div(stream.initialised_bytes(), root.block_size_bytes.into())?)
    }

    fn is_allocated(&self, block: IndexBlock) -> Result<bool> {
        self.bits().is_set(self.editor, self.file, block.0)
    }
}

impl IndexHost for FileIndex<'_, '_> {
    fn write_block(&mut self, block: IndexBlock, bytes: &[u8]) -> Result<()> {
        let stream = self.allocation_or_damage()?;
        let offset = self.offset(&stream, block, bytes.len())?;
        stream.overwrite(self.editor.volume, offset, bytes, &self.label())
    }

    fn allocate_block(&mut self, len: usize) -> Result<IndexBlock> {
        let bits = self.bits();
        let count = self.block_count()?;
        let free = match count {
            0 => None,
            _ => bits.first_clear(self.editor, self.file, 0..count)?,
        };
        let block = if let Some(free) = free {
            free
        } else {
            self.grow(len)?;
            bits.grow(self.editor, self.file, arith::add(count, 1)?)?;
            count
        };
        bits.flip(self.editor, self.file, block, true)?;
        Ok(IndexBlock(block))
    }

    fn free_block(&mut self, block: IndexBlock) -> Result<()> {
        let bits = self.bits();
        bits.flip(self.editor, self.file, block.0, false)
    }

    fn root_bytes_max(&self) -> Result<usize> {
        let parts = self.file.parts(AttributeKind::INDEX_ROOT, self.name)?;
        let Some(&part) = parts.first() else { return Err(self.damage(BlockDefect::NoRoot)) };
        let record = self.file.records.get(part.record).ok_or(arith::OutOfRange)?;
        let attributes = on_record(record.number, record.attributes())?;
        let root = attributes.iter().find(|attribute| attribute.id == part.id);
        let now = root.and_then(|root| {
            root.resident().and_then(|body| root.len_bytes.checked_sub(body.value_offset))
        });
        let now = now.ok_or_else(|| self.damage(BlockDefect::NoRoot))?;
        Ok(now.saturating_add(record.free_bytes()) & !7)
    }

    fn set_root_value(&mut self, value: &[u8]) -> Result<()> {
        self.file.put_resident(self.editor, AttributeKind::INDEX_ROOT, self.name, value)
    }
}

/// What can be wrong with the attributes of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum BlockDefect {
    #[error("has no $INDEX_ROOT")]
    NoRoot,
    #[error("has no $INDEX_ALLOCATION")]
    NoAllocation,
    #[error("block {0} lies outside $INDEX_ALLOCATION")]
    Outside(u64),
    #[error("$INDEX_ALLOCATION has holes or parts that were never written")]
    Sizes,
}
