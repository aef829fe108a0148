//! Builds ext images of every shape without root: `mke2fs -d`, then a `debugfs -w` script.
//!
//! Everything that could differ between two runs is fixed: UUID, hash seed, owners, modes and times.

use super::oracle;
use super::scratch::Scratch;
use super::tools;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The UUID of every file system that is built here.
pub(crate) const UUID: &str = "8f2c1d5e-3a4b-4c6d-9e7f-102132435465";

/// The time of everything in a fresh image: 2023-11-14 22:13:20 UTC.
pub(crate) const BUILD_SECONDS: i64 = 1_700_000_000;

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A regular file.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink(String),
    /// A second name of the file at this path, which must sort before it.
    HardLink(String),
    /// A named pipe.
    Fifo,
    /// A character device.
    Device,
}

/// One node of a populated image.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// What it holds.
    pub(crate) content: Content,
    /// Permission bits.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Extended attributes: full name and value.
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
}

/// What an image is populated with: absolute path to node. Parents must be there too.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nodes(pub(crate) BTreeMap<String, Node>);

impl Nodes {
    /// Adds a node that belongs to `owner` (user and group).
    pub(crate) fn add(&mut self, path: &str, content: Content, mode: u32, owner: u32) -> &mut Node {
        let node = Node { content, mode, uid: owner, gid: owner, xattrs: Vec::new() };
        self.0.insert(path.to_owned(), node);
        self.0.get_mut(path).unwrap()
    }

    /// Adds a directory.
    pub(crate) fn directory(&mut self, path: &str, mode: u32, owner: u32) -> &mut Node {
        self.add(path, Content::Directory, mode, owner)
    }

    /// Adds a regular file.
    pub(crate) fn file(&mut self, path: &str, bytes: impl AsRef<[u8]>, mode: u32, owner: u32) {
        self.add(path, Content::File(bytes.as_ref().to_vec()), mode, owner);
    }

    /// Adds a symbolic link of root.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.add(path, Content::Symlink(target.to_owned()), 0o777, 0);
    }
}

/// How an image is made.
#[derive(Debug, Clone)]
pub(crate) struct ImageBuilder {
    size_bytes: u64,
    arguments: Vec<String>,
    features: Vec<String>,
    extended: Vec<String>,
    tune: Vec<Vec<String>>,
    nodes: Nodes,
    script: Vec<String>,
    is_rehashed: bool,
}

impl ImageBuilder {
    /// An image of `size_mib` with the file system `kind` (`ext2`, `ext3`, `ext4`) and 4096-byte blocks.
    pub(crate) fn new(kind: &str, size_mib: u64) -> Self {
        let arguments = ["-q", "-F", "-t", kind, "-U", UUID].map(str::to_owned).to_vec();
        let extended = ["hash_seed=01234567-89ab-cdef-0123-456789abcdef", "root_owner=0:0"];
        Self {
            size_bytes: size_mib * 1024 * 1024,
            arguments,
            features: Vec::new(),
            extended: extended.map(str::to_owned).to_vec(),
            tune: Vec::new(),
            nodes: Nodes::default(),
            script: Vec::new(),
            is_rehashed: false,
        }
    }

    /// More arguments of `mke2fs`, separated by spaces.
    #[must_use]
    pub(crate) fn arguments(mut self, arguments: &str) -> Self {
        self.arguments.extend(arguments.split_whitespace().map(str::to_owned));
        self
    }

