//! File systems: what everything above needs of one ([`FileSystem`]), and the few edits we make
//! ([`FileEdit`]).
//!
//! An implementation works on a [`DiskEdit`](crate::disk::DiskEdit), which is an overlay: an edit that fails
//! half-way leaves rubbish only there, and the caller rolls the overlay back. Names and paths are bytes. An
//! implementation trusts nothing it reads: every loop has a named bound.
//!
//! Deliberately not here: renames, hard links, devices, files larger than [`FILE_BYTES_MAX`].

pub mod acl;
pub mod btrfs;
pub(crate) mod entry_name;
pub mod ext;
pub(crate) mod feature;
mod kind;
pub mod known;
pub mod memory;
pub mod mounted;
pub mod ntfs;
pub mod path;
pub mod probe;
pub mod tree;
pub mod verify;
pub mod xfs;

use crate::error::Result;
use std::fmt;
use std::ops::ControlFlow;

pub use kind::NodeKind;

/// Bound on the content of a file that is read or written as a whole, in bytes (LOGIN-128).
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The extended attribute that stands for the security descriptor of a node on NTFS, self-relative. Every node
/// has it, so it is given to those who ask for it and never listed.
pub const NTFS_ACL_NAME: &[u8] = b"system.ntfs_acl";

/// A file, directory or other object: the inode number, or the MFT record number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A moment: seconds since 1970-01-01 UTC, and nanoseconds below 1,000,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp {
    /// Seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds, below one second; 0 where the volume stores none.
    pub nanoseconds: u32,
}

/// Flags of a node that decide whether and how it may be edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent bits of the volume, not states")]
pub struct NodeFlags {
    /// `chattr +i`.
    pub is_immutable: bool,
    /// `chattr +a`.
    pub is_append_only: bool,
    /// Name and content are cipher text (fscrypt).
    pub is_encrypted: bool,
    /// Names in this directory are compared without case.
    pub is_casefolded: bool,
    /// Content is protected by fs-verity.
    pub is_verity: bool,
}

/// What is known about a node without reading its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// The kind.
    pub kind: NodeKind,
    /// Permission, set-id and sticky bits: `0..=0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size of the content in bytes.
    pub size_bytes: u64,
    /// Number of names.
    pub link_count: u32,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of the node.
    pub changed: Timestamp,
    /// Flags.
    pub flags: NodeFlags,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name: 1 to 255 bytes, on NTFS up to 765, without `/` and NUL.
    pub name: Vec<u8>,
    /// The node it names.
    pub node: NodeId,
}

/// An extended attribute with its full name, as in `security.selinux`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// Full name with its prefix.
    pub name: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

/// State of a file system as found on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Unmounted cleanly.
    Clean,
    /// The journal holds changes: they were replayed in memory, or keep the file system from being edited.
    JournalDirty,
    /// The system on it is hibernated, and will go on with what it has in memory.
    Hibernated,
    /// Marked as having errors.
    Errors,
}

/// What identifies a file system, and what a person calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `ext2`, `ext3`, `ext4`, `xfs`, ... as in the JSON contract.
    pub type_name: &'static str,
    /// UUID as its own tools print it; empty if there is none.
    pub uuid: String,
    /// Label, unescaped; empty if there is none.
    pub label: Vec<u8>,
}

/// A subvolume: a tree of its own inside a file system (Btrfs).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subvolume {
    /// Its number, as in the mount option `subvolid=`.
    pub id: u64,
    /// Where it lies below [`FileSystem::root`], as in the mount option `subvol=`.
    pub path: path::GuestPath,
    /// Its root directory.
    pub root: NodeId,
    /// True if nothing in it may be changed, as in a snapshot.
    pub is_read_only: bool,
    /// True for the one that is mounted when no option names any.
    pub is_default: bool,
}

/// A directory on which another file system belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// Its real path.
    pub path: path::GuestPath,
    /// `None` if the other file system is part of this tree; else why it is not.
    pub missing: Option<Missing>,
}

/// Why a file system is not part of a tree, and what helps. Both are clauses that are safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Why, as in "no given disk holds UUID=...".
    pub reason: String,
    /// What helps, as in "give its disk with --device".
    pub remedy: String,
}

/// Read access to a file system.
pub trait FileSystem: fmt::Debug {
    /// Type, UUID and label.
    fn identity(&self) -> Identity;

    /// State as found, before any replay.
    fn health(&self) -> Health;

    /// What the user should know before an edit, as sentences without a full stop, safe to print.
    fn warnings(&self) -> &[String] {
        &[]
    }

    /// `Err(Refused)` with the reason if nothing on this file system may be edited.
    ///
    /// # Errors
    /// `Refused` - unknown features, errors, a journal that cannot be replayed, ...
    fn check_writable(&self) -> Result<()>;

    /// The root directory.
    fn root(&self) -> NodeId;

    /// All subvolumes, in the order of their numbers; none where a file system has no such thing.
    ///
    /// # Errors
    /// `Corrupt`.
    fn subvolumes(&self) -> Result<Vec<Subvolume>> {
        Ok(Vec::new())
    }

    /// What is known about other file systems in this tree. Without an entry nothing is mounted at a directory,
    /// whatever the files of the guest say.
    fn mount_points(&self) -> &[MountPoint] {
        &[]
    }

