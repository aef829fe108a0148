//! Clusters: who has them, and `$Bitmap`.

use super::attribute::{DATA, Run};
use super::bytes::set_bits;
use super::file::File;
use super::volume::Volume;

/// Clusters of one stream.
#[derive(Debug, Clone)]
pub(super) struct Owned {
    pub(super) lcn: u64,
    pub(super) count: u64,
    /// Which cluster of the stream is the first.
    pub(super) vcn: u64,
    pub(super) record: u64,
    pub(super) kind: u32,
    /// All of that in words.
    pub(super) owner: String,
}

/// Every run of every stream, sorted.
pub(super) fn owned(files: &[File]) -> Vec<Owned> {
    let mut all = Vec::new();
    for file in files {
        for stream in &file.streams {
            let runs = stream.runs();
            if runs.is_empty() {
                continue;
            }
            let owner = format!("record {}, {}", file.number, stream.shown());
            let mut vcn = 0;
            for Run { lcn, count } in runs {
                if let Some(lcn) = lcn {
                    let (lcn, count, owner) = (*lcn, *count, owner.clone());
                    let (record, kind) = (file.number, stream.kind);
                    all.push(Owned { lcn, count, vcn, record, kind, owner });
                }
                vcn += count;
            }
        }
    }
    all.sort_by_key(|owned| (owned.lcn, owned.count));
    all
}

/// Compares the runs with one another and with `$Bitmap`.
pub(super) fn check(files: &[File], volume: &Volume<'_>, findings: &mut Vec<String>) {
    let owned = owned(files);
    let mut end = (0, "");
    for run in &owned {
        if run.lcn < end.0 {
            findings.push(format!("cluster {}: {} and {}", run.lcn, end.1, run.owner));
        }
        if run.lcn + run.count > end.0 {
            end = (run.lcn + run.count, &run.owner);
        }
    }
    let count = volume.geometry.cluster_count as usize;
    let bitmap = files.iter().find(|file| file.number == 6);
    let Some(bitmap) = bitmap.and_then(|file| file.stream(DATA, "")) else {
        return findings.push("$Bitmap: no content".to_owned());
    };
    let bitmap = match bitmap.read(volume) {
        Ok(bitmap) => bitmap,
        Err(error) => return findings.push(format!("$Bitmap: {error}")),
    };
    if bitmap.len() < count.div_ceil(8) || bitmap.len() % 8 != 0 {
        findings.push(format!("$Bitmap: {} bytes for {count} clusters", bitmap.len()));
        return;
    }
    let mut expected = vec![0u8; bitmap.len()];
    for run in &owned {
        set_bits(&mut expected, run.lcn as usize, run.count as usize);
    }
    set_bits(&mut expected, count, bitmap.len() * 8 - count);
    if expected == bitmap {
        return;
    }
    let differing = (0..bitmap.len()).filter(|at| expected[*at] != bitmap[*at]);
    for at in differing.take(20) {
        for index in 0..8 {
            let (wanted, found) = (expected[at] >> index & 1, bitmap[at] >> index & 1);
            let cluster = at * 8 + index;
            if wanted > found {
                findings.push(format!("$Bitmap: cluster {cluster} is in use, but free"));
            } else if wanted < found {
                findings.push(format!("$Bitmap: cluster {cluster} is nobody's, but taken"));
            }
        }
    }
}
