//! The MFT as a whole: found from its first record, and every record in it.

use super::attribute::{ATTRIBUTE_LIST, BITMAP, DATA, Place, Run};
use super::bytes::{bit, slice};
use super::file::{self, File, Stream};
use super::record::{self, Record};
use super::volume::{Found, Volume};
use std::collections::BTreeMap;

/// All records in use.
#[derive(Debug)]
pub(super) struct Mft {
    pub(super) records: BTreeMap<u64, Record>,
    /// Records that a base record has besides itself.
    pub(super) extensions: BTreeMap<u64, Vec<u64>>,
    /// The content of the file.
    pub(super) bytes: Vec<u8>,
    pub(super) record_bytes: usize,
}

/// Reads `len` bytes of a stream; holes are zeros.
pub(super) fn read_runs(volume: &Volume<'_>, runs: &[Run], len: u64) -> Found<Vec<u8>> {
    let cluster = volume.geometry.cluster_bytes;
    // Nothing that is read as a whole is larger than the volume.
    if len > volume.bytes.len() as u64 {
        return Err(format!("a stream of {len} bytes"));
    }
    let mut bytes = Vec::with_capacity(len as usize);
    for run in runs {
        let left = len - bytes.len() as u64;
        let count = run.count.min(left.div_ceil(cluster));
        let take = left.min(count * cluster) as usize;
        match run.lcn {
            Some(lcn) => bytes.extend_from_slice(&volume.clusters(lcn, count)?[..take]),
            None => bytes.resize(bytes.len() + take, 0),
        }
    }
    if (bytes.len() as u64) < len {
        return Err(format!("{} bytes in runs, {len} in the header", bytes.len()));
    }
    Ok(bytes)
}

impl Mft {
    /// Reads every record.
    pub(super) fn read(volume: &Volume<'_>, findings: &mut Vec<String>) -> Found<Self> {
        let geometry = &volume.geometry;
        let record_bytes = geometry.record_bytes;
        let (runs, initialised) = find(volume).map_err(|error| format!("$MFT: {error}"))?;
        let bytes = read_runs(volume, &runs, initialised)?;
        if bytes.len() % record_bytes != 0 {
            findings.push(format!("$MFT: {} bytes", bytes.len()));
        }
        let mut records = BTreeMap::new();
        for (raw, number) in bytes.chunks_exact(record_bytes).zip(0u64..) {
            if !record::says_in_use(raw) {
                continue;
            }
            let parsed = Record::parse(raw, number, geometry.cluster_count, findings);
            match parsed {
                Ok(record) => drop(records.insert(number, record)),
                Err(error) => findings.push(format!("record {number}: {error}")),
            }
        }
        let mut extensions: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for record in records.values() {
            if let Some(base) = record.base {
                let is_right = records
                    .get(&base.record)
                    .is_some_and(|found| found.base.is_none() && found.reference() == base);
                if is_right {
                    extensions.entry(base.record).or_default().push(record.number);
                } else {
                    findings.push(format!("record {}: no base record {base}", record.number));
                }
            }
        }
        Ok(Self { records, extensions, bytes, record_bytes })
    }

    /// Compares the records with the bitmap of the MFT, in both directions.
    pub(super) fn check_bitmap(&self, mft: &File, volume: &Volume<'_>, findings: &mut Vec<String>) {
        let Some(bitmap) = mft.stream(BITMAP, "") else {
            findings.push("$MFT: no bitmap".to_owned());
            return;
        };
        let bitmap = match bitmap.read(volume) {
            Ok(bitmap) => bitmap,
            Err(error) => return findings.push(format!("$MFT: bitmap: {error}")),
        };
        let count = mft.stream(DATA, "").map_or(0, Stream::data_bytes) as usize / self.record_bytes;
        if bitmap.len() * 8 < count || bitmap.len() % 8 != 0 {
            findings.push(format!("$MFT: a bitmap of {} bytes, {count} records", bitmap.len()));
        }
        for number in 0..count {
            let raw = slice(&self.bytes, number * self.record_bytes, self.record_bytes);
            let raw = raw.unwrap_or(&[]);
            if !bit(&bitmap, number) {
                if let Err(error) = record::check_unused(raw, number as u64) {
                    findings.push(format!("record {number}: {error}"));
                }
            } else if !record::says_in_use(raw) {
                findings.push(format!("record {number}: not in use, but taken in the bitmap"));
            }
        }
        let behind = (count..bitmap.len() * 8).filter(|number| bit(&bitmap, *number));
        findings.extend(behind.map(|number| format!("$MFT: bit {number} is behind its end")));
    }

