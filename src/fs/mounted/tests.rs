use super::*;
use crate::fs::memory::MemoryTree;
use crate::fs::path::{find, read_file};
use crate::fs::{
    DirectoryEntry, FileEdit, Health, Identity, Metadata, MetadataChange, NewNode, Xattr,
};
use std::ops::ControlFlow;

fn part(volume: usize, tree: MemoryTree) -> Part {
    let (name, directory) = (format!("volume {volume}"), GuestPath::root());
    Part { volume, name, fs: Shared::new(Box::new(tree)), directory }
}

fn read(tree: &dyn FileSystem, path: &str) -> Option<String> {
    let content = read_file(tree, &GuestPath::new(path), 1000).unwrap();
    content.map(|content| String::from_utf8(content).unwrap())
}

fn node(tree: &dyn FileSystem, path: &str) -> NodeId {
    find(tree, &GuestPath::new(path)).unwrap().unwrap().node
}

fn names(tree: &dyn FileSystem, path: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut visit = |entry: DirectoryEntry| {
        // A visitor may read on.
        tree.metadata(entry.node)?;
        names.push(String::from_utf8(entry.name).unwrap());
        Ok(ControlFlow::Continue(()))
    };
    tree.read_dir(node(tree, path), &mut visit).unwrap();
    names
}

fn root() -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.file("/etc/passwd", 0, 0o644, b"root")
        .file("/home/hidden", 0, 0o600, b"hidden")
        .directory("/home", 7, 0o777)
        .directory("/var/log", 0, 0o755)
        .link("/h", "/home")
        .link("/var/up", "../etc/passwd");
    tree
}

fn home() -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.directory("/", 0, 0o755)
        .file("/admin/key", 1000, 0o600, b"key")
        .link("/admin/passwd", "/etc/passwd")
        .link("/admin/up", "../../etc/passwd");
    tree
}

fn var() -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.directory("/log/gone", 0, 0o755).file("/of-var", 0, 0o644, b"var").directory("/log", 0, 0);
    tree
}

fn log() -> MemoryTree {
    MemoryTree::new().file("/messages", 0, 0o640, b"log").clone()
}

/// / of volume 0, /home of 1, /var of 2, /var/log of 3.
fn tree() -> Mounted {
    let mut tree = Mounted::new(part(0, root())).unwrap();
    tree.mount(&GuestPath::new("/h"), part(1, home())).unwrap();
    tree.mount(&GuestPath::new("/var"), part(2, var())).unwrap();
    tree.mount(&GuestPath::new("/var/log"), part(3, log())).unwrap();
    tree
}

#[test]
fn what_is_mounted_hides_what_is_below() {
    let tree = tree();
    for (path, content) in [
        ("/etc/passwd", Some("root")),
        ("/home/hidden", None),
        ("/home/admin/key", Some("key")),
        ("/h/admin/key", Some("key")),
        ("/home/admin/passwd", Some("root")),
        ("/home/admin/up", Some("root")),
        ("/home/../etc/passwd", Some("root")),
        ("/var/of-var", Some("var")),
        ("/var/up", None),
        ("/var/log/gone", None),
        ("/var/log/messages", Some("log")),
        ("/var/log/../of-var", Some("var")),
    ] {
        assert_eq!(read(&tree, path).as_deref(), content, "{path}");
    }
    assert_eq!(names(&tree, "/"), ["etc", "h", "home", "var"]);
    assert_eq!(names(&tree, "/var"), ["log", "of-var"]);
    assert_eq!(names(&tree, "/var/log"), ["messages"]);
    // The mounted root directory counts, not the hidden one.
    let metadata = tree.metadata(node(&tree, "/home")).unwrap();
    assert_eq!((metadata.uid, metadata.mode), (0, 0o755));
    assert_eq!(tree.root(), NodeId(2));
}

