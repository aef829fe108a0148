//! From the edits in memory to records, and from records to a tree in memory, for the reader that verifies them.

use super::edit::side;
use super::layer::{Draft, Edited};
use super::nodes::ROOT;
use super::{Tree, timestamp};
use crate::bytes::arith::{self, len_u64};
use crate::error::{Context as _, Error, Result};
use crate::fs::path::GuestPath;
use crate::fs::{
    FILE_BYTES_MAX, FileSystem as _, Metadata, NTFS_ACL_NAME, NewNode, NodeId, NodeKind, Xattr,
};
use crate::image::directory::record::{
    Content, How, PIECE_UNIT_BYTES, Piece, Record, Side, add, pieces_between,
};
use crate::image::directory::stat::Kind;
use std::collections::BTreeMap;

impl Tree {
    /// Everything that was edited, in the order in which it has to be written: new directories, files, removed names,
    /// metadata, and the times of directories at the end.
    ///
    /// # Errors
    /// `Mismatch` if a file was changed by somebody else since it was read; `Io`; `Limit`.
    pub fn records(&self) -> Result<Vec<Record>> {
        let mut directories = Vec::new();
        let mut files = Vec::new();
        let mut metadata = Vec::new();
        let mut times = BTreeMap::new();
        for &node in &self.layer.order {
            let Some(draft) = self.layer.draft(node) else { continue };
            let Some(record) = self.record(node, draft)? else { continue };
            if matches!(record.how, How::Create | How::Replace) {
                let has_new_name = record.how == How::Create;
                *times.entry(self.parent(node)?).or_insert(false) |= has_new_name;
            }
            match (&record.how, draft.metadata.kind) {
                (How::Metadata, _) => metadata.push(record),
                (_, NodeKind::Directory) => directories.push(record),
                _ => files.push(record),
            }
        }
        let mut removed = Vec::new();
        for ((directory, name), node) in &self.layer.names {
            if node.is_none()
                && let Some((_, node)) = self.lookup_on_disk(*directory, name)?
            {
                let path = GuestPath::new(self.path_bytes(*directory)).join(name);
                let before = Some(self.side_on_disk(node)?);
                let path = path.as_bytes().to_vec();
                removed.push(Record { path, how: How::Remove, before, after: None });
                times.insert(*directory, true);
            }
        }
        directories.sort_by(|a, b| a.path.cmp(&b.path));
        let mut records = directories;
        records.extend(files);
        records.extend(removed);
        records.extend(metadata);
        for (directory, has_new_names) in times {
            records.push(self.times(directory, has_new_names)?);
        }
        Ok(records)
    }

    fn parent(&self, node: NodeId) -> Result<NodeId> {
        let new = self.layer.place_of_new(node).map(|(directory, _)| directory);
        let place = || self.nodes.place(node).map(|(directory, _)| directory);
        new.or_else(place).ok_or_else(|| Error::not_found("the directory of an edited file"))
    }

    fn record(&self, node: NodeId, draft: &Draft) -> Result<Option<Record>> {
        let path = self.path_bytes(node);
        let Some(before) = draft.before.clone() else {
            let content = match &draft.content {
                Edited::Whole(content) => Content::Whole(content.clone()),
                Edited::Same | Edited::Units(_) => Content::Same,
            };
            let after = Some(side(&draft.metadata, &draft.xattrs, content));
            let (directory, name) =
                self.layer.place_of_new(node).ok_or_else(|| Error::not_found("a new file"))?;
            let old = self.lookup_on_disk(directory, name)?;
            let before = old.map(|(_, node)| self.side_on_disk(node)).transpose()?;
            let how = if before.is_some() { How::Replace } else { How::Create };
            return Ok(Some(Record { path, how, before, after }));
        };
        let after = |content| side(&draft.metadata, &draft.xattrs, content);
        let (how, before_content, after_content) = match &draft.content {
            Edited::Same => (How::Metadata, Content::Same, Content::Same),
            Edited::Whole(content) => {
                let old = self.whole_on_disk(node)?;
                if old == *content && before == after(Content::Same) {
                    return Ok(None);
                }
                if self.is_ntfs() {
                    let (old, new) = pieces_between(&old, content);
                    (How::InPlace, old, new)
                } else {
                    (How::Replace, Content::Whole(old), Content::Whole(content.clone()))
                }
            }
            Edited::Units(units) => {
                let (old, new) = self.unit_pieces(node, draft, units)?;
                (How::InPlace, old, new)
            }
        };
        let before = Side { content: before_content, ..before };
        let after = after(after_content);
        if before == after {
            return Ok(None);
        }
        Ok(Some(Record { path, how, before: Some(before), after: Some(after) }))
    }

    /// Both sides of the units that changed.
    fn unit_pieces(
        &self,
        node: NodeId,
        draft: &Draft,
        units: &BTreeMap<u64, Vec<u8>>,
    ) -> Result<(Content, Content)> {
        let size_before = self.metadata_on_disk(node)?.size_bytes;
        let size_after = draft.metadata.size_bytes;
        let (mut old, mut new): (Vec<Piece>, Vec<Piece>) = (Vec::new(), Vec::new());
        for (number, unit) in units {
            let offset_bytes = arith::mul(*number, len_u64(PIECE_UNIT_BYTES))?;
            let was = self.read_on_disk(node, offset_bytes, unit.len())?;
            let common = unit.get(..was.len()).unwrap_or_default();
            if was != common {
                add(&mut old, offset_bytes, &was);
                add(&mut new, offset_bytes, common);
            }
        }
        if size_after > size_before {
            let len = arith::to(arith::sub(size_after, size_before)?)?;
            let base = |offset_bytes, len| self.read_on_disk(node, offset_bytes, len);
            let bytes = draft.read_at(size_before, len, &base)?;
            // A piece of its own: the two sides of the others have the same lengths.
            new.push(Piece { offset_bytes: size_before, bytes });
        }
        Ok((
            Content::Pieces { size_bytes: size_before, pieces: old },
            Content::Pieces { size_bytes: size_after, pieces: new },
        ))
    }

