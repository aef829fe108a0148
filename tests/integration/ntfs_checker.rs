//! The strict checker of NTFS volumes itself: silent about good ones, and it notices every planted defect.

use crate::support::digest;
use crate::support::ntfs_check::{
    self,
    surgeon::{Good, Surgeon},
};
use crate::support::ntfs_image;

const STANDARD_INFORMATION: u32 = 0x10;
const ATTRIBUTE_LIST: u32 = 0x20;
const FILE_NAME: u32 = 0x30;
const OBJECT_ID: u32 = 0x40;
const VOLUME_INFORMATION: u32 = 0x70;
const DATA: u32 = 0x80;
const INDEX_ROOT: u32 = 0x90;
const INDEX_ALLOCATION: u32 = 0xa0;
const BITMAP: u32 = 0xb0;
const REPARSE_POINT: u32 = 0xc0;

/// The header of a node starts here in an index block.
const NODE: usize = 24;

#[test]
fn fresh_volumes_are_clean() {
    for (name, digest) in ntfs_image::index() {
        let bytes = ntfs_image::bytes(&name);
        assert_eq!(digest::of_bytes(&bytes), digest, "{name}: not what the index says");
        assert_eq!(ntfs_check::check_bytes(&bytes), Vec::<String>::new(), "{name}");
    }
}

/// A defect, how it is made, and words of what has to be found.
type Defect = (&'static str, fn(&mut Surgeon<'_>), &'static str);