#[test]
fn every_node_has_its_own_number() {
    let tree = tree();
    let mut seen = BTreeSet::new();
    for path in ["/", "/home", "/var", "/var/log", "/etc", "/home/admin", "/var/of-var"] {
        assert!(seen.insert(node(&tree, path)), "{path}");
    }
    // The entries of a directory lead across as names do.
    let mut entries = Vec::new();
    let mut visit = |entry: DirectoryEntry| {
        entries.push(entry);
        Ok(ControlFlow::Continue(()))
    };
    tree.read_dir(tree.root(), &mut visit).unwrap();
    for entry in entries {
        let name = String::from_utf8(entry.name.clone()).unwrap();
        let found = tree.lookup(tree.root(), &entry.name).unwrap();
        assert_eq!(found, Some(entry.node), "{name}");
    }
}

#[test]
fn paths_are_those_of_the_volume() {
    let tree = tree();
    let locate = |path: &str| tree.locate(&GuestPath::new(path));
    for (path, volume, inside) in [
        ("/", 0, "/"),
        ("/etc/passwd", 0, "/etc/passwd"),
        ("/etc/new/below", 0, "/etc/new/below"),
        ("/home", 1, "/"),
        ("/home/admin/.ssh/authorized_keys", 1, "/admin/.ssh/authorized_keys"),
        ("/homes", 0, "/homes"),
        ("/var", 2, "/"),
        ("/var/log/messages", 3, "/messages"),
        ("/var/logs", 2, "/logs"),
    ] {
        let expected = Location { volume, path: GuestPath::new(inside) };
        assert_eq!(locate(path).unwrap(), expected, "{path}");
    }
    assert_eq!(locate("/h/admin").unwrap_err().kind_name(), "refused");
}

#[test]
fn edits_go_to_the_volume_that_holds_the_file() {
    let mut tree = tree();
    let (key, home, log) =
        (node(&tree, "/home/admin/key"), node(&tree, "/home"), node(&tree, "/var/log"));
    assert_eq!(tree.edited_volumes(), Vec::<usize>::new());
    tree.append(key, b"2").unwrap();
    let new = NewNode { mode: 0o700, uid: 5, ..NewNode::default() };
    let made = tree.create_directory(home, b"new", &new).unwrap();
    tree.create_file(made, b"file", &new, b"content").unwrap();
    let change = MetadataChange { mode: Some(0o700), ..MetadataChange::default() };
    tree.set_metadata(log, &change).unwrap();
    tree.remove(log, b"messages").unwrap();
    tree.finish().unwrap();
    assert_eq!(tree.edited_volumes(), [1, 3]);
    let fs = |index: usize| &tree.members[index].part.fs;
    assert_eq!(read(fs(1), "/admin/key").as_deref(), Some("key2"));
    assert_eq!(read(fs(1), "/new/file").as_deref(), Some("content"));
    assert_eq!(read(&tree, "/home/new/file").as_deref(), Some("content"));
    assert_eq!(fs(3).metadata(fs(3).root()).unwrap().mode, 0o700);
    assert_eq!(fs(2).metadata(node(fs(2), "/log")).unwrap().mode, 0);
    assert_eq!(names(&tree, "/var/log"), Vec::<String>::new());
    assert_eq!(read(fs(0), "/home/hidden").as_deref(), Some("hidden"));
    // What something is mounted on stays.
    let root = tree.root();
    assert!(tree.remove(root, b"home").unwrap_err().to_string().contains("is a mount point"));
}

/// A file system with something to count, or with damage.
#[derive(Debug)]
struct Watched {
    tree: MemoryTree,
    is_damaged: bool,
    finishes: std::rc::Rc<std::cell::Cell<usize>>,
}

