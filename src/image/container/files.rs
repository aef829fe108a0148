//! The host files of a container, as its module sees them.

use crate::disk::medium::{HostMedium, Medium};
use crate::disk::memory::MemoryDisk;
use crate::disk::{Disk, SECTOR_BYTES};
use crate::error::{Error, Result};
use crate::image::host_file::Role;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A host file of a container: its place in the order in which they were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(pub usize);

impl FileId {
    /// The file that the user named.
    pub const TARGET: Self = Self(0);
}

/// Opens the files of a container for reading.
pub trait ReadFiles: Debug {
    /// The file that the user named.
    fn target(&self) -> Arc<dyn Disk>;

    /// Opens the file that `from` refers to as `name`. Whether it may is decided here, not by the caller.
    ///
    /// # Errors
    /// * `Refused` - the container must not refer to that file.
    /// * `NotFound` - there is no such file.
    /// * `Limit` - too many files; `Io`.
    fn open(&mut self, from: FileId, name: &str, role: Role) -> Result<(FileId, Arc<dyn Disk>)>;
}

/// One file of a container that is open for writing.
#[derive(Debug)]
pub struct WriteFile {
    /// The name by which the container refers to it; empty for the target.
    pub reference: String,
    /// The file itself.
    pub access: Access,
}

/// How a file of a container can be used while it is written.
#[derive(Debug)]
pub enum Access {
    /// For reading and writing, held exclusively.
    Written(SharedMedium),
    /// For reading.
    OnlyRead(Arc<dyn Disk>),
}

/// The files of a container that is open for writing, in the order in which they were opened for reading. They are
/// asked for in the same order again.
#[derive(Debug)]
pub struct WriteFiles {
    files: Vec<WriteFile>,
    /// How many were asked for, the target not counted.
    asked: usize,
}

impl WriteFiles {
    /// Takes the files, the target first.
    pub fn new(files: Vec<WriteFile>) -> Self {
        Self { files, asked: 0 }
    }

    /// The file that the user named.
    ///
    /// # Errors
    /// `Mismatch` if it cannot be written.
    pub fn target_medium(&self) -> Result<SharedMedium> {
        self.written(0, "")
    }

    /// A file that was asked for already.
    ///
    /// # Errors
    /// `Mismatch` if it cannot be written.
    pub fn medium(&self, id: FileId) -> Result<SharedMedium> {
        let name = self.files.get(id.0).map(|file| file.reference.as_str()).unwrap_or_default();
        self.written(id.0, name)
    }

    /// The next file, to which the container refers as `name` and which may be written.
    ///
    /// # Errors
    /// `Mismatch` if another file was opened for reading at this point.
    pub fn next_written(&mut self, name: &str) -> Result<SharedMedium> {
        self.asked = self.asked.saturating_add(1);
        self.written(self.asked, name)
    }

    /// The next file, to which the container refers as `name` and which is only read.
    ///
    /// # Errors
    /// `Mismatch` if another file was opened for reading at this point.
    pub fn next_read(&mut self, name: &str) -> Result<Arc<dyn Disk>> {
        self.asked = self.asked.saturating_add(1);
        match self.file(self.asked, name)? {
            Access::OnlyRead(disk) => Ok(disk.clone()),
            Access::Written(_) => Err(changed(name)),
        }
    }

    fn written(&self, index: usize, name: &str) -> Result<SharedMedium> {
        match self.file(index, name)? {
            Access::Written(medium) => Ok(medium.clone()),
            Access::OnlyRead(_) => Err(changed(name)),
        }
    }

    fn file(&self, index: usize, name: &str) -> Result<&Access> {
        let file = self.files.get(index).filter(|file| file.reference == name);
        file.map(|file| &file.access).ok_or_else(|| changed(name))
    }
}

/// While it is written a container is looked at through the files that are written.
impl ReadFiles for WriteFiles {
    fn target(&self) -> Arc<dyn Disk> {
        match self.files.first().map(|file| &file.access) {
            Some(Access::Written(medium)) => Arc::new(MediumDisk(medium.clone())),
            Some(Access::OnlyRead(disk)) => disk.clone(),
            None => Arc::new(MemoryDisk::new(Vec::new())),
        }
    }

    fn open(&mut self, _from: FileId, name: &str, role: Role) -> Result<(FileId, Arc<dyn Disk>)> {
        let disk: Arc<dyn Disk> = match role {
            Role::Written => Arc::new(MediumDisk(self.next_written(name)?)),
            Role::OnlyRead => self.next_read(name)?,
        };
        Ok((FileId(self.asked), disk))
    }
}

fn changed(name: &str) -> Error {
    let name = crate::bytes::text::escape(name.as_bytes());
    Error::mismatch(format!("its reference to {name:?} changed since it was read"))
}

/// A host file that is open for writing, for several users: what a container reads while it writes.
#[derive(Debug, Clone)]
pub struct SharedMedium(Arc<Mutex<Box<dyn HostMedium>>>);

impl SharedMedium {
    /// Shares `medium`.
    pub fn new(medium: Box<dyn HostMedium>) -> Self {
        Self(Arc::new(Mutex::new(medium)))
    }

    fn lock(&self) -> MutexGuard<'_, Box<dyn HostMedium>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Medium for SharedMedium {
    fn len_bytes(&self) -> u64 {
        self.lock().len_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.lock().read_at(offset_bytes, buffer)
    }

    fn can_write(&self, ranges: &[Range<u64>]) -> Result<()> {
        self.lock().can_write(ranges)
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        self.lock().write_at(offset_bytes, bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.lock().sync()
    }

    fn drop_cache(&mut self) -> Result<()> {
        self.lock().drop_cache()
    }
}

impl HostMedium for SharedMedium {
    fn set_len(&mut self, len_bytes: u64) -> Result<()> {
        self.lock().set_len(len_bytes)
    }

    fn can_grow(&self) -> bool {
        self.lock().can_grow()
    }
}

/// The same bytes for what only reads. The length follows that of the file.
#[derive(Debug, Clone)]
pub struct MediumDisk(pub SharedMedium);

impl Disk for MediumDisk {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn sector_size_bytes(&self) -> u32 {
        u32::try_from(SECTOR_BYTES).unwrap_or(512)
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read_at(offset_bytes, buffer)
    }
}
