//! Builds XFS volumes of every shape without root: `mkfs.xfs -p` with a prototype file, then `xfs_db` for the
//! attributes, which a prototype file cannot have.

use super::image::{Content, Nodes};
use super::scratch::Scratch;
use super::{xfs_image, xfs_tools};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One shape: what is handed to mkfs.xfs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct XfsShape {
    /// Size of the volume.
    pub(crate) size_mib: u64,
    /// Options of mkfs.xfs.
    pub(crate) options: &'static str,
}

impl XfsShape {
    /// Size of a block in bytes.
    pub(crate) fn block_bytes(&self) -> usize {
        let mut words = self.options.split_whitespace();
        let size = words.find_map(|word| word.strip_prefix("size=").map(str::to_owned));
        let has_block_size = self.options.contains("-b ");
        size.filter(|_| has_block_size).map_or(4096, |size| size.parse().unwrap())
    }

    /// Makes a volume of this shape that holds `nodes` in `scratch`.
    pub(crate) fn build(&self, scratch: &Scratch, nodes: &Nodes) -> PathBuf {
        let path = volume(scratch, self.size_mib, self.options, nodes);
        xfs_tools::assert_silent(&path, "a fresh volume");
        path
    }
}

/// Makes a volume of `size_mib` with these options of mkfs.xfs that holds `nodes` in `scratch`.
pub(crate) fn volume(scratch: &Scratch, size_mib: u64, options: &str, nodes: &Nodes) -> PathBuf {
    let path = scratch.join("disk.img");
    let sources = Scratch::new();
    let prototype = sources.join("prototype");
    std::fs::write(&prototype, prototype_of(nodes, &sources)).unwrap();
    let options = format!("{options} -p {}", prototype.to_str().unwrap());
    xfs_image::make(&path, size_mib, &options);
    set_xattrs(&path, nodes);
    path
}

/// Calls `$callback!` with all shapes that can be edited: `name: size in MiB, options;`
///
/// The block size, if there is one, comes first.
macro_rules! every_xfs_shape {
    ($callback:ident) => {
        $callback! {
            rhel7: 32, "-m crc=1,finobt=0,rmapbt=0,reflink=0,bigtime=0,inobtcount=0 -i sparse=0,nrext64=0";
            al2: 32, "-m finobt=1,rmapbt=0,reflink=0,bigtime=0,inobtcount=0 -i sparse=0,nrext64=0";
            rhel8: 32, "-m rmapbt=0,reflink=1,bigtime=0,inobtcount=0 -i nrext64=0";
            rhel9: 32, "-m rmapbt=0,reflink=1 -i nrext64=0";
            rhel10: 32, "-m rmapbt=1,reflink=1 -i nrext64=1";
            parent: 48, "-i exchange=1 -n parent=1";
            parent_without_rmap: 48, "-i exchange=0 -n parent=1 -m rmapbt=0";
            exchange: 48, "-i exchange=1";
            block_1k: 32, "-b size=1024";
            block_1k_plain: 32, "-b size=1024 -m rmapbt=0,reflink=0";
            block_1k_parent: 48, "-b size=1024 -n parent=1";
            block_2k: 32, "-b size=2048";
            block_8k: 96, "-b size=8192";
            block_16k: 240, "-b size=16384";
            block_64k: 640, "-b size=65536";
            sector_4k: 48, "-s size=4096";
            sector_4k_parent: 48, "-s size=4096 -n parent=1";
            inode_1k: 48, "-i size=1024";
            inode_2k: 48, "-i size=2048";
            without_sparse: 32, "-i sparse=0";
            rmap_without_reflink: 48, "-m reflink=0";
            without_inobtcount: 32, "-m inobtcount=0";
            directory_8k: 48, "-n size=8192";
            directory_64k: 64, "-n size=65536";
            directory_4k_block_1k: 32, "-b size=1024 -n size=4096";
            many_groups: 272, "-d agcount=16";
            one_group: 48, "-d agcount=1";
            stripes: 64, "-d su=64k,sw=4";
            ascii_ci: 48, "-n version=ci";
        }
    };
}
pub(crate) use every_xfs_shape;

fn prototype_of(nodes: &Nodes, sources: &Scratch) -> String {
    let mut text = "boot\n0 0\nd--755 0 0\n".to_owned();
    add_directory(&mut text, "", nodes, sources);
    text.push_str("$\n");
    text
}

fn add_directory(text: &mut String, directory: &str, nodes: &Nodes, sources: &Scratch) {
    let prefix = format!("{directory}/");
    for (path, node) in nodes.0.range(prefix.clone()..) {
        let Some(name) = path.strip_prefix(&prefix) else { break };
        if name.is_empty() || name.contains('/') {
            continue;
        }
        let (kind, more) = match &node.content {
            Content::File(bytes) => {
                let source = sources.join(&path.replace('/', "="));
                std::fs::write(&source, bytes).unwrap();
                ('-', source.to_str().unwrap().to_owned())
            }
            Content::Directory => ('d', String::new()),
            Content::Symlink(target) => ('l', target.clone()),
            Content::Fifo => ('p', String::new()),
            Content::Device => ('c', "1 3".to_owned()),
            Content::HardLink(_) => panic!("{path}: a prototype has no second names"),
        };
        let set = |bit: u32, letter: char| if node.mode & bit == 0 { '-' } else { letter };
        let (user, group) = (set(0o4000, 'u'), set(0o2000, 'g'));
        let (mode, uid, gid) = (node.mode & 0o777, node.uid, node.gid);
        writeln!(text, "{name} {kind}{user}{group}{mode:03o} {uid} {gid} {more}").unwrap();
        if kind == 'd' {
            add_directory(text, path, nodes, sources);
            text.push_str("$\n");
        }
    }
}

/// Values are text, which xfs_db takes from its command line.
fn set_xattrs(image: &Path, nodes: &Nodes) {
    let mut arguments = vec!["-x".to_owned()];
    for (path, node) in &nodes.0 {
        for (name, value) in &node.xattrs {
            let (space, rest) = name.split_once('.').unwrap();
            let flag = match space {
                "user" => "-u",
                "security" => "-s",
                _ => "-r",
            };
            let value = String::from_utf8(value.clone()).unwrap();
            let value = value.trim_end_matches('\0');
            let commands = [format!("path {path}"), format!("attr_set {flag} {rest} {value}")];
            for command in commands {
                arguments.extend(["-c".to_owned(), command]);
            }
        }
    }
    if arguments.len() > 1 {
        arguments.push(image.to_str().unwrap().to_owned());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = xfs_tools::run("xfs_db", &arguments);
        let is_good = output.status.success() && output.stderr.is_empty();
        assert!(is_good, "xfs_db: {output:?}");
    }
}