    /// Compares the mirror with the first records.
    pub(super) fn check_mirror(&self, files: &[File], volume: &Volume<'_>) -> Found<()> {
        let geometry = &volume.geometry;
        let data = files.iter().find(|file| file.number == 1);
        let data = data.and_then(|file| file.stream(DATA, "")).ok_or("$MFTMirr: no content")?;
        if data.runs().first().and_then(|run| run.lcn) != Some(geometry.mirror_lcn) {
            return Err("$MFTMirr: not where the boot sector says".to_owned());
        }
        let mirror = data.read(volume)?;
        let least = 4 * self.record_bytes;
        let len = mirror.len().min(least.max(geometry.cluster_bytes as usize));
        if len < least {
            return Err(format!("$MFTMirr: {} bytes", mirror.len()));
        }
        let pairs =
            mirror[..len].chunks(self.record_bytes).zip(self.bytes.chunks(self.record_bytes));
        let wrong = pairs.enumerate().take(4).find(|(_, (mirror, original))| mirror != original);
        wrong.map_or(Ok(()), |(number, _)| Err(format!("$MFTMirr: record {number} differs")))
    }
}

/// The runs of the MFT and its initialised size, with what its attribute list adds.
fn find(volume: &Volume<'_>) -> Found<(Vec<Run>, u64)> {
    let geometry = &volume.geometry;
    let record_bytes = geometry.record_bytes;
    let clusters = (record_bytes as u64).div_ceil(geometry.cluster_bytes);
    let raw = &volume.clusters(geometry.mft_lcn, clusters)?[..record_bytes];
    let mut later = Vec::new();
    let record = Record::parse(raw, 0, geometry.cluster_count, &mut later)?;
    let data = record.attributes.iter().find(|it| it.kind == DATA && it.name.is_empty());
    let Some(Place::Runs(data)) = data.map(|data| &data.place) else {
        return Err("no content".to_owned());
    };
    let mut runs = data.runs.clone();
    if runs.first().and_then(|run| run.lcn) != Some(geometry.mft_lcn) {
        return Err("not where the boot sector says".to_owned());
    }
    let list = record.attributes.iter().find(|it| it.kind == ATTRIBUTE_LIST);
    if let Some(list) = list {
        let list = match &list.place {
            Place::Resident { .. } => record.value(list).unwrap_or(&[]).to_vec(),
            Place::Runs(list) => read_runs(volume, &list.runs, list.data)?,
        };
        let entries = file::parse_list(&list)?;
        let more = entries.iter().filter(|it| it.kind == DATA && it.name.is_empty());
        for entry in more.filter(|entry| entry.lowest_vcn > 0) {
            let start = entry.reference.record * record_bytes as u64;
            let bytes = read_runs(volume, &runs, start + record_bytes as u64)?;
            let raw = &bytes[start as usize..];
            let number = entry.reference.record;
            let record = Record::parse(raw, number, geometry.cluster_count, &mut later)?;
            let part = record.attributes.iter().find(|it| it.id == entry.id);
            if let Some(Place::Runs(part)) = part.map(|part| &part.place) {
                runs.extend_from_slice(&part.runs);
            }
        }
    }
    Ok((runs, data.initialised.min(data.data)))
}