const DEFECTS: &[Defect] = &[
    ("signature", |it| it.bytes[3] = b'M', "signature of NTFS"),
    ("end of the boot sector", |it| it.bytes[510] = 0, "no mark at its end"),
    ("backup boot sector", |it| *it.bytes.last_mut().unwrap() ^= 1, "backup differs"),
    ("clusters of three sectors", |it| it.bytes[13] = 3, "3 sectors in a cluster"),
    ("mirror", mirror, "$MFTMirr: record 2 differs"),
    ("torn record", torn_record, "stride 1 was not written"),
    ("fix-up number", fix_up_number, "fix-up number 0"),
    ("record number", |it| put(it, SEVERAL, 44, &[9]), "says that it is record 9"),
    ("sequence number", |it| put(it, SEVERAL, 16, &[0, 0]), "sequence number 0"),
    ("record size", |it| put(it, SEVERAL, 28, &[0, 0x30]), "says that it has 12288 bytes"),
    ("bytes in use", |it| add(it, SEVERAL, 24, 8), "the bytes in use at"),
    ("no end of attributes", |it| put(it, SEVERAL, 24, &[0, 4]), "the bytes in use at 0x400"),
    ("free record in use", |it| put(it, SEVERAL, 22, &[0]), "not in use, but taken"),
    ("used record free", |it| mft_bit(it, SEVERAL), "in use, but free in the bitmap"),
    ("link count", |it| add(it, SEVERAL, 18, 1), "2 links, 1 names"),
    ("next attribute id", |it| put(it, SEVERAL, 40, &[1, 0]), "next attribute id 1"),
    ("attribute id twice", id_twice, "attribute ids"),
    ("attribute length", attribute_len, "attribute 0x30 of"),
    ("attribute type", |it| in_attribute(it, SEVERAL, DATA, 0, 0x88), "an unknown type"),
    ("attribute flags", |it| in_attribute(it, SEVERAL, DATA, 12, 2), "flags 0x2"),
    ("attributes swapped", swap_attributes, "is out of order"),
    ("value outside", |it| in_attribute(it, RESIDENT, DATA, 16, 0xff), "a value of"),
    ("run outside", run_outside, "are outside the volume"),
    ("run of another", run_of_another, "and record"),
    ("highest VCN", |it| in_attribute(it, SEVERAL, DATA, 24, 9), "VCN 0 to 12"),
    ("allocated size", |it| in_attribute(it, SEVERAL, DATA, 41, 1), "bytes allocated"),
    ("size", |it| in_attribute(it, SEVERAL, DATA, 50, 9), "allocated"),
    ("initialised size", |it| in_attribute(it, SEVERAL, DATA, 58, 9), "initialised"),
    ("clusters of a sparse file", |it| in_attribute(it, SPARSE, DATA, 64, 1), "in clusters"),
    ("unit", |it| in_attribute(it, SEVERAL, DATA, 34, 4), "compression unit 4"),
    ("flag of a sparse file", |it| in_attribute(it, SPARSE, DATA, 13, 0x80), "not sparse"),
    ("used cluster free", |it| cluster_bit(it, true), "in use, but free"),
    ("free cluster taken", |it| cluster_bit(it, false), "is nobody's, but taken"),
    ("bit behind the volume", bit_behind, "in use, but free"),
    ("name of another kind", kind_of_name, "a name of another kind"),
    ("name changed", rename, "name without entry"),
    ("entry to nowhere", rename, "entry without name"),
    ("entry lost", entry_lost, "name without entry"),
    ("file below nothing", entry_lost, "not below the root"),
    ("sequence of an entry", entry_sequence, "entry without name"),
    ("entries swapped", swap_entries, "is out of order"),
    ("separator too high", separator, "is out of order"),
    ("size in a directory", entry_size, "bytes in"),
    ("child twice", child_twice, "twice"),
    ("child outside", |it| child(it, 0x7f), "no block at VCN 127"),
    ("index block taken", |it| index_bit(it, 30), "behind the blocks"),
    ("index block free", |it| index_bit(it, 0), "block 0 is free in the bitmap"),
    ("index block number", block_number, "says that it is"),
    ("torn index block", torn_block, "stride 3 was not written"),
    ("empty leaf", empty_leaf, "an empty leaf"),
    ("node without an end", no_end, "an entry of"),
    ("node too short", |it| in_node(it, 4, 8), "the node at"),
    ("entry with a child in a leaf", |it| in_node(it, 0x10 + 0x18 + 12, 1), "with flags 1"),
    ("index rule", |it| in_root(it, 4, 0x10), "by rule 0x10"),
    ("index block size", |it| in_root(it, 9, 0x20), "blocks of 8192 bytes"),
    ("short name made long", |it| namespace(it, 2, 1), "entry without name"),
    ("short name alone", |it| namespace(it, 1, 0), "0 long names"),
    ("no short name", short_name, "is no short name"),
    ("no directory", |it| put_of(it, "/names/30", 22, &[1]), "directory and index do not agree"),
    ("table of capitals", upcase, "$UpCase: ASCII"),
    ("number of a descriptor", security_id, "no security descriptor 61166"),
    ("copy of a descriptor", |it| secure(it, 0x4_0010), "the copy of the descriptor"),
    ("hash of a descriptor", |it| secure(it, 0), "the hash of the descriptor"),
    ("index of descriptors", secure_index, "is not stored"),
    ("list without an entry", list_type, "attribute list: without"),
    ("list with too much", list_type, "attribute list: nowhere is"),
    ("base record", base, "no base record"),
    ("object id", object_id, "$ObjId"),
    ("reparse tag", reparse, "$Reparse"),
    ("dirty", |it| in_value(it, 3, VOLUME_INFORMATION, 10, 1), "version and flags"),
    ("version", |it| in_value(it, 3, VOLUME_INFORMATION, 9, 2), "version and flags"),
];

const SEVERAL: &str = "/forms/several";
const RESIDENT: &str = "/forms/resident";
const SPARSE: &str = "/forms/sparse";
const DIRECTORY: &str = "/names/200";
const TWIN: &str = "/forms/twin-large.data";

