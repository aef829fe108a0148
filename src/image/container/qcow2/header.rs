//! The header of a qcow2 image, checked before anything else is read.

use super::bitmaps::Directory;
use super::defect::Defect;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::bytes::text::escape;
use crate::disk::Disk;
use crate::error::{Corrupt, Error, Result};
use std::ops::RangeInclusive;

/// The first four bytes, `QFI` and FB.
const MAGIC: &[u8] = b"QFI\xfb";

/// What is read at once: a header of version 3 with its known fields.
const HEADER_BYTES: usize = 112;

/// Length of a header of version 2; of version 3 at least [`V3_BYTES_MIN`].
const V2_BYTES: u64 = 72;
const V3_BYTES_MIN: u64 = 104;

/// log2 of the cluster sizes that qemu makes.
const CLUSTER_BITS: RangeInclusive<u32> = 9..=21;

/// Bound on the active L1 table in bytes, as in qemu.
const L1_BYTES_MAX: u64 = 32 << 20;

/// Bound on the refcount table in bytes, as in qemu.
pub(super) const REFTABLE_BYTES_MAX: u64 = 8 << 20;

/// Bound on the name of a backing or data file in bytes.
const NAME_BYTES_MAX: u64 = 1023;

/// Bound on the header extensions that are looked at.
const EXTENSIONS_MAX: u32 = 64;

/// Bits of `incompatible_features`.
const INCOMPATIBLE_DIRTY: u64 = 1;
const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
const INCOMPATIBLE_DATA_FILE: u64 = 1 << 2;
const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;

/// Bits of `autoclear_features`.
const AUTOCLEAR_BITMAPS: u64 = 1;
const AUTOCLEAR_RAW_DATA_FILE: u64 = 1 << 1;

/// Types of header extensions.
const EXTENSION_END: u32 = 0;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
const EXTENSION_BITMAPS: u32 = 0x2385_2875;

/// Length of the extension that leads to the bitmaps.
const BITMAPS_BYTES: u64 = 24;

/// A header whose values were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// 2 or 3.
    pub(super) version: u32,
    /// log2 of the cluster size in bytes, 9 to 21.
    pub(super) cluster_bits: u32,
    /// Size of the guest's disk in bytes, covered by the L1 table.
    pub(super) size_bytes: u64,
    /// Where the active L1 table is, aligned to a cluster, inside the file.
    pub(super) l1_offset: u64,
    /// Its number of entries.
    pub(super) l1_entries: u64,
    /// Where the refcount table is, aligned to a cluster, inside the file.
    pub(super) reftable_offset: u64,
    /// Its length in clusters.
    pub(super) reftable_clusters: u64,
    /// log2 of the width of a refcount in bits, 0 to 6.
    pub(super) refcount_order: u32,
    /// Number of internal snapshots.
    pub(super) snapshots: u32,
    /// True if refcounts may be wrong: qemu with lazy refcounts was killed.
    pub(super) is_dirty: bool,
    /// True if qemu found damage and marked the image.
    pub(super) is_corrupt: bool,
    /// The autoclear bits.
    pub(super) autoclear: u64,
    /// The file of which this is an overlay.
    pub(super) backing: Option<Backing>,
    /// The name of the file with the data of the guest, if that is not this one.
    pub(super) data_file: Option<String>,
    /// The persistent dirty bitmaps.
    pub(super) bitmaps: Option<Directory>,
}

/// The reference to a backing file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backing {
    /// Its name as it stands in the header.
    pub(super) name: String,
    /// The name of its format; without one it would have to be guessed.
    pub(super) format: Option<String>,
}

impl Header {
    /// Reads and checks the header of `file`.
    ///
    /// # Errors
    /// * `Unsupported` - encryption, or a feature that is not read, by its name.
    /// * `Corrupt`; `Io`.
    pub(super) fn read(file: &dyn Disk) -> Result<Self> {
        if file.len_bytes() < V2_BYTES {
            return Err(corrupt(Defect::Cut { file_bytes: file.len_bytes() }));
        }
        let mut bytes = [0; HEADER_BYTES];
        let present = file.len_bytes().min(len_u64(HEADER_BYTES));
        file.read_at(0, field::slice_mut(&mut bytes, 0, arith::to(present)?)?)?;
        let mut header = Self::parse(&bytes, file.len_bytes())?;
        header.read_names(file, &bytes)?;
        Ok(header)
    }

    /// Size of a cluster in bytes.
    pub(super) fn cluster_bytes(&self) -> u64 {
        1u64 << self.cluster_bits.min(*CLUSTER_BITS.end())
    }

