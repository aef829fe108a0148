//! Reading: files by name and number.

use super::attribute::{AttributeKind, INDEX_NAME, flag};
use super::file::File;
use super::file_name::NameSpace;
use super::gate::State;
use super::index::{Collation, Index};
use super::index_view::IndexView;
use super::log_file::LogState;
use super::name::{from_wtf8, to_wtf8};
use super::reparse::{self, NotFollowed, REPARSE_BYTES_MAX, Reparse};
use super::standard_information::{StandardInformation, timestamp};
use super::units::{FileReference, MftRecordNumber};
use super::volume::Volume;
use crate::bytes::arith::{len_u64, to};
use crate::bytes::text::escape_limited;
use crate::disk::DiskEdit;
use crate::error::{Corrupt, Error, Refusal, Result};
use crate::fs::{
    DirectoryEntry, FileSystem, Health, Identity, Metadata, NTFS_ACL_NAME, NodeFlags, NodeId,
    NodeKind, Timestamp, Xattr,
};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Permission bits of every node: NTFS has none.
const MODE: u32 = 0o777;
/// Longest target of a link in an error message, in characters.
const TARGET_CHARS_MAX: usize = 200;

/// An NTFS volume.
#[derive(Debug)]
pub struct Ntfs {
    pub(super) volume: Volume,
    pub(super) state: State,
    pub(super) allows_unclean: bool,
    /// An edit found the gates open; one look is enough, as it may take the whole log.
    pub(super) is_open: bool,
    warnings: Vec<String>,
}

impl Ntfs {
    /// Opens the volume that fills `disk`; `clock` is the time that edits are made at. Reads less than 1 MiB,
    /// however large the volume is.
    ///
    /// # Errors
    /// `Corrupt` if boot sector, MFT, `$UpCase` or `$Volume` make no sense.
    pub fn open(disk: Arc<dyn DiskEdit>, clock: Timestamp) -> Result<Self> {
        let volume = Volume::open(disk, clock)?;
        let state = State::read(&volume)?;
        let warnings = state.warnings();
        Ok(Self { volume, state, allows_unclean: false, is_open: false, warnings })
    }

    /// Lets a volume be edited although its `$LogFile` is not clean, or it is marked as dirty. When the edit is
    /// finished the log is empty and the volume is marked as dirty, so that Windows runs chkdsk when it starts;
    /// changes that only the log knew are lost.
    ///
    /// Never the default (WIN-34). Hibernated volumes, and those with cached metadata, stay refused.
    pub fn allow_unclean_log(&mut self) {
        self.allows_unclean = true;
    }

    /// What [`Ntfs::allow_unclean_log`] promises; the last step of an edit. Does nothing on a clean volume.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub(super) fn settle_log(&self) -> Result<()> {
        let is_clean = self.state.refusal(false).is_none();
        if is_clean || !self.allows_unclean {
            return Ok(());
        }
        self.volume.clear_log()
    }

    /// The file of `node`, with all its records.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn file(&self, node: NodeId) -> Result<File> {
        self.volume.load_file(MftRecordNumber(node.0))
    }

    /// The file of `node`, which must be a directory.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if it is none.
    pub(super) fn directory(&self, node: NodeId) -> Result<File> {
        let file = self.file(node)?;
        match self.kind(&file)? {
            NodeKind::Directory => Ok(file),
            kind => Err(unsuitable(&file, format!("is a {kind}, not a directory"))),
        }
    }

    /// The reparse point of a file, if it has one.
    pub(super) fn reparse(&self, file: &File) -> Result<Option<Reparse>> {
        let Some(stream) = file.stream(&self.volume, AttributeKind::REPARSE_POINT, &[])? else {
            return Ok(None);
        };
        let bytes = stream.read_all(&self.volume, REPARSE_BYTES_MAX)?;
        let parsed = Reparse::parse(&bytes).map_err(|defect| {
            Corrupt::new("$REPARSE_POINT", defect).of(file.number().to_string())
        })?;
        Ok(Some(parsed))
    }

    pub(super) fn kind(&self, file: &File) -> Result<NodeKind> {
        Ok(match self.reparse(file)? {
            Some(Reparse::Link { .. }) => NodeKind::Symlink,
            _ if file.is_directory() => NodeKind::Directory,
            _ => NodeKind::File,
        })
    }

    /// Refuses content that NTFS does not hold itself (WIN-106).
    pub(super) fn check_content(&self, file: &File) -> Result<()> {
        match self.reparse(file)? {
            Some(Reparse::Other { tag }) => {
                let feature = format!("{}: content {}", file.number(), Reparse::provider(tag));
                Err(Refusal::NotWritable { feature }.into())
            }
            _ => Ok(()),
        }
    }

    /// Calls `look` with the index of names of a directory.
    pub(super) fn with_index<T>(
        &self,
        directory: &File,
        look: impl FnOnce(&Index<'_>) -> Result<T>,
    ) -> Result<T> {
        let view = IndexView::open(&self.volume, directory, &INDEX_NAME)?;
        let collation = Collation::FileName(self.volume.up_case());
        let index = Index::open(&view, self.volume.geometry().cluster_size_bytes, collation)?;
        look(&index)
    }

    fn information(file: &File) -> Result<StandardInformation> {
        Ok(StandardInformation::parse(file.resident(AttributeKind::STANDARD_INFORMATION)?)?)
    }

    /// True for the entries of the root directory that are no files of the user: `$MFT` and so on, and the root.
    fn is_hidden(directory: NodeId, reference: FileReference) -> bool {
        directory.0 == MftRecordNumber::ROOT.0 && reference.record.is_metadata()
    }

    fn target(&self, file: &File) -> Result<Vec<u8>> {
        let Some(Reparse::Link { target, is_relative }) = self.reparse(file)? else {
            let kind = self.kind(file)?;
            return Err(unsuitable(file, format!("is a {kind}, not a symbolic link")));
        };
        reparse::path_of(&target, is_relative).map_err(|reason| {
            let shown = escape_limited(&to_wtf8(&target), TARGET_CHARS_MAX);
            let why = match reason {
                NotFollowed::Elsewhere => "which may be another volume",
                NotFollowed::NotAPath => "which is no path on a volume",
            };
            unsuitable(file, format!("is a link to {shown}, {why}"))
        })
    }
}

