//! A block of attributes ("leaf").
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Extended Attributes", section "Leaf
//! Attributes". Big-endian. The header of [`DaHeader`] comes first; the offsets below count from
//! its end. Entries follow, sorted by hash; names and values grow from the end of the block.
//!
//! | offset | size | spec       | ours      | valid when                                         |
//! |-------:|-----:|------------|-----------|----------------------------------------------------|
//! |    0x0 |    2 | count      | -         | entries lie before `firstused`                     |
//! |    0x2 |    2 | usedbytes  | (checked) | sum of the lengths of names and values             |
//! |    0x4 |    2 | firstused  | (checked) | nothing starts before it; 0 means 65536            |
//! |    0x6 |    1 | holes      | -         | any                                                |
//! |    0x8 |   12 | freemap    | -         | any                                                |
//! |   0x14 |    4 | pad2       | -         | version 5 only                                     |
//! |   then |   8n | entries    |           |                                                    |
//! |    0x0 |    4 | hashval    | (checked) | fits the name; ascending                           |
//! |    0x4 |    2 | nameidx    | -         | multiple of 4, inside the block, no overlap        |
//! |    0x6 |    1 | flags      | namespace | LOCAL, INCOMPLETE, and one of ROOT, SECURE, PARENT |
//! | nameidx|      | local      |           | with LOCAL                                         |
//! |    0x0 |    2 | valuelen   | value     |                                                    |
//! |    0x2 |    1 | namelen    | name      | 1..=255                                            |
//! |    0x3 |    n | nameval    | name      | name, then value                                   |
//! | nameidx|      | remote     |           | without LOCAL; two bytes longer than its fields    |
//! |    0x0 |    4 | valueblk   | value     | not 0, unless INCOMPLETE                           |
//! |    0x4 |    4 | valuelen   | value     | 1..=65536, unless INCOMPLETE                       |
//! |    0x8 |    1 | namelen    | name      | 1..=255                                            |
//! |    0x9 |    n | name       | name      |                                                    |
//!
//! The free map is only advice about where a new name fits without moving others. It is neither
//! used nor checked (kernels have left wrong ones behind), and right after every edit, because an
//! edit lays the block out anew.

use super::{
    Attribute, AttributeDefect, FLAG_INCOMPLETE, FLAG_LOCAL, FLAG_PARENT, FLAG_ROOT, FLAG_SECURE,
    Namespace, VALUE_BYTES_MAX, Value, check_double, check_one,
};
use crate::bytes::field::{
    self, Short, be_u16, be_u32, low_u16, put_be_u16, put_be_u32, slice, u8_at,
};
use crate::fs::xfs::da::DaFormat;
use crate::fs::xfs::da::header::DaHeader;
use std::ops::Range;

/// Bytes of an entry.
const ENTRY_BYTES: usize = 8;
/// Bytes before the name, with the value beside it.
const LOCAL_HEADER_BYTES: usize = 3;
/// Bytes before the name, with the value elsewhere.
const REMOTE_HEADER_BYTES: usize = 9;
/// Bytes besides the name that count for the length of an entry with the value elsewhere (observed:
/// two bytes behind the name are counted, too).
const REMOTE_FIXED_BYTES: usize = 11;
/// Names start at multiples of this.
const ALIGNMENT: usize = 4;
const KNOWN_FLAGS: u8 = FLAG_LOCAL | FLAG_ROOT | FLAG_SECURE | FLAG_PARENT | FLAG_INCOMPLETE;