    /// The persistent dirty bitmaps, if they are consistent with the image now.
    pub(super) fn valid_bitmaps(&self) -> Option<&Directory> {
        self.bitmaps.as_ref().filter(|_| self.autoclear & AUTOCLEAR_BITMAPS != 0)
    }

    /// The autoclear bits that stay true when only the guest's data are written, and bitmaps are marked.
    pub(super) fn lasting_autoclear(&self) -> u64 {
        // Data go where the guest has them, so the data file stays a raw image.
        let bitmaps = if self.bitmaps.is_some() { AUTOCLEAR_BITMAPS } else { 0 };
        self.autoclear & (AUTOCLEAR_RAW_DATA_FILE | bitmaps)
    }

    /// Guest bytes that one L2 table maps.
    pub(super) fn l2_span_bytes(&self) -> Result<u64> {
        Ok(arith::mul(self.cluster_bytes(), self.entries_per_table()?)?)
    }

    /// Number of entries of 8 bytes in a cluster.
    pub(super) fn entries_per_table(&self) -> Result<u64> {
        Ok(arith::div(self.cluster_bytes(), 8)?)
    }

    fn parse(bytes: &[u8], file_bytes: u64) -> Result<Self> {
        if !bytes.starts_with(MAGIC) {
            return Err(corrupt(Defect::NoMagic));
        }
        let version = field::be_u32(bytes, 4)?;
        if !(2..=3).contains(&version) {
            return Err(Error::unsupported(format!("qcow version {version} images")));
        }
        check_readable(bytes, version)?;
        let incompatible = if version == 3 { field::be_u64(bytes, 72)? } else { 0 };
        let header = Self {
            version,
            cluster_bits: field::be_u32(bytes, 20)?,
            size_bytes: field::be_u64(bytes, 24)?,
            l1_offset: field::be_u64(bytes, 40)?,
            l1_entries: field::be_u32(bytes, 36)?.into(),
            reftable_offset: field::be_u64(bytes, 48)?,
            reftable_clusters: field::be_u32(bytes, 56)?.into(),
            refcount_order: if version == 3 { field::be_u32(bytes, 96)? } else { 4 },
            snapshots: field::be_u32(bytes, 60)?,
            is_dirty: incompatible & INCOMPATIBLE_DIRTY != 0,
            is_corrupt: incompatible & INCOMPATIBLE_CORRUPT != 0,
            autoclear: if version == 3 { field::be_u64(bytes, 88)? } else { 0 },
            backing: None,
            data_file: None,
            bitmaps: None,
        };
        header.check(file_bytes)?;
        Ok(header)
    }

    /// Checks every number against the others and the length of the file.
    fn check(&self, file_bytes: u64) -> Result<()> {
        let defect = |defect| Err(corrupt(defect));
        if !CLUSTER_BITS.contains(&self.cluster_bits) {
            return defect(Defect::ClusterBits { bits: self.cluster_bits });
        }
        if self.refcount_order > 6 {
            return defect(Defect::RefcountOrder { order: self.refcount_order });
        }
        let l1_bytes = arith::mul(self.l1_entries, 8)?;
        let reftable_bytes = arith::mul(self.reftable_clusters, self.cluster_bytes())?;
        for (table, offset, bytes, limit) in [
            ("L1 table", self.l1_offset, l1_bytes, L1_BYTES_MAX),
            ("refcount table", self.reftable_offset, reftable_bytes, REFTABLE_BYTES_MAX),
        ] {
            if bytes > limit {
                return Err(Error::limit(format!("size of the {table} in bytes"), limit, bytes));
            }
            let is_aligned = arith::rem(offset, self.cluster_bytes())? == 0;
            let is_inside = offset.checked_add(bytes).is_some_and(|end| end <= file_bytes);
            if offset == 0 || bytes == 0 || !is_aligned || !is_inside {
                return defect(Defect::Table { table, offset, bytes, file_bytes });
            }
        }
        let covered = arith::mul(self.l1_entries, self.l2_span_bytes()?).unwrap_or(u64::MAX);
        if self.size_bytes > covered {
            return defect(Defect::Size { size_bytes: self.size_bytes, covered_bytes: covered });
        }
        Ok(())
    }

