//! An encoder of registry hives and their logs for tests, from the document "Windows registry file format
//! specification" (M. Suhanov). It shares nothing with the code under test, and it panics where that must not.
//!
//! Hives have bins of 4096 bytes (larger ones for larger cells), one security descriptor, and, if asked for,
//! free cells between the others.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::HashMap;

/// A key with everything below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TestKey {
    pub(crate) name: String,
    pub(crate) class: Option<String>,
    pub(crate) written: u64,
    pub(crate) values: Vec<TestValue>,
    pub(crate) subkeys: Vec<TestKey>,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestValue {
    pub(crate) name: String,
    pub(crate) kind: u32,
    pub(crate) data: Vec<u8>,
}

impl TestKey {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(crate) fn value(mut self, name: &str, kind: u32, data: &[u8]) -> Self {
        self.values.push(TestValue { name: name.to_owned(), kind, data: data.to_vec() });
        self
    }

    pub(crate) fn text(self, name: &str, text: &str) -> Self {
        self.value(name, 1, &utf16z(text))
    }

    pub(crate) fn dword(self, name: &str, number: u32) -> Self {
        self.value(name, 4, &number.to_le_bytes())
    }

    pub(crate) fn subkey(mut self, subkey: TestKey) -> Self {
        self.subkeys.push(subkey);
        self
    }

    pub(crate) fn class(mut self, class: &str) -> Self {
        self.class = Some(class.to_owned());
        self
    }

    /// Puts `key` at `path`; keys on the way are made.
    pub(crate) fn at(mut self, path: &str, key: TestKey) -> Self {
        let mut here = &mut self;
        for name in path.split('\\').filter(|name| !name.is_empty()) {
            let found = here.subkeys.iter().position(|subkey| subkey.name == name);
            let index = found.unwrap_or_else(|| {
                here.subkeys.push(TestKey::new(name));
                here.subkeys.len() - 1
            });
            here = &mut here.subkeys[index];
        }
        here.subkeys.push(key);
        self
    }
}

/// UTF-16LE with an end mark.
pub(crate) fn utf16z(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// What a hive is like besides its keys.
#[derive(Debug, Clone)]
pub(crate) struct HiveShape {
    pub(crate) minor: u32,
    /// `lh`, `lf` or `li`.
    pub(crate) list: &'static [u8; 2],
    /// More subkeys than this get an `ri` over lists of this length.
    pub(crate) leaf_max: usize,
    pub(crate) primary: u32,
    pub(crate) secondary: u32,
    pub(crate) flags: u32,
    pub(crate) written: u64,
    /// Bytes of a free cell before every tenth cell; 0 for none.
    pub(crate) hole_bytes: usize,
    /// Bytes of garbage behind the bins data.
    pub(crate) tail_bytes: usize,
}

impl Default for HiveShape {
    fn default() -> Self {
        Self {
            minor: 5,
            list: b"lh",
            leaf_max: 500,
            primary: 7,
            secondary: 7,
            flags: 0,
            written: 0x01d5_0000_0000_0000,
            hole_bytes: 0,
            tail_bytes: 0,
        }
    }
}

/// A hive and where its parts are, in bytes of the bins data.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    pub(crate) bytes: Vec<u8>,
    /// By path, the root being "".
    pub(crate) keys: HashMap<String, u32>,
    /// By path of the key, then the name.
    pub(crate) values: HashMap<(String, String), u32>,
    /// Data cells, lists and others by what they are, as in "list of A\B".
    pub(crate) cells: HashMap<String, u32>,
}

