//! Shapes of NTFS volumes times operations on them: for each, four things are asserted (see [`NtfsBench::prove`]).
//!
//! A usual run takes some of the operations on each shape, others on each; `REGAIN_MATRIX=all` takes all of them.
//!
//! With root and FUSE, `root_only_` tests let ntfs-3g mount what was edited, read it, and use it.

use crate::support::ntfs_bench::{Intended, NtfsBench, node, split};
use crate::support::ntfs_mount::Mount;
use crate::support::{ntfs_check, ntfs_image, ntfs_tools, ntfs_tree, sparse, tools};
use regain::error::{ErrorKind, Result};
use regain::fs::{FileEdit, NewNode, Xattr};
use std::path::Path;

/// A step of an operation.
#[derive(Debug, Clone)]
enum Step {
    /// Bytes over bytes.
    Overwrite(&'static str, u64, Vec<u8>),
    /// Another content of this length.
    Replace(&'static str, usize),
    /// So many more bytes.
    Append(&'static str, usize),
    /// A new file of this length.
    File(String, usize),
    /// A new directory.
    Directory(String),
    /// A name less.
    Remove(&'static str),
    /// A name less, which is there more than once below a directory.
    RemoveOf(&'static str, usize),
}

/// An operation: a name, its steps, and whether the editor may refuse it by name.
type Operation = (&'static str, Vec<Step>, bool);

fn operations() -> Vec<Operation> {
    use Step::{Append, Directory, File, Overwrite, Remove, RemoveOf, Replace};
    let long = "n".repeat(251);
    let many = |directory: &str, count: usize| -> Vec<Step> {
        (0..count)
            .map(|index| File(format!("{directory}/new-file-{index:03}"), index % 3 * 90))
            .collect()
    };
    vec![
        ("overwrite resident", vec![Overwrite("/forms/resident", 10, vec![1; 30])], false),
        ("overwrite over clusters", vec![Overwrite("/forms/several", 500, vec![2; 5000])], false),
        ("overwrite in pieces", vec![Overwrite("/forms/pieces", 3, vec![3; 1500])], false),
        ("overwrite sparse", vec![Overwrite("/forms/sparse", 5, vec![4; 20])], true),
        ("overwrite compressed", vec![Overwrite("/forms/compressed/text", 5, vec![4; 20])], true),
        ("replace resident by shorter", vec![Replace("/forms/resident", 7)], false),
        ("replace resident by longer", vec![Replace("/forms/resident", 333)], false),
        ("replace resident by clusters", vec![Replace("/forms/resident", 4567)], false),
        ("replace by nothing", vec![Replace("/forms/resident-large", 0)], false),
        ("replace clusters by fewer", vec![Replace("/forms/several", 700)], false),
        ("replace clusters by more", vec![Replace("/forms/several", 99_999)], false),
        ("replace clusters by nothing", vec![Replace("/forms/several", 0)], false),
        ("replace pieces", vec![Replace("/forms/pieces", 50)], false),
        ("replace pieces by more", vec![Replace("/lists/many-pieces", 77_777)], false),
        ("replace many pieces by few", vec![Replace("/lists/many-pieces", 100)], false),
        ("replace sparse", vec![Replace("/forms/sparse", 5000)], true),
        ("replace compressed", vec![Replace("/forms/compressed/text", 5000)], true),
        ("replace hard link", vec![Replace("/lists/two-links", 300)], false),
        ("replace twin", vec![Replace("/forms/twin-large.data", 30_000)], false),
        ("replace with streams", vec![Replace("/forms/streams", 2000)], true),
        ("replace many links", vec![Replace("/lists/many-links", 6000)], true),
        ("append to nothing", vec![Append("/forms/empty", 40)], false),
        ("append to resident", vec![Append("/forms/resident", 60)], false),
        ("append out of the record", vec![Append("/forms/resident-large", 900)], false),
        ("append inside a cluster", vec![Append("/forms/several", 11)], false),
        ("append clusters", vec![Append("/forms/one-cluster", 20_000)], false),
        ("append to pieces", vec![Append("/forms/pieces", 5000)], false),
        (
            "append to a short name",
            vec![Append("/ProgramData/Amazon/EC2Launch/log/agent.log", 500)],
            false,
        ),
        ("create in a root node", vec![File("/names/3/new".into(), 0)], false),
        ("create with content", vec![File("/names/3/new.txt".into(), 200)], false),
        ("create with clusters", vec![File("/names/30/new.txt".into(), 9000)], false),
        ("create in a tree", vec![File("/names/200/a-rather-long-name-100b".into(), 20)], false),
        ("create in the root", vec![File("/new.txt".into(), 20)], false),
        ("create in an emptied directory", vec![File("/names/emptied/new".into(), 20)], false),
        ("create the longest name", vec![File(format!("/names/longest/{long}.txt"), 1)], false),
        ("create many", many("/names/3", 60), false),
        ("create many in a tree", many("/names/30", 90), false),
        ("create a directory", vec![Directory("/names/3/below".into())], false),
        (
            "create below what is new",
            vec![
                Directory("/names/30/below".into()),
                File("/names/30/below/file".into(), 100),
                Directory("/names/30/below/deeper".into()),
                File("/names/30/below/deeper/file".into(), 6000),
            ],
            false,
        ),
        ("remove resident", vec![Remove("/forms/resident")], false),
        ("remove clusters", vec![Remove("/forms/several")], false),
        ("remove pieces", vec![Remove("/lists/many-pieces")], false),
        ("remove the marker", vec![Remove("/ProgramData/Amazon/EC2Launch/state/.run-once")], false),
        ("remove a twin", vec![Remove("/forms/twin-large.data")], false),
        ("remove a hard link", vec![Remove("/lists/links/two-links")], false),
        ("remove a twin with a link", vec![Remove("/lists/twin and link.txt")], false),
        ("remove the link of a twin", vec![Remove("/lists/links/twin and link.txt")], false),
        ("remove one of many links", vec![Remove("/lists/links/another-name-of-it-11")], false),
        ("remove with many streams", vec![Remove("/lists/many-streams")], false),
        ("remove sparse", vec![Remove("/forms/sparse")], true),
        ("remove compressed", vec![Remove("/forms/compressed/noise")], true),
        ("remove with an object id", vec![Remove("/forms/object-id")], false),
        ("remove a reparse point", vec![Remove("/forms/reparse")], true),
        ("remove read-only", vec![Remove("/forms/read-only")], true),
        ("remove from a tree", vec![Remove("/names/200/a-rather-long-name-077")], false),
        ("remove half of a tree", vec![RemoveOf("/names/200", 2)], false),
        ("remove all of a tree", vec![RemoveOf("/names/200", 1)], false),
        ("remove all of a block", vec![RemoveOf("/names/longest", 1)], false),
        ("remove from a crowd", vec![RemoveOf("/crowd", 97)], false),
        ("create in a crowd", many("/crowd", 40), false),
        ("create beside thousands", many("/mft", 30), false),
    ]
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251 + 1) as u8).collect()
}

fn new_node() -> NewNode {
    NewNode { mode: 0o777, uid: 0, gid: 0, xattrs: Vec::<Xattr>::new() }
}

/// The steps with what is known only of a volume put in, or none if something is not there.
fn fit(steps: &[Step], bench: &NtfsBench) -> Option<Vec<Step>> {
    let tree = &bench.tree().0;
    let mut fitted = Vec::new();
    let mut made = Vec::new();
    for step in steps {
        let needed = match step {
            Step::Overwrite(path, ..)
            | Step::Replace(path, _)
            | Step::Append(path, _)
            | Step::Remove(path)
            | Step::RemoveOf(path, _) => path,
            Step::File(path, _) | Step::Directory(path) => split(path).0,
        };
        if !tree.contains_key(needed) && !made.iter().any(|path: &String| path == needed) {
            return None;
        }
        match step {
            Step::Directory(path) => made.push(path.clone()),
            Step::Overwrite(path, at, bytes) => {
                let size: u64 = tree[*path]["size"].parse().unwrap();
                if size < at + bytes.len() as u64 {
                    return None;
                }
            }
            _ => {}
        }
        fitted.push(step.clone());
    }
    Some(fitted)
}

/// The paths directly in `directory`, each `every`th.
fn those_in(bench: &NtfsBench, directory: &str, every: usize) -> Vec<String> {
    let prefix = format!("{directory}/");
    let names = bench.tree().0.range(prefix.clone()..).map(|(path, _)| path.clone());
    let names = names.take_while(|path| path.starts_with(&prefix));
    names.step_by(every).collect()
}

fn make(fs: &mut dyn FileEdit, step: &Step, bench: &NtfsBench) -> Result<()> {
    let parent = |fs: &dyn FileEdit, path: &str| node(fs, split(path).0);
    let remove = |fs: &mut dyn FileEdit, path: &str| {
        let directory = parent(fs, path);
        fs.remove(directory, split(path).1.as_bytes())
    };
    match step {
        Step::Overwrite(path, at, bytes) => fs.overwrite(node(fs, path), *at, bytes),
        Step::Replace(path, len) => fs.replace(node(fs, path), &content(*len)),
        Step::Append(path, len) => fs.append(node(fs, path), &content(*len)),
        Step::File(path, len) => {
            let directory = parent(fs, path);
            let name = split(path).1.as_bytes();
            fs.create_file(directory, name, &new_node(), &content(*len)).map(drop)
        }
        Step::Directory(path) => {
            let directory = parent(fs, path);
            fs.create_directory(directory, split(path).1.as_bytes(), &new_node()).map(drop)
        }
        Step::Remove(path) => remove(fs, path),
        Step::RemoveOf(directory, every) => {
            those_in(bench, directory, *every).iter().try_for_each(|path| remove(fs, path))
        }
    }
}

fn intend(steps: &[Step], bench: &NtfsBench) -> Intended {
    let mut intended = Intended::default();
    for step in steps {
        match step {
            Step::Overwrite(path, at, bytes) => {
                let mut whole = bench.content(path);
                whole[*at as usize..*at as usize + bytes.len()].copy_from_slice(bytes);
                intended.content.push(((*path).to_owned(), whole));
            }
            Step::Replace(path, len) => intended.content.push(((*path).to_owned(), content(*len))),
            Step::Append(path, len) => {
                let whole = [bench.content(path), content(*len)].concat();
                intended.content.push(((*path).to_owned(), whole));
            }
            Step::File(path, len) => intended.added.push((path.clone(), Some(content(*len)))),
            Step::Directory(path) => intended.added.push((path.clone(), None)),
            Step::Remove(path) => intended.removed.push((*path).to_owned()),
            Step::RemoveOf(directory, every) => {
                intended.removed.extend(those_in(bench, directory, *every));
            }
        }
    }
    intended
}

fn takes_all() -> bool {
    std::env::var("REGAIN_MATRIX").is_ok_and(|which| which == "all")
}

/// Every operation, or one in so many, beginning with another one on each volume.
fn run(fixture: &str, first: usize, every: usize, look: impl Fn(&NtfsBench, &Intended, &Path)) {
    let bench = NtfsBench::new(fixture);
    let (first, every) = if takes_all() { (0, 1) } else { (first, every) };
    let (mut done, mut refused) = (0, 0);
    for (name, steps, may_be_refused) in operations().iter().skip(first).step_by(every) {
        let Some(steps) = fit(steps, &bench) else { continue };
        let what = format!("{fixture}: {name}");
        println!("{what}");
        let intended = intend(&steps, &bench);
        let edit = |fs: &mut dyn FileEdit| steps.iter().try_for_each(|step| make(fs, step, &bench));
        match bench.prove(&what, edit, &intended, |image| look(&bench, &intended, image)) {
            Ok(()) => done += 1,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Refused(_)), "{what}: {error}");
                let is_full = fixture == "full" || fixture == "mft";
                assert!(*may_be_refused || is_full, "{what}: {error}");
                println!("  {error}");
                refused += 1;
            }
        }
    }
    println!("{fixture}: {done} done, {refused} refused");
    assert!(done > refused, "{fixture}: {refused} refused, only {done} done");
}

macro_rules! volumes {
    ($($name:ident: $fixture:expr, $first:expr, $every:expr;)*) => {
        $(
            #[test]
            fn $name() {
                run($fixture, $first, $every, |_, _, _| {});
            }
        )*

        mod root_only_ntfs_3g_takes_every_edit {
            $(
                #[test]
                #[ignore = "needs root and FUSE"]
                fn $name() {
                    super::run($fixture, 0, 1, super::assert_ntfs_3g_agrees);
                }
            )*
        }

        #[test]
        fn every_fixture_is_in_the_matrix() {
            let mut names = vec![$($fixture),*];
            names.sort_unstable();
            assert_eq!(names, ntfs_image::names());
        }
    };
}

volumes! {
    c512: "c512", 0, 17;
    c1k: "c1k", 1, 17;
    c2k: "c2k", 2, 17;
    c4k: "c4k", 3, 7;
    c8k: "c8k", 4, 17;
    c16k: "c16k", 5, 17;
    c32k: "c32k", 6, 17;
    c64k: "c64k", 7, 17;
    c128k: "c128k", 8, 17;
    c512k: "c512k", 9, 17;
    c2m: "c2m", 10, 17;
    s1k: "s1k", 11, 17;
    s2k: "s2k", 12, 17;
    s4k: "s4k", 0, 11;
    s4k_c64k: "s4k-c64k", 14, 17;
    crowd: "crowd", 59, 1;
    full: "full", 15, 17;
    mft: "mft", 16, 17;
}

/// ntfs-3g shows the content, writes, and the checker is silent afterwards.
fn assert_ntfs_3g_agrees(bench: &NtfsBench, intended: &Intended, image: &Path) {
    let copy = bench.scratch().join("copy.img");
    tools::copy_sparse(image, &copy);
    let place = bench.scratch().join("mount");
    let mount = Mount::new(&copy, &place, "ro");
    let shown = ntfs_tree::of_mount(mount.root());
    let bytes = sparse::read(image);
    let theirs = ntfs_check::tree(&bytes);
    for (path, fields) in theirs.0.iter().filter(|(_, fields)| fields["type"] == "file") {
        let mounted = &shown.0[path];
        let is_plain = mounted["type"] == "file" && fields["content"] != ntfs_tree::UNREADABLE;
        if is_plain {
            assert_eq!(mounted["content"], fields["content"], "{path}");
        }
    }
    drop(mount);
    let mount = Mount::new(&copy, &place, "rw");
    for (path, content) in intended.added.iter().chain(&[]) {
        let host = mount.root().join(path.trim_start_matches('/'));
        if content.is_some() {
            std::fs::remove_file(host).unwrap();
        }
    }
    for index in 0..40 {
        // A full volume takes no more.
        let _ = std::fs::write(
            mount.root().join(format!("names/3/by-ntfs-3g-{index}")),
            vec![1; 700 * (index % 3)],
        );
    }
    for part in ["forms", "lists", "names"] {
        std::fs::remove_dir_all(mount.root().join(part)).unwrap();
    }
    drop(mount);
    assert_eq!(ntfs_check::check(&copy, 0), Vec::<String>::new(), "after ntfs-3g");
}

/// The content of a new file as `ntfscat` reads it.
#[test]
fn ntfscat_reads_what_was_written() {
    let bench = NtfsBench::new("c4k");
    let intended = Intended {
        added: vec![("/names/30/new.txt".to_owned(), Some(content(70_000)))],
        ..Intended::default()
    };
    let edit = |fs: &mut dyn FileEdit| {
        let directory = node(fs, "/names/30");
        fs.create_file(directory, b"new.txt", &new_node(), &content(70_000)).map(drop)
    };
    let look = |image: &Path| {
        assert!(ntfs_tools::cat(image, "/names/30/new.txt") == content(70_000));
    };
    bench.prove("ntfscat", edit, &intended, look).unwrap();
}

/// A power cut at any place of writing an edit, or of taking it back: what is on the disk is known to be a part of it,
/// and both ways lead on from there.
#[test]
fn an_edit_that_was_cut_off_is_finished_or_taken_back() {
    let bench = NtfsBench::new("c1k");
    let edit = |fs: &mut dyn FileEdit| {
        let directory = node(fs, "/names/200");
        fs.create_file(directory, b"new.txt", &new_node(), &content(5000))?;
        fs.remove(directory, b"a-rather-long-name-077")?;
        fs.replace(node(fs, "/forms/pieces"), &content(9000))
    };
    bench.cut_off(edit);
}
