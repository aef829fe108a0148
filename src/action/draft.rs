//! The edits of a plan while it is made: one state for each path, so that several keys and several
//! users meet.

use super::plan::FileChange;
use crate::bytes::arith::len_u64;
use crate::error::Result;
use crate::fs::path::GuestPath;
use crate::fs::{MetadataChange, NewNode};
use std::collections::{BTreeMap, BTreeSet};

/// Bound on the contents that one plan holds, before and after together: two copies of the largest
/// key file, and room.
const CONTENT_BYTES_MAX: u64 = 40 * 1024 * 1024;

/// A file that changes or is made.
#[derive(Debug, Clone)]
struct DraftFile {
    /// Content on the volume; `None` for a new file.
    before: Option<Vec<u8>>,
    after: Vec<u8>,
    new: NewNode,
    details: Vec<String>,
}

/// Collected edits.
#[derive(Debug, Default, Clone)]
pub(super) struct Draft {
    /// In the order in which they must be made.
    directories: Vec<(GuestPath, NewNode, String)>,
    /// Their paths.
    made: BTreeSet<GuestPath>,
    files: BTreeMap<GuestPath, DraftFile>,
    metadata: BTreeMap<GuestPath, (MetadataChange, String)>,
    labels: BTreeMap<GuestPath, (Vec<u8>, Vec<u8>, String)>,
    /// Files that go, each with the reason.
    removed: BTreeMap<GuestPath, String>,
    /// Bytes of the contents, before and after.
    content_bytes: u64,
    /// True if anything was drafted.
    pub(super) is_changed: bool,
}

impl Draft {
    /// The content of a file as it will be, if it is drafted.
    pub(super) fn content(&self, path: &GuestPath) -> Option<&[u8]> {
        self.files.get(path).map(|file| file.after.as_slice())
    }

    /// True if the file at `path` changes.
    pub(super) fn touches(&self, path: &GuestPath) -> bool {
        self.files.get(path).is_some_and(|file| file.before.as_ref() != Some(&file.after))
    }

    /// True if a directory is made at `path`.
    pub(super) fn makes_directory(&self, path: &GuestPath) -> bool {
        self.made.contains(path)
    }

    /// Makes a directory, once.
    pub(super) fn directory(&mut self, path: GuestPath, new: NewNode) {
        if self.made.insert(path.clone()) {
            let detail = describe_new(&new);
            self.is_changed = true;
            self.directories.push((path, new, detail));
        }
    }

    /// Sets the content of a file. `before` and `new` count only the first time.
    pub(super) fn file(
        &mut self,
        path: GuestPath,
        before: Option<Vec<u8>>,
        new: NewNode,
        after: Vec<u8>,
        details: Vec<String>,
    ) {
        self.is_changed = true;
        let empty = DraftFile { before, after: Vec::new(), new, details: Vec::new() };
        let file = self.files.entry(path).or_insert(empty);
        file.after = after;
        file.details.extend(details);
    }

    /// Changes owner or mode; later values win.
    pub(super) fn metadata(&mut self, path: GuestPath, change: MetadataChange) {
        self.is_changed = true;
        let (all, detail) = self.metadata.entry(path).or_default();
        // Two repairs of one mode may each clear bits of their own.
        all.mode = match (all.mode, change.mode) {
            (Some(one), Some(other)) => Some((one | other) & !0o022),
            (one, other) => other.or(one),
        };
        all.uid = change.uid.or(all.uid);
        all.gid = change.gid.or(all.gid);
        let mode = all.mode.map(|mode| format!("mode {mode:04o}"));
        let uid = all.uid.map(|uid| format!("owner {uid}"));
        *detail = mode.into_iter().chain(uid).collect::<Vec<_>>().join(", ");
    }

    /// Takes a file away.
    pub(super) fn remove(&mut self, path: GuestPath, detail: &str) {
        self.is_changed = true;
        self.removed.insert(path, detail.to_owned());
    }

    /// Sets an extended attribute.
    pub(super) fn label(&mut self, path: GuestPath, name: Vec<u8>, value: Vec<u8>) {
        self.is_changed = true;
        let detail = format!("label {}", crate::bytes::text::escape_limited(&value, 128));
        self.labels.insert(path, (name, value, detail));
    }

