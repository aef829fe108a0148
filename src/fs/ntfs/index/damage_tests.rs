//! Trees that no driver should leave: loops, uneven ones, and random damage.

use super::block::Block;
use super::check::check;
use super::format::IndexFormat;
use super::memory::MemoryIndex;
use super::node::Node;
use super::read::LEVELS_MAX;
use super::testing::*;
use super::*;
use crate::error::{ErrorKind, Result};
use std::ops::ControlFlow;

/// Names, and the blocks below (none for a leaf).
type Shape = (&'static [&'static str], &'static [u64]);

fn node(format: IndexFormat, (names, blocks): Shape) -> Node {
    let mut entries: Vec<Entry> = names.iter().map(|name| entry(30, &utf16(name))).collect();
    let vcns: Vec<_> = blocks.iter().map(|b| format.vcn(IndexBlock(*b)).unwrap()).collect();
    assert!(vcns.is_empty() || vcns.len() == names.len() + 1);
    for (entry, vcn) in entries.iter_mut().zip(&vcns) {
        entry.sub_node = Some(*vcn);
    }
    Node { entries, end: vcns.last().copied() }
}

/// A tree with this root and these blocks, all of them allocated.
fn tree(root: Shape, blocks: &[Shape]) -> MemoryIndex {
    let format = IndexFormat::new(4096, 65536).unwrap();
    let mut host = MemoryIndex::new(by_name(), 4096, 65536, 700);
    let mut index_root = IndexRoot::parse(&host.root).unwrap();
    index_root.node = node(format, root);
    host.root = index_root.store().unwrap();
    for (number, shape) in (0..).zip(blocks) {
        let vcn = format.vcn(IndexBlock(number)).unwrap();
        let mut block = Block::new(format, vcn, node(format, *shape)).unwrap();
        host.blocks.push(block.store().unwrap());
        host.bitmap.insert(number);
    }
    host
}

