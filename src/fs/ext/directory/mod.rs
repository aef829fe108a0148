//! Directories: finding, listing, adding and removing names.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", sections "Directory
//! Entries" and "Hash Tree Directories". The blocks of a directory are reached through
//! [`DirectoryBlocks`], so that nothing here knows how a file maps to the disk. Indexed directories
//! are edited by [`super::htree`]; the entries of inline directories by [`inline`].
//!
//! Not handled: encrypted and casefolded directories (the caller refuses them), and giving blocks
//! back when a directory shrinks, which the kernel does not do either.

pub(crate) mod block;
pub(crate) mod inline;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod oracle_tests;
pub(crate) mod region;

use super::htree;
use crate::error::{Corrupt, Error, ErrorKind, Result};
use crate::fs::{NodeKind, entry_name};
use region::{BlockDefect, NewRecord, Record};
use std::ops::ControlFlow;

/// Bound on the blocks of one directory.
const DIRECTORY_BLOCKS_MAX: u32 = 1 << 22;

/// What the blocks of one directory look like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent bits of the volume, not states")]
pub(crate) struct DirectoryFormat {
    /// Block size of the file system in bytes: 1024..=65536.
    pub(crate) block_size_bytes: u32,
    /// The inode of the directory.
    pub(crate) inode: u32,
    /// Feature "filetype": entries carry the kind of what they name.
    pub(crate) has_file_type: bool,
    /// CRC-32C over file-system seed, inode number and generation; `None` without "metadata_csum".
    pub(crate) checksum_seed: Option<u32>,
    /// `s_hash_seed`.
    pub(crate) hash_seed: [u32; 4],
    /// `s_def_hash_version`: how names of a directory that becomes indexed are hashed.
    pub(crate) default_hash_version: u8,
    /// `s_flags` says that hashes were made with unsigned characters.
    pub(crate) hash_is_unsigned: bool,
    /// Feature "dir_index": the directory may become indexed.
    pub(crate) may_index: bool,
    /// Feature "large_dir": the index may be one level deeper.
    pub(crate) is_large: bool,
    /// The inode has the index flag.
    pub(crate) is_indexed: bool,
}

impl DirectoryFormat {
    /// Block size in bytes.
    pub(crate) fn block_size(&self) -> usize {
        usize::try_from(self.block_size_bytes).unwrap_or(usize::MAX)
    }

    /// A defect of one block of this directory.
    pub(super) fn corrupt(
        &self,
        structure: &'static str,
        file_block: u32,
        defect: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        let object = format!("directory inode {}, block {file_block}", self.inode);
        Corrupt::new(structure, defect).of(object).into()
    }

    fn leaf_corrupt(&self, file_block: u32, defect: BlockDefect) -> Error {
        self.corrupt("directory block", file_block, defect)
    }
}

/// The blocks of one directory, in file order.
pub(crate) trait DirectoryBlocks {
    /// What the blocks look like.
    fn format(&self) -> &DirectoryFormat;

    /// Number of blocks.
    fn block_count(&self) -> u32;

    /// The content of block `file_block`, one block long.
    ///
    /// # Errors
    /// `Corrupt` if there is no such block, or a hole.
    fn read(&self, file_block: u32) -> Result<Vec<u8>>;

    /// Replaces the content of block `file_block`.
    ///
    /// # Errors
    /// As [`DirectoryBlocks::read`].
    fn write(&mut self, file_block: u32, bytes: &[u8]) -> Result<()>;

    /// Adds a block at the end and gives its number.
    ///
    /// # Errors
    /// `Refused` if there is no space.
    fn append(&mut self, bytes: &[u8]) -> Result<u32>;

    /// Sets or clears the index flag of the inode, and with it `is_indexed` of the format.
    ///
    /// # Errors
    /// `Corrupt`.
    fn set_indexed(&mut self, indexed: bool) -> Result<()>;
}

