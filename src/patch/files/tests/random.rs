//! Random edits, made of a directory and of a tree in memory: both must agree on what may be done and on what comes of
//! it, before and after it is written; and taking it back must leave nothing.

use super::*;
use crate::fs::memory::MemoryTree;
use crate::fs::{DirectoryEntry, FileSystem, Metadata, NodeKind, Xattr};
use proptest::prelude::*;
use std::ops::ControlFlow;

/// Above what is replaced as a whole.
const LARGE_BYTES: usize = (1 << 20) + 777;

/// One edit: what, where among what there is then, and with what.
type Edit = (u8, u8, u16);

/// What both trees know of an object; sizes of directories and times are the host's own affair.
type Facts = (NodeKind, u32, u32, u32, u32, Option<Timestamp>, Vec<(Vec<u8>, Vec<u8>)>, Vec<u8>);

fn facts(fs: &dyn FileSystem) -> BTreeMap<Vec<u8>, Facts> {
    let mut found = BTreeMap::new();
    let mut rest = vec![(b"".to_vec(), fs.root())];
    while let Some((path, node)) = rest.pop() {
        let Metadata { kind, mode, uid, gid, modified, link_count, .. } =
            fs.metadata(node).unwrap();
        let (mut names, mut content) = (link_count, Vec::new());
        let mut time = Some(modified);
        match kind {
            NodeKind::Directory => {
                let mut visit = |entry: DirectoryEntry| {
                    rest.push(([path.as_slice(), b"/", &entry.name].concat(), entry.node));
                    Ok(ControlFlow::Continue(()))
                };
                fs.read_dir(node, &mut visit).unwrap();
                (names, time) = (0, None);
            }
            NodeKind::Symlink => content = fs.read_link(node).unwrap(),
            _ => content = fs.read(node, 1 << 24).unwrap(),
        }
        let mut xattrs: Vec<_> = fs
            .xattrs(node)
            .unwrap()
            .into_iter()
            .map(|Xattr { name, value }| (name, value))
            .collect();
        xattrs.sort();
        let mode = if kind == NodeKind::Symlink { 0 } else { mode };
        found.insert(path, (kind, mode, uid, gid, names, time, xattrs, content));
    }
    found
}

fn node_of(fs: &dyn FileSystem, path: &[u8]) -> NodeId {
    find(fs, &GuestPath::new(path)).unwrap().unwrap().node
}

/// One of `all`, for any number.
fn pick(all: &[Vec<u8>], at: u8) -> Option<&Vec<u8>> {
    all.get(usize::from(at).checked_rem(all.len())?)
}