/// What can be wrong with a leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LeafDefect {
    /// Entries and names overlap.
    #[error("{count} entries reach beyond the first name at {first_used:#x}")]
    Count {
        /// As stored.
        count: u16,
        /// `firstused`.
        first_used: usize,
    },
    /// A name starts at an impossible place.
    #[error("entry {index}: name at {offset:#x} is not aligned between {from:#x} and {to:#x}")]
    NameOffset {
        /// Of the entry.
        index: usize,
        /// `nameidx`.
        offset: usize,
        /// `firstused`.
        from: usize,
        /// Length of the block.
        to: usize,
    },
    /// Two names have a byte in common.
    #[error("names at {first:#x} and {second:#x} overlap")]
    Overlap {
        /// The lower one.
        first: usize,
        /// The higher one.
        second: usize,
    },
    /// `usedbytes` is wrong.
    #[error("{stored} bytes are said to be used, {actual} are")]
    UsedBytes {
        /// As stored.
        stored: u16,
        /// Sum over the entries.
        actual: usize,
    },
    /// Entries are not sorted.
    #[error("entry {index} has a smaller hash than the one before")]
    Order {
        /// Of the entry.
        index: usize,
    },
    /// The hash does not fit the name.
    #[error("entry {index}: hash is {stored:#010x}, should be {computed:#010x}")]
    Hash {
        /// Of the entry.
        index: usize,
        /// As stored.
        stored: u32,
        /// From the name.
        computed: u32,
    },
    /// A remote value that cannot be.
    #[error("entry {index}: value of {size} bytes in block {block}")]
    Remote {
        /// Of the entry.
        index: usize,
        /// `valueblk`.
        block: u32,
        /// `valuelen`.
        size: u32,
    },
    /// The last hash is not what the node above says.
    #[error("last hash is {actual:#010x}, the node above says {expected:#010x}")]
    LastHash {
        /// Of the last entry.
        actual: u32,
        /// In the node.
        expected: u32,
    },
    /// The leaf has no entries, which only the root may.
    #[error("is empty")]
    Empty,
    /// The leaf was met before.
    #[error("is there twice")]
    Loop,
    /// The block is of another kind.
    #[error("is no leaf of attributes")]
    Kind,
    /// An entry makes no sense.
    #[error(transparent)]
    Attribute(#[from] AttributeDefect),
}

impl From<Short> for LeafDefect {
    fn from(short: Short) -> Self {
        Self::Attribute(short.into())
    }
}

/// Bytes of both headers.
fn entries_at(format: &DaFormat) -> usize {
    let own = if format.has_crc { 24 } else { 20 };
    DaHeader::len(format).saturating_add(own)
}

/// An entry, and where its name is.
struct Parsed {
    attribute: Attribute,
    place: Range<usize>,
}

/// The attributes of a leaf whose header was checked, sorted by hash.
///
/// # Errors
/// The first [`LeafDefect`].
pub(super) fn parse(bytes: &[u8], format: &DaFormat) -> Result<Vec<Attribute>, LeafDefect> {
    let own = DaHeader::len(format);
    let header = slice(bytes, own, 20)?;
    let (count, used_bytes) = (be_u16(header, 0)?, be_u16(header, 2)?);
    let first_used = match be_u16(header, 4)? {
        0 => 1 << 16,
        first_used => usize::from(first_used),
    };
    let entries_at = entries_at(format);
    let entries_end = entries_at.saturating_add(usize::from(count).saturating_mul(ENTRY_BYTES));
    if entries_end > first_used || first_used > bytes.len() {
        return Err(LeafDefect::Count { count, first_used });
    }
    let entries = slice(bytes, entries_at, entries_end.saturating_sub(entries_at))?;
    let mut attributes: Vec<Attribute> = Vec::with_capacity(usize::from(count));
    let mut places = Vec::with_capacity(usize::from(count));
    let (mut last_hash, mut same_hash_from) = (0, 0);
    for (index, entry) in entries.chunks_exact(ENTRY_BYTES).enumerate() {
        let Parsed { attribute, place } = parse_entry(bytes, entry, index, first_used)?;
        check_one(&attribute, index)?;
        let hash = check_hash(&attribute, entry, index, format)?;
        if hash < last_hash {
            return Err(LeafDefect::Order { index });
        }
        if hash > last_hash {
            (last_hash, same_hash_from) = (hash, index);
        }
        // Only what has the same hash can have the same name.
        check_double(attributes.get(same_hash_from..).unwrap_or_default(), &attribute, index)?;
        places.push(place);
        attributes.push(attribute);
    }
    check_places(places, used_bytes)?;
    Ok(attributes)
}

