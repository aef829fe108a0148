//! Verification of an edit: by the crate `ntfs`, a reader that shares no code with ours, and by our own reader, opened
//! afresh, which looks closer than any reader has to ([`super::cross_check`]).
//!
//! Ours goes first: what it has accepted is well-formed, so that the other one, which does not bound everything that
//! it reads, never sees a structure that nobody looked at. The crate reads no compressed content, does not know that
//! content ends before its size (valid data length), needs the whole run list of the MFT in record 0, whole records
//! in one run, clusters not larger than index records, and names that are Unicode. Where an edit needs one of these
//! the verdict says that only our own reader agrees. It knows no owners and permissions either, and neither does
//! NTFS: all nodes have the same.

use super::Ntfs;
use super::attribute::AttributeKind;
use super::cross_check::cross_check;
use super::stream::Place;
use crate::bytes::arith::{OutOfRange, len_u64, to};
use crate::disk::Disk;
use crate::disk::cache::Cache;
use crate::error::{Context as _, Error, ErrorKind, Refusal, Result};
use crate::fs::NodeKind;
use crate::fs::path::{GuestPath, Resolution, resolve};
use crate::fs::verify::{Expectation, Found, OwnReader, Owner, Verdict, VerifyReader, check};
use ntfs::indexes::NtfsFileNameIndex;
use ntfs::{NtfsAttributeType, NtfsError, NtfsFile, NtfsReadSeek};
use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

const READER: &str = "ntfs";
/// What every node has.
const OWNER: Owner = Owner { uid: 0, gid: 0, mode: 0o777 };
/// Bound on the attributes of one file that the reader goes through.
const ATTRIBUTES_MAX: usize = 65536;

/// Checks that the volume is as expected; `own` is our reader, opened on it after the edit, and `written` are the bytes
/// that the edit wrote.
///
/// # Errors
/// `Refused` ([`Refusal::NotVerified`]) if anything differs; `Io`.
pub fn verify(own: &Ntfs, written: &[Range<u64>], expectations: &[Expectation]) -> Result<Verdict> {
    check(&OwnReader(own), expectations)?;
    let skipped = cross_check(own, written, expectations)
        .or_else(|error| not_verified("the volume", error))?;
    let Some(reason) = own.unreadable(expectations)? else {
        let below: Arc<dyn Disk> = own.volume.disk().clone();
        check(&View::open(Arc::new(Cache::new(below)), own)?, expectations)?;
        return Ok(Verdict::Independent { reader: READER });
    };
    let reason = match skipped {
        Some(skipped) => format!("{READER}: {reason}; {skipped}"),
        None => format!("{READER}: {reason}"),
    };
    Ok(Verdict::OwnReaderOnly { reason })
}

/// Turns what was found into a refusal; a failing host stays what it is.
fn not_verified<T>(what: &str, error: Error) -> Result<T> {
    if matches!(error.kind(), ErrorKind::Io(_) | ErrorKind::Refused(Refusal::NotVerified { .. })) {
        return Err(error);
    }
    Err(Refusal::NotVerified { detail: format!("{what}: {error}") }.into())
}

fn reader_error(error: &NtfsError) -> Error {
    if let NtfsError::Io(source) = error {
        let source = io::Error::new(source.kind(), source.to_string());
        return Error::new(ErrorKind::Io(source));
    }
    Refusal::NotVerified { detail: format!("{READER}: {error}") }.into()
}

impl Ntfs {
    /// What the other reader cannot read of what is expected, if anything.
    fn unreadable(&self, expectations: &[Expectation]) -> Result<Option<String>> {
        let geometry = self.volume.geometry();
        let mft = self.file(crate::fs::NodeId(0))?;
        if mft.list.is_some() {
            return Ok(Some("the MFT has an attribute list".to_owned()));
        }
        if geometry.cluster_size_bytes < geometry.record_size_bytes {
            // A record may continue in another run.
            let runs = self.volume.mft().stream().runs().map_or(0, |runs| runs.runs().len());
            if runs > 1 {
                return Ok(Some("the MFT is fragmented in clusters smaller than a record".into()));
            }
        }
        if geometry.index_record_size_bytes < geometry.cluster_size_bytes {
            return Ok(Some("clusters are larger than index records".to_owned()));
        }
        for Expectation { path, .. } in expectations {
            if std::str::from_utf8(path.as_bytes()).is_err() {
                return Ok(Some(format!("the name {path} is not Unicode")));
            }
            let Resolution::Found(found) = resolve(self, path, false)? else { continue };
            let file = self.file(found.node)?;
            let Some(data) = file.stream(&self.volume, AttributeKind::DATA, &[])? else { continue };
            if data.is_compressed() {
                return Ok(Some(format!("{path} is compressed")));
            }
            if let Place::Clusters { sizes, .. } = &data.place
                && sizes.initialised < sizes.value
            {
                return Ok(Some(format!("{path} was not written up to its end")));
            }
        }
        Ok(None)
    }
}

/// The volume as the other reader sees it.
struct View {
    volume: ntfs::Ntfs,
    reader: RefCell<Adapter>,
}