    fn whole_on_disk(&self, node: NodeId) -> Result<Vec<u8>> {
        let size_bytes = self.metadata_on_disk(node)?.size_bytes;
        if size_bytes > FILE_BYTES_MAX {
            let what = format!("size of {} in bytes", self.path(node));
            return Err(Error::limit(what, FILE_BYTES_MAX, size_bytes));
        }
        self.read_on_disk(node, 0, arith::to(size_bytes)?)
    }

    /// An object on the disk, with all of its content.
    fn side_on_disk(&self, node: NodeId) -> Result<Side> {
        let metadata = self.metadata_on_disk(node)?;
        let content = match metadata.kind {
            NodeKind::File => Content::Whole(self.whole_on_disk(node)?),
            NodeKind::Symlink => Content::Whole(self.handle(node)?.link_target()?),
            _ => Content::Same,
        };
        let mut xattrs = self.xattrs_on_disk(node)?;
        if self.is_ntfs()
            && let Some(value) = self.xattr_on_disk(node, NTFS_ACL_NAME)?
        {
            xattrs.push(Xattr { name: NTFS_ACL_NAME.to_vec(), value });
        }
        Ok(side(&metadata, &xattrs, content))
    }

    /// The time of a directory in which a name changed: now, if it was a new one; else as before.
    fn times(&self, directory: NodeId, has_new_names: bool) -> Result<Record> {
        let path = self.path_bytes(directory);
        let is_new = self.layer.is_new(directory);
        let before = if is_new { None } else { Some(self.metadata_on_disk(directory)?) };
        let mut after = self.metadata(directory)?;
        if has_new_names {
            after.modified = self.clock;
        }
        let bare = |metadata: &Metadata| side(metadata, &[], Content::Same);
        let (before, after) = (before.as_ref().map(bare), Some(bare(&after)));
        Ok(Record { path, how: How::Times, before, after })
    }

    /// Takes the `after` of `records` as edits that were made of this tree, which has none yet.
    ///
    /// # Errors
    /// `NotFound` if a directory is missing; `Io`.
    pub fn load(&mut self, records: &[Record]) -> Result<()> {
        for record in records {
            let path = || crate::bytes::text::escape(&record.path);
            self.load_one(record).context(path)?;
        }
        Ok(())
    }

    fn load_one(&mut self, record: &Record) -> Result<()> {
        let mut directory = ROOT;
        for name in record.directory() {
            let found = self.find(directory, name)?;
            (_, directory) = found.ok_or_else(|| Error::not_found("its directory"))?;
        }
        let name = record.name();
        match (record.how, &record.after) {
            (How::Times, _) => Ok(()),
            (_, None) => {
                self.layer.names.insert((directory, name.to_vec()), None);
                Ok(())
            }
            (How::Create | How::Replace, Some(after)) => {
                let node = self.nodes.fresh();
                let draft = draft_of(after, None, Some((directory, name.to_vec())));
                self.layer.begin(node, draft);
                self.layer.names.insert((directory, name.to_vec()), Some(node));
                Ok(())
            }
            (_, Some(after)) => {
                let node = if name.is_empty() {
                    ROOT
                } else {
                    let found = self.find(directory, name)?;
                    found.map(|(_, node)| node).ok_or_else(|| Error::not_found("the file"))?
                };
                let size_bytes = self.metadata_on_disk(node)?.size_bytes;
                let mut draft = draft_of(after, record.before.clone(), None);
                if let Content::Pieces { size_bytes: after_bytes, pieces } = &after.content {
                    draft.metadata.size_bytes = size_bytes.min(*after_bytes);
                    let base = |offset_bytes, len| self.read_on_disk(node, offset_bytes, len);
                    for piece in pieces {
                        draft.write_at(piece.offset_bytes, &piece.bytes, &base)?;
                    }
                    draft.metadata.size_bytes = *after_bytes;
                } else {
                    draft.metadata.size_bytes = size_bytes;
                }
                self.layer.begin(node, draft);
                Ok(())
            }
        }
    }
}

fn draft_of(side: &Side, before: Option<Side>, place: Option<(NodeId, Vec<u8>)>) -> Draft {
    let content = match (&side.content, side.kind) {
        (Content::Whole(content), Kind::File) => Edited::Whole(content.clone()),
        _ => Edited::Same,
    };
    let xattr =
        |(name, value): &(Vec<u8>, Vec<u8>)| Xattr { name: name.clone(), value: value.clone() };
    let new = NewNode {
        mode: side.mode,
        uid: side.uid,
        gid: side.gid,
        xattrs: side.xattrs.iter().map(xattr).collect(),
    };
    let (kind, clock) = (super::node_kind(side.kind), timestamp(side.modified));
    let metadata = new.metadata(kind, side.content_bytes(), clock);
    Draft { metadata, xattrs: new.xattrs, content, before, place }
}