    /// Reads the names of the backing file and of the data file.
    fn read_names(&mut self, file: &dyn Disk, bytes: &[u8]) -> Result<()> {
        let has_data_file =
            self.version == 3 && field::be_u64(bytes, 72)? & INCOMPATIBLE_DATA_FILE != 0;
        let mut format = None;
        let mut data_file = None;
        let mut at = V2_BYTES;
        if self.version == 3 {
            at = field::be_u32(bytes, 100)?.into();
            if at < V3_BYTES_MIN || arith::rem(at, 8)? != 0 || at > self.cluster_bytes() {
                return Err(corrupt(Defect::HeaderLength { bytes: at }));
            }
        }
        for _ in 0..EXTENSIONS_MAX {
            let mut head = [0; 8];
            if !read_in_first_cluster(file, self.cluster_bytes(), at, &mut head)? {
                break;
            }
            let (kind, len) = (field::be_u32(&head, 0)?, u64::from(field::be_u32(&head, 4)?));
            at = arith::add(at, 8)?;
            match kind {
                EXTENSION_END => break,
                EXTENSION_BACKING_FORMAT => format = Some(self.read_name(file, at, len)?),
                EXTENSION_BITMAPS if len == BITMAPS_BYTES => {
                    let mut directory = [0; 24];
                    if read_in_first_cluster(file, self.cluster_bytes(), at, &mut directory)? {
                        self.bitmaps = Some(Directory::parse(&directory)?);
                    }
                }
                EXTENSION_DATA_FILE => data_file = Some(self.read_name(file, at, len)?),
                _ => {}
            }
            at = arith::add(at, arith::round_up(len, 8)?)?;
        }
        let (offset, len) = (field::be_u64(bytes, 8)?, field::be_u32(bytes, 16)?);
        if offset != 0 {
            let name = self.read_name(file, offset, len.into())?;
            self.backing = Some(Backing { name, format });
        }
        if has_data_file {
            self.data_file = Some(data_file.ok_or_else(|| corrupt(Defect::NoDataFileName))?);
        }
        Ok(())
    }

    fn read_name(&self, file: &dyn Disk, offset: u64, len: u64) -> Result<String> {
        if len > NAME_BYTES_MAX {
            return Err(Error::limit("length of a file name in bytes", NAME_BYTES_MAX, len));
        }
        let mut name = vec![0; arith::to(len)?];
        if !read_in_first_cluster(file, self.cluster_bytes(), offset, &mut name)? {
            return Err(corrupt(Defect::NamePlace { offset, bytes: len }));
        }
        String::from_utf8(name).map_err(|error| {
            let name = escape(error.as_bytes());
            Error::unsupported(format!("the file name {name}, which is not UTF-8"))
        })
    }
}

/// Refuses what makes the data unreadable, by its name.
fn check_readable(bytes: &[u8], version: u32) -> Result<()> {
    // The reader of the tables does not look at this field, and would give cipher text as data.
    let encryption = match field::be_u32(bytes, 32)? {
        0 => None,
        1 => Some("AES encryption".to_owned()),
        2 => Some("LUKS encryption".to_owned()),
        other => Some(format!("unknown encryption {other}")),
    };
    if let Some(what) = encryption {
        return Err(Error::unsupported(format!("a qcow2 image with {what}")));
    }
    if version < 3 {
        return Ok(());
    }
    let incompatible = field::be_u64(bytes, 72)?;
    let known = INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT | INCOMPATIBLE_DATA_FILE;
    let what = if incompatible & INCOMPATIBLE_EXTENDED_L2 != 0 {
        "extended L2 entries".to_owned()
    } else if incompatible & INCOMPATIBLE_COMPRESSION != 0 {
        match field::u8_at(bytes, 104)? {
            1 => "zstd compression".to_owned(),
            other => format!("compression type {other}"),
        }
    } else if incompatible & !known != 0 {
        format!("unknown incompatible features {:#x}", incompatible & !known)
    } else {
        return Ok(());
    };
    Err(Error::unsupported(format!("a qcow2 image with {what}")))
}

/// Fills `buffer` from `offset` of the first cluster, which may be cut off by the end of the file. False if the range
/// does not lie in it.
fn read_in_first_cluster(
    file: &dyn Disk,
    cluster_bytes: u64,
    offset: u64,
    buffer: &mut [u8],
) -> Result<bool> {
    let end = arith::add(offset, len_u64(buffer.len()))?;
    if end > cluster_bytes.min(file.len_bytes()) {
        return Ok(false);
    }
    file.read_at(offset, buffer)?;
    Ok(true)
}

fn corrupt(defect: Defect) -> Error {
    Corrupt::new("qcow2 header", defect).at(0).into()
}