/// A refusal of `file`.
pub(super) fn unsuitable(file: &File, reason: impl Into<String>) -> Error {
    Refusal::UnsuitableFile { path: file.number().to_string(), reason: reason.into() }.into()
}

impl FileSystem for Ntfs {
    fn identity(&self) -> Identity {
        Identity {
            type_name: "ntfs",
            uuid: format!("{:016X}", self.volume.boot().serial),
            label: self.state.label.clone(),
        }
    }

    fn health(&self) -> Health {
        self.state.health()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn check_writable(&self) -> Result<()> {
        if let Some(refusal) = self.state.refusal(self.allows_unclean) {
            return Err(refusal.into());
        }
        if self.state.log == LogState::EmptyHead {
            self.volume.check_log_is_empty()?;
        }
        Ok(())
    }

    fn root(&self) -> NodeId {
        NodeId(MftRecordNumber::ROOT.0)
    }

    fn lookup(&self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        let file = self.directory(directory)?;
        let Some(units) = from_wtf8(name) else { return Ok(None) };
        let found = self.with_index(&file, |index| index.find_name(&units))?;
        let Some(entry) = found else { return Ok(None) };
        let reference = entry.file();
        if Self::is_hidden(directory, reference) {
            return Ok(None);
        }
        let record = self.volume.load_reference(reference)?.number();
        Ok(Some(NodeId(record.0)))
    }

    fn read_dir(
        &self,
        directory: NodeId,
        visit: &mut dyn FnMut(DirectoryEntry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let file = self.directory(directory)?;
        self.with_index(&file, |index| {
            index.visit(&mut |entry| {
                let name = entry.file_name()?;
                let reference = entry.file();
                // No path leads to a name with a slash, which no Windows program can make.
                let is_path_name = !name.name.iter().any(|unit| matches!(unit, 0 | 0x2f));
                if name.name_space == NameSpace::Dos
                    || Self::is_hidden(directory, reference)
                    || !is_path_name
                {
                    return Ok(ControlFlow::Continue(()));
                }
                self.volume.mft().check(reference.record)?;
                let node = NodeId(reference.record.0);
                visit(DirectoryEntry { name: to_wtf8(&name.name), node })
            })
        })
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        let file = self.file(node)?;
        let kind = self.kind(&file)?;
        let information = Self::information(&file)?;
        let data = match kind {
            NodeKind::File => file.stream(&self.volume, AttributeKind::DATA, &[])?,
            _ => None,
        };
        let size_bytes = match kind {
            // A link that is not followed has a target all the same, of a length that nobody needs.
            NodeKind::Symlink => self.target(&file).map_or(0, |target| len_u64(target.len())),
            _ => data.as_ref().map_or(0, super::stream::Stream::size_bytes),
        };
        let names = file.names()?;
        let links = names.iter().filter(|name| name.name_space != NameSpace::Dos).count();
        let is_encrypted = data.is_some_and(|data| data.flags & flag::ENCRYPTED != 0);
        Ok(Metadata {
            kind,
            mode: MODE,
            uid: 0,
            gid: 0,
            size_bytes,
            link_count: to(links)?,
            accessed: timestamp(information.accessed),
            modified: timestamp(information.modified),
            changed: timestamp(information.changed),
            flags: NodeFlags { is_encrypted, ..NodeFlags::default() },
        })
    }

    fn read_at(&self, node: NodeId, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        let file = self.file(node)?;
        let kind = self.kind(&file)?;
        if kind != NodeKind::File {
            return Err(unsuitable(&file, format!("is a {kind}, not a regular file")));
        }
        self.check_content(&file)?;
        match file.stream(&self.volume, AttributeKind::DATA, &[])? {
            Some(stream) => stream.read(&self.volume, offset_bytes, len),
            None => Ok(Vec::new()),
        }
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        self.target(&self.file(node)?)
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<Xattr>> {
        self.file(node).map(|_| Vec::new())
    }

    fn xattr(&self, node: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let file = self.file(node)?;
        if name != NTFS_ACL_NAME {
            return Ok(None);
        }
        self.volume.security_descriptor(&file)
    }
}
