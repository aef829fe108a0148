//! Single rules of edits on NTFS volumes: descriptors of what is new, names that exist in another case, names that go
//! in pairs, and whole directories that are emptied.

use crate::support::ntfs_bench::{Intended, NtfsBench, node, split};
use crate::support::ntfs_check;
use regain::error::{ErrorKind, Result};
use regain::fs::{FileEdit, NewNode, Xattr};
use std::collections::BTreeMap;
use std::path::Path;

const ACL: &[u8] = b"system.ntfs_acl";
const CONFIG: &str = "/ProgramData/Amazon/EC2Launch/config/agent-config.yml";

/// Everyone may read, nobody owns it: a descriptor that no file of the volumes has.
const UNKNOWN: [u8; 72] = [
    1, 0, 4, 0x80, 20, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 44, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 5, 18,
    0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0, 2, 0, 28, 0, 1, 0, 0, 0, 0, 0, 20, 0, 0x89, 0,
    18, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
];

fn create(fs: &mut dyn FileEdit, path: &str, acl: Option<&[u8]>) -> Result<()> {
    let (parent, name) = split(path);
    let directory = node(fs, parent);
    let acl = acl.map(|value| Xattr { name: ACL.to_vec(), value: value.to_vec() });
    let new = NewNode { xattrs: acl.into_iter().collect(), ..NewNode::default() };
    if is_directory(path) {
        fs.create_directory(directory, name.as_bytes(), &new).map(drop)
    } else {
        fs.create_file(directory, name.as_bytes(), &new, b"new").map(drop)
    }
}

/// New directories are called like that here.
fn is_directory(path: &str) -> bool {
    path.ends_with("-directory")
}

fn added(path: &str) -> Intended {
    let content = (!is_directory(path)).then(|| b"new".to_vec());
    Intended { added: vec![(path.to_owned(), content)], ..Intended::default() }
}

/// The fields of `path` while the image is edited.
fn fields(image: &Path, path: &str) -> BTreeMap<String, String> {
    ntfs_check::tree(&std::fs::read(image).unwrap()).0[path].clone()
}

/// WIN-112, WIN-113: a new node has the descriptor of a sibling of its kind, by its number.
#[test]
fn what_is_new_is_protected_as_its_siblings_are() {
    for fixture in ["c4k", "s4k", "c64k"] {
        let bench = NtfsBench::new(fixture);
        for (path, like) in [
            ("/Windows/System32/config/new", "/Windows/System32/config/SAM"),
            ("/ProgramData/Amazon/EC2Launch/new-directory", "/ProgramData/Amazon/EC2Launch/state"),
            ("/Windows/System32/new-directory", "/Windows/System32/config"),
        ] {
            let edit = |fs: &mut dyn FileEdit| create(fs, path, None);
            let look = |image: &Path| {
                let expected = &bench.tree().0[like]["security"];
                assert_eq!(&fields(image, path)["security"], expected, "{fixture}: {path}");
            };
            bench.prove(path, edit, &added(path), look).unwrap();
        }
    }
}

/// A descriptor that some file has is shared; another one is the node's own. Either way it is read back.
#[test]
fn what_is_new_has_the_descriptor_that_was_asked_for() {
    let bench = NtfsBench::new("c4k");
    let known = bench.xattr(CONFIG, ACL).unwrap();
    for path in ["/names/3/new", "/names/3/new-directory", "/Windows/System32/config/new"] {
        let shared = |image: &Path| {
            let fields = fields(image, path);
            assert_eq!(fields["security"], bench.tree().0[CONFIG]["security"], "{path}");
            assert!(!fields.contains_key("own descriptor"), "{path}");
            assert_eq!(bench.xattr(path, ACL).as_ref(), Some(&known), "{path}");
        };
        let edit = |fs: &mut dyn FileEdit| create(fs, path, Some(&known));
        bench.prove(path, edit, &added(path), shared).unwrap();
        let own = |image: &Path| {
            assert!(fields(image, path).contains_key("own descriptor"), "{path}");
            assert_eq!(bench.xattr(path, ACL).as_deref(), Some(&UNKNOWN[..]), "{path}");
        };
        let edit = |fs: &mut dyn FileEdit| create(fs, path, Some(&UNKNOWN));
        bench.prove(path, edit, &added(path), own).unwrap();
    }
}

fn assert_refused(
    bench: &NtfsBench,
    what: &str,
    edit: impl FnOnce(&mut dyn FileEdit) -> Result<()>,
) {
    let error = bench.prove(what, edit, &Intended::default(), |_| {}).unwrap_err();
    let is_refusal = matches!(
        error.kind(),
        ErrorKind::Refused(_) | ErrorKind::NotFound(_) | ErrorKind::Limit { .. }
    );
    assert!(is_refusal, "{what}: {error}");
}

/// WIN-11: a name that is there in another case, or as a short name, is there.
#[test]
fn a_name_in_another_case_exists() {
    let bench = NtfsBench::new("c4k");
    for path in [
        "/forms/RESIDENT",
        "/FORMS/resident",
        "/forms/Twin-Large.Data",
        "/forms/TWIN-L~1.DAT",
        "/forms/twin-l~1.dat",
        "/names/odd/SM\u{d6}RG\u{c5}SBORD",
        "/names/odd/upper",
        "/forms",
        "/PROGRA~1",
        "/$MFT",
        "/$mft",
        "/$Extend",
    ] {
        assert_refused(&bench, path, |fs| create(fs, path, None));
    }
}

/// Names that Windows could not use.
#[test]
fn names_that_are_none_are_refused() {
    let bench = NtfsBench::new("c1k");
    let long = "n".repeat(256);
    for name in
        ["", ".", "..", "a/b", "a\\b", "a:b", "a*", "a?", "a\"", "a<", "a>", "a|", "a\0b", &long]
    {
        assert_refused(&bench, &format!("{name:?}"), |fs| {
            let directory = node(fs, "/names/3");
            fs.create_file(directory, name.as_bytes(), &NewNode::default(), b"").map(drop)
        });
    }
}

/// Both names of a pair go, whichever is named, and in any case.
#[test]
fn either_name_of_a_pair_removes_both() {
    let bench = NtfsBench::new("c2k");
    let state = "/ProgramData/Amazon/EC2Launch/state";
    let intended = Intended { removed: vec![format!("{state}/.run-once")], ..Intended::default() };
    for name in [".run-once", ".RUN-ONCE", "RUN-ON~1", "run-on~1"] {
        let edit = |fs: &mut dyn FileEdit| fs.remove(node(fs, state), name.as_bytes());
        bench.prove(name, edit, &intended, |_| {}).unwrap();
    }
}

/// Directories and what is not there are not removed, and files of the system are not touched.
#[test]
fn what_must_not_be_removed_stays() {
    let bench = NtfsBench::new("c4k");
    for path in ["/forms", "/names/emptied", "/forms/none", "/$MFT", "/$LogFile", "/$Extend"] {
        assert_refused(&bench, path, |fs| {
            let (parent, name) = split(path);
            fs.remove(node(fs, parent), name.as_bytes())
        });
    }
}