impl FileSystem for Watched {
    fn identity(&self) -> Identity {
        self.tree.identity()
    }
    fn health(&self) -> Health {
        Health::Errors
    }
    fn check_writable(&self) -> Result<()> {
        if self.is_damaged {
            return Err(Refusal::NeedsCheck { detail: "damaged".to_owned() }.into());
        }
        Ok(())
    }
    fn root(&self) -> NodeId {
        self.tree.root()
    }
    fn lookup(&self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        self.tree.lookup(directory, name)
    }
    fn read_dir(
        &self,
        directory: NodeId,
        visit: &mut dyn FnMut(DirectoryEntry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.tree.read_dir(directory, visit)
    }
    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        self.tree.metadata(node)
    }
    fn read_at(&self, node: NodeId, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        self.tree.read_at(node, offset_bytes, len)
    }
    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        self.tree.read_link(node)
    }
    fn xattrs(&self, node: NodeId) -> Result<Vec<Xattr>> {
        self.tree.xattrs(node)
    }
}

impl FileEdit for Watched {
    fn as_file_system(&self) -> &dyn FileSystem {
        self
    }
    fn append(&mut self, node: NodeId, bytes: &[u8]) -> Result<()> {
        self.tree.append(node, bytes)
    }
    fn replace(&mut self, node: NodeId, content: &[u8]) -> Result<()> {
        self.tree.replace(node, content)
    }
    fn create_file(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
        content: &[u8],
    ) -> Result<NodeId> {
        self.tree.create_file(directory, name, new, content)
    }
    fn create_directory(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
    ) -> Result<NodeId> {
        self.tree.create_directory(directory, name, new)
    }
    fn remove(&mut self, directory: NodeId, name: &[u8]) -> Result<()> {
        self.tree.remove(directory, name)
    }
    fn set_metadata(&mut self, node: NodeId, change: &MetadataChange) -> Result<()> {
        self.tree.set_metadata(node, change)
    }
    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.tree.set_xattr(node, name, value)
    }
    fn finish(&mut self) -> Result<()> {
        self.finishes.set(self.finishes.get() + 1);
        Ok(())
    }
}

fn watched(tree: MemoryTree, is_damaged: bool) -> (Shared, std::rc::Rc<std::cell::Cell<usize>>) {
    let finishes = std::rc::Rc::default();
    let fs = Watched { tree, is_damaged, finishes: std::rc::Rc::clone(&finishes) };
    (Shared::new(Box::new(fs)), finishes)
}

#[test]
fn damage_counts_only_where_an_edit_is_made() {
    let (fs, finishes) = watched(home(), true);
    let mut tree = Mounted::new(part(0, root())).unwrap();
    tree.mount(&GuestPath::new("/home"), Part { fs, ..part(1, home()) }).unwrap();
    tree.check_writable().unwrap();
    let passwd = node(&tree, "/etc/passwd");
    tree.append(passwd, b"2").unwrap();
    tree.finish().unwrap();
    assert_eq!((tree.edited_volumes(), finishes.get()), (vec![0], 0));
    let key = node(&tree, "/home/admin/key");
    let error = tree.append(key, b"2").unwrap_err();
    assert_eq!(error.to_string(), "volume 1: the file system needs a check: damaged");
    assert_eq!(tree.edited_volumes(), [0]);
    assert_eq!(read(&tree, "/home/admin/key").as_deref(), Some("key"));
    // A tree in which nothing can be edited says so.
    let (fs, _) = watched(root(), true);
    let tree = Mounted::new(Part { fs, ..part(0, root()) }).unwrap();
    assert_eq!(tree.check_writable().unwrap_err().kind_name(), "refused");
}

