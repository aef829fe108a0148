//! Run lists: where the clusters of a non-resident attribute lie.
//!
//! Source: linux-ntfs documentation, "Data Runs". A list of runs, each a byte whose low half is the size of the
//! length and whose high half is the size of the offset, then the length in clusters, then the signed distance
//! of the first cluster from that of the run before; all little-endian, as short as possible. No offset means a
//! sparse run. A zero byte ends the list.

use super::units::{Lcn, Vcn};
use crate::bytes::arith::{self, OutOfRange};
use crate::bytes::field::{self, Short};

/// What can be wrong with a run list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RunDefect {
    /// The list is cut off.
    #[error("run list is cut off: {0}")]
    Short(#[from] Short),
    /// A number left its type.
    #[error("run list: {0}")]
    OutOfRange(#[from] OutOfRange),
    /// A size byte that no run has.
    #[error("run has size byte {0:#x}")]
    SizeByte(u8),
    /// A run without clusters, or with a negative number of them.
    #[error("run of {0} clusters")]
    Length(i64),
    /// A run that starts in front of the volume.
    #[error("run starts at cluster {0}")]
    NegativeLcn(i64),
    /// A run that ends behind the volume.
    #[error(
        "run of {clusters} clusters at cluster {lcn} ends behind the volume of {volume_clusters}"
    )]
    OutsideVolume {
        /// First cluster.
        lcn: u64,
        /// Length in clusters.
        clusters: u64,
        /// Size of the volume in clusters.
        volume_clusters: u64,
    },
    /// The runs are longer or shorter than the attribute says.
    #[error("runs cover {actual} clusters, not {expected}")]
    Coverage {
        /// From the first and last VCN of the attribute.
        expected: u64,
        /// Sum of the runs.
        actual: u64,
    },
    /// A part of an attribute does not start where the part before ends.
    #[error("runs continue at VCN {actual}, not {expected}")]
    Gap {
        /// End of the runs so far.
        expected: u64,
        /// Start of the next part.
        actual: u64,
    },
}

/// Neighbouring clusters of an attribute, or a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// First cluster inside the attribute.
    pub(crate) vcn: Vcn,
    /// First cluster on the volume; `None` for a sparse run.
    pub(crate) lcn: Option<Lcn>,
    /// Length in clusters; at least 1.
    pub(crate) clusters: u64,
}

/// The runs of an attribute or of a part of it, without gaps, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunList {
    first: Vcn,
    runs: Vec<Run>,
}

impl RunList {
    /// A list without runs for clusters from `first`.
    pub(crate) fn new(first: Vcn) -> Self {
        Self { first, runs: Vec::new() }
    }

    /// Decodes the list at the start of `bytes`, for an attribute whose first cluster is `first`.
    ///
    /// Every number is checked but the place inside the volume, see [`RunList::check_inside`].
    ///
    /// # Errors
    /// [`RunDefect`].
    pub(crate) fn decode(bytes: &[u8], first: Vcn) -> Result<Self, RunDefect> {
        let mut list = Self::new(first);
        let mut lcn = 0i64;
        let mut at = 0usize;
        // Each turn takes at least two bytes.
        loop {
            let sizes = field::u8_at(bytes, at)?;
            if sizes == 0 {
                return Ok(list);
            }
            let (length_bytes, offset_bytes) = (usize::from(sizes & 0xf), usize::from(sizes >> 4));
            if !(1..=8).contains(&length_bytes) || offset_bytes > 8 {
                return Err(RunDefect::SizeByte(sizes));
            }
            let length_at = at.saturating_add(1);
            let offset_at = length_at.saturating_add(length_bytes);
            let length = signed(field::slice(bytes, length_at, length_bytes)?);
            let clusters = arith::to(length).map_err(|_| RunDefect::Length(length))?;
            if clusters == 0 {
                return Err(RunDefect::Length(0));
            }
            let mut start = None;
            if offset_bytes > 0 {
                let distance = signed(field::slice(bytes, offset_at, offset_bytes)?);
                lcn = lcn.checked_add(distance).ok_or(OutOfRange)?;
                start = Some(Lcn(arith::to(lcn).map_err(|_| RunDefect::NegativeLcn(lcn))?));
            }
            let vcn = list.end();
            arith::add(vcn.0, clusters)?;
            list.runs.push(Run { vcn, lcn: start, clusters });
            at = offset_at.saturating_add(offset_bytes);
        }
    }

