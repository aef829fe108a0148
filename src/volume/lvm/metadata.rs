//! The metadata of a volume group, as its text says it: types checked, nothing decided yet.
//!
//! Sources: Red Hat, "Logical Volume Manager Administration", appendix "LVM Volume Group Metadata", sections
//! "Metadata Contents" and "Sample Metadata"; texts of lvm 2.03.
//!
//! | section           | keys that are needed                                                     |
//! |-------------------|--------------------------------------------------------------------------|
//! | (file)            | `contents` = "Text Format Volume Group", `version` = 1                   |
//! | GROUP             | `id`, `seqno`, `status`, `extent_size` in sectors, `lock_type` if shared |
//! | physical_volumes  | per volume: `id`, `status`, `pe_start` in sectors, `pe_count`            |
//! | logical_volumes   | per volume: `id`, `status`, `segment_count`, segment1, segment2, ...     |
//! | segmentN          | `start_extent`, `extent_count`, `type`, and for "striped": `stripe_count`, `stripe_size` in sectors, `stripes` = name and first extent of each |

use super::defect::Defect;
use super::segment_metadata::{SegmentMetadata, segment};
use super::text::{Section, Value};
use super::uuid::LvmUuid;
use crate::bytes::arith::len_u64;
use crate::bytes::text::escape;
use std::collections::{BTreeMap, BTreeSet};

/// The metadata of one volume group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) name: Vec<u8>,
    pub(super) uuid: LvmUuid,
    /// Counts the changes of the group.
    pub(super) seqno: u64,
    pub(super) status: Vec<Vec<u8>>,
    /// Who locks the group where hosts share it, as in "sanlock".
    pub(super) lock_type: Option<Vec<u8>>,
    pub(super) extent_sectors: u64,
    pub(super) physical: Vec<PhysicalMetadata>,
    pub(super) logical: Vec<LogicalMetadata>,
}

/// What a group says about one of its physical volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PhysicalMetadata {
    /// Its name in the text, as in "pv0".
    pub(super) name: Vec<u8>,
    pub(super) uuid: LvmUuid,
    /// The group was changed while it was away.
    pub(super) is_missing: bool,
    pub(super) start_sectors: u64,
    pub(super) extent_count: u64,
}

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogicalMetadata {
    pub(super) name: Vec<u8>,
    pub(super) uuid: LvmUuid,
    pub(super) status: Vec<Vec<u8>>,
    pub(super) segments: Vec<SegmentMetadata>,
}

impl Metadata {
    /// Takes what `file` says.
    ///
    /// # Errors
    /// [`Defect`].
    pub(super) fn new(file: &Section) -> Result<Self, Defect> {
        let top = View { name: "metadata", section: file };
        if top.text("contents")? != b"Text Format Volume Group" || top.number("version")? != 1 {
            return Err(top.missing("contents", "text format of version 1"));
        }
        let [(name, group)] = file.sections.as_slice() else {
            return Err(Defect::GroupCount(file.sections.len()));
        };
        let shown = escape(name);
        let view = View { name: &shown, section: group };
        let physical = inner(group, "physical_volumes").map(physical);
        let logical = inner(group, "logical_volumes").map(logical);
        let metadata = Self {
            name: name.clone(),
            uuid: view.uuid()?,
            seqno: view.number("seqno")?,
            status: view.texts("status")?,
            lock_type: view.text("lock_type").ok().map(<[u8]>::to_vec),
            extent_sectors: view.number("extent_size")?,
            physical: physical.collect::<Result<_, _>>()?,
            logical: logical.collect::<Result<_, _>>()?,
        };
        let volumes = metadata.physical.iter().map(|volume| (&volume.name, volume.uuid));
        unique(volumes)?;
        unique(metadata.logical.iter().map(|volume| (&volume.name, volume.uuid)))?;
        Ok(metadata)
    }
}

/// The sections inside the section `key` of `section`.
fn inner<'a>(section: &'a Section, key: &str) -> std::slice::Iter<'a, (Vec<u8>, Section)> {
    section.section(key).map(|inner| inner.sections.as_slice()).unwrap_or_default().iter()
}

fn unique<'a>(volumes: impl Iterator<Item = (&'a Vec<u8>, LvmUuid)>) -> Result<(), Defect> {
    let (mut names, mut uuids) = (BTreeSet::new(), BTreeSet::new());
    for (name, uuid) in volumes {
        if !names.insert(name) {
            return Err(Defect::Twice { what: escape(name) });
        }
        if !uuids.insert(uuid) {
            return Err(Defect::Twice { what: uuid.to_string() });
        }
    }
    Ok(())
}

fn physical((name, section): &(Vec<u8>, Section)) -> Result<PhysicalMetadata, Defect> {
    let shown = escape(name);
    let view = View { name: &shown, section };
    Ok(PhysicalMetadata {
        name: name.clone(),
        uuid: view.uuid()?,
        is_missing: has(&view.texts("status")?, b"MISSING"),
        start_sectors: view.number("pe_start")?,
        extent_count: view.number("pe_count")?,
    })
}

/// True if `status` has `flag`.
pub(super) fn has(status: &[Vec<u8>], flag: &[u8]) -> bool {
    status.iter().any(|other| other == flag)
}

fn logical((name, section): &(Vec<u8>, Section)) -> Result<LogicalMetadata, Defect> {
    let shown = escape(name);
    let view = View { name: &shown, section };
    let count = view.number("segment_count")?;
    // The count is checked against what is there, so it bounds nothing.
    if count != len_u64(section.sections.len()) {
        return Err(view.missing("segment_count", "number of its segments"));
    }
    let by_name: BTreeMap<&[u8], &Section> =
        section.sections.iter().map(|(name, part)| (name.as_slice(), part)).collect();
    let segments = (1..=count).map(|number| {
        let part = by_name.get(format!("segment{number}").as_bytes());
        let section = part.ok_or_else(|| view.missing("segmentN", "section"))?;
        segment(&View { name: &shown, section })
    });
    Ok(LogicalMetadata {
        name: name.clone(),
        uuid: view.uuid()?,
        status: view.texts("status")?,
        segments: segments.collect::<Result<_, _>>()?,
    })
}

/// A section with the name that its defects carry.
pub(super) struct View<'a> {
    /// Escaped.
    pub(super) name: &'a str,
    pub(super) section: &'a Section,
}

impl<'a> View<'a> {
    pub(super) fn missing(&self, key: &'static str, wanted: &'static str) -> Defect {
        Defect::Value { section: self.name.to_owned(), key, wanted }
    }

    pub(super) fn text(&self, key: &'static str) -> Result<&'a [u8], Defect> {
        match self.section.value(key) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(self.missing(key, "string")),
        }
    }

    pub(super) fn number(&self, key: &'static str) -> Result<u64, Defect> {
        match self.section.value(key) {
            Some(Value::Number(number)) => {
                u64::try_from(*number).map_err(|_| self.missing(key, "number from 0"))
            }
            _ => Err(self.missing(key, "number")),
        }
    }

    fn texts(&self, key: &'static str) -> Result<Vec<Vec<u8>>, Defect> {
        let Some(Value::List(items)) = self.section.value(key) else {
            return Err(self.missing(key, "list"));
        };
        let texts = items.iter().map(|item| match item {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(self.missing(key, "list of strings")),
        });
        texts.collect()
    }

    fn uuid(&self) -> Result<LvmUuid, Defect> {
        LvmUuid::parse(self.text("id")?).ok_or_else(|| self.missing("id", "identifier"))
    }
}
