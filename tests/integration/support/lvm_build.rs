//! Writes physical volumes of LVM2 as an ordinary user: labels, metadata, and the place of every byte of a logical
//! volume. `pvck` judges what is written here (see `lvm`); nothing of the product is used.

use std::fmt::Write as _;

/// Where the extents start on every physical volume, in bytes.
pub(crate) const DATA_START_BYTES: u64 = 1 << 20;

/// Where the metadata area starts and ends.
const AREA_START: usize = 4096;

/// A volume group.
#[derive(Debug, Clone)]
pub(crate) struct GroupSpec {
    pub(crate) name: &'static str,
    pub(crate) extent_bytes: u64,
    /// Extents of each physical volume.
    pub(crate) physical: Vec<u64>,
    pub(crate) logical: Vec<LogicalSpec>,
    /// Lines for the section of the group.
    pub(crate) more: String,
    pub(crate) seqno: u64,
    pub(crate) status: &'static str,
    /// Where the text starts in the metadata area.
    pub(crate) text_offset: usize,
}

/// A logical volume.
#[derive(Debug, Clone)]
pub(crate) struct LogicalSpec {
    pub(crate) name: &'static str,
    pub(crate) status: &'static str,
    pub(crate) segments: Vec<SegmentSpec>,
}

/// A segment of it.
#[derive(Debug, Clone)]
pub(crate) enum SegmentSpec {
    /// Extents in lanes of so many bytes, each a physical volume and its first extent.
    Striped { extents: u64, stripe_bytes: u64, lanes: Vec<(usize, u64)> },
    /// Lines of the text.
    Raw { extents: u64, lines: String },
}

/// Bytes that stand together: offset in the logical volume, physical volume, offset there, length.
pub(crate) type Run = (u64, usize, u64, u64);

impl GroupSpec {
    pub(crate) fn new(extent_bytes: u64, physical: &[u64]) -> Self {
        Self {
            name: "group",
            extent_bytes,
            physical: physical.to_vec(),
            logical: Vec::new(),
            more: String::new(),
            seqno: 1,
            status: r#"["RESIZEABLE", "READ", "WRITE"]"#,
            text_offset: 512,
        }
    }

    /// Adds a logical volume.
    pub(crate) fn with(mut self, name: &'static str, segments: Vec<SegmentSpec>) -> Self {
        self.logical.push(LogicalSpec {
            name,
            status: r#"["READ", "WRITE", "VISIBLE"]"#,
            segments,
        });
        self
    }

    /// Size of a physical volume in bytes.
    pub(crate) fn physical_bytes(&self, index: usize) -> u64 {
        DATA_START_BYTES + self.physical[index] * self.extent_bytes
    }

