//! Host files in memory.

use crate::disk::medium::{HostMedium, Medium};
use crate::disk::memory::MemoryDisk;
use crate::disk::{Disk, check_range};
use crate::error::{Error, Result};
use crate::image::container::files::{
    Access, FileId, ReadFiles, SharedMedium, WriteFile, WriteFiles,
};
use crate::image::host_file::Role;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// What a host file was told.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    /// The guest's writes so far were promised to be durable.
    Promise,
}

/// What was done to several files, each by its number, in the order in which it was done.
pub(super) type Log = Arc<Mutex<Vec<(usize, Operation)>>>;

/// A host file in memory that remembers what was done to it.
#[derive(Debug, Clone)]
pub(crate) struct MemoryHost {
    bytes: Arc<Mutex<Vec<u8>>>,
    pub(super) log: Log,
    number: usize,
    is_device: bool,
}

impl MemoryHost {
    /// A file.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self::numbered(bytes, 0, &Log::default())
    }

    /// A device, which cannot change its length.
    pub(crate) fn device(bytes: Vec<u8>) -> Self {
        Self { is_device: true, ..Self::new(bytes) }
    }

    /// One of several files that share a log.
    pub(super) fn numbered(bytes: Vec<u8>, number: usize, log: &Log) -> Self {
        let bytes = Arc::new(Mutex::new(bytes));
        Self { bytes, log: log.clone(), number, is_device: false }
    }

    pub(crate) fn boxed(&self) -> Box<dyn HostMedium> {
        Box::new(self.clone())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    /// How many writes, syncs and changes of the length there were.
    pub(crate) fn operation_count(&self) -> usize {
        self.log.lock().unwrap().len()
    }

    pub(super) fn record(&self, operation: Operation) {
        apply(&mut self.bytes.lock().unwrap(), &operation, true);
        self.log.lock().unwrap().push((self.number, operation));
    }
}

/// Does `operation` to `bytes`. What lies behind the end gets lost, unless it `must` not be there.
pub(super) fn apply(bytes: &mut Vec<u8>, operation: &Operation, must: bool) {
    match operation {
        Operation::Write(at, written) => {
            let at = *at as usize;
            let end = at + written.len();
            if end <= bytes.len() {
                bytes[at..end].copy_from_slice(written);
            } else {
                assert!(!must, "a write behind the end of the file");
            }
        }
        Operation::SetLen(len) => bytes.resize(*len as usize, 0),
        Operation::Sync | Operation::Promise => {}
    }
}

impl Medium for MemoryHost {
    fn len_bytes(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        let at = offset_bytes as usize;
        buffer.copy_from_slice(&self.bytes.lock().unwrap()[at..at + buffer.len()]);
        Ok(())
    }

    fn can_write(&self, _ranges: &[Range<u64>]) -> Result<()> {
        Ok(())
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, bytes.len())?;
        self.record(Operation::Write(offset_bytes, bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.record(Operation::Sync);
        Ok(())
    }

    fn drop_cache(&mut self) -> Result<()> {
        Ok(())
    }
}

impl HostMedium for MemoryHost {
    fn set_len(&mut self, len_bytes: u64) -> Result<()> {
        assert!(!self.is_device, "a device gets another length");
        self.record(Operation::SetLen(len_bytes));
        Ok(())
    }

    fn can_grow(&self) -> bool {
        !self.is_device
    }
}

/// A host file whose sync fails, once, at the given call.
#[derive(Debug)]
pub(crate) struct FailingHost {
    pub(crate) host: MemoryHost,
    /// How many syncs succeed before that.
    pub(crate) good_syncs: usize,
    pub(crate) syncs: usize,
}

impl Medium for FailingHost {
    fn len_bytes(&self) -> u64 {
        self.host.len_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.host.read_at(offset_bytes, buffer)
    }

    fn can_write(&self, ranges: &[Range<u64>]) -> Result<()> {
        self.host.can_write(ranges)
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        self.host.write_at(offset_bytes, bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.syncs += 1;
        if self.syncs == self.good_syncs + 1 {
            return Err(std::io::Error::other("injected: the sync fails").into());
        }
        self.host.sync()
    }

    fn drop_cache(&mut self) -> Result<()> {
        Ok(())
    }
}

impl HostMedium for FailingHost {
    fn set_len(&mut self, len_bytes: u64) -> Result<()> {
        self.host.set_len(len_bytes)
    }

    fn can_grow(&self) -> bool {
        true
    }
}

/// Files of a container in memory: the target, and others by their names.
#[derive(Debug)]
pub(crate) struct MemoryFiles {
    target: Arc<dyn Disk>,
    others: Vec<(String, Arc<dyn Disk>)>,
}

impl MemoryFiles {
    /// Only a target.
    pub(crate) fn one(target: Vec<u8>) -> Self {
        Self::new(target, Vec::new())
    }

    pub(crate) fn new(target: Vec<u8>, others: Vec<(String, Vec<u8>)>) -> Self {
        let disk = |bytes| -> Arc<dyn Disk> { Arc::new(MemoryDisk::new(bytes)) };
        let others = others.into_iter().map(|(name, bytes)| (name, disk(bytes))).collect();
        Self { target: disk(target), others }
    }
}

impl ReadFiles for MemoryFiles {
    fn target(&self) -> Arc<dyn Disk> {
        self.target.clone()
    }

    fn open(&mut self, _from: FileId, name: &str, _role: Role) -> Result<(FileId, Arc<dyn Disk>)> {
        let found = self.others.iter().position(|(other, _)| other == name);
        let index = found.ok_or_else(|| Error::not_found("no such file"))?;
        Ok((FileId(index + 1), self.others[index].1.clone()))
    }
}

/// The same files, open for writing: the target, which has no name, first.
pub(crate) fn write_files(hosts: &[(&str, &MemoryHost)]) -> WriteFiles {
    let files = hosts.iter().map(|(name, host)| WriteFile {
        reference: (*name).to_owned(),
        access: Access::Written(SharedMedium::new(host.boxed())),
    });
    WriteFiles::new(files.collect())
}
