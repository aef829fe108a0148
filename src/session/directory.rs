//! A mounted root directory as the target: one volume, whose file system is [`Tree`], and edits that become records of
//! files in place of changed bytes.
//!
//! What is mounted below the target is taken as it is. What fstab mounts and nobody has mounted there is left out, with
//! the remedy to mount it.

use super::edit::After;
use super::source::Source;
use super::{
    Content, OpenOptions, OpenVolume, Session, SessionVolume, WHOLE_DISK_ID, clock, expect,
};
use crate::action::{self, Plan};
use crate::bytes::text::escape;
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::error::{Context as _, Error, Result};
use crate::fs::mounted::Shared;
use crate::fs::path::{GuestPath, read_file};
use crate::fs::tree::Tree;
use crate::fs::verify::{self, OwnReader, Verdict};
use crate::fs::{FileSystem, Missing, Timestamp};
use crate::guest::linux::fstab;
use crate::guest::{self};
use crate::image::directory::Directory;
use crate::patch::files::{self, DirectoryIdentity, FilePatch, FilesDescription};
use crate::volume::Volume;
use crate::volume::place::{DiskIndex, Place};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// Bound on `/etc/machine-id` in bytes: 32 digits and a newline.
const MACHINE_ID_BYTES_MAX: u64 = 64;

/// Number of digits of a machine-id.
const MACHINE_ID_DIGITS: usize = 32;

/// A directory that was given.
#[derive(Debug)]
pub struct SessionDirectory {
    /// Its tree without edits.
    tree: Tree,
}

/// A finished edit of a directory.
#[derive(Debug)]
pub struct FilesEdit {
    /// The files.
    pub patch: FilePatch,
    /// The reader that agrees with it.
    pub verdict: Verdict,
}

impl SessionDirectory {
    fn directory(&self) -> &Rc<Directory> {
        self.tree.directory()
    }
}

impl Session {
    /// Opens the directory `target` and looks for the system in it.
    pub(super) fn open_directory(target: &Path, options: &OpenOptions<'_>) -> Result<Self> {
        let name = || escape(target.as_os_str().as_encoded_bytes());
        if options.format.is_some() || !options.devices.is_empty() {
            let what =
                "a directory has no format and no further disks: leave out --format and --device";
            return Err(Error::usage(what)).context(name);
        }
        let directory = Rc::new(Directory::open(target)?);
        let mut tree = Tree::new(directory, options.clock);
        leave_out_unmounted(&mut tree);
        let volume = volume_of(&tree);
        let directory = SessionDirectory { tree };
        Ok(Self {
            target: None,
            directory: Some(directory),
            further: Vec::new(),
            volumes: vec![volume],
            layer_warnings: Vec::new(),
        })
    }

    /// The directory, if the target is one.
    pub fn directory(&self) -> Option<&Rc<Directory>> {
        self.directory.as_ref().map(SessionDirectory::directory)
    }

    /// Carries out `plan` on the tree in memory, verifies what comes of it, and gives the patch. The volume is closed
    /// then.
    ///
    /// # Errors
    /// As [`Session::edit_checked`]; `Mismatch` if somebody has changed a file since it was read.
    pub fn edit_directory(
        &mut self,
        index: usize,
        plan: &Plan,
        command: &str,
        time: Timestamp,
        after: After<'_>,
    ) -> Result<FilesEdit> {
        let layer = self.target_name();
        let missing = || Error::not_found("a directory as the target");
        let directory = self.directory.as_ref().ok_or_else(missing)?;
        let before = directory.tree.again();
        let files = self.notes(index, plan).context(|| layer.clone())?;
        let edit = run_and_verify(&before, plan, time, after, |records| {
            let description = FilesDescription {
                regain_version: env!("CARGO_PKG_VERSION").to_owned(),
                created: clock::utc(time),
                command: command.to_owned(),
                directory: identity(&before),
                files,
            };
            FilePatch::new(description, records)
        });
        if let Some(volume) = self.volumes.get_mut(index) {
            volume.content = Content::Unknown;
        }
        edit.context(|| layer)
    }
}