    /// The metadata, as every physical volume has them.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} {{\nid = \"{}\"\n", self.name, dashed(&uuid('G', 0)));
        let (seqno, status, more) = (self.seqno, self.status, &self.more);
        let extent_sectors = self.extent_bytes / 512;
        let _ = write!(
            text,
            "seqno = {seqno}\nformat = \"lvm2\"\nstatus = {status}\nflags = []\nextent_size = \
             {extent_sectors}\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n{more}\nphysical_volumes {{\n"
        );
        for (index, extents) in self.physical.iter().enumerate() {
            let _ = write!(
                text,
                "\npv{index} {{\nid = \"{}\"\ndevice = \"unknown device\"\n\nstatus = [\"ALLOCATABLE\"]\n\
                 flags = []\ndev_size = {}\npe_start = {}\npe_count = {extents}\n}}\n",
                dashed(&uuid('P', index)),
                self.physical_bytes(index) / 512,
                DATA_START_BYTES / 512,
            );
        }
        text.push_str("}\n\nlogical_volumes {\n");
        for (index, volume) in self.logical.iter().enumerate() {
            volume.write(index, &mut text);
        }
        text.push_str("}\n\n}\n# Written for a test\n\ncontents = \"Text Format Volume Group\"\nversion = 1\n\n");
        text.push_str("description = \"with \\\"quotes\\\" and a \\\\\"\n\ncreation_host = \"test\"\t# a # comment {\n");
        text.push_str("creation_time = 1700000000\n\n");
        text
    }

    /// The first [`DATA_START_BYTES`] of a physical volume.
    pub(crate) fn head(&self, index: usize) -> Vec<u8> {
        self.head_with(index, &self.text())
    }

    /// The same with another text.
    pub(crate) fn head_with(&self, index: usize, text: &str) -> Vec<u8> {
        let mut head = vec![0; DATA_START_BYTES as usize];
        let area_bytes = head.len() - AREA_START;
        let label = &mut head[512..1024];
        label[..8].copy_from_slice(b"LABELONE");
        label[8] = 1;
        label[20] = 32;
        label[24..32].copy_from_slice(b"LVM2 001");
        label[32..64].copy_from_slice(uuid('P', index).as_bytes());
        label[64..72].copy_from_slice(&self.physical_bytes(index).to_le_bytes());
        label[72..80].copy_from_slice(&DATA_START_BYTES.to_le_bytes());
        label[104..112].copy_from_slice(&(AREA_START as u64).to_le_bytes());
        label[112..120].copy_from_slice(&(area_bytes as u64).to_le_bytes());
        label[136..140].copy_from_slice(&2_u32.to_le_bytes());
        label[140..144].copy_from_slice(&1_u32.to_le_bytes());
        seal(label, 16, 20);
        let mut text = text.as_bytes().to_vec();
        text.push(0);
        let area = &mut head[AREA_START..];
        for (number, byte) in text.iter().enumerate() {
            let ring = area_bytes - 512;
            area[512 + (self.text_offset - 512 + number) % ring] = *byte;
        }
        area[4..20].copy_from_slice(b" LVM2 x[5A%r0N*>");
        area[20..24].copy_from_slice(&1_u32.to_le_bytes());
        area[24..32].copy_from_slice(&(AREA_START as u64).to_le_bytes());
        area[32..40].copy_from_slice(&(area_bytes as u64).to_le_bytes());
        area[40..48].copy_from_slice(&(self.text_offset as u64).to_le_bytes());
        area[48..56].copy_from_slice(&(text.len() as u64).to_le_bytes());
        area[56..60].copy_from_slice(&crc(&text).to_le_bytes());
        seal(&mut area[..512], 0, 4);
        head
    }

    /// Where the bytes of a logical volume are; striped and linear segments only.
    pub(crate) fn runs(&self, volume: usize) -> Vec<Run> {
        let (mut runs, mut at) = (Vec::new(), 0);
        for segment in &self.logical[volume].segments {
            let SegmentSpec::Striped { extents, stripe_bytes, lanes } = segment else {
                panic!("only striped segments have runs");
            };
            let len = extents * self.extent_bytes;
            let stripe = if lanes.len() == 1 { len } else { *stripe_bytes };
            for chunk in 0..len / stripe {
                let (physical, first) = lanes[(chunk % lanes.len() as u64) as usize];
                let start = DATA_START_BYTES + first * self.extent_bytes;
                runs.push((at, physical, start + chunk / lanes.len() as u64 * stripe, stripe));
                at += stripe;
            }
        }
        runs
    }
}

impl LogicalSpec {
    fn write(&self, index: usize, text: &mut String) {
        let Self { name, status, segments } = self;
        let count = segments.len();
        let id = dashed(&uuid('L', index));
        let _ = write!(
            text,
            "\n{name} {{\nid = \"{id}\"\nstatus = {status}\nflags = []\nsegment_count = {count}\n"
        );
        let mut start = 0;
        for (index, segment) in segments.iter().enumerate() {
            let extents = match segment {
                SegmentSpec::Striped { extents, .. } | SegmentSpec::Raw { extents, .. } => extents,
            };
            let number = index + 1;
            let _ = write!(
                text,
                "\nsegment{number} {{\nstart_extent = {start}\nextent_count = {extents}\n\n"
            );
            match segment {
                SegmentSpec::Raw { lines, .. } => text.push_str(lines),
                SegmentSpec::Striped { stripe_bytes, lanes, .. } => {
                    let _ = writeln!(text, "type = \"striped\"\nstripe_count = {}", lanes.len());
                    if lanes.len() > 1 {
                        let _ = writeln!(text, "stripe_size = {}", stripe_bytes / 512);
                    }
                    let lanes = lanes.iter().map(|(pv, extent)| format!("\"pv{pv}\", {extent}"));
                    let lanes: Vec<_> = lanes.collect();
                    let _ = writeln!(text, "\nstripes = [\n{}\n]", lanes.join(",\n"));
                }
            }
            text.push_str("}\n");
            start += extents;
        }
        text.push_str("}\n");
    }
}

/// Linear extents.
pub(crate) fn linear(physical: usize, first: u64, extents: u64) -> SegmentSpec {
    SegmentSpec::Striped { extents, stripe_bytes: 0, lanes: vec![(physical, first)] }
}

/// An identifier of 32 characters.
pub(crate) fn uuid(kind: char, index: usize) -> String {
    format!("{kind}{index:031}")
}

/// As people and metadata write it.
pub(crate) fn dashed(uuid: &str) -> String {
    let cuts = [0..6, 6..10, 10..14, 14..18, 18..22, 22..26, 26..32];
    cuts.map(|cut| &uuid[cut]).join("-")
}

/// CRC-32 from 0xf597a6cf without inversion, bit by bit.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

/// Puts the checksum of the bytes from `from` at `at`.
pub(crate) fn seal(bytes: &mut [u8], at: usize, from: usize) {
    let checksum = crc(&bytes[from..]);
    bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
}