    /// The list as an attribute stores it, with the zero byte at its end.
    ///
    /// # Errors
    /// [`RunDefect::OutOfRange`] if a cluster number is above 2^63.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, RunDefect> {
        let mut bytes = Vec::new();
        let mut before = 0i64;
        for run in &self.runs {
            let length = shortest(arith::to(run.clusters)?);
            let mut offset = Vec::new();
            if let Some(lcn) = run.lcn {
                let lcn: i64 = arith::to(lcn.0)?;
                offset = shortest(lcn.checked_sub(before).ok_or(OutOfRange)?);
                before = lcn;
            }
            let sizes =
                (arith::to::<_, u8>(offset.len())? << 4) | arith::to::<_, u8>(length.len())?;
            bytes.push(sizes);
            bytes.extend_from_slice(&length);
            bytes.extend_from_slice(&offset);
        }
        bytes.push(0);
        Ok(bytes)
    }

    /// First cluster.
    pub(crate) fn first(&self) -> Vcn {
        self.first
    }

    /// The cluster behind the last one.
    pub(crate) fn end(&self) -> Vcn {
        // Every run was checked when it was added.
        self.runs.last().map_or(self.first, |run| Vcn(run.vcn.0.saturating_add(run.clusters)))
    }

    /// Number of clusters, holes included.
    pub(crate) fn clusters(&self) -> u64 {
        self.end().0.saturating_sub(self.first.0)
    }

    /// The runs, ascending.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// True if a run has no place on the volume.
    pub(crate) fn has_holes(&self) -> bool {
        self.runs.iter().any(|run| run.lcn.is_none())
    }

    /// Checks that the runs cover exactly the clusters up to and with `last`. An attribute without clusters has
    /// -1 there.
    ///
    /// # Errors
    /// [`RunDefect::Coverage`].
    pub(crate) fn check_coverage(&self, last: Vcn) -> Result<(), RunDefect> {
        let expected = last.0.wrapping_add(1).wrapping_sub(self.first.0);
        let actual = self.clusters();
        if expected == actual { Ok(()) } else { Err(RunDefect::Coverage { expected, actual }) }
    }

    /// Checks that every run lies inside a volume of `volume_clusters`.
    ///
    /// # Errors
    /// [`RunDefect::OutsideVolume`].
    pub(crate) fn check_inside(&self, volume_clusters: u64) -> Result<(), RunDefect> {
        for run in &self.runs {
            let Some(Lcn(lcn)) = run.lcn else { continue };
            let clusters = run.clusters;
            if lcn.checked_add(clusters).is_none_or(|end| end > volume_clusters) {
                return Err(RunDefect::OutsideVolume { lcn, clusters, volume_clusters });
            }
        }
        Ok(())
    }

    /// The run that holds `vcn`, cut so that it starts there.
    pub(crate) fn find(&self, vcn: Vcn) -> Option<Run> {
        let index = self.runs.partition_point(|run| run.vcn <= vcn).checked_sub(1)?;
        let run = self.runs.get(index)?;
        let skipped = vcn.0.checked_sub(run.vcn.0)?;
        let clusters = run.clusters.checked_sub(skipped).filter(|&left| left > 0)?;
        let lcn = match run.lcn {
            Some(lcn) => Some(Lcn(lcn.0.checked_add(skipped)?)),
            None => None,
        };
        Some(Run { vcn, lcn, clusters })
    }

    /// Adds clusters at the end; joined with the last run where they continue it.
    ///
    /// # Errors
    /// [`RunDefect`] for no clusters or numbers out of range.
    pub(crate) fn push(&mut self, lcn: Option<Lcn>, clusters: u64) -> Result<(), RunDefect> {
        if clusters == 0 {
            return Err(RunDefect::Length(0));
        }
        let vcn = self.end();
        arith::add(vcn.0, clusters)?;
        if let Some(last) = self.runs.last_mut() {
            let continues = match (last.lcn, lcn) {
                (Some(last_lcn), Some(lcn)) => arith::add(last_lcn.0, last.clusters)? == lcn.0,
                (None, None) => true,
                _ => false,
            };
            if continues {
                last.clusters = arith::add(last.clusters, clusters)?;
                return Ok(());
            }
        }
        self.runs.push(Run { vcn, lcn, clusters });
        Ok(())
    }

    /// Adds the next part of the same attribute, as another record holds it.
    ///
    /// # Errors
    /// [`RunDefect::Gap`] if it does not start where this list ends.
    pub(crate) fn join(&mut self, next: &Self) -> Result<(), RunDefect> {
        if next.first != self.end() {
            return Err(RunDefect::Gap { expected: self.end().0, actual: next.first.0 });
        }
        for run in &next.runs {
            self.push(run.lcn, run.clusters)?;
        }
        Ok(())
    }

    /// The part from `first` to `end`, cut to what the list has.
    ///
    /// # Errors
    /// [`RunDefect::OutOfRange`] if a number leaves its type.
    pub(crate) fn part(&self, first: Vcn, end: Vcn) -> Result<Self, RunDefect> {
        let mut part = Self::new(first);
        for run in &self.runs {
            let start = run.vcn.0.max(first.0);
            let run_end = arith::add(run.vcn.0, run.clusters)?.min(end.0);
            if start < run_end {
                let skipped = arith::sub(start, run.vcn.0)?;
                let lcn = match run.lcn {
                    Some(lcn) => Some(Lcn(arith::add(lcn.0, skipped)?)),
                    None => None,
                };
                part.runs.push(Run { vcn: Vcn(start), lcn, clusters: arith::sub(run_end, start)? });
            }
        }
        Ok(part)
    }

    /// Takes away everything from `end` on, and gives it back.
    pub(crate) fn truncate(&mut self, end: Vcn) -> Vec<Run> {
        let mut removed = Vec::new();
        // Ends with the list.
        while let Some(last) = self.runs.pop() {
            if last.vcn >= end {
                removed.push(last);
                continue;
            }
            let kept = end.0.saturating_sub(last.vcn.0).min(last.clusters);
            let cut = last.clusters.saturating_sub(kept);
            self.runs.push(Run { clusters: kept, ..last });
            if cut > 0 {
                let lcn = last.lcn.map(|lcn| Lcn(lcn.0.saturating_add(kept)));
                removed.push(Run { vcn: end, lcn, clusters: cut });
            }
            break;
        }
        removed.reverse();
        removed
    }
}