/// A plain volume, and one of records and blocks of other sizes.
#[test]
fn every_planted_defect_is_found() {
    let mut missed = Vec::new();
    for (fixture, step) in [("c4k", 1), ("s2k", 4)] {
        let good = ntfs_image::bytes(fixture);
        let readable = Good::read(&good);
        for (name, plant, words) in DEFECTS.iter().step_by(step) {
            let mut surgeon = readable.spoil();
            plant(&mut surgeon);
            assert!(surgeon.bytes != *good, "{fixture}, {name}: nothing was planted");
            let found = ntfs_check::check_bytes(&surgeon.bytes);
            if !found.iter().any(|finding| finding.contains(words)) {
                let some = &found[..found.len().min(9)];
                missed.push(format!("{fixture}, {name}: {words:?} is not in {some:#?}"));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// Whatever is in a volume, the checker comes to an end and says something.
#[test]
fn rubbish_is_judged() {
    let good = ntfs_image::bytes("c4k");
    let mut rng = crate::support::rng::Rng::new(7);
    for _ in 0..60 {
        let mut bytes = good.to_vec();
        for _ in 0..400 {
            let at = 16_384 + rng.index(1 << 20);
            bytes[at] = rng.next() as u8;
        }
        assert!(!ntfs_check::check_bytes(&bytes).is_empty());
    }
    assert!(!ntfs_check::check_bytes(&[]).is_empty());
}

fn put(it: &mut Surgeon<'_>, path: &str, at: usize, bytes: &[u8]) {
    put_of(it, path, at, bytes);
}

fn put_of(it: &mut Surgeon<'_>, path: &str, at: usize, bytes: &[u8]) {
    let number = it.find(path);
    it.record(number, |record| record[at..at + bytes.len()].copy_from_slice(bytes));
}

fn add(it: &mut Surgeon<'_>, path: &str, at: usize, count: u8) {
    let number = it.find(path);
    it.record(number, |record| record[at] += count);
}

fn in_attribute(it: &mut Surgeon<'_>, path: &str, kind: u32, at: usize, byte: u8) {
    let number = it.find(path);
    let start = it.attribute(number, kind, "").start;
    it.record(number, |record| record[start + at] ^= byte);
}

fn in_value(it: &mut Surgeon<'_>, number: u64, kind: u32, at: usize, byte: u8) {
    let start = it.value(number, kind, "");
    it.record(number, |record| record[start + at] = byte);
}

fn mirror(it: &mut Surgeon<'_>) {
    let at = it.place(1, DATA, "", 0);
    let len = record_len(it);
    it.bytes[at + 2 * len + 0x60] ^= 1;
}

fn record_len(it: &Surgeon<'_>) -> usize {
    1 << (256 - usize::from(it.bytes[64])).min(16) & 0x1ffff
}

fn record_at(it: &Surgeon<'_>, path: &str) -> usize {
    it.place(0, DATA, "", it.find(path) * record_len(it) as u64)
}

fn torn_record(it: &mut Surgeon<'_>) {
    let at = record_at(it, SEVERAL);
    it.bytes[at + 1022] ^= 1;
}

fn fix_up_number(it: &mut Surgeon<'_>) {
    let at = record_at(it, SEVERAL);
    let array = at + usize::from(it.bytes[at + 4]);
    it.bytes[array..array + 2].fill(0);
}

fn mft_bit(it: &mut Surgeon<'_>, path: &str) {
    let number = it.find(path);
    let at = it.place(0, BITMAP, "", number / 8);
    it.bytes[at] ^= 1 << (number % 8);
}

fn id_twice(it: &mut Surgeon<'_>) {
    let number = it.find(SEVERAL);
    let (one, other) = (it.attribute(number, FILE_NAME, ""), it.attribute(number, DATA, ""));
    it.record(number, |record| {
        let id = record[one.start + 14];
        record[other.start + 14] = id;
    });
}

fn attribute_len(it: &mut Surgeon<'_>) {
    let number = it.find(SEVERAL);
    let at = it.attribute(number, FILE_NAME, "").start + 4;
    it.record(number, |record| record[at] += 3);
}

fn swap_attributes(it: &mut Surgeon<'_>) {
    let number = it.find(SEVERAL);
    let (one, other) =
        (it.attribute(number, STANDARD_INFORMATION, ""), it.attribute(number, FILE_NAME, ""));
    it.record(number, |record| record[one.start..other.end].rotate_left(one.len()));
}

/// Where the first run of a file is described in its record.
fn first_run(it: &mut Surgeon<'_>, path: &str) -> usize {
    let number = it.find(path);
    let at = it.attribute(number, DATA, "").start;
    let mut runs = 0;
    it.record(number, |record| runs = at + usize::from(record[at + 32]));
    runs
}

fn run_outside(it: &mut Surgeon<'_>) {
    let at = first_run(it, SEVERAL);
    let number = it.find(SEVERAL);
    it.record(number, |record| {
        let (count, place) = (usize::from(record[at] & 15), usize::from(record[at] >> 4));
        record[at + count + place] = 0x7f;
    });
}

fn run_of_another(it: &mut Surgeon<'_>) {
    let at = first_run(it, SEVERAL);
    let number = it.find(SEVERAL);
    it.record(number, |record| {
        let place = at + 1 + usize::from(record[at] & 15);
        record[place] -= 4;
    });
}

fn cluster_bit(it: &mut Surgeon<'_>, is_used: bool) {
    let wanted = if is_used { 0xff } else { 0 };
    let start = it.place(6, DATA, "", 0);
    let at = (start..start + 400).find(|at| it.bytes[*at] == wanted).unwrap();
    it.bytes[at] ^= 1;
}

fn bit_behind(it: &mut Surgeon<'_>) {
    let number = 6;
    let data = it.attribute(number, DATA, "");
    let mut len = 0;
    it.record(number, |record| {
        len = u64::from_le_bytes(record[data.start + 48..data.start + 56].try_into().unwrap());
    });
    let at = it.place(number, DATA, "", len - 1);
    it.bytes[at] ^= 0x80;
}

fn kind_of_name(it: &mut Surgeon<'_>) {
    let number = it.find(SEVERAL);
    let at = it.value(number, FILE_NAME, "");
    it.record(number, |record| record[at + 59] ^= 0x10);
}

fn rename(it: &mut Surgeon<'_>) {
    let number = it.find(SEVERAL);
    let at = it.value(number, FILE_NAME, "");
    it.record(number, |record| record[at + 66] = b'x');
}

/// Changes an entry in the block of `/names/30` or the root that has this name.
fn entry(it: &mut Surgeon<'_>, directory: &str, name: &str, change: impl Fn(&mut Vec<u8>, usize)) {
    let number = it.find(directory);
    let wanted: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for index in 0..20 {
        let mut is_found = false;
        it.index_block(number, index, |block| {
            let used = NODE + usize::from(block[NODE + 4]) + 256 * usize::from(block[NODE + 5]);
            let is_it = |at: &usize| {
                block[*at..].starts_with(&wanted) && block[at - 2] as usize * 2 == wanted.len()
            };
            if let Some(at) = (NODE + 100..used).find(is_it) {
                is_found = true;
                change(block, at - 66 - 16);
            }
        });
        if is_found {
            return;
        }
    }
    panic!("{name} is in no block of {directory}");
}

const MANY: &str = "/names/200";
const ONE_OF_MANY: &str = "a-rather-long-name-101";

fn entry_lost(it: &mut Surgeon<'_>) {
    entry(it, MANY, ONE_OF_MANY, |block, at| {
        let len = usize::from(block[at + 8]);
        let used = NODE + usize::from(block[NODE + 4]) + 256 * usize::from(block[NODE + 5]);
        block.copy_within(at + len..used, at);
        let left = (used - len - NODE) as u16;
        block[NODE + 4..NODE + 6].copy_from_slice(&left.to_le_bytes());
    });
}

fn entry_sequence(it: &mut Surgeon<'_>) {
    entry(it, MANY, ONE_OF_MANY, |block, at| block[at + 6] += 1);
}

fn entry_size(it: &mut Surgeon<'_>) {
    entry(it, MANY, "a-rather-long-name-102", |block, at| block[at + 16 + 48] += 1);
}

fn swap_entries(it: &mut Surgeon<'_>) {
    entry(it, MANY, ONE_OF_MANY, |block, at| {
        let len = usize::from(block[at + 8]);
        block[at..at + 2 * len].rotate_left(len);
    });
}

/// Changes the block of `/names/200` that has the separators; its first entry is at the given place.
fn branch(it: &mut Surgeon<'_>, change: impl Fn(&mut Vec<u8>, usize)) {
    let number = it.find(MANY);
    for index in 0..13 {
        let mut is_found = false;
        it.index_block(number, index, |block| {
            is_found = block[NODE + 12] == 1;
            if is_found {
                let first = NODE + usize::from(block[NODE]);
                change(block, first);
            }
        });
        if is_found {
            return;
        }
    }
    panic!("no branch in {MANY}");
}

fn separator(it: &mut Surgeon<'_>) {
    branch(it, |block, first| block[first + 16 + 66] = b'z');
}

fn child(it: &mut Surgeon<'_>, vcn: u8) {
    branch(it, |block, first| {
        let child = first + usize::from(block[first + 8]) - 8;
        block[child] = vcn;
    });
}

fn child_twice(it: &mut Surgeon<'_>) {
    branch(it, |block, first| {
        let next = first + usize::from(block[first + 8]);
        let other = next + usize::from(block[next + 8]) - 8;
        block[next - 8] = block[other];
    });
}

fn index_bit(it: &mut Surgeon<'_>, index: usize) {
    let number = it.find(MANY);
    let at = it.value(number, BITMAP, "$I30");
    it.record(number, |record| record[at + index / 8] ^= 1 << (index % 8));
}

fn block_number(it: &mut Surgeon<'_>) {
    let number = it.find(DIRECTORY);
    it.index_block(number, 1, |block| block[16] += 1);
}

fn torn_block(it: &mut Surgeon<'_>) {
    let number = it.find(DIRECTORY);
    let at = it.place(number, INDEX_ALLOCATION, "$I30", 0);
    it.bytes[at + 4 * 512 - 1] ^= 1;
}

fn empty_leaf(it: &mut Surgeon<'_>) {
    let number = it.find(DIRECTORY);
    it.index_block(number, 0, |block| {
        let first = NODE + usize::from(block[NODE]);
        block[first..first + 16].fill(0);
        block[first + 8] = 16;
        block[first + 12] = 2;
        let used = (first + 16 - NODE) as u16;
        block[NODE + 4..NODE + 6].copy_from_slice(&used.to_le_bytes());
    });
}

fn no_end(it: &mut Surgeon<'_>) {
    let number = it.find(DIRECTORY);
    it.index_block(number, 0, |block| {
        let used = NODE + usize::from(block[NODE + 4]) + 256 * usize::from(block[NODE + 5]);
        block[used - 4] = 0;
    });
}

/// A byte of the header of a node, or of its first entry.
fn in_node(it: &mut Surgeon<'_>, at: usize, change: u8) {
    let number = it.find(DIRECTORY);
    it.index_block(number, 0, |block| {
        let first = NODE + usize::from(block[NODE]);
        if at < 16 {
            block[NODE + at] += change;
        } else {
            block[first + 12] |= change;
        }
    });
}

fn in_root(it: &mut Surgeon<'_>, at: usize, byte: u8) {
    let number = it.find("/names/3");
    let start = it.value(number, INDEX_ROOT, "$I30");
    it.record(number, |record| record[start + at] = byte);
}

/// Changes the kind of the name of that kind, in the record.
fn namespace(it: &mut Surgeon<'_>, from: u8, to: u8) {
    let number = it.find(TWIN);
    let names = it.attributes(number, FILE_NAME, "");
    it.record(number, |record| {
        let kinds = names.iter().map(|range| range.start + 24 + 65);
        for at in kinds {
            if record[at] == from {
                record[at] = to;
            }
        }
    });
}

fn short_name(it: &mut Surgeon<'_>) {
    let number = it.find(TWIN);
    let names = it.attributes(number, FILE_NAME, "");
    it.record(number, |record| {
        let short = names.iter().find(|range| record[range.start + 24 + 65] == 2).unwrap();
        record[short.start + 24 + 66] = b't';
    });
}

fn upcase(it: &mut Surgeon<'_>) {
    let at = it.place(10, DATA, "", 2 * 97);
    it.bytes[at] += 1;
}

fn security_id(it: &mut Surgeon<'_>) {
    let number = it.find("/Windows/System32/config/SAM");
    let at = it.value(number, STANDARD_INFORMATION, "");
    it.record(number, |record| record[at + 52..at + 56].copy_from_slice(&[0xee, 0xee, 0, 0]));
}

fn secure(it: &mut Surgeon<'_>, offset: u64) {
    let at = it.place(9, DATA, "$SDS", offset);
    it.bytes[at] ^= 1;
}

fn secure_index(it: &mut Surgeon<'_>) {
    it.index_block_of(9, "$SII", 0, |block| {
        // The length in the data of the first entry, whose key has four bytes.
        let first = NODE + usize::from(block[NODE]);
        block[first + 20 + 16] += 1;
    });
}

fn list_type(it: &mut Surgeon<'_>) {
    let number = it.find("/lists/many-links");
    let at = it.place(number, ATTRIBUTE_LIST, "", 32 + 24);
    it.bytes[at] += 70;
}

fn base(it: &mut Surgeon<'_>) {
    let number = it.find("/lists/many-links");
    let extension = it.extensions(number)[0];
    it.record(extension, |record| record[38] += 1);
}

fn object_id(it: &mut Surgeon<'_>) {
    let number = it.find("/forms/object-id");
    in_value(it, number, OBJECT_ID, 3, 0xee);
}

fn reparse(it: &mut Surgeon<'_>) {
    let number = it.find("/forms/reparse");
    in_value(it, number, REPARSE_POINT, 0, 3);
}