/// One name of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// 1 to 255 bytes, without `/` and NUL.
    pub(crate) name: Vec<u8>,
    /// The inode it names; not 0, otherwise unchecked.
    pub(crate) inode: u32,
    /// What the entry says it names; `None` if it does not say.
    pub(crate) kind: Option<NodeKind>,
}

impl Entry {
    fn of(record: &Record<'_>) -> Self {
        let kind = NodeKind::of_entry_type(record.file_type);
        Self { name: record.name.to_vec(), inode: record.inode, kind }
    }
}

/// Finds `name`. `.` and `..` are names like any other.
///
/// A damaged index does not hide names: they are then looked for block by block.
///
/// # Errors
/// `Corrupt`; `Refused` if the index is of a kind that regain does not know.
pub(crate) fn lookup(blocks: &dyn DirectoryBlocks, name: &[u8]) -> Result<Option<Entry>> {
    let is_dot = name == b"." || name == b"..";
    if blocks.format().is_indexed && !is_dot {
        match htree::find(blocks, name) {
            Ok(found) => return Ok(found.map(|place| place.entry)),
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(find_linear(blocks, name)?.map(|place| place.entry))
}

/// Calls `visit` for every entry, `.` and `..` included, until it breaks.
///
/// # Errors
/// `Corrupt`; the error of `visit`.
pub(crate) fn visit(
    blocks: &dyn DirectoryBlocks,
    visit: &mut dyn FnMut(&Entry) -> Result<ControlFlow<()>>,
) -> Result<()> {
    for file_block in 0..block_count(blocks)? {
        for record in records(blocks, file_block, &blocks.read(file_block)?)? {
            if record.inode != 0 && visit(&Entry::of(&record))?.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Adds `name`; the directory grows, becomes indexed or gets a deeper index where it must.
///
/// # Errors
/// `Refused` if the name exists or cannot be a name, or if the index is full; `Corrupt`.
pub(crate) fn insert(
    blocks: &mut dyn DirectoryBlocks,
    name: &[u8],
    inode: u32,
    kind: NodeKind,
) -> Result<()> {
    entry_name::check(name)?;
    let new = NewRecord { inode, file_type: kind.entry_type(), name };
    if blocks.format().is_indexed {
        return htree::insert(blocks, new);
    }
    // Read once, to see that the name is free and every block sound, before the first write.
    let mut host = None;
    for file_block in 0..block_count(blocks)? {
        let bytes = blocks.read(file_block)?;
        let records = records(blocks, file_block, &bytes)?;
        if records.iter().any(|record| record.name == name) {
            return Err(entry_name::exists(name));
        }
        if host.is_none() {
            let mut edited = bytes.clone();
            let is_inserted = block::insert(&mut edited, new, blocks.format())
                .map_err(|defect| blocks.format().leaf_corrupt(file_block, defect))?;
            host = is_inserted.then_some((file_block, edited));
        }
    }
    if let Some((file_block, edited)) = host {
        return blocks.write(file_block, &edited);
    }
    if blocks.format().may_index && block_count(blocks)? == 1 {
        htree::convert(blocks)?;
        return htree::insert(blocks, new);
    }
    let format = blocks.format();
    let block = block::build(&[new], format)
        .map_err(|defect| format.leaf_corrupt(blocks.block_count(), defect))?;
    match block {
        Some(bytes) => blocks.append(&bytes).map(|_| ()),
        None => Err(entry_name::unsuitable(name, "is longer than a directory block")),
    }
}

/// Removes `name` and gives what it was.
///
/// # Errors
/// `NotFound`; `Refused` for `.` and `..`; `Corrupt`.
pub(crate) fn remove(blocks: &mut dyn DirectoryBlocks, name: &[u8]) -> Result<Entry> {
    entry_name::check(name)?;
    let found = if blocks.format().is_indexed {
        htree::find(blocks, name)?
    } else {
        find_linear(blocks, name)?
    };
    let Some(place) = found else {
        return Err(entry_name::missing(name));
    };
    let mut bytes = blocks.read(place.file_block)?;
    block::remove(&mut bytes, place.offset, blocks.format())
        .map_err(|defect| blocks.format().leaf_corrupt(place.file_block, defect))?;
    blocks.write(place.file_block, &bytes)?;
    Ok(place.entry)
}

/// The only block of a new directory: `.` and `..`.
///
/// # Errors
/// `Corrupt` if the format makes no sense.
pub(crate) fn first_block(
    format: &DirectoryFormat,
    self_inode: u32,
    parent_inode: u32,
) -> Result<Vec<u8>> {
    let file_type = NodeKind::Directory.entry_type();
    let dot = NewRecord { inode: self_inode, file_type, name: b"." };
    let dot_dot = NewRecord { inode: parent_inode, file_type, name: b".." };
    let block =
        block::build(&[dot, dot_dot], format).map_err(|defect| format.leaf_corrupt(0, defect))?;
    let size = BlockDefect::Size { actual: format.block_size(), expected: 1024 };
    block.ok_or_else(|| format.leaf_corrupt(0, size))
}

/// Where an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The block of the directory.
    pub(super) file_block: u32,
    /// Start of the entry in the block.
    pub(super) offset: usize,
    /// The entry.
    pub(super) entry: Entry,
}

/// Finds `name` by reading block after block.
fn find_linear(blocks: &dyn DirectoryBlocks, name: &[u8]) -> Result<Option<Place>> {
    for file_block in 0..block_count(blocks)? {
        let bytes = blocks.read(file_block)?;
        if let Some(place) = find_in(&records(blocks, file_block, &bytes)?, file_block, name) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// Finds `name` among the records of one block.
pub(super) fn find_in(records: &[Record<'_>], file_block: u32, name: &[u8]) -> Option<Place> {
    let record = records.iter().find(|record| record.inode != 0 && record.name == name)?;
    Some(Place { file_block, offset: record.offset, entry: Entry::of(record) })
}

/// The entries of any block of the directory, also of those that hold the index.
fn records<'a>(
    blocks: &dyn DirectoryBlocks,
    file_block: u32,
    bytes: &'a [u8],
) -> Result<Vec<Record<'a>>> {
    let format = blocks.format();
    let records = if format.is_indexed && htree::is_index_block(file_block, bytes, format) {
        htree::visible_records(file_block, bytes, format)
    } else {
        leaf_records(file_block, bytes, format)
    };
    if file_block == 0 { check_dots(records?, format) } else { records }
}

/// The entries of a leaf.
pub(super) fn leaf_records<'a>(
    file_block: u32,
    bytes: &'a [u8],
    format: &DirectoryFormat,
) -> Result<Vec<Record<'a>>> {
    block::parse(bytes, format).map_err(|defect| format.leaf_corrupt(file_block, defect))
}

/// The first two entries of a directory are `.`, naming itself, and `..`.
fn check_dots<'a>(records: Vec<Record<'a>>, format: &DirectoryFormat) -> Result<Vec<Record<'a>>> {
    let [dot, dot_dot, ..] = records.as_slice() else {
        return Err(format.leaf_corrupt(0, BlockDefect::NoDots));
    };
    if dot.name != b"." || dot.inode != format.inode || dot_dot.name != b".." {
        return Err(format.leaf_corrupt(0, BlockDefect::NoDots));
    }
    Ok(records)
}

/// The number of blocks, which is at least 1 and bounded.
pub(super) fn block_count(blocks: &dyn DirectoryBlocks) -> Result<u32> {
    let count = blocks.block_count();
    if count > DIRECTORY_BLOCKS_MAX {
        let what = format!("size of directory inode {} in blocks", blocks.format().inode);
        return Err(Error::limit(what, DIRECTORY_BLOCKS_MAX.into(), count.into()));
    }
    if count == 0 {
        return Err(blocks.format().leaf_corrupt(0, BlockDefect::NoDots));
    }
    Ok(count)
}
