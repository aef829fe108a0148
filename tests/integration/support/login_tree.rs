//! A Debian root as small as its sshd allows, and the ways in which a scenario alters a copy of it.

use super::{scratch::Scratch, tools};
use crate::end_to_end::{CHROOT, debian_tree, give_devices};
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What of the tree sshd, PAM and a session run.
const PROGRAMS: &[&str] = &[
    "usr/sbin/sshd",
    "usr/sbin/nologin",
    "usr/sbin/unix_chkpwd",
    "usr/bin/bash",
    "usr/bin/dash",
    "usr/bin/sh",
    "usr/bin/id",
    "usr/bin/true",
    "usr/bin/false",
];
/// What of the tree is text.
const TEXTS: &[&str] = &[
    "etc",
    "home",
    "root",
    "usr/lib/os-release",
    "usr/lib/systemd/system/ssh.service",
    "usr/lib/systemd/system/ssh.socket",
    "usr/share/zoneinfo/Etc/UTC",
];
/// Links at the top, which stay what they are.
const LINKS: &[&str] = &["bin", "sbin", "lib", "lib64"];
/// Directories at the top, with their modes.
const DIRECTORIES: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("proc", 0o555),
    ("run", 0o755),
    ("srv", 0o755),
    ("tmp", 0o1777),
    ("var", 0o755),
];

/// The smallest root of a Debian in which sshd runs; nobody writes to it.
#[derive(Debug)]
pub(crate) struct BaseTree {
    root: PathBuf,
}

impl BaseTree {
    /// Takes it from the tree that mmdebstrap makes.
    pub(crate) fn new(scratch: &Scratch) -> Self {
        let (whole, root) = (scratch.join("whole"), scratch.join("base"));
        fs::create_dir(&whole).unwrap();
        fs::create_dir(&root).unwrap();
        let (tar, whole_name) = (debian_tree(&CHROOT), whole.to_str().unwrap());
        let unused = ["doc", "locale", "man", "perl", "i18n", "info"];
        let unused = unused.map(|name| format!("--exclude=./usr/share/{name}"));
        let options = ["-xf", tar.to_str().unwrap(), "-C", whole_name, "--numeric-owner"];
        let mut arguments: Vec<&str> = options.to_vec();
        arguments.extend(unused.iter().map(String::as_str));
        arguments.extend(["--exclude=./var", "--exclude=./usr/lib/x86_64-linux-gnu/gconv"]);
        tools::succeed("tar", &arguments);

        let mut wanted: Vec<String> = PROGRAMS.iter().map(|&path| path.to_owned()).collect();
        wanted.extend(pam_modules(&whole));
        wanted.extend(libraries(&whole, &wanted));
        wanted.extend(TEXTS.iter().chain(LINKS).map(|&path| path.to_owned()));
        for path in &wanted {
            copy_below(&whole, &root, path);
        }
        fs::remove_file(root.join("etc/ssh/moduli")).unwrap();
        for (name, mode) in DIRECTORIES {
            fs::create_dir(root.join(name)).unwrap();
            fs::set_permissions(root.join(name), Permissions::from_mode(*mode)).unwrap();
        }
        symlink("/run", root.join("var/run")).unwrap();
        give_devices(&root);
        for directory in ["", "run/sshd", "usr", "usr/lib", "usr/share"] {
            fs::set_permissions(root.join(directory), Permissions::from_mode(0o755)).unwrap();
        }
        fs::remove_dir_all(whole).unwrap();
        Self { root }
    }

    /// A copy to alter, which is not there yet. What is below /usr is shared between all copies.
    pub(crate) fn copy_to(&self, root: &Path) {
        fs::create_dir(root).unwrap();
        let (mut shared, mut own) = (vec!["-al"], vec!["-a"]);
        let entries = fs::read_dir(&self.root).unwrap().map(|entry| entry.unwrap().path());
        let entries: Vec<PathBuf> = entries.collect();
        for entry in &entries {
            let is_shared = entry.file_name().is_some_and(|name| name == "usr");
            let list = if is_shared { &mut shared } else { &mut own };
            list.push(entry.to_str().unwrap());
        }
        for mut list in [shared, own] {
            list.push(root.to_str().unwrap());
            tools::succeed("cp", &list);
        }
        fs::set_permissions(root, Permissions::from_mode(0o755)).unwrap();
    }
}

/// Every module of PAM in the tree, without the leading slash.
fn pam_modules(root: &Path) -> Vec<String> {
    let architectures = fs::read_dir(root.join("usr/lib")).unwrap();
    let directories = architectures.map(|entry| entry.unwrap().path().join("security"));
    let modules = directories.filter(|path| path.is_dir()).flat_map(|path| {
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    });
    let modules = modules.filter(|path| path.extension().is_some_and(|name| name == "so"));
    modules.map(|path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()).collect()
}