/// What identifies a directory with a system.
pub fn identity(tree: &Tree) -> DirectoryIdentity {
    let id = read_file(tree, &GuestPath::new("/etc/machine-id"), MACHINE_ID_BYTES_MAX);
    let id = id.ok().flatten().and_then(|id| String::from_utf8(id.trim_ascii().to_vec()).ok());
    let is_id = |id: &String| {
        id.len() == MACHINE_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let found = tree.identity();
    DirectoryIdentity {
        file_system: found.type_name.to_owned(),
        uuid: Some(found.uuid).filter(|uuid| !uuid.is_empty()),
        machine_id: id.filter(is_id),
    }
}

fn run_and_verify(
    before: &Tree,
    plan: &Plan,
    time: Timestamp,
    after: After<'_>,
    make_patch: impl FnOnce(Vec<crate::image::directory::record::Record>) -> Result<FilePatch>,
) -> Result<FilesEdit> {
    before.check_writable()?;
    let promised = action::edit::expectations(plan, before)?;
    let questions = expect::questions(&promised, before)?;
    let mut edited = before.again();
    action::edit::run(plan, &mut edited)?;
    let patch = make_patch(edited.records()?)?;
    // What will be written is what is verified: the records, as they can be read from the patch file, over a tree
    // that knows nothing of the edit.
    let stored = files::decode(&files::encode(&patch)?)?;
    let directory = Rc::new(Directory::open(&before.directory().path)?);
    if !directory.is_same(before.directory()) {
        return Err(Error::mismatch("the path leads to another directory by now"));
    }
    let mut fresh = Tree::new(directory, time);
    leave_out_unmounted(&mut fresh);
    fresh.load(stored.records())?;
    expect::check_xattrs(&promised, &fresh)?;
    verify::check(&OwnReader(&fresh), &questions)?;
    after(&fresh)?;
    let reason = "a mounted directory is read through the kernel".to_owned();
    Ok(FilesEdit { patch, verdict: Verdict::OwnReaderOnly { reason } })
}

/// Notes what the guest mounts at boot and nobody has mounted below the target.
fn leave_out_unmounted(tree: &mut Tree) {
    // An fstab that cannot be read is told of by those who need it.
    for mount in fstab::read(tree).unwrap_or_default() {
        if mount.is_virtual() || mount.bound_from().is_some() || mount.target == GuestPath::root() {
            continue;
        }
        let source = crate::bytes::text::escape_limited(&mount.source, 128);
        let place = tree.directory().path.join(below(&mount.target));
        let place = escape(place.as_os_str().as_encoded_bytes());
        let why = Missing {
            reason: "nothing is mounted there below the target".to_owned(),
            remedy: format!("mount it there first: mount {source} {place}"),
        };
        tree.leave_out(&mount.target, why);
    }
}

/// A guest path as one that can be joined to a path of the host.
fn below(path: &GuestPath) -> &std::ffi::OsStr {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = path.as_bytes();
    std::ffi::OsStr::from_bytes(bytes.strip_prefix(b"/").unwrap_or(bytes))
}

fn volume_of(tree: &Tree) -> SessionVolume {
    let size_bytes = tree.directory().size_bytes();
    let volume = Volume {
        id: WHOLE_DISK_ID.to_owned(),
        number: 0,
        offset_bytes: 0,
        size_bytes,
        type_label: String::new(),
        name: Vec::new(),
        part_uuid: None,
    };
    let system = guest::detect(tree);
    let open = OpenVolume {
        // There are no bytes below a directory: this stays empty.
        overlay: Arc::new(Overlay::new(Arc::new(MemoryDisk::new(Vec::new())))),
        devices: Vec::new(),
        fs: Shared::new(Box::new(tree.again())),
        kind: None,
        tree: None,
        system,
        roots: Vec::new(),
        chosen_root: None,
    };
    let place = Arc::new(Place::Disk(DiskIndex(0)));
    SessionVolume {
        volume,
        place,
        source: Source::Partition,
        parents: Vec::new(),
        obstacle: None,
        probe: None,
        content: Content::Open(Box::new(open)),
    }
}
