//! Attributes in blocks against a map, with a checker of its own; defects by name.

use super::edit::{Change, ForkChange, change_blocks, change_short_form};
use super::parent::ParentPointer;
use super::read::{Source, parent_pointers, xattr, xattrs};
use super::room::Room;
use super::tree::{self, BlocksChange};
use super::{Attribute, Namespace, Value, leaf, short_form};
use crate::bytes::field::{be_u16, be_u32};
use crate::error::{Error, ErrorKind};
use crate::fs::xfs::da::DaBlocks as _;
use crate::fs::xfs::da::memory::{MemoryBlocks, format};
use crate::fs::xfs::inode::ForkFormat;
use crate::fs::xfs::units::{FileBlock, InodeNumber};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What is checked against: values by namespace and name.
type Model = BTreeMap<(Namespace, Vec<u8>), Vec<u8>>;

/// Blocks by their place in the fork.
type Contents = BTreeMap<u64, Vec<u8>>;

/// Reads the blocks with rules written down a second time, straight from the document, and fails
/// on everything that is not as a kernel leaves it.
struct Checker<'a> {
    blocks: &'a MemoryBlocks,
    /// Blocks that something points to.
    met: BTreeSet<u64>,
    found: Model,
    last_hash: u32,
    /// Leaves from left to right.
    leaves: Vec<u64>,
}

impl Checker<'_> {
    fn model(blocks: &MemoryBlocks) -> Model {
        let (found, met) = (Model::new(), BTreeSet::new());
        let mut checker = Checker { blocks, met, found, last_hash: 0, leaves: Vec::new() };
        if !blocks.blocks.is_empty() {
            checker.descend(0, None);
        }
        assert!(checker.met.iter().eq(blocks.blocks.keys()), "blocks without a use");
        for (index, at) in checker.leaves.iter().enumerate() {
            let link = |other: Option<&u64>| other.copied().unwrap_or(0);
            let bytes = &blocks.blocks[at];
            let back = index.checked_sub(1).and_then(|left| checker.leaves.get(left));
            assert_eq!(u64::from(be_u32(bytes, 0).unwrap()), link(checker.leaves.get(index + 1)));
            assert_eq!(u64::from(be_u32(bytes, 4).unwrap()), link(back));
        }
        checker.found
    }

    /// The last hash below `at`.
    fn descend(&mut self, at: u64, level: Option<u16>) -> u32 {
        assert!(self.met.insert(at), "block {at} is there twice");
        let bytes = &self.blocks.blocks[&at];
        crate::fs::xfs::checksum::verify(bytes, 12).unwrap().unwrap();
        match be_u16(bytes, 8).unwrap() {
            0x3ebe => {
                let (count, own) = (be_u16(bytes, 56).unwrap(), be_u16(bytes, 58).unwrap());
                assert!(count > 0 && level.is_none_or(|level| level == own));
                let mut last = 0;
                for index in 0..usize::from(count) {
                    let child = be_u32(bytes, 64 + 8 * index + 4).unwrap();
                    last = self.descend(child.into(), Some(own - 1));
                    assert_eq!(be_u32(bytes, 64 + 8 * index).unwrap(), last);
                }
                last
            }
            0x3bee => {
                assert!(level.is_none_or(|level| level == 0));
                self.leaf(at)
            }
            magic => panic!("magic {magic:#x}"),
        }
    }

    fn leaf(&mut self, at: u64) -> u32 {
        let bytes = &self.blocks.blocks[&at].clone();
        let len = bytes.len();
        let u16_at = |offset: usize| usize::from(be_u16(bytes, offset).unwrap());
        let (count, used, first, holes) = (u16_at(56), u16_at(58), u16_at(60), bytes[62]);
        assert!(count > 0 || at == 0);
        let first = if first == 0 { 1 << 16 } else { first };
        assert_eq!((holes, len - first), (0, used));
        assert_eq!((u16_at(64), u16_at(64) + u16_at(66)), (80 + 8 * count, first));
        assert_eq!(bytes[68..80], [0; 12]);
        assert!(bytes[80 + 8 * count..first].iter().all(|byte| *byte == 0));
        let mut end = first;
        for index in 0..count {
            let entry = 80 + 8 * index;
            let hash = be_u32(bytes, entry).unwrap();
            assert!(hash >= self.last_hash);
            self.last_hash = hash;
            let (name_at, flags) = (u16_at(entry + 4), bytes[entry + 6]);
            assert_eq!(name_at, end);
            end = self.name(name_at, flags, bytes).next_multiple_of(4);
        }
        assert_eq!(end, len);
        self.leaves.push(at);
        self.last_hash
    }

    /// Takes in the name and value at `at` and gives where they end.
    fn name(&mut self, at: usize, flags: u8, bytes: &[u8]) -> usize {
        let namespace = match flags & !1 {
            0 => Namespace::User,
            2 => Namespace::Root,
            4 => Namespace::Secure,
            8 => Namespace::Parent,
            flags => panic!("{flags}"),
        };
        let (name, value, end) = if flags & 1 != 0 {
            let value_len = usize::from(be_u16(bytes, at).unwrap());
            let (name_at, name_len) = (at + 3, usize::from(bytes[at + 2]));
            let value_at = name_at + name_len;
            let value = bytes[value_at..value_at + value_len].to_vec();
            assert!((value_at + value_len - at) < bytes.len() * 3 / 4);
            (&bytes[name_at..value_at], value, value_at + value_len)
        } else {
            let (block, len) = (be_u32(bytes, at).unwrap(), be_u32(bytes, at + 4).unwrap());
            let end = at + 9 + usize::from(bytes[at + 8]);
            (&bytes[at + 9..end], self.remote(block.into(), len as usize), end + 2)
        };
        assert!(self.found.insert((namespace, name.to_vec()), value).is_none());
        end
    }

    fn remote(&mut self, first: u64, len: usize) -> Vec<u8> {
        let mut value = Vec::new();
        let mut at = first;
        while value.len() < len {
            assert!(self.met.insert(at), "block {at} is there twice");
            let bytes = &self.blocks.blocks[&at];
            crate::fs::xfs::checksum::verify(bytes, 12).unwrap().unwrap();
            assert_eq!(&bytes[..4], b"XARM");
            assert_eq!(be_u32(bytes, 4).unwrap() as usize, value.len());
            let here = be_u32(bytes, 8).unwrap() as usize;
            assert_eq!(here, (len - value.len()).min(bytes.len() - 56));
            value.extend(&bytes[56..56 + here]);
            at += 1;
        }
        value
    }
}