fn visit(host: &MemoryIndex) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let index = Index::open(host, 65536, by_name())?;
    index.visit(&mut |entry| {
        names.push(String::from_utf16_lossy(&entry.file_name()?.name));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

fn is_corrupt<T: std::fmt::Debug>(result: Result<T>) -> bool {
    matches!(result.unwrap_err().kind(), ErrorKind::Corrupt(_))
}

/// Nodes that contain themselves, a parent, or a block twice end with `Corrupt`, however they are used.
#[test]
fn loops_are_found() {
    let loops: [(Shape, &[Shape]); 5] = [
        // The block leads to itself.
        ((&[], &[0]), &[(&["m"], &[0, 0])]),
        ((&[], &[0]), &[(&[], &[0])]),
        // A block leads to its parent.
        ((&["m"], &[0, 1]), &[(&["a"], &[2, 2]), (&["x"], &[]), (&["b"], &[0, 0])]),
        // Two ways to one block.
        ((&["m"], &[0, 0]), &[(&["a"], &[])]),
        ((&["d", "m"], &[0, 1, 0]), &[(&["a"], &[]), (&["e"], &[])]),
    ];
    for (number, (root, blocks)) in loops.into_iter().enumerate() {
        let host = tree(root, blocks);
        host.read.set(0);
        assert!(is_corrupt(visit(&host)), "{number}");
        assert!(host.read.get() <= blocks.len() + 1);
        assert!(is_corrupt(check(&host, 65536, by_name())), "{number}");
        for name in ["0", "b", "m", "n", "zz"] {
            let mut host = tree(root, blocks);
            let index = Index::open(&host, 65536, by_name()).unwrap();
            // A search that does not meet the loop may succeed.
            let _ = index.find_name(&utf16(name));
            assert!(host.read.get() <= 3 * LEVELS_MAX);
            host.read.set(0);
            let mut editor = IndexEditor::open(&mut host, 65536, by_name()).unwrap();
            let _ = editor.insert(entry(1, &utf16(name)));
            let _ = editor.remove(&key(&utf16(name)));
            assert!(host.read.get() <= 8 * LEVELS_MAX);
        }
    }
}

/// More levels than there can be, without any loop.
#[test]
fn depth_is_bounded() {
    let deep: Vec<Vec<u64>> = (1..100).map(|next| vec![next]).collect();
    let mut shapes: Vec<Shape> = Vec::new();
    for next in &deep {
        let next: &'static [u64] = Box::leak(next.clone().into_boxed_slice());
        shapes.push((&[], next));
    }
    shapes.push((&["a"], &[]));
    let mut host = tree((&[], &[0]), &shapes);
    assert!(is_corrupt(visit(&host)));
    assert!(is_corrupt(check(&host, 65536, by_name())));
    let index = Index::open(&host, 65536, by_name()).unwrap();
    assert!(is_corrupt(index.find_name(&utf16("a"))));
    let mut editor = IndexEditor::open(&mut host, 65536, by_name()).unwrap();
    assert!(is_corrupt(editor.insert(entry(1, &utf16("b")))));
    assert!(is_corrupt(editor.remove(&key(&utf16("a")))));
    assert!(host.read.get() < 6 * LEVELS_MAX);
}

/// A search relies on the order; so it is checked on its way. A listing does not.
#[test]
fn keys_out_of_order_are_found_by_a_search() {
    let cases: [(Shape, &[Shape]); 5] = [
        ((&["b", "a"], &[]), &[]),
        ((&["a", "a"], &[]), &[]),
        ((&["m"], &[0, 1]), &[(&["a", "n"], &[]), (&["x"], &[])]),
        ((&["m"], &[0, 1]), &[(&["m"], &[]), (&["x"], &[])]),
        ((&["m", "p"], &[0, 1, 2]), &[(&["a"], &[]), (&["k"], &[]), (&["x"], &[])]),
    ];
    for (number, (root, blocks)) in cases.into_iter().enumerate() {
        let mut host = tree(root, blocks);
        assert!(is_corrupt(check(&host, 65536, by_name())), "{number}");
        assert!(visit(&host).is_ok());
        let name = if number == 4 { "n" } else { "c" };
        let index = Index::open(&host, 65536, by_name()).unwrap();
        assert!(is_corrupt(index.find_name(&utf16(name))), "{number}");
        let mut editor = IndexEditor::open(&mut host, 65536, by_name()).unwrap();
        assert!(is_corrupt(editor.insert(entry(1, &utf16(name)))), "{number}");
        assert!(is_corrupt(editor.remove(&key(&utf16(name)))), "{number}");
    }
}

/// Blocks that are used but free by the bitmap are read, and not edited; nor are blocks outside.
#[test]
fn the_bitmap_must_know_what_is_edited() {
    let mut host = tree((&["m"], &[0, 1]), &[(&["a"], &[]), (&["x"], &[])]);
    host.bitmap.remove(&0);
    assert_eq!(visit(&host).unwrap(), ["a", "m", "x"]);
    assert!(is_corrupt(check(&host, 65536, by_name())));
    let mut editor = IndexEditor::open(&mut host, 65536, by_name()).unwrap();
    assert!(is_corrupt(editor.insert(entry(1, &utf16("b")))));
    assert!(is_corrupt(editor.remove(&key(&utf16("a")))));
    assert!(editor.insert(entry(1, &utf16("y"))).unwrap());
    // x and y go; then the block would have to join the one that is free.
    assert!(editor.remove(&key(&utf16("y"))).unwrap().is_some());
    assert!(is_corrupt(editor.remove(&key(&utf16("x")))));
    host.bitmap.insert(0);
    assert_eq!(check(&host, 65536, by_name()).unwrap().entries, 3);
    host.blocks.push(vec![0; 4096]);
    assert_eq!(check(&host, 65536, by_name()).unwrap().blocks, 2);
    host.bitmap.insert(2);
    let summary = check(&host, 65536, by_name()).unwrap();
    assert!(summary.lost_blocks == 1 && !summary.is_tidy());
    let host = tree((&["m"], &[0, 9]), &[(&["a"], &[])]);
    assert!(is_corrupt(visit(&host)));
}

/// Shapes that other drivers may leave: they are read, and edits keep every other name and end in a sound tree.
#[test]
fn uneven_trees_are_edited() {
    let shapes: [(Shape, &[Shape]); 8] = [
        // Inner blocks without entries, as ntfs-3g leaves them.
        (
            (&["m"], &[0, 1]),
            &[(&[], &[2]), (&["t"], &[3, 4]), (&["a"], &[]), (&["o"], &[]), (&["x"], &[])],
        ),
        (
            (&["m"], &[1, 0]),
            &[(&[], &[2]), (&["c"], &[3, 4]), (&["x"], &[]), (&["a"], &[]), (&["d"], &[])],
        ),
        ((&[], &[0]), &[(&[], &[1]), (&["a", "b"], &[])]),
        // Empty leaves.
        ((&["m"], &[0, 1]), &[(&[], &[]), (&["x"], &[])]),
        ((&["g", "m"], &[0, 1, 2]), &[(&["a"], &[]), (&[], &[]), (&[], &[])]),
        ((&["g", "m"], &[0, 1, 2]), &[(&[], &[]), (&[], &[]), (&[], &[])]),
        // Leaves of unequal depth.
        (
            (&["g", "m"], &[0, 1, 2]),
            &[(&["a"], &[]), (&["i"], &[3, 4]), (&["x"], &[]), (&["h"], &[]), (&["k"], &[])],
        ),
        ((&["g"], &[0, 1]), &[(&["c"], &[2, 3]), (&["x"], &[]), (&["a"], &[]), (&["d"], &[])]),
    ];
    for (number, (root, blocks)) in shapes.into_iter().enumerate() {
        let all = visit(&tree(root, blocks)).unwrap();
        for seed in 0..30 {
            let mut random = Random(seed + 1);
            let mut host = tree(root, blocks);
            let mut names = all.clone();
            while !names.is_empty() {
                let name = names.remove(random.below(names.len() as u64) as usize);
                let mut editor = IndexEditor::open(&mut host, 65536, by_name()).unwrap();
                assert!(editor.remove(&key(&utf16(&name))).unwrap().is_some(), "{number} {name}");
                if random.below(3) == 0 {
                    let new = format!("{}{}", name, random.below(1000));
                    assert!(editor.insert(entry(2, &utf16(&new))).unwrap());
                    names.push(new);
                }
                names.sort();
                assert_eq!(visit(&host).unwrap(), names, "{number} seed {seed} without {name}");
                let summary = check(&host, 65536, by_name()).unwrap();
                assert_eq!(summary.entries, names.len() as u64);
            }
            let leftover = IndexRoot::parse(&host.root).unwrap().node;
            // An empty leaf that was there before may be left.
            assert!(leftover.entries.is_empty());
            if !blocks.iter().any(|(names, below)| names.is_empty() && below.is_empty()) {
                assert_eq!(leftover, Node::default(), "{number} seed {seed}");
                assert!(host.bitmap.is_empty());
            }
        }
    }
}

/// Flips and overwritten words anywhere in root and blocks, with and without fix-ups made good again.
#[test]
fn damage_never_panics_and_always_ends() {
    for (number, (block, cluster)) in
        [(512u32, 4096u32), (1024, 1024), (4096, 512)].into_iter().enumerate()
    {
        let mut random = Random(7 + number as u64);
        let mut directory = Directory::new(block, cluster, 300);
        while directory.host.blocks.len() < 12 {
            let name = random.name(40);
            directory.insert(&name);
        }
        let names: Vec<Vec<u16>> = directory.model.keys().map(|name| name.0.clone()).collect();
        for _ in 0..150 * sequences() {
            let host = damaged(&directory.host, &mut random);
            let some: Vec<Vec<u16>> =
                (0..3).map(|_| names[random.below(names.len() as u64) as usize].clone()).collect();
            exercise(host, cluster, by_name(), &some);
        }
    }
}

/// An inner block that lost its last entry next to one that is full: an entry comes over, on either side.
#[test]
fn full_neighbours_give_an_entry() {
    let format = IndexFormat::new(4096, 65536).unwrap();
    let long = |first: &str| entry(30, &utf16(&format!("{first:a<255}")));
    for is_left in [true, false] {
        // Around "m": one block with one entry, and one with six long entries.
        let (few, many) = if is_left { ("b", "p") } else { ("y", "c") };
        let mut host = tree((&[], &[]), &[]);
        let add = |host: &mut MemoryIndex, entries: Vec<Entry>, below: &[u64]| {
            let number = host.blocks.len() as u64;
            let vcns: Vec<_> = below.iter().map(|b| format.vcn(IndexBlock(*b)).unwrap()).collect();
            let mut node = Node { entries, end: vcns.last().copied() };
            for (entry, vcn) in node.entries.iter_mut().zip(&vcns) {
                entry.sub_node = Some(*vcn);
            }
            let vcn = format.vcn(IndexBlock(number)).unwrap();
            let mut block = Block::new(format, vcn, node).unwrap();
            assert!(block.fits());
            host.blocks.push(block.store().unwrap());
            host.bitmap.insert(number);
            number
        };
        let before = add(&mut host, vec![entry(1, &utf16(&format!("{few}0")))], &[]);
        let behind = add(&mut host, vec![entry(1, &utf16(&format!("{few}2")))], &[]);
        let small = add(&mut host, vec![entry(1, &utf16(&format!("{few}1")))], &[before, behind]);
        let leaves: Vec<u64> = (0..7)
            .map(|i| add(&mut host, vec![entry(1, &utf16(&format!("{many}{i}a")))], &[]))
            .collect();
        let inner = (0..6).map(|i| long(&format!("{many}{i}m"))).collect();
        let full = add(&mut host, inner, &leaves);
        let mut root = IndexRoot::parse(&host.root).unwrap();
        let [first, last] = if is_left { [small, full] } else { [full, small] };
        let mut middle = long("m");
        middle.sub_node = Some(format.vcn(IndexBlock(first)).unwrap());
        root.node =
            Node { entries: vec![middle], end: Some(format.vcn(IndexBlock(last)).unwrap()) };
        host.root = root.store().unwrap();
        host.root_bytes_max = 700;
        let mut names = visit(&host).unwrap();
        assert_eq!(check(&host, 65536, by_name()).unwrap().entries, 17);
        let blocks = host.bitmap.len();
        // The two leaves join; their parent is then without entries.
        let gone = format!("{few}0");
        let mut editor = IndexEditor::open(&mut host, 65536, by_name()).unwrap();
        assert!(editor.remove(&key(&utf16(&gone))).unwrap().is_some());
        names.retain(|name| *name != gone);
        assert_eq!(visit(&host).unwrap(), names);
        let summary = check(&host, 65536, by_name()).unwrap();
        assert!(summary.is_tidy() && summary.levels == 3, "{summary:?}");
        assert_eq!(host.bitmap.len(), blocks - 1);
        // The entry that came over brought its leaf along.
        let edge = Index::open(&host, 65536, by_name()).unwrap();
        assert!(edge.find_name(&utf16(&format!("{many}0a"))).unwrap().is_some());
        assert!(edge.find_name(&utf16(&format!("{many}6a"))).unwrap().is_some());
    }
}