/// A self-relative security descriptor without parts: revision 1, control 0x8000.
const DESCRIPTOR: [u8; 20] = [1, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

struct Builder {
    bins: Vec<u8>,
    next: usize,
    cells_made: usize,
    /// The last free cell.
    hole: usize,
    shape: HiveShape,
    security: u32,
    key_count: u32,
    built: Built,
}

/// Encodes a hive.
pub(crate) fn build(root: &TestKey, shape: &HiveShape) -> Built {
    let built = Built {
        bytes: Vec::new(),
        keys: HashMap::new(),
        values: HashMap::new(),
        cells: HashMap::new(),
    };
    let mut builder = Builder {
        bins: Vec::new(),
        next: 0,
        cells_made: 0,
        hole: usize::MAX,
        shape: shape.clone(),
        security: 0,
        key_count: 0,
        built,
    };
    let root_at = builder.key(root, "", None);
    let own = builder.security;
    let mut record = b"sk\0\0".to_vec();
    for number in [own, own, builder.key_count, 20] {
        record.extend(number.to_le_bytes());
    }
    record.extend(DESCRIPTOR);
    builder.put(own, &record);
    builder.built.cells.insert("security".to_owned(), own);
    builder.close_bin();
    let mut built = builder.built;
    built.bytes = base_block(shape, root_at, builder.bins.len(), 0);
    built.bytes.extend(builder.bins);
    built.bytes.extend((0..shape.tail_bytes).map(|index| (index % 251) as u8));
    built
}

/// The 4096 bytes of a base block.
pub(crate) fn base_block(shape: &HiveShape, root: u32, bins_bytes: usize, kind: u32) -> Vec<u8> {
    let mut block = b"regf".to_vec();
    block.extend(shape.primary.to_le_bytes());
    block.extend(shape.secondary.to_le_bytes());
    block.extend(shape.written.to_le_bytes());
    for number in [1, shape.minor, kind, 1, root, bins_bytes as u32, 1] {
        block.extend(number.to_le_bytes());
    }
    block.extend("test.hiv".encode_utf16().flat_map(u16::to_le_bytes));
    block.resize(144, 0);
    block.extend(shape.flags.to_le_bytes());
    block.resize(4096, 0);
    seal(&mut block);
    block
}

/// Gives a base block its checksum.
pub(crate) fn seal(block: &mut [u8]) {
    let mut sum = 0u32;
    for at in (0..508).step_by(4) {
        sum ^= u32::from_le_bytes(block[at..at + 4].try_into().unwrap());
    }
    let sum = if sum == 0xffff_ffff {
        0xffff_fffe
    } else if sum == 0 {
        1
    } else {
        sum
    };
    block[508..512].copy_from_slice(&sum.to_le_bytes());
}

/// An upper-case copy, one character for one.
pub(crate) fn upper(name: &str) -> Vec<u16> {
    let upper = |letter: char| {
        let mut all = letter.to_uppercase();
        match (all.next(), all.next()) {
            (Some(one), None) if letter.is_ascii() == one.is_ascii() => one,
            _ => letter,
        }
    };
    name.chars().map(upper).collect::<String>().encode_utf16().collect()
}

/// The hash of `lh` lists.
pub(crate) fn name_hash(name: &str) -> u32 {
    let mut hash = 0u64;
    for unit in upper(name) {
        hash = (hash * 37 + u64::from(unit)) % (1 << 32);
    }
    hash as u32
}

/// A name as it is stored, and whether it has one byte a character.
fn stored(name: &str) -> (Vec<u8>, bool) {
    if name.chars().all(|letter| (letter as u32) < 256) {
        (name.chars().map(|letter| letter as u8).collect(), true)
    } else {
        (name.encode_utf16().flat_map(u16::to_le_bytes).collect(), false)
    }
}

impl Builder {
    fn allocate(&mut self, len: usize) -> u32 {
        self.cells_made += 1;
        if self.shape.hole_bytes != 0 && self.cells_made.is_multiple_of(10) {
            let hole = self.room(self.shape.hole_bytes);
            let size = (self.shape.hole_bytes as i32 + 11) / 8 * 8;
            self.bins[hole..hole + 4].copy_from_slice(&size.to_le_bytes());
            self.hole = hole;
        }
        self.room(len) as u32
    }

    fn room(&mut self, len: usize) -> usize {
        let size = (len + 4).div_ceil(8) * 8;
        if self.next + size > self.bins.len() {
            self.close_bin();
            let start = self.bins.len();
            let bin_bytes = (size + 32).div_ceil(4096) * 4096;
            let mut header = b"hbin".to_vec();
            header.extend((start as u32).to_le_bytes());
            header.extend((bin_bytes as u32).to_le_bytes());
            self.bins.extend(&header);
            self.bins.resize(start + bin_bytes, 0);
            self.next = start + 32;
        }
        let at = self.next;
        self.next += size;
        self.bins[at..at + 4].copy_from_slice(&(-(size as i32)).to_le_bytes());
        at
    }

    fn close_bin(&mut self) {
        let hole_bytes = (self.shape.hole_bytes + 11) / 8 * 8;
        if self.next == self.hole.wrapping_add(hole_bytes) {
            // No two free cells in a row.
            self.next = self.hole;
        }
        let rest = self.bins.len() - self.next;
        if rest != 0 {
            let at = self.next;
            self.bins[at..at + 4].copy_from_slice(&(rest as i32).to_le_bytes());
        }
        self.next = self.bins.len();
    }

    fn put(&mut self, at: u32, data: &[u8]) {
        let at = at as usize + 4;
        self.bins[at..at + data.len()].copy_from_slice(data);
    }

    fn cell(&mut self, data: &[u8], what: String) -> u32 {
        let at = self.allocate(data.len());
        self.put(at, data);
        self.built.cells.insert(what, at);
        at
    }

    fn key(&mut self, key: &TestKey, path: &str, parent: Option<u32>) -> u32 {
        self.key_count += 1;
        let (name, is_compressed) = stored(&key.name);
        let at = self.allocate(76 + name.len());
        if parent.is_none() {
            // Some readers take the first cell for the root, so it comes before the security descriptor.
            self.security = self.allocate(20 + DESCRIPTOR.len());
        }
        self.built.keys.insert(path.to_owned(), at);
        let class = key.class.as_ref().map(|class| {
            let units: Vec<u8> = class.encode_utf16().flat_map(u16::to_le_bytes).collect();
            (self.cell(&units, format!("class of {path}")), units.len() as u16)
        });
        let values: Vec<u32> = key.values.iter().map(|value| self.value(value, path)).collect();
        let value_list = if values.is_empty() {
            u32::MAX
        } else {
            let bytes: Vec<u8> = values.iter().flat_map(|at| at.to_le_bytes()).collect();
            self.cell(&bytes, format!("values of {path}"))
        };
        let mut subkeys: Vec<&TestKey> = key.subkeys.iter().collect();
        subkeys.sort_by_key(|subkey| upper(&subkey.name));
        let mut places = Vec::new();
        for subkey in &subkeys {
            let below = if path.is_empty() {
                subkey.name.clone()
            } else {
                format!("{path}\\{}", subkey.name)
            };
            places.push((subkey.name.as_str(), self.key(subkey, &below, Some(at))));
        }
        let list = self.lists(&places, path);
        let longest = |names: &mut dyn Iterator<Item = &String>| {
            names.map(|name| name.encode_utf16().count() as u32 * 2).max().unwrap_or(0)
        };
        let flags = if parent.is_none() { 0x0c } else { 0 } | if is_compressed { 0x20 } else { 0 };
        let mut record = b"nk".to_vec();
        record.extend(u16::to_le_bytes(flags));
        record.extend(key.written.to_le_bytes());
        let (class_at, class_len) = class.unwrap_or((u32::MAX, 0));
        for number in [
            0,
            parent.unwrap_or(0x1234_5678),
            subkeys.len() as u32,
            0,
            list,
            u32::MAX,
            values.len() as u32,
            value_list,
            self.security,
            class_at,
            longest(&mut key.subkeys.iter().map(|subkey| &subkey.name)),
            0,
            longest(&mut key.values.iter().map(|value| &value.name)),
            key.values.iter().map(|value| value.data.len() as u32).max().unwrap_or(0),
            0,
        ] {
            record.extend(number.to_le_bytes());
        }
        record.extend((name.len() as u16).to_le_bytes());
        record.extend(class_len.to_le_bytes());
        assert_eq!(record.len(), 76);
        record.extend(name);
        self.put(at, &record);
        at
    }

    fn lists(&mut self, subkeys: &[(&str, u32)], path: &str) -> u32 {
        if subkeys.is_empty() {
            return u32::MAX;
        }
        let mut leaves = Vec::new();
        for (index, chunk) in subkeys.chunks(self.shape.leaf_max).enumerate() {
            let mut bytes = self.shape.list.to_vec();
            bytes.extend((chunk.len() as u16).to_le_bytes());
            for (name, at) in chunk {
                bytes.extend(at.to_le_bytes());
                match self.shape.list {
                    b"lh" => bytes.extend(name_hash(name).to_le_bytes()),
                    b"lf" => {
                        let (mut hint, is_compressed) = stored(name);
                        hint.resize(if is_compressed { 4 } else { 0 }, 0);
                        hint.resize(4, 0);
                        bytes.extend(hint);
                    }
                    _ => {}
                }
            }
            leaves.push(self.cell(&bytes, format!("list {index} of {path}")));
        }
        if let [only] = leaves.as_slice() {
            return *only;
        }
        let mut bytes = b"ri".to_vec();
        bytes.extend((leaves.len() as u16).to_le_bytes());
        bytes.extend(leaves.iter().flat_map(|at| at.to_le_bytes()));
        self.cell(&bytes, format!("root list of {path}"))
    }

    fn value(&mut self, value: &TestValue, path: &str) -> u32 {
        let what = format!("data of {path} {}", value.name);
        let (size, place) = match value.data.len() {
            len @ 0..=4 => {
                let mut place = value.data.clone();
                place.resize(4, 0);
                (len as u32 | 1 << 31, u32::from_le_bytes(place.try_into().unwrap()))
            }
            len if len > 16344 && self.shape.minor > 3 => (len as u32, self.big(value, &what)),
            len => (len as u32, self.cell(&value.data, what)),
        };
        let (name, is_compressed) = stored(&value.name);
        let mut record = b"vk".to_vec();
        record.extend((name.len() as u16).to_le_bytes());
        for number in [size, place, value.kind, u32::from(is_compressed)] {
            record.extend(number.to_le_bytes());
        }
        record.extend(name);
        let at = self.cell(&record, format!("value {path} {}", value.name));
        self.built.values.insert((path.to_owned(), value.name.clone()), at);
        at
    }

    fn big(&mut self, value: &TestValue, what: &str) -> u32 {
        let mut list = Vec::new();
        let mut count = 0u16;
        for (index, segment) in value.data.chunks(16344).enumerate() {
            list.extend(self.cell(segment, format!("{what} {index}")).to_le_bytes());
            count += 1;
        }
        let list = self.cell(&list, format!("segments of {what}"));
        let mut record = b"db".to_vec();
        record.extend(count.to_le_bytes());
        record.extend(list.to_le_bytes());
        self.cell(&record, what.to_owned())
    }
}

/// An entry of a log of the new format.
#[derive(Debug, Clone)]
pub(crate) struct TestEntry {
    pub(crate) sequence: u32,
    pub(crate) flags: u32,
    pub(crate) bins_bytes: u32,
    /// Offset in the bins data, and bytes.
    pub(crate) pages: Vec<(u32, Vec<u8>)>,
}

/// Encodes an entry with its hashes.
pub(crate) fn encode_entry(entry: &TestEntry) -> Vec<u8> {
    let mut tail = Vec::new();
    for (offset, page) in &entry.pages {
        tail.extend(offset.to_le_bytes());
        tail.extend((page.len() as u32).to_le_bytes());
    }
    for (_, page) in &entry.pages {
        tail.extend(page);
    }
    let size = (tail.len() + 40).div_ceil(512) * 512;
    tail.resize(size - 40, 0);
    let mut bytes = b"HvLE".to_vec();
    for number in
        [size as u32, entry.flags, entry.sequence, entry.bins_bytes, entry.pages.len() as u32]
    {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(marvin(&tail).to_le_bytes());
    bytes.extend(marvin(&bytes).to_le_bytes());
    bytes.extend(tail);
    bytes
}

/// A log of the new format to the hive `primary`: its base block and the entries.
pub(crate) fn encode_log(primary: &[u8], sequence: u32, entries: &[TestEntry]) -> Vec<u8> {
    let mut log = log_base(primary, sequence, 6);
    log.extend(entries.iter().flat_map(encode_entry));
    log
}

/// A log of the old format with the sectors of these numbers taken from `after`, a whole hive.
pub(crate) fn encode_old_log(
    primary: &[u8],
    sequence: u32,
    sectors: &[u32],
    after: &[u8],
) -> Vec<u8> {
    let mut log = log_base(primary, sequence, 1);
    let bins_bytes = u32::from_le_bytes(primary[40..44].try_into().unwrap()) as usize;
    let mut vector = b"DIRT".to_vec();
    let mut bitmap = vec![0u8; bins_bytes / 512 / 8];
    for sector in sectors {
        bitmap[*sector as usize / 8] |= 1 << (sector % 8);
    }
    vector.extend(bitmap);
    vector.resize(vector.len().div_ceil(512) * 512, 0);
    log.extend(vector);
    let mut sorted = sectors.to_vec();
    sorted.sort_unstable();
    for sector in sorted {
        let at = 4096 + sector as usize * 512;
        log.extend(&after[at..at + 512]);
    }
    log
}

/// The first sector of a log.
pub(crate) fn log_base(primary: &[u8], sequence: u32, kind: u32) -> Vec<u8> {
    let mut head = primary[..512].to_vec();
    head[4..8].copy_from_slice(&sequence.to_le_bytes());
    head[8..12].copy_from_slice(&sequence.to_le_bytes());
    head[28..32].copy_from_slice(&kind.to_le_bytes());
    seal(&mut head);
    head
}

/// Marvin32 in 64-bit arithmetic under the seed of hive logs.
pub(crate) fn marvin(data: &[u8]) -> u64 {
    const MASK: u64 = 0xffff_ffff;
    let rotate = |word: u64, by: u32| ((word << by) | (word >> (32 - by))) & MASK;
    let (mut a, mut b) = (0x7a4e_55c5u64, 0x82ef_4d88u64);
    let mut padded = data.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().div_ceil(4) * 4, 0);
    // The last round adds nothing.
    padded.extend([0; 4]);
    for word in padded.chunks(4) {
        a = (a + u64::from(u32::from_le_bytes(word.try_into().unwrap()))) & MASK;
        b ^= a;
        a = (rotate(a, 20) + b) & MASK;
        b = rotate(b, 9) ^ a;
        a = (rotate(a, 27) + b) & MASK;
        b = rotate(b, 19);
    }
    (b << 32) | a
}