fn parse_entry(
    bytes: &[u8],
    entry: &[u8],
    index: usize,
    first_used: usize,
) -> Result<Parsed, LeafDefect> {
    let (at, flags) = (usize::from(be_u16(entry, 4)?), u8_at(entry, 6)?);
    if at < first_used || at >= bytes.len() || !at.is_multiple_of(ALIGNMENT) {
        let to = bytes.len();
        return Err(LeafDefect::NameOffset { index, offset: at, from: first_used, to });
    }
    let bad_flags = AttributeDefect::Flags { index, flags };
    let namespace = Namespace::parse(flags).filter(|_| flags & !KNOWN_FLAGS == 0);
    let namespace = namespace.ok_or_else(|| bad_flags.clone())?;
    let is_local = flags & FLAG_LOCAL != 0;
    let is_incomplete = flags & FLAG_INCOMPLETE != 0;
    if namespace == Namespace::Parent && !is_local {
        return Err(bad_flags.into());
    }
    let outside = |_| AttributeDefect::Entry { index, offset: at, end: bytes.len() };
    let (name, value, len) = if is_local {
        let head = slice(bytes, at, LOCAL_HEADER_BYTES).map_err(outside)?;
        let (value_len, name_len) = (usize::from(be_u16(head, 0)?), usize::from(u8_at(head, 2)?));
        let name_at = at.saturating_add(LOCAL_HEADER_BYTES);
        let name = slice(bytes, name_at, name_len).map_err(outside)?;
        let value = slice(bytes, name_at.saturating_add(name_len), value_len).map_err(outside)?;
        (name, Value::Local(value.to_vec()), local_len(name_len, value_len))
    } else {
        let head = slice(bytes, at, REMOTE_HEADER_BYTES).map_err(outside)?;
        let (block, size_bytes) = (be_u32(head, 0)?, be_u32(head, 4)?);
        let is_possible = block != 0 && (1..=VALUE_BYTES_MAX).contains(&size_bytes);
        if !is_possible && !is_incomplete {
            return Err(LeafDefect::Remote { index, block, size: size_bytes });
        }
        let name_len = usize::from(u8_at(head, 8)?);
        let name_at = at.saturating_add(REMOTE_HEADER_BYTES);
        let name = slice(bytes, name_at, name_len).map_err(outside)?;
        (name, Value::Remote { block, size_bytes }, remote_len(name_len))
    };
    let attribute = Attribute { namespace, name: name.to_vec(), value, is_incomplete };
    Ok(Parsed { attribute, place: at..at.saturating_add(len) })
}

/// The hash of an entry, which must fit its name.
fn check_hash(
    attribute: &Attribute,
    entry: &[u8],
    index: usize,
    format: &DaFormat,
) -> Result<u32, LeafDefect> {
    let (stored, computed) = (be_u32(entry, 0)?, attribute.hash(format));
    let fits = stored == computed;
    if fits { Ok(stored) } else { Err(LeafDefect::Hash { index, stored, computed }) }
}

/// Compares the places of all names with each other and with `usedbytes`.
fn check_places(mut places: Vec<Range<usize>>, used_bytes: u16) -> Result<(), LeafDefect> {
    places.sort_unstable_by_key(|place| place.start);
    for (first, second) in places.iter().zip(places.iter().skip(1)) {
        if first.end > second.start {
            let (first, second) = (first.start, second.start);
            return Err(LeafDefect::Overlap { first, second });
        }
    }
    let actual: usize = places.iter().map(ExactSizeIterator::len).sum();
    if actual == usize::from(used_bytes) {
        Ok(())
    } else {
        Err(LeafDefect::UsedBytes { stored: used_bytes, actual })
    }
}

fn local_len(name_len: usize, value_len: usize) -> usize {
    let len = LOCAL_HEADER_BYTES.saturating_add(name_len).saturating_add(value_len);
    len.next_multiple_of(ALIGNMENT)
}

fn remote_len(name_len: usize) -> usize {
    REMOTE_FIXED_BYTES.saturating_add(name_len).next_multiple_of(ALIGNMENT)
}