impl View {
    fn open(disk: Arc<dyn Disk>, own: &Ntfs) -> Result<Self> {
        let sector = u64::from(own.volume.geometry().sector_size_bytes);
        let len_bytes = own.volume.boot().sectors.saturating_mul(sector).min(disk.len_bytes());
        let mut reader = Adapter { disk, len_bytes, position: 0 };
        let mut volume = ntfs::Ntfs::new(&mut reader).map_err(|error| reader_error(&error))?;
        volume.read_upcase_table(&mut reader).map_err(|error| reader_error(&error))?;
        Ok(Self { volume, reader: RefCell::new(reader) })
    }

    /// The file at `path`, following no link.
    fn find(&self, path: &GuestPath) -> Result<Option<NtfsFile<'_>>> {
        let reader = &mut *self.reader.borrow_mut();
        let mut file = self.volume.root_directory(reader).map_err(|error| reader_error(&error))?;
        let names = path.as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        for name in names {
            let Ok(name) = std::str::from_utf8(name) else { return Ok(None) };
            if !file.is_directory() {
                return Ok(None);
            }
            let Some(next) = self.child(reader, &file, name).context(|| path.to_string())? else {
                return Ok(None);
            };
            file = next;
        }
        Ok(Some(file))
    }

    fn child(
        &self,
        reader: &mut Adapter,
        directory: &NtfsFile<'_>,
        name: &str,
    ) -> Result<Option<NtfsFile<'_>>> {
        let index = directory.directory_index(reader).map_err(|error| reader_error(&error))?;
        let mut finder = index.finder();
        let found = NtfsFileNameIndex::find(&mut finder, &self.volume, reader, name);
        let Some(entry) = found else { return Ok(None) };
        let reference = entry.map_err(|error| reader_error(&error))?.file_reference();
        let file = reference.to_file(&self.volume, reader).map_err(|error| reader_error(&error))?;
        let is_in_use = file.flags().contains(ntfs::NtfsFileFlags::IN_USE);
        if !is_in_use || file.sequence_number() != reference.sequence_number() {
            let detail = format!("{READER}: {name} leads to a record that belongs to no file");
            return Err(Refusal::NotVerified { detail }.into());
        }
        Ok(Some(file))
    }

    /// What `file` is, and the size of its content.
    fn shape(&self, file: &NtfsFile<'_>) -> Result<(NodeKind, u64)> {
        let reader = &mut *self.reader.borrow_mut();
        let mut kind = if file.is_directory() { NodeKind::Directory } else { NodeKind::File };
        let mut size_bytes = 0;
        let mut attributes = file.attributes();
        for _ in 0..ATTRIBUTES_MAX {
            let Some(item) = attributes.next(reader) else { return Ok((kind, size_bytes)) };
            let item = item.map_err(|error| reader_error(&error))?;
            let attribute = item.to_attribute().map_err(|error| reader_error(&error))?;
            match attribute.ty().map_err(|error| reader_error(&error))? {
                NtfsAttributeType::ReparsePoint => kind = NodeKind::Symlink,
                NtfsAttributeType::Data
                    if kind == NodeKind::File && attribute.name_length() == 0 =>
                {
                    size_bytes = attribute.value_length();
                }
                _ => {}
            }
        }
        let detail = format!("{READER}: a file has more than {ATTRIBUTES_MAX} attributes");
        Err(Refusal::NotVerified { detail }.into())
    }

    fn read(&self, path: &GuestPath, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        let Some(file) = self.find(path)? else { return Ok(Vec::new()) };
        let reader = &mut *self.reader.borrow_mut();
        let Some(item) = file.data(reader, "") else { return Ok(Vec::new()) };
        let item = item.map_err(|error| reader_error(&error))?;
        let attribute = item.to_attribute().map_err(|error| reader_error(&error))?;
        let mut value = attribute.value(reader).map_err(|error| reader_error(&error))?;
        let left = value.len().saturating_sub(offset_bytes);
        let mut bytes = vec![0; to(left.min(len_u64(len)))?];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        value
            .seek(reader, SeekFrom::Start(offset_bytes))
            .and_then(|_| value.read_exact(reader, &mut bytes))
            .map_err(|error| reader_error(&error))?;
        Ok(bytes)
    }
}

impl VerifyReader for View {
    fn look(&self, path: &GuestPath) -> Result<Option<Found>> {
        let Some(file) = self.find(path)? else { return Ok(None) };
        let (kind, size_bytes) = self.shape(&file)?;
        Ok(Some(Found { kind: Some(kind), owner: OWNER, size_bytes }))
    }

    fn content(&self, path: &GuestPath, size_bytes: u64) -> Result<Vec<u8>> {
        self.read(path, 0, to(size_bytes)?)
    }

    fn piece(&self, path: &GuestPath, _: u64, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        self.read(path, offset_bytes, len)
    }
}

/// A disk as the other reader wants it.
struct Adapter {
    disk: Arc<dyn Disk>,
    len_bytes: u64,
    position: u64,
}

impl Read for Adapter {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.len_bytes.saturating_sub(self.position);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(head) = buffer.get_mut(..len) else { return Ok(0) };
        self.disk.read_at(self.position, head).map_err(io::Error::other)?;
        self.position = self.position.saturating_add(len_u64(len));
        Ok(len)
    }
}

impl Seek for Adapter {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
            SeekFrom::End(distance) => self.len_bytes.checked_add_signed(distance),
        };
        self.position = position.ok_or_else(|| io::Error::other(OutOfRange))?;
        Ok(self.position)
    }
}