/// A little-endian number of up to 8 bytes, with its sign.
fn signed(bytes: &[u8]) -> i64 {
    let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [fill; 8];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    i64::from_le_bytes(wide)
}

/// The shortest little-endian form that keeps the sign; at least one byte.
fn shortest(value: i64) -> Vec<u8> {
    let wide = value.to_le_bytes();
    let mut len = wide.len();
    while len > 1 && wide.get(..len.saturating_sub(1)).is_some_and(|head| signed(head) == value) {
        len = len.saturating_sub(1);
    }
    wide.get(..len).map(<[u8]>::to_vec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(first: u64, runs: &[(Option<u64>, u64)]) -> RunList {
        let mut list = RunList::new(Vcn(first));
        for &(lcn, clusters) in runs {
            list.push(lcn.map(Lcn), clusters).unwrap();
        }
        list
    }

    /// The examples of the linux-ntfs documentation, "Data Runs".
    #[test]
    fn decodes_and_encodes_the_documented_examples() {
        let normal = "21 18 34 56 00";
        let unfragmented = "31 38 73 25 34 32 14 01 e5 11 02 31 42 aa 00 03 00";
        let sparse = "11 30 20 01 60 11 10 30 00";
        let scrambled = "11 30 60 21 10 00 01 11 20 e0 00";
        for (hex, expected) in [
            (normal, list(0, &[(Some(0x5634), 0x18)])),
            (
                unfragmented,
                list(
                    0,
                    &[(Some(0x34_2573), 0x38), (Some(0x36_3758), 0x114), (Some(0x39_3802), 0x42)],
                ),
            ),
            (sparse, list(0, &[(Some(0x20), 0x30), (None, 0x60), (Some(0x50), 0x10)])),
            (scrambled, list(0, &[(Some(0x60), 0x30), (Some(0x160), 0x10), (Some(0x140), 0x20)])),
            ("00", list(0, &[])),
        ] {
            let bytes: Vec<u8> =
                hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
            assert_eq!(RunList::decode(&bytes, Vcn(0)).unwrap(), expected, "{hex}");
            assert_eq!(expected.encode().unwrap(), bytes, "{hex}");
        }
    }

    #[test]
    fn hostile_lists_name_their_defect() {
        let short = |needed, available| RunDefect::Short(Short { needed, available });
        for (bytes, defect) in [
            (&[][..], short(1, 0)),
            (&[0x11, 1, 1], short(4, 3)),
            (&[0x11, 1], short(3, 2)),
            (&[0x10, 1], RunDefect::SizeByte(0x10)),
            (&[0x19, 1], RunDefect::SizeByte(0x19)),
            (&[0x91, 1], RunDefect::SizeByte(0x91)),
            (&[0x11, 0, 5, 0], RunDefect::Length(0)),
            (&[0x11, 0x80, 5, 0], RunDefect::Length(-128)),
            (&[0x11, 1, 0x80, 0], RunDefect::NegativeLcn(-128)),
            (&[0x11, 1, 5, 0x11, 1, 0xfa, 0], RunDefect::NegativeLcn(-1)),
            (
                &[0x81, 1, 255, 255, 255, 255, 255, 255, 255, 0x7f, 0x11, 1, 1, 0],
                RunDefect::OutOfRange(OutOfRange),
            ),
        ] {
            assert_eq!(RunList::decode(bytes, Vcn(0)), Err(defect), "{bytes:x?}");
        }
        // VCNs may not wrap either.
        let long = [0x18, 255, 255, 255, 255, 255, 255, 255, 0x7f, 1];
        let twice: Vec<u8> = [&long[..], &long[..], &long[..], &[0]].concat();
        let wrapped = RunList::decode(&twice, Vcn(0));
        assert_eq!(wrapped, Err(RunDefect::OutOfRange(OutOfRange)));
    }

    #[test]
    fn coverage_and_place_are_checked() {
        let runs = list(4, &[(Some(10), 5), (None, 3)]);
        assert_eq!(runs.check_coverage(Vcn(11)), Ok(()));
        let coverage = RunDefect::Coverage { expected: 9, actual: 8 };
        assert_eq!(runs.check_coverage(Vcn(12)), Err(coverage));
        assert_eq!(list(0, &[]).check_coverage(Vcn(u64::MAX)), Ok(()));
        assert_eq!(runs.check_inside(15), Ok(()));
        let outside = RunDefect::OutsideVolume { lcn: 10, clusters: 5, volume_clusters: 14 };
        assert_eq!(runs.check_inside(14), Err(outside));
    }

    #[test]
    fn runs_are_found_joined_and_cut() {
        let mut runs = list(2, &[(Some(10), 5), (Some(15), 1), (None, 3), (Some(4), 2)]);
        assert_eq!(runs.runs().len(), 3);
        for (vcn, expected) in [
            (1, None),
            (2, Some((Some(10), 6))),
            (6, Some((Some(14), 2))),
            (9, Some((None, 2))),
            (12, Some((Some(5), 1))),
            (13, None),
        ] {
            let found = runs.find(Vcn(vcn)).map(|run| (run.lcn.map(|lcn| lcn.0), run.clusters));
            assert_eq!(found, expected, "VCN {vcn}");
        }
        assert_eq!(
            runs.join(&list(14, &[(Some(6), 1)])),
            Err(RunDefect::Gap { expected: 13, actual: 14 })
        );
        runs.join(&list(13, &[(Some(6), 1)])).unwrap();
        assert_eq!(runs.runs().len(), 3);
        let part = runs.part(Vcn(5), Vcn(12)).unwrap();
        assert_eq!(part, list(5, &[(Some(13), 3), (None, 3), (Some(4), 1)]));
        assert_eq!(runs.part(Vcn(0), Vcn(99)).unwrap().runs(), runs.runs());
        let cut = runs.truncate(Vcn(5));
        assert_eq!(runs, list(2, &[(Some(10), 3)]));
        let cut: Vec<_> = cut.iter().map(|run| (run.vcn.0, run.clusters)).collect();
        assert_eq!(cut, [(5, 3), (8, 3), (11, 3)]);
        assert_eq!(runs.truncate(Vcn(9)), []);
    }

    proptest! {
        #[test]
        fn encoding_is_undone_by_decoding(
            first in 0u64..1 << 40,
            runs in prop::collection::vec((prop::option::of(0u64..1 << 50), 1u64..1 << 40), 0..20),
        ) {
            let list = list(first, &runs);
            let bytes = list.encode().unwrap();
            prop_assert_eq!(RunList::decode(&bytes, Vcn(first)).unwrap(), list);
        }

        #[test]
        fn any_bytes_are_a_list_or_a_defect(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(list) = RunList::decode(&bytes, Vcn(0)) {
                let again = RunList::decode(&list.encode().unwrap(), Vcn(0)).unwrap();
                prop_assert_eq!(again.clusters(), list.clusters());
            }
        }
    }
}