/// True if a value of this length goes into blocks of its own: name and value may take less than
/// three quarters of a block (observed: 3068 of 4096 bytes stay, 3072 do not).
pub(super) fn needs_remote(name_len: usize, value_len: usize, format: &DaFormat) -> bool {
    let block_len = format.block_len();
    local_len(name_len, value_len) >= block_len.saturating_sub(block_len >> 2)
}

/// Bytes that an attribute takes in a leaf.
pub(super) fn len_of(attribute: &Attribute) -> usize {
    let name_len = attribute.name.len();
    let len = match &attribute.value {
        Value::Local(value) => local_len(name_len, value.len()),
        Value::Remote { .. } => remote_len(name_len),
    };
    len.saturating_add(ENTRY_BYTES)
}

/// Bytes of a leaf that attributes can take.
pub(super) fn capacity(format: &DaFormat) -> usize {
    format.block_len().saturating_sub(entries_at(format))
}

/// A leaf with `attributes`, sorted by hash and without holes; its header is that of `old`, to be
/// sealed by the caller. `None` if they do not fit.
pub(super) fn encode(attributes: &[Attribute], format: &DaFormat, old: &[u8]) -> Option<Vec<u8>> {
    let mut sorted: Vec<_> = attributes.iter().map(|one| (one.hash(format), one)).collect();
    sorted.sort_by_key(|(hash, _)| *hash);
    let mut block = vec![0; format.block_len()];
    let own = DaHeader::len(format);
    field::put(&mut block, 0, old.get(..own)?).ok()?;
    let entries_at = entries_at(format);
    let entries_len = sorted.len().checked_mul(ENTRY_BYTES)?;
    let entries_end = entries_at.checked_add(entries_len)?;
    let mut at = block.len();
    // From the end down, so that names lie in the order of the entries.
    for (index, (hash, attribute)) in sorted.into_iter().enumerate().rev() {
        let body = encode_body(attribute)?;
        at = at.checked_sub(body.len()).filter(|at| *at >= entries_end)?;
        field::put(&mut block, at, &body).ok()?;
        let entry_at = index.checked_mul(ENTRY_BYTES)?.checked_add(entries_at)?;
        put_be_u32(&mut block, entry_at, hash).ok()?;
        put_be_u16(&mut block, entry_at.checked_add(4)?, u16::try_from(at).ok()?).ok()?;
        field::put(&mut block, entry_at.checked_add(6)?, &[flags_of(attribute)]).ok()?;
    }
    let used_bytes = block.len().checked_sub(at)?;
    let free = at.checked_sub(entries_end)?;
    let header = block.get_mut(own..)?;
    put_be_u16(header, 0, u16::try_from(attributes.len()).ok()?).ok()?;
    put_be_u16(header, 2, u16::try_from(used_bytes).ok()?).ok()?;
    // 65536, the end of the largest block, is stored as 0.
    put_be_u16(header, 4, low_u16(u32::try_from(at).ok()?)).ok()?;
    put_be_u16(header, 8, u16::try_from(entries_end).ok()?).ok()?;
    put_be_u16(header, 10, u16::try_from(free).ok()?).ok()?;
    Some(block)
}

fn flags_of(attribute: &Attribute) -> u8 {
    let local = if matches!(attribute.value, Value::Local(_)) { FLAG_LOCAL } else { 0 };
    let incomplete = if attribute.is_incomplete { FLAG_INCOMPLETE } else { 0 };
    attribute.namespace.flags() | local | incomplete
}

/// Name and value as they lie at `nameidx`.
fn encode_body(attribute: &Attribute) -> Option<Vec<u8>> {
    let name_len = u8::try_from(attribute.name.len()).ok()?;
    let mut body = Vec::new();
    match &attribute.value {
        Value::Local(value) => {
            body.extend(u16::try_from(value.len()).ok()?.to_be_bytes());
            body.push(name_len);
            body.extend(&attribute.name);
            body.extend(value);
        }
        Value::Remote { block, size_bytes } => {
            body.extend(block.to_be_bytes());
            body.extend(size_bytes.to_be_bytes());
            body.push(name_len);
            body.extend(&attribute.name);
            body.resize(remote_len(attribute.name.len()), 0);
        }
    }
    body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
    Some(body)
}