/// What the dynamic linker loads for `files`, as the tree itself sees it.
fn libraries(root: &Path, files: &[String]) -> Vec<String> {
    let files = files.iter().map(|file| format!("/{file}"));
    let output = Command::new("chroot").arg(root).arg("ldd").args(files).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter(|line| line.starts_with(char::is_whitespace));
    let paths = names.filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    let mut found: Vec<String> = Vec::new();
    for path in paths {
        // The directories at the top are links; the linker's name may be one too, to the file behind it.
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let path = path.trim_start_matches('/');
            let path = if path.starts_with("usr/") { path.into() } else { format!("usr/{path}") };
            let directory = format!("/{}", Path::new(&path).parent().unwrap().display());
            let target = fs::read_link(root.join(&path)).ok();
            next = target.map(|target| Path::new(&directory).join(target).display().to_string());
            found.push(path);
        }
    }
    found.sort();
    found.dedup();
    assert!(found.iter().any(|path| path.contains("libcrypto")), "ldd: {output:?}");
    found
}

fn copy_below(from: &Path, to: &Path, path: &str) {
    let parent = to.join(path).parent().unwrap().to_owned();
    fs::create_dir_all(&parent).unwrap();
    let from = from.join(path);
    tools::succeed("cp", &["-a", "-n", from.to_str().unwrap(), parent.to_str().unwrap()]);
}