    /// Takes over the edits of a trial that was made on top of this draft.
    ///
    /// # Errors
    /// `Limit` above [`CONTENT_BYTES_MAX`].
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        self.is_changed |= other.is_changed;
        for (path, new, _) in other.directories {
            self.directory(path, new);
        }
        for (path, file) in other.files {
            if let Some(known) = self.files.get_mut(&path) {
                known.after = file.after;
                known.details.extend(file.details);
                continue;
            }
            let before = file.before.as_ref().map_or(0, Vec::len);
            let bytes = before.saturating_add(file.after.len());
            self.content_bytes = self.content_bytes.saturating_add(len_u64(bytes));
            self.files.insert(path, file);
        }
        for (path, (change, _)) in other.metadata {
            self.metadata(path, change);
        }
        self.labels.extend(other.labels);
        self.removed.extend(other.removed);
        if self.content_bytes > CONTENT_BYTES_MAX {
            let what = "size of all key files together in bytes";
            return Err(crate::error::Error::limit(what, CONTENT_BYTES_MAX, self.content_bytes));
        }
        Ok(())
    }

    /// The finished list of changes.
    pub(super) fn into_changes(self) -> Vec<FileChange> {
        let directories = self.directories.into_iter();
        let mut changes: Vec<FileChange> = directories
            .map(|(path, new, detail)| FileChange::CreateDirectory { path, new, detail })
            .collect();
        changes.extend(self.files.into_iter().filter_map(|(path, file)| file.into_change(path)));
        let metadata = self.metadata.into_iter();
        changes.extend(metadata.map(|(path, (change, detail))| FileChange::SetMetadata {
            path,
            change,
            detail,
        }));
        changes.extend(self.labels.into_iter().map(|(path, (name, value, detail))| {
            FileChange::SetXattr { path, name, value: Some(value), detail }
        }));
        let removed = self.removed.into_iter();
        changes.extend(removed.map(|(path, detail)| FileChange::Remove { path, detail }));
        changes
    }
}

/// The edits for one user on top of those that stand already. Dropped if the user is refused: then
/// nothing of it may stay.
pub(super) struct Trial<'a> {
    below: &'a Draft,
    pub(super) own: Draft,
}

impl<'a> Trial<'a> {
    pub(super) fn on(below: &'a Draft) -> Self {
        Self { below, own: Draft::default() }
    }

    /// The content of a file as it will be, if it is drafted.
    pub(super) fn content(&self, path: &GuestPath) -> Option<&[u8]> {
        self.own.content(path).or_else(|| self.below.content(path))
    }
}

impl DraftFile {
    /// Appending is the smaller edit, and taken where it gives the same bytes.
    fn into_change(self, path: GuestPath) -> Option<FileChange> {
        let detail = self.details.join("; ");
        let Some(before) = self.before else {
            let detail = format!("{}; {detail}", describe_new(&self.new));
            return Some(FileChange::CreateFile {
                path,
                new: self.new,
                content: self.after,
                detail,
            });
        };
        match self.after.strip_prefix(before.as_slice()) {
            Some([]) => None,
            Some(bytes) => Some(FileChange::Append { path, bytes: bytes.to_vec(), detail }),
            None => Some(FileChange::Replace { path, content: self.after, detail }),
        }
    }
}

fn describe_new(new: &NewNode) -> String {
    let label = new.xattrs.iter().map(|xattr| {
        let value = xattr.value.strip_suffix(b"\0").unwrap_or(&xattr.value);
        format!(", label {}", crate::bytes::text::escape_limited(value, 128))
    });
    let label: String = label.collect();
    format!("new, mode {:04o}, owner {}:{}{label}", new.mode, new.uid, new.gid)
}

/// Inserts `line` into `content` at `at`; before the end of a file without a final LF one is added
/// (LOGIN-48, LOGIN-123).
pub(super) fn insert_line(content: &mut Vec<u8>, at: usize, line: &[u8]) -> Result<()> {
    let at = at.min(content.len());
    let mut tail = content.split_off(at);
    if content.last().is_some_and(|&byte| byte != b'\n') {
        content.push(b'\n');
    }
    content.extend_from_slice(line);
    content.append(&mut tail);
    let limit = crate::fs::FILE_BYTES_MAX;
    if len_u64(content.len()) > limit {
        let size = len_u64(content.len());
        return Err(crate::error::Error::limit("size of the key file in bytes", limit, size));
    }
    Ok(())
}