    /// Finds `name` in `directory`. `.` and `..` are names like any other.
    ///
    /// # Errors
    /// `Corrupt`, or `Refused` if the directory is encrypted or casefolded.
    fn lookup(&self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>>;

    /// Calls `visit` for every entry but `.` and `..` until it breaks.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if names are encrypted; the error of `visit`.
    fn read_dir(
        &self,
        directory: NodeId,
        visit: &mut dyn FnMut(DirectoryEntry) -> Result<ControlFlow<()>>,
    ) -> Result<()>;

    /// Everything about a node but its content.
    ///
    /// # Errors
    /// `Corrupt`.
    fn metadata(&self, node: NodeId) -> Result<Metadata>;

    /// Reads up to `len` bytes of a regular file from `offset_bytes`; less only at its end.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if the content is encrypted.
    fn read_at(&self, node: NodeId, offset_bytes: u64, len: usize) -> Result<Vec<u8>>;

    /// The target of a symbolic link, at most 4096 bytes.
    ///
    /// # Errors
    /// `Corrupt`.
    fn read_link(&self, node: NodeId) -> Result<Vec<u8>>;

    /// All extended attributes, in no order.
    ///
    /// # Errors
    /// `Corrupt`.
    fn xattrs(&self, node: NodeId) -> Result<Vec<Xattr>>;

    /// The value of one extended attribute.
    ///
    /// # Errors
    /// `Corrupt`.
    fn xattr(&self, node: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.xattrs(node)?.into_iter().find(|xattr| xattr.name == name).map(|xattr| xattr.value))
    }

    /// The whole content of a regular file.
    ///
    /// # Errors
    /// `Limit` if it is larger than `limit_bytes`; otherwise as [`FileSystem::read_at`].
    fn read(&self, node: NodeId, limit_bytes: u64) -> Result<Vec<u8>> {
        let size_bytes = self.metadata(node)?.size_bytes;
        if size_bytes > limit_bytes {
            let what = "size of the file in bytes";
            return Err(crate::error::Error::limit(what, limit_bytes, size_bytes));
        }
        self.read_at(node, 0, crate::bytes::arith::to(size_bytes)?)
    }
}

/// Owner, permissions and attributes of a node that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewNode {
    /// Permission bits: `0..=0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes, such as `security.selinux`.
    pub xattrs: Vec<Xattr>,
}

impl NewNode {
    /// What a node has that was made at `clock` and never changed since.
    pub fn metadata(&self, kind: NodeKind, size_bytes: u64, clock: Timestamp) -> Metadata {
        Metadata {
            kind,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            size_bytes,
            link_count: if kind == NodeKind::Directory { 2 } else { 1 },
            accessed: clock,
            modified: clock,
            changed: clock,
            flags: NodeFlags::default(),
        }
    }
}

/// Changes to a node; `None` keeps what is there. The change time is always set to the clock of the edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetadataChange {
    /// New permission bits.
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New time of last access.
    pub accessed: Option<Timestamp>,
    /// New time of the last change of the content.
    pub modified: Option<Timestamp>,
}

/// The edits. After an error the overlay below must be rolled back; the value must then not be used any more.
///
/// Every method can fail with
/// * `Refused` - feature not proven for writing, protected or encrypted node, no space, failed preflight;
/// * `Corrupt` - a structure that the edit needs is damaged;
/// * `Io` - the base of the overlay could not be read.
pub trait FileEdit: FileSystem {
    /// This file system for reading.
    fn as_file_system(&self) -> &dyn FileSystem;

    /// Appends `bytes` to a regular file.
    ///
    /// # Errors
    /// See [`FileEdit`].
    fn append(&mut self, node: NodeId, bytes: &[u8]) -> Result<()>;

    /// Replaces the content of a regular file; the node stays the same.
    ///
    /// # Errors
    /// See [`FileEdit`].
    fn replace(&mut self, node: NodeId, content: &[u8]) -> Result<()>;

    /// Writes `bytes` over the content of a regular file from `offset_bytes`; its size stays the same. Meant for
    /// files that are too large to be replaced as a whole, such as registry hives.
    ///
    /// # Errors
    /// See [`FileEdit`]; `Refused` if the range ends behind the file.
    fn overwrite(&mut self, node: NodeId, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        let mut content = self.read(node, FILE_BYTES_MAX)?;
        let start = crate::bytes::arith::to(offset_bytes)?;
        crate::bytes::field::put(&mut content, start, bytes)?;
        self.replace(node, &content)
    }

    /// Creates a regular file.
    ///
    /// Mode, owner and group are those of `new`, whatever the directory would give: a set-group-ID directory
    /// passes on neither its group nor its bit, because who owns a key file is the caller's decision. A default
    /// access control list is passed on, and never takes a permission of the mode away (see [`acl`]).
    ///
    /// # Errors
    /// See [`FileEdit`]; `Refused` if the name exists.
    fn create_file(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
        content: &[u8],
    ) -> Result<NodeId>;

    /// Creates an empty directory, with mode, owner, group and lists as [`FileEdit::create_file`] does.
    ///
    /// # Errors
    /// See [`FileEdit`]; `Refused` if the name exists.
    fn create_directory(&mut self, directory: NodeId, name: &[u8], new: &NewNode)
    -> Result<NodeId>;

    /// Removes a name of a regular file or symbolic link, and the node with its last name.
    ///
    /// # Errors
    /// See [`FileEdit`]; `NotFound` if there is no such name; `Refused` for directories.
    fn remove(&mut self, directory: NodeId, name: &[u8]) -> Result<()>;

    /// Changes owner, mode or times. A mode also changes the access control list, if there is one.
    ///
    /// # Errors
    /// See [`FileEdit`].
    fn set_metadata(&mut self, node: NodeId, change: &MetadataChange) -> Result<()>;

    /// Sets an extended attribute, or removes it with `None` (which does nothing if it is not there).
    ///
    /// # Errors
    /// See [`FileEdit`].
    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()>;

    /// Brings everything that was edited onto the disk below; the last call after the last edit. Some file
    /// systems decide only then what of a dirty log has to be replayed.
    ///
    /// # Errors
    /// See [`FileEdit`].
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