/// One alteration. Paths are absolute in the tree and lead through no link; texts are templates of [`Words`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// Sets the mode.
    Mode(&'static str, u32),
    /// Sets user and group, of a link itself.
    Owner(&'static str, u32, u32),
    /// Adds entries to the access control list, as setfacl takes them.
    Acl(&'static str, &'static str),
    /// Removes whatever is there.
    Remove(&'static str),
    /// Writes a file: a new one is root's with mode 0644, another keeps what it has.
    File(&'static str, &'static str),
    /// Writes at the end of a file.
    Append(&'static str, &'static str),
    /// Writes before the start of a file.
    Prepend(&'static str, &'static str),
    /// Puts one text for another, which must be there.
    Replace(&'static str, &'static str, &'static str),
    /// A symbolic link to the second path.
    Link(&'static str, &'static str),
    /// A further name for the file at the second path.
    HardLink(&'static str, &'static str),
    /// A pipe.
    Fifo(&'static str),
    /// A directory with its mode and owner.
    Directory(&'static str, u32, u32),
    /// Gives the first path the second name.
    Move(&'static str, &'static str),
    /// Copies a file with all it has.
    Copy(&'static str, &'static str),
    /// Field (counted from 1) of the line that starts with a name, in a file like passwd.
    Field(&'static str, &'static str, usize, &'static str),
    /// Takes the line that starts with a name out of a file like passwd.
    NoLine(&'static str, &'static str),
    /// Encodes a text file as UTF-16 with a mark.
    Utf16(&'static str),
    /// A key revocation list with the scenario's key (`true`) or with another.
    Krl(&'static str, bool),
}

/// The words of templates: `{key}`, `{type}`, `{blob}`, `{other}` (another key), `{long}` (20,000 letters),
/// `{day-3}` (days since 1970), `{date+2}` (as in `expiry-time`).
#[derive(Debug)]
pub(crate) struct Words {
    /// `type base64` of the scenario's key.
    pub(crate) key: String,
    /// The same of another key.
    pub(crate) other: String,
    /// Public key files of the two.
    pub(crate) files: [PathBuf; 2],
    /// Seconds since 1970.
    pub(crate) now: i64,
}

impl Words {
    fn fill(&self, template: &str) -> String {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (word, behind) = after.split_once('}').expect("a word without an end");
            text.push_str(before);
            text.push_str(&self.word(word));
            rest = behind;
        }
        text + rest
    }

    fn word(&self, word: &str) -> String {
        let (kind, blob) = self.key.split_once(' ').unwrap();
        let days = |prefix: &str| -> i64 {
            let offset = word.strip_prefix(prefix).unwrap();
            self.now / 86400 + if offset.is_empty() { 0 } else { offset.parse::<i64>().unwrap() }
        };
        match word {
            "key" => self.key.clone(),
            "type" => kind.to_owned(),
            "blob" => blob.to_owned(),
            "other" => self.other.clone(),
            "long" => "x".repeat(20_000),
            "open" => "{".to_owned(),
            _ if word.starts_with("day") => days("day").to_string(),
            _ if word.starts_with("date") => {
                let time = jiff::Timestamp::from_second(days("date") * 86400).unwrap();
                time.strftime("%Y%m%d").to_string()
            }
            _ => panic!("no word {word}"),
        }
    }
}

/// Alters the tree at `root`.
pub(crate) fn alter(root: &Path, steps: &[Step], words: &Words) {
    for step in steps {
        Alter { root, words }.step(step);
    }
}

struct Alter<'a> {
    root: &'a Path,
    words: &'a Words,
}

impl Alter<'_> {
    fn step(&self, step: &Step) {
        match *step {
            Step::Mode(path, mode) => {
                fs::set_permissions(self.own(path), Permissions::from_mode(mode)).unwrap();
            }
            Step::Owner(path, uid, gid) => lchown(self.own(path), Some(uid), Some(gid)).unwrap(),
            Step::Acl(path, entries) => {
                tools::succeed("setfacl", &["-m", entries, self.at(path).to_str().unwrap()]);
            }
            Step::Remove(path) => remove(&self.at(path)),
            Step::File(path, text) => self.write(path, &self.words.fill(text)),
            Step::Append(path, text) => {
                self.write(path, &(self.text(path) + &self.words.fill(text)));
            }
            Step::Prepend(path, text) => {
                self.write(path, &(self.words.fill(text) + &self.text(path)));
            }
            Step::Replace(path, from, to) => {
                let (before, from) = (self.text(path), self.words.fill(from));
                assert!(before.contains(&from), "{path} has no {from:?}");
                self.write(path, &before.replace(&from, &self.words.fill(to)));
            }
            Step::Link(path, target) => symlink(target, self.at(path)).unwrap(),
            Step::HardLink(path, other) => fs::hard_link(self.at(other), self.at(path)).unwrap(),
            Step::Fifo(path) => {
                let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
                nix::unistd::mkfifo(&self.at(path), mode).unwrap();
                chown(self.at(path), Some(1000), Some(1000)).unwrap();
            }
            Step::Directory(path, mode, owner) => {
                let at = self.at(path);
                fs::create_dir(&at).unwrap();
                chown(&at, Some(owner), Some(owner)).unwrap();
                fs::set_permissions(&at, Permissions::from_mode(mode)).unwrap();
            }
            Step::Move(from, to) => fs::rename(self.at(from), self.at(to)).unwrap(),
            Step::Copy(from, to) => {
                let (from, to) = (self.at(from), self.at(to));
                tools::succeed("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
            }
            Step::Field(path, name, number, value) => {
                let value = self.words.fill(value);
                self.each_line(path, name, |fields| fields[number - 1].clone_from(&value));
            }
            Step::NoLine(path, name) => self.each_line(path, name, Vec::clear),
            Step::Utf16(path) => {
                let units = self.text(path);
                let units = std::iter::once(0xfeff).chain(units.encode_utf16());
                let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
                self.write_bytes(path, &bytes);
            }
            Step::Krl(path, is_revoked) => self.revoke(path, is_revoked),
        }
    }

    /// The path on this machine, which must not lead out of the tree.
    fn at(&self, path: &str) -> PathBuf {
        let at = self.root.join(path.trim_start_matches('/'));
        if at != self.root.join("") {
            let parent = at.parent().unwrap();
            assert_eq!(fs::canonicalize(parent).unwrap(), parent, "{path} leads through a link");
        }
        at
    }

    /// The same for something that is changed in place, which must be in this tree only.
    fn own(&self, path: &str) -> PathBuf {
        let at = self.at(path);
        let is_shared = |metadata: fs::Metadata| metadata.is_file() && metadata.nlink() > 1;
        let is_shared = fs::symlink_metadata(&at).is_ok_and(is_shared);
        assert!(!path.starts_with("/usr/") || !is_shared, "{path} is shared with other trees");
        at
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        self.write_bytes(path, text.as_bytes());
    }

    fn write_bytes(&self, path: &str, bytes: &[u8]) {
        let at = self.own(path);
        assert!(!at.is_symlink(), "{path} is a link");
        let is_new = !at.exists();
        fs::File::create(&at).and_then(|mut file| file.write_all(bytes)).unwrap();
        if is_new {
            fs::set_permissions(&at, Permissions::from_mode(0o644)).unwrap();
        }
    }

    /// Changes the lines whose first field is `name`; one that is left without fields goes.
    fn each_line(&self, path: &str, name: &str, change: impl Fn(&mut Vec<String>)) {
        let mut hits = 0;
        let mut text = String::new();
        for line in self.text(path).lines() {
            let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
            if fields[0] == name {
                change(&mut fields);
                hits += 1;
            }
            if !fields.is_empty() {
                text += &(fields.join(":") + "\n");
            }
        }
        assert!(hits > 0, "{path} has no line of {name}");
        self.write(path, &text);
    }

    fn revoke(&self, path: &str, is_revoked: bool) {
        let at = self.at(path);
        let key = &self.words.files[usize::from(!is_revoked)];
        let names = [at.to_str().unwrap(), key.to_str().unwrap()];
        tools::succeed("ssh-keygen", &["-q", "-k", "-f", names[0], names[1]]);
        fs::set_permissions(&at, Permissions::from_mode(0o644)).unwrap();
    }
}

fn remove(path: &Path) {
    let metadata = fs::symlink_metadata(path).unwrap();
    if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
}