/// Makes one edit of `fs`, in which there is what `known` says. `None` if there is nothing to make it of.
fn edit(
    fs: &mut dyn FileEdit,
    known: &BTreeMap<Vec<u8>, Facts>,
    (what, at, value): Edit,
) -> Option<Result<()>> {
    let of_kind = |wanted: &[NodeKind]| -> Vec<Vec<u8>> {
        known.iter().filter(|(_, f)| wanted.contains(&f.0)).map(|(path, _)| path.clone()).collect()
    };
    let (files, directories) = (of_kind(&[NodeKind::File]), of_kind(&[NodeKind::Directory]));
    let both = of_kind(&[NodeKind::File, NodeKind::Directory]);
    let bytes = |len: usize| -> Vec<u8> { (0..len).map(|i| (i as u16 ^ value) as u8).collect() };
    let len = usize::from(value);
    let is_root = nix::unistd::geteuid().is_root();
    let root_facts = &known[&Vec::new()];
    let owner = if is_root { u32::from(value % 5) } else { root_facts.2 };
    let group = if is_root { u32::from(value % 3) } else { root_facts.3 };
    Some(match what % 10 {
        0 => {
            let node = node_of(fs.as_file_system(), pick(&files, at)?);
            fs.append(node, &bytes(len % 1500 + 1))
        }
        1 => {
            let node = node_of(fs.as_file_system(), pick(&files, at)?);
            fs.replace(node, &bytes(len % 3000))
        }
        2 => {
            let path = pick(&files, at)?;
            let node = node_of(fs.as_file_system(), path);
            let offset_bytes = len.checked_rem(known[path].7.len() + 1)? as u64;
            fs.overwrite(node, offset_bytes, &bytes(len % 200 + 1))
        }
        3 | 4 => {
            let directory = node_of(fs.as_file_system(), pick(&directories, at)?);
            let is_file = what % 10 == 3;
            let mode = [0o600, 0o644, 0o4755][len % 3] | if is_file { 0 } else { 0o700 };
            let xattrs = vec![Xattr { name: b"user.new".to_vec(), value: bytes(len % 9) }];
            let new = NewNode { mode, uid: owner, gid: group, xattrs };
            let name = format!("{}{}", if is_file { "f" } else { "d" }, value % 7).into_bytes();
            if is_file {
                fs.create_file(directory, &name, &new, &bytes(len % 2000)).map(drop)
            } else {
                fs.create_directory(directory, &name, &new).map(drop)
            }
        }
        5 => {
            let gone = of_kind(&[NodeKind::File, NodeKind::Symlink]);
            let path = pick(&gone, at)?;
            let slash = path.iter().rposition(|&byte| byte == b'/')?;
            let directory = node_of(fs.as_file_system(), &path[..slash]);
            fs.remove(directory, &path[slash + 1..])
        }
        6 | 7 => {
            let path = pick(&both, at)?;
            let node = node_of(fs.as_file_system(), path);
            let is_time = what % 10 == 7 && known[path].0 == NodeKind::File;
            let modified = Timestamp { seconds: 1_500_000_000 + i64::from(value), nanoseconds: 7 };
            let change = MetadataChange {
                mode: Some(0o700 | u32::from(value & 0o7077)),
                uid: Some(owner),
                gid: Some(group),
                accessed: None,
                modified: is_time.then_some(modified),
            };
            fs.set_metadata(node, &change)
        }
        _ => {
            let node = node_of(fs.as_file_system(), pick(&both, at)?);
            let value = bytes(len % 40);
            let name = format!("user.n{}", len % 3).into_bytes();
            fs.set_xattr(node, &name, (what % 10 == 8).then_some(&value))
        }
    })
}

fn check(edits: &[Edit], way: Way) {
    let place = Place::new();
    fs::write(place.root().join("etc/large"), vec![5; LARGE_BYTES]).unwrap();
    let before = place.inventory();
    let tree = || Tree::new(Rc::new(place.directory_by(way)), CLOCK);
    let mut edited = tree();
    let mut memory = MemoryTree::copy_of(&edited).unwrap().at(CLOCK);
    assert_eq!(facts(&edited), facts(&memory), "the copy");
    for &one in edits {
        let known = facts(&memory);
        let (a, b) = (edit(&mut edited, &known, one), edit(&mut memory, &known, one));
        let is_done = |result: &Option<Result<()>>| result.as_ref().map(Result::is_ok);
        assert_eq!(is_done(&a), is_done(&b), "{one:?}: {a:?}, {b:?}");
    }
    let expected = facts(&memory);
    assert_eq!(facts(&edited), expected, "edited");
    assert_same(&place.inventory(), &before, "nothing is written yet");
    let patch = FilePatch::new(description(), edited.records().unwrap()).unwrap();
    let patch = decode(&encode(&patch).unwrap()).unwrap();
    let mut loaded = tree();
    loaded.load(patch.records()).unwrap();
    assert_eq!(facts(&loaded), expected, "loaded");
    let directory = place.directory_by(way);
    run(&patch, &directory, Direction::Apply).unwrap();
    assert_eq!(state(&patch, &directory).unwrap(), FilesState::Applied);
    assert_eq!(facts(&tree()), expected, "written");
    run(&patch, &directory, Direction::Undo).unwrap();
    assert_same(&place.inventory(), &before, "undone");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn directories_and_memory_agree_and_undo_leaves_nothing(
        edits in prop::collection::vec(any::<Edit>(), 0..24),
        has_all in any::<bool>(),
    ) {
        check(&edits, WAYS[usize::from(!has_all)]);
    }
}