#[test]
fn one_volume_may_be_several_parts() {
    let mut volume = MemoryTree::new();
    volume
        .file("/@root/etc/fstab", 0, 0o644, b"fstab")
        .directory("/@root/home", 0, 0o700)
        .file("/@home/admin/key", 1000, 0o600, b"key")
        .directory("/@root/srv/copy", 0, 0o755);
    let (fs, finishes) = watched(volume, false);
    let of = |directory: &str| Part {
        volume: 4,
        name: "volume 4".to_owned(),
        fs: fs.clone(),
        directory: GuestPath::new(directory),
    };
    let mut tree = Mounted::new(of("/@root")).unwrap();
    tree.mount(&GuestPath::new("/home"), of("/@home")).unwrap();
    tree.bind(&GuestPath::new("/srv/copy"), &GuestPath::new("/home/admin")).unwrap();
    assert_eq!(names(&tree, "/"), ["etc", "home", "srv"]);
    assert_eq!(read(&tree, "/srv/copy/key").as_deref(), Some("key"));
    for (path, inside) in [
        ("/etc/fstab", "/@root/etc/fstab"),
        ("/home/new", "/@home/new"),
        ("/srv/copy/key", "/@home/admin/key"),
    ] {
        let expected = Location { volume: 4, path: GuestPath::new(inside) };
        assert_eq!(tree.locate(&GuestPath::new(path)).unwrap(), expected);
    }
    let (one, other) = (node(&tree, "/srv/copy/key"), node(&tree, "/etc/fstab"));
    tree.append(one, b"2").unwrap();
    tree.append(other, b"2").unwrap();
    tree.finish().unwrap();
    assert_eq!(read(&tree, "/home/admin/key").as_deref(), Some("key2"));
    assert_eq!((tree.edited_volumes(), finishes.get()), (vec![4], 1));
    // A volume inside itself: the directory below is not mounted on.
    let mut tree = Mounted::new(of("/")).unwrap();
    tree.mount(&GuestPath::new("/@root/home"), of("/")).unwrap();
    assert_eq!(names(&tree, "/@root/home"), ["@home", "@root"]);
    assert_eq!(names(&tree, "/@root/home/@root/home"), Vec::<String>::new());
}

#[test]
fn what_cannot_be_mounted_is_said() {
    let mut tree = tree();
    let mut mount = |target: &str, directory: &str| {
        let part = Part { directory: GuestPath::new(directory), ..part(5, home()) };
        tree.mount(&GuestPath::new(target), part).unwrap_err().to_string()
    };
    assert_eq!(mount("/mnt/x", "/"), "the directory /mnt/x to mount it on");
    assert_eq!(
        mount("/etc/passwd", "/"),
        "/etc/passwd: a directory can be mounted on a directory only"
    );
    assert_eq!(mount("/etc", "/@home"), "volume 5: /@home");
    let bind = |tree: &mut Mounted, target: &str, from: &str| {
        tree.bind(&GuestPath::new(target), &GuestPath::new(from)).unwrap_err().to_string()
    };
    assert_eq!(bind(&mut tree, "/etc", "/var"), "/var: another file system is mounted below it");
    assert_eq!(bind(&mut tree, "/etc", "/none"), "/none to bind");
    let why = |reason: &str| Missing { reason: reason.to_owned(), remedy: "look".to_owned() };
    tree.leave_out(&GuestPath::new("/h"), why("gone"));
    tree.leave_out(&GuestPath::new("/srv"), why("missing"));
    let reason = |point: &MountPoint| point.missing.as_ref().map(|why| why.reason.clone());
    let points = tree.mount_points().iter();
    let points: Vec<(String, Option<String>)> =
        points.map(|point| (point.path.to_string(), reason(point))).collect();
    let expected =
        [("/var", None), ("/var/log", None), ("/home", Some("gone")), ("/srv", Some("missing"))];
    let owned =
        |(path, missing): (&str, Option<&str>)| (path.to_owned(), missing.map(str::to_owned));
    assert_eq!(points, expected.map(owned));
}

#[test]
fn the_same_tree_is_made_of_fresh_file_systems() {
    let tree = tree();
    let mut opened = Vec::new();
    let mut open = |volume: usize| {
        opened.push(volume);
        let mut fresh = [root(), home(), var(), log()][volume].clone();
        fresh.file("/fresh", 0, 0o644, b"yes");
        Ok(Shared::new(Box::new(fresh)))
    };
    let again = tree.again(&mut open).unwrap();
    assert_eq!(opened, [0, 1, 2, 3]);
    for path in ["/fresh", "/home/fresh", "/var/fresh", "/var/log/fresh"] {
        assert_eq!(read(&again, path).as_deref(), Some("yes"), "{path}");
        assert_eq!(read(&tree, path), None);
    }
    assert_eq!(again.mount_points(), tree.mount_points());
}