    /// Features as `mke2fs -O` takes them, separated by commas; `^` switches one off.
    #[must_use]
    pub(crate) fn features(mut self, features: &str) -> Self {
        self.features
            .extend(features.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
        self
    }

    /// One run of `tune2fs` after the file system is made, before it is populated by script.
    #[must_use]
    pub(crate) fn tune(mut self, arguments: &str) -> Self {
        self.tune.push(arguments.split_whitespace().map(str::to_owned).collect());
        self
    }

    /// What the file system holds.
    #[must_use]
    pub(crate) fn nodes(mut self, nodes: Nodes) -> Self {
        self.nodes = nodes;
        self
    }

    /// Commands for `debugfs -w` after everything is populated.
    #[must_use]
    pub(crate) fn script<S: Into<String>>(mut self, commands: impl IntoIterator<Item = S>) -> Self {
        self.script.extend(commands.into_iter().map(Into::into));
        self
    }

    /// Lets `e2fsck -D` index the directories: `mke2fs -d` makes linear ones only.
    #[must_use]
    pub(crate) fn rehashed(mut self) -> Self {
        self.is_rehashed = true;
        self
    }

    /// Makes the image at `path` and lets the checker confirm that it is clean.
    pub(crate) fn build(&self, path: &Path) {
        let scratch = Scratch::new();
        let tree = scratch.join("tree");
        std::fs::create_dir(&tree).unwrap();
        self.write_tree(&tree);
        std::fs::File::create(path).unwrap().set_len(self.size_bytes).unwrap();
        self.make(path, &tree);
        for arguments in &self.tune {
            let mut arguments = arguments.clone();
            arguments.push(path.to_str().unwrap().to_owned());
            tools::succeed("tune2fs", &arguments);
        }
        let mut script = self.node_script(&scratch);
        script.extend(self.script.iter().cloned());
        edit(path, &script);
        self.settle(path);
        oracle::assert_clean(path, 0, "a fresh image");
    }

    /// Makes the image at `name` in `scratch`.
    pub(crate) fn build_in(&self, scratch: &Scratch, name: &str) -> PathBuf {
        let path = scratch.join(name);
        self.build(&path);
        path
    }

    fn make(&self, path: &Path, tree: &Path) {
        let mut arguments = self.arguments.clone();
        if !arguments.iter().any(|argument| argument == "-b") {
            arguments.extend(["-b".to_owned(), "4096".to_owned()]);
        }
        if !self.features.is_empty() {
            arguments.extend(["-O".to_owned(), self.features.join(",")]);
        }
        arguments.extend(["-E".to_owned(), self.extended.join(",")]);
        for argument in ["-d", tree.to_str().unwrap(), path.to_str().unwrap()] {
            arguments.push(argument.to_owned());
        }
        tools::succeed("mke2fs", &arguments);
    }

    /// Directories are indexed and quota files brought up to date by the checker itself.
    pub(crate) fn settle(&self, path: &Path) {
        let has_quota = self.features.iter().any(|name| name == "quota" || name == "project");
        if !self.is_rehashed && !has_quota {
            return;
        }
        let flags = if self.is_rehashed { "-fyD" } else { "-fy" };
        let output = tools::run("e2fsck", &[flags, path.to_str().unwrap()]);
        let status = output.status.code();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(matches!(status, Some(0 | 1)), "e2fsck {flags}: {status:?}: {text}");
    }

    fn write_tree(&self, tree: &Path) {
        for (path, node) in &self.nodes.0 {
            let host = tree.join(path.trim_start_matches('/'));
            match &node.content {
                Content::File(bytes) => std::fs::write(host, bytes).unwrap(),
                Content::Directory if path == "/" => {}
                Content::Directory => std::fs::create_dir(host).unwrap(),
                Content::Symlink(target) => symlink(target, host).unwrap(),
                Content::HardLink(other) => {
                    std::fs::hard_link(tree.join(other.trim_start_matches('/')), host).unwrap();
                }
                Content::Fifo | Content::Device => {}
            }
        }
    }

    fn node_script(&self, scratch: &Scratch) -> Vec<String> {
        let mut script = Vec::new();
        for (index, (path, node)) in self.nodes.0.iter().enumerate() {
            let kind = match node.content {
                Content::File(_) => 0o100_000,
                Content::Directory => 0o040_000,
                Content::Symlink(_) => 0o120_000,
                Content::HardLink(_) => continue,
                Content::Fifo => 0o010_000,
                Content::Device => 0o020_000,
            };
            let (parent, name) = path.rsplit_once('/').unwrap();
            match node.content {
                Content::Fifo => script.push(format!("cd {parent}/\nmknod {name} p\ncd /")),
                Content::Device => script.push(format!("cd {parent}/\nmknod {name} c 1 3\ncd /")),
                _ => {}
            }
            let mut set = |field: &str, value: &str| {
                script.push(format!("sif \"{path}\" {field} {value}"));
            };
            set("mode", &format!("0{:o}", kind | node.mode));
            set("uid", &node.uid.to_string());
            set("gid", &node.gid.to_string());
            for field in ["atime", "ctime", "mtime"] {
                set(field, &format!("@{BUILD_SECONDS}"));
            }
            for (number, (name, value)) in node.xattrs.iter().enumerate() {
                let file = scratch.join(&format!("xattr-{index}-{number}"));
                std::fs::write(&file, value).unwrap();
                script.push(format!("ea_set -f {} \"{path}\" {name}", file.to_str().unwrap()));
            }
        }
        script
    }
}

/// Runs `commands` in one writing `debugfs`.
///
/// # Panics
/// If it complains about any of them: its exit status does not tell.
pub(crate) fn edit(image: &Path, commands: &[String]) {
    if commands.is_empty() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.join("script");
    let text = commands.iter().fold(String::new(), |mut text, command| {
        writeln!(text, "{command}").unwrap();
        text
    });
    std::fs::write(&file, text).unwrap();
    let output =
        tools::run("debugfs", &["-w", "-f", file.to_str().unwrap(), image.to_str().unwrap()]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let errors: Vec<&str> = errors.lines().filter(|line| !line.starts_with("debugfs 1.")).collect();
    assert!(output.status.success() && errors.is_empty(), "debugfs: {errors:?}");
}