fn key(attribute: &Attribute) -> (Namespace, Vec<u8>) {
    (attribute.namespace, attribute.name.clone())
}

fn local(attribute: &Attribute) -> Vec<u8> {
    match &attribute.value {
        Value::Local(value) => value.clone(),
        Value::Remote { .. } => panic!("{attribute:?}"),
    }
}

/// Makes a change in the model.
fn apply(model: &mut Model, change: &Change) {
    match change {
        Change::Set(new) => drop(model.insert(key(new), local(new))),
        Change::Remove(old) => drop(model.remove(&key(old))),
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    // Few names, so that they meet; among them some with one hash.
    let names: Vec<Vec<u8>> = (0..40)
        .map(|index: u8| format!("attribute{index}").into_bytes())
        .chain([b"\x01\x00\x01".to_vec(), b"n".repeat(200), b"a".to_vec(), b"m".repeat(255)])
        .map(|name| name.into_iter().map(|byte| byte.max(1)).collect())
        .collect();
    let namespace = prop_oneof![
        4 => Just(Namespace::User),
        1 => Just(Namespace::Root),
        1 => Just(Namespace::Secure),
    ];
    let len = prop_oneof![6 => 0usize..60, 2 => 200usize..800, 1 => 700usize..3000];
    let change = (namespace, proptest::sample::select(names), len, any::<u8>(), 0u8..10);
    change.prop_map(|(namespace, name, len, fill, kind)| {
        let new = Attribute::local(namespace, &name, &vec![fill; len]);
        if kind < 7 { Change::Set(new) } else { Change::Remove(new) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Leaves, splits, nodes, remote values: everything is what the map says, and whole.
    #[test]
    fn blocks_do_what_a_map_does(
        changes in proptest::collection::vec(any_change(), 1..120),
        block_log in 10u32..13,
    ) {
        let size = 1 << block_log;
        let mut blocks = MemoryBlocks::new(format(size, size));
        let mut model = Model::new();
        for change in &changes {
            let before = model.clone();
            apply(&mut model, change);
            let result = change_blocks(&mut blocks, std::slice::from_ref(change)).unwrap();
            let expected = match (before == model, model.is_empty()) {
                (true, _) => BlocksChange::Same,
                (false, true) => BlocksChange::Emptied,
                (false, false) => BlocksChange::Changed,
            };
            prop_assert_eq!(result, expected);
            prop_assert_eq!(&Checker::model(&blocks), &model);
        }
        let mut found = Model::new();
        tree::visit(&blocks, &mut |attribute| {
            let value = tree::value(&blocks, &attribute)?;
            found.insert(key(&attribute), value);
            Ok(())
        }).unwrap();
        prop_assert_eq!(&found, &model);
        let (Change::Set(any) | Change::Remove(any)) = &changes[0];
        let one = tree::find(&blocks, any).unwrap().map(|one| tree::value(&blocks, &one).unwrap());
        prop_assert_eq!(one.as_ref(), model.get(&key(any)));
    }

    /// The same in the inode, as long as it fits; then it moves into blocks.
    #[test]
    fn short_forms_do_what_a_map_does(
        changes in proptest::collection::vec(any_change(), 1..30),
        data_bytes in 0usize..250,
    ) {
        let mut room = Room {
            literal_bytes: 336,
            offset_bytes: 0,
            data_format: ForkFormat::Local,
            data_bytes,
        };
        let mut attributes = Vec::new();
        let mut model = Model::new();
        for change in &changes {
            apply(&mut model, change);
            match change_short_form(&room, &attributes, std::slice::from_ref(change)).unwrap() {
                ForkChange::Same => {}
                ForkChange::Gone => {
                    prop_assert!(model.is_empty());
                    room.offset_bytes = 0;
                    attributes = Vec::new();
                }
                ForkChange::Local { offset_bytes, bytes } => {
                    prop_assert!(bytes.len() + offset_bytes <= 336 && offset_bytes % 8 == 0);
                    prop_assert!(offset_bytes >= data_bytes.max(56) && offset_bytes <= 296);
                    room.offset_bytes = offset_bytes;
                    let fork = [bytes.as_slice(), &vec![0; 336 - offset_bytes - bytes.len()]];
                    attributes = short_form::parse(&fork.concat()).unwrap();
                }
                ForkChange::Blocks { offset_bytes, attributes } => {
                    prop_assert!(offset_bytes >= data_bytes.max(56) && offset_bytes <= 296);
                    let mut blocks = MemoryBlocks::new(format(1024, 1024));
                    tree::create(&mut blocks, &attributes).unwrap();
                    prop_assert_eq!(&Checker::model(&blocks), &model);
                    return Ok(());
                }
            }
            let found: Model = attributes.iter().map(|one| (key(one), local(one))).collect();
            prop_assert_eq!(&found, &model);
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(
        changes in proptest::collection::vec(any_change(), 1..40),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut blocks = MemoryBlocks::new(format(1024, 1024));
        change_blocks(&mut blocks, &changes).unwrap();
        blocks.format.has_crc = true;
        let keys: Vec<u64> = blocks.blocks.keys().copied().collect();
        for (index, value) in damage {
            let Some(key) = keys.get(index.index(keys.len().max(1))) else { return Ok(()) };
            let bytes = blocks.blocks.get_mut(key).unwrap();
            // Not the magic number, so that the damage is met.
            let at = index.index(bytes.len());
            if !(8..16).contains(&at) {
                bytes[at] = value;
            }
            crate::fs::xfs::checksum::seal(bytes, 12).unwrap();
        }
        let mut damaged = blocks.clone();
        let _ = xattrs(Source::Blocks(&damaged));
        let _ = change_blocks(&mut damaged, &changes);
    }
}

/// A fork with `count` attributes of 40 bytes.
fn filled(count: usize, block_size: u32) -> MemoryBlocks {
    let mut blocks = MemoryBlocks::new(format(block_size, block_size));
    for index in 0..count {
        let name = format!("a{index}");
        let new = Attribute::local(Namespace::User, name.as_bytes(), &[7; 40]);
        tree::set(&mut blocks, &new).unwrap();
    }
    blocks
}

fn defect(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Corrupt(corrupt) => corrupt.defect.to_string(),
        _ => panic!("{error}"),
    }
}

#[test]
fn every_defect_of_a_leaf_is_named() {
    let changed = |at: usize, value: u8| {
        let mut blocks = filled(3, 1024);
        let bytes = blocks.blocks.get_mut(&0).unwrap();
        bytes[at] = value;
        crate::fs::xfs::checksum::seal(bytes, 12).unwrap();
        defect(&xattrs(Source::Blocks(&blocks)).unwrap_err())
    };
    // Three names of 48 bytes from 880 on; entries from 80 on.
    for (at, value, expected) in [
        (56, 1, "259 entries reach beyond the first name at 0x370"),
        (59, 143, "143 bytes are said to be used, 144 are"),
        (61, 0x74, "entry 0: name at 0x370 is not aligned between 0x374 and 0x400"),
        (61, 0x71, "not aligned"),
        (85, 0x71, "entry 0: name at 0x371 is not aligned"),
        (84, 9, "entry 0: name at 0x970 is not aligned between"),
        (85, 0xa0, "entry 0: hash is 0x000030b0, should be 0x000030b1"),
        (83, 0x98, "entry 0: hash is 0x00003098, should be 0x000030b0"),
        (86, 7, "entry 0 has flags 0x07"),
        (86, 0x21, "entry 0 has flags 0x21"),
        (86, 8, "entry 0 has flags 0x08"),
        (86, 0, "entry 0: value of 805766919 bytes in block 2622049"),
        (86, 9, "entry 0: a parent pointer has 40 bytes, not 12"),
        (880, 4, "entry 0 at 0x370 leads beyond 0x400"),
        (882, 0, "entry 0 has no possible name"),
        (883, 0, "entry 0 has no possible name"),
    ] {
        let found = changed(at, value);
        assert!(found.contains(expected), "{at} {value}: {found}");
    }
}

#[test]
fn entries_out_of_order_overlaps_and_doubles_are_named() {
    let of = |change: &dyn Fn(&mut [u8])| {
        let mut blocks = filled(3, 1024);
        let bytes = blocks.blocks.get_mut(&0).unwrap();
        change(bytes);
        crate::fs::xfs::checksum::seal(bytes, 12).unwrap();
        defect(&xattrs(Source::Blocks(&blocks)).unwrap_err())
    };
    let swapped = of(&|bytes| {
        for at in 80..88 {
            bytes.swap(at, at + 8);
        }
    });
    assert_eq!(swapped, "entry 1 has a smaller hash than the one before");
    let double = of(&|bytes| bytes.copy_within(80..88, 88));
    assert_eq!(double, "entry 1 has the name of another");
    let overlapping = of(&|bytes| {
        // A second name inside the value of the first, with the first's hash and another namespace.
        bytes.copy_within(80..88, 88);
        bytes[93] += 8;
        bytes[94] = 3;
        bytes.copy_within(880..885, 888);
        bytes[889] = 4;
    });
    assert_eq!(overlapping, "names at 0x370 and 0x378 overlap");
}

#[test]
fn trees_that_lie_are_named() {
    let of = |change: &dyn Fn(&mut Contents)| {
        let mut blocks = filled(60, 1024);
        change(&mut blocks.blocks);
        for bytes in blocks.blocks.values_mut() {
            crate::fs::xfs::checksum::seal(bytes, 12).unwrap();
        }
        defect(&xattrs(Source::Blocks(&blocks)).unwrap_err())
    };
    let children = |blocks: &Contents| {
        let root = &blocks[&0];
        let count = usize::from(be_u16(root, 56).unwrap());
        (0..count).map(|index| u64::from(be_u32(root, 68 + 8 * index).unwrap())).collect::<Vec<_>>()
    };
    let twice = of(&|blocks| {
        let children = children(blocks);
        let mut first = [0; 8];
        first.copy_from_slice(&blocks[&0][64..72]);
        blocks.get_mut(&0).unwrap()[72..80].copy_from_slice(&first);
        let leaf = blocks.get_mut(&children[0]).unwrap();
        let own = u32::try_from(children[0]).unwrap().to_be_bytes();
        leaf[..4].copy_from_slice(&own);
        leaf[4..8].copy_from_slice(&own);
    });
    assert_eq!(twice, "is there twice");
    let empty = of(&|blocks| {
        let leaf = blocks.get_mut(&children(blocks)[0]).unwrap();
        leaf[56..60].fill(0);
    });
    assert_eq!(empty, "is empty");
    let wrong = of(&|blocks| blocks.get_mut(&0).unwrap()[67] ^= 1);
    assert!(wrong.contains("the node above says"), "{wrong}");
    let kind = of(&|blocks| blocks.get_mut(&children(blocks)[0]).unwrap()[9] = 0xff);
    assert!(kind.contains("magic") || kind.contains("no leaf"), "{kind}");
}

#[test]
fn remote_values_are_checked() {
    let of = |change: &dyn Fn(&mut MemoryBlocks)| {
        let mut blocks = MemoryBlocks::new(format(1024, 1024));
        let new = Attribute::local(Namespace::User, b"big", &[7; 2000]);
        tree::set(&mut blocks, &new).unwrap();
        assert_eq!(blocks.blocks.len(), 4);
        change(&mut blocks);
        defect(&xattr(Source::Blocks(&blocks), b"user.big").unwrap_err())
    };
    let patched = |at: usize, value: u8| {
        of(&|blocks| {
            let bytes = blocks.blocks.get_mut(&2).unwrap();
            bytes[at] = value;
            crate::fs::xfs::checksum::seal(bytes, 12).unwrap();
        })
    };
    assert_eq!(patched(0, b'Y'), "magic is 0x5941524d, not 0x5841524d");
    assert_eq!(patched(7, 0), "holds 968 bytes from 768, not 968 from 968");
    assert_eq!(patched(11, 0), "holds 768 bytes from 968, not 968 from 968");
    assert!(patched(16, b'x').contains("belongs to the file system"));
    assert_eq!(patched(39, 1), "belongs to inode 1");
    assert!(patched(47, 1).contains("says that it lies at sector 4097"));
    let torn = of(&|blocks| blocks.blocks.get_mut(&3).unwrap()[100] ^= 1);
    assert!(torn.contains("checksum"), "{torn}");
    let hole = of(&|blocks| drop(blocks.blocks.remove(&3)));
    assert_eq!(hole, "is not mapped");
}

/// A length that leads into the blocks of others frees none of them.
#[test]
fn a_wrong_length_frees_nothing() {
    let mut blocks = MemoryBlocks::new(format(1024, 1024));
    let big = Attribute::local(Namespace::User, b"big", &[7; 2000]);
    tree::set(&mut blocks, &big).unwrap();
    tree::set(&mut blocks, &Attribute::local(Namespace::User, b"other", &[8; 2000])).unwrap();
    let mut parsed = leaf::parse(&blocks.blocks[&0], &blocks.format).unwrap();
    for attribute in &mut parsed {
        if let Value::Remote { size_bytes, .. } = &mut attribute.value {
            *size_bytes = 3000;
        }
    }
    let bytes = &blocks.blocks[&0];
    let mut bytes = leaf::encode(&parsed, &blocks.format, bytes).unwrap();
    bytes[8..56].copy_from_slice(&blocks.blocks[&0][8..56]);
    crate::fs::xfs::checksum::seal(&mut bytes, 12).unwrap();
    blocks.blocks.insert(0, bytes);
    let before = blocks.blocks.clone();
    let error = tree::remove(&mut blocks, &big).unwrap_err();
    assert_eq!(defect(&error), "holds 64 bytes from 1936, not 968 from 1936");
    assert_eq!(blocks.blocks, before);
}

#[test]
fn parent_pointers_are_told_apart_by_their_value() {
    let pointer = |inode: u64, name: &str| ParentPointer {
        inode: InodeNumber(inode),
        generation: 5,
        name: name.as_bytes().to_vec(),
    };
    let (first, second) = (pointer(128, "ls"), pointer(4711, "ls"));
    let set = |pointer: &ParentPointer| Change::Set(pointer.to_attribute());
    let mut blocks = MemoryBlocks::new(format(4096, 4096));
    let label = Change::xattr(b"security.selinux", Some(b"label\0")).unwrap();
    change_blocks(&mut blocks, &[set(&first), label, set(&second)]).unwrap();
    let source = Source::Blocks(&blocks);
    let mut found = parent_pointers(source).unwrap();
    found.sort_by_key(|pointer| pointer.inode);
    assert_eq!(found, [first.clone(), second.clone()]);
    let names: Vec<_> = xattrs(source).unwrap().into_iter().map(|xattr| xattr.name).collect();
    assert_eq!(names, [b"security.selinux"]);
    let renamed = pointer(4711, "cat");
    let changes = [Change::Remove(second.to_attribute()), set(&renamed)];
    change_blocks(&mut blocks, &changes).unwrap();
    change_blocks(&mut blocks, &[Change::Remove(first.to_attribute())]).unwrap();
    assert_eq!(parent_pointers(Source::Blocks(&blocks)).unwrap(), [renamed]);
    assert_eq!(blocks.next_mapped(FileBlock(1)).unwrap(), None);
}

#[test]
fn an_inode_without_room_is_refused() {
    let room = |data_bytes, data_format| Room {
        literal_bytes: 336,
        offset_bytes: 0,
        data_format,
        data_bytes,
    };
    let label = [Change::xattr(b"security.selinux", Some(b"label\0")).unwrap()];
    let full = room(330, ForkFormat::Local);
    assert_eq!(change_short_form(&full, &[], &label).unwrap_err().kind_name(), "refused");
    let changed = change_short_form(&room(290, ForkFormat::Local), &[], &label).unwrap();
    assert!(matches!(changed, ForkChange::Local { offset_bytes: 296, .. }), "{changed:?}");
    let gone = [Change::xattr(b"security.selinux", None).unwrap()];
    let old = [Attribute::local(Namespace::Secure, b"selinux", b"")];
    let mut small = room(52, ForkFormat::Btree);
    small.offset_bytes = 192;
    assert_eq!(change_short_form(&small, &old, &gone).unwrap(), ForkChange::Gone);
    let long = Change::xattr(b"user.a", Some(&vec![0; 65_537])).unwrap_err();
    assert_eq!(long.kind_name(), "limit");
}

#[test]
fn what_an_interrupted_edit_left_is_hidden_and_kept() {
    let mut blocks = filled(3, 1024);
    let bytes = blocks.blocks.get_mut(&0).unwrap();
    bytes[86] |= 0x80;
    crate::fs::xfs::checksum::seal(bytes, 12).unwrap();
    assert_eq!(xattrs(Source::Blocks(&blocks)).unwrap().len(), 2);
    let parsed = leaf::parse(&blocks.blocks[&0], &blocks.format).unwrap();
    let name = parsed[0].name.clone();
    let full = [b"user.".as_slice(), &name].concat();
    assert_eq!(xattr(Source::Blocks(&blocks), &full).unwrap(), None);
    let change = Change::xattr(&full, Some(b"new")).unwrap();
    change_blocks(&mut blocks, &[change]).unwrap();
    assert_eq!(xattr(Source::Blocks(&blocks), &full).unwrap(), Some(b"new".to_vec()));
    let parsed = leaf::parse(&blocks.blocks[&0], &blocks.format).unwrap();
    assert_eq!(parsed.iter().filter(|one| one.is_incomplete).count(), 1);
}

/// A block of 64 KiB, whose end does not fit the field for it.
#[test]
fn the_largest_block_works() {
    let blocks = filled(1, 65_536);
    assert_eq!(xattrs(Source::Blocks(&blocks)).unwrap().len(), 1);
    let empty = leaf::encode(&[], &blocks.format, &vec![0; 65_536]).unwrap();
    assert_eq!(be_u16(&empty, 60), Ok(0));
    assert_eq!(leaf::parse(&empty, &blocks.format), Ok(vec![]));
}
