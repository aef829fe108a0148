//! Records of the MFT.
//!
//! Format: libyal, "New Technologies File System (NTFS)", section "MFT entry".

use super::attribute::{self, Attribute, Place};
use super::bytes::{slice, u16_at, u32_at, u64_at};
use super::volume::{Found, check_fix_up, fix_up};

pub(super) const IN_USE: u16 = 1;
pub(super) const IS_DIRECTORY: u16 = 2;

/// A reference: record and sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Reference {
    pub(super) record: u64,
    pub(super) sequence: u16,
}

impl Reference {
    pub(super) fn new(raw: u64) -> Self {
        Self { record: raw & 0xffff_ffff_ffff, sequence: (raw >> 48) as u16 }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.record, self.sequence)
    }
}

/// A record that is in use.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) sequence: u16,
    pub(super) links: u16,
    pub(super) flags: u16,
    /// None for a base record.
    pub(super) base: Option<Reference>,
    pub(super) bytes: Vec<u8>,
    pub(super) attributes: Vec<Attribute>,
}

impl Record {
    /// Reads record `number`. What is wrong but can be read all the same goes to `findings`.
    pub(super) fn parse(
        raw: &[u8],
        number: u64,
        cluster_count: u64,
        findings: &mut Vec<String>,
    ) -> Found<Self> {
        let bytes = fix_up(raw, *b"FILE")?;
        let half = |at: usize| u16_at(&bytes, at).unwrap_or(0);
        let word = |at: usize| u32_at(&bytes, at).unwrap_or(0);
        let mut note = |is_good: bool, what: String| {
            if !is_good {
                findings.push(format!("record {number}: {what}"));
            }
        };
        let (sequence, start, next_id) = (half(16), usize::from(half(20)), half(40));
        let (used, allocated) = (word(24) as usize, word(28) as usize);
        note(sequence != 0, "sequence number 0".to_owned());
        note(u64::from(word(44)) == number, format!("says that it is record {}", word(44)));
        note(allocated == bytes.len(), format!("says that it has {allocated} bytes"));
        if used > bytes.len() || used % 8 != 0 {
            return Err(format!("{used} bytes in use"));
        }
        let fix_ups_end = usize::from(half(4)) + 2 * usize::from(half(6));
        if start % 8 != 0 || start < fix_ups_end || start < 0x30 {
            return Err(format!("attributes at {start:#x}"));
        }
        let attributes = attribute::parse_all(&bytes, start, used, cluster_count)?;
        let mut ids: Vec<u16> = attributes.iter().map(|attribute| attribute.id).collect();
        ids.sort_unstable();
        note(ids.windows(2).all(|pair| pair[0] != pair[1]), format!("attribute ids {ids:?}"));
        let is_next = ids.last().is_none_or(|last| *last < next_id);
        note(is_next, format!("next attribute id {next_id}, used {ids:?}"));
        let base = u64_at(&bytes, 32).unwrap_or(0);
        let base = (base != 0).then(|| Reference::new(base));
        let (links, flags) = (half(18), half(22));
        Ok(Self { number, sequence, links, flags, base, bytes, attributes })
    }

    /// The value of a resident attribute.
    pub(super) fn value(&self, attribute: &Attribute) -> Option<&[u8]> {
        match &attribute.place {
            Place::Resident { value, .. } => self.bytes.get(value.clone()),
            Place::Runs(_) => None,
        }
    }

    pub(super) fn reference(&self) -> Reference {
        Reference { record: self.number, sequence: self.sequence }
    }
}

/// What a record that is not in use says wrong, if anything.
pub(super) fn check_unused(raw: &[u8], number: u64) -> Found<()> {
    if raw.iter().take(48).all(|byte| *byte == 0) {
        return Ok(());
    }
    check_fix_up(raw, *b"FILE")?;
    if u16_at(raw, 22).unwrap_or(0) & IN_USE != 0 {
        return Err("in use, but free in the bitmap".to_owned());
    }
    // mkntfs leaves 0 in those that nobody has used yet.
    let said = u32_at(raw, 44).unwrap_or(0);
    if said != 0 && u64::from(said) != number {
        return Err(format!("says that it is record {said}"));
    }
    Ok(())
}

/// True if the record says that it is in use, without its fix-ups looked at.
pub(super) fn says_in_use(raw: &[u8]) -> bool {
    slice(raw, 0, 4) == Some(b"FILE") && u16_at(raw, 22).unwrap_or(0) & IN_USE != 0
}
