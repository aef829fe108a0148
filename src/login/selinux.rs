//! SELinux: is the volume labelled, and which label does a new file get (selabel_file(5); LOGIN-82
//! to
//! LOGIN-94)?
//!
//! Only the rules that can match a path are compiled. Not handled: the compiled `.bin` copies (the
//! text files
//! say the same), the mode on the kernel command line, back-references in rules.

use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeId, NodeKind, Xattr};
use crate::guest::linux::text::{TEXT_BYTES_MAX, lines, required};

/// The attribute that holds a label.
pub const LABEL_NAME: &[u8] = b"security.selinux";
/// Bound on one file of rules, in bytes; Fedora's has about 400 kB.
const RULES_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bound on the size of one compiled rule, in bytes.
const COMPILED_BYTES_MAX: usize = 64 * 1024;
/// Bound on the rules of one file that may match one path, each of which is compiled; a real policy
/// has less than a hundred.
const CANDIDATES_MAX: usize = 1024;

/// Labels that sshd may not read (LOGIN-83).
const UNREADABLE: [&[u8]; 3] = [b"unlabeled_t", b"home_root_t", b"default_t"];

/// What SELinux does on the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Rules are enforced.
    Enforcing,
    /// Violations are logged only.
    Permissive,
    /// Off, or not installed.
    Disabled,
}

/// The labelling rules of a guest.
#[derive(Debug, Clone)]
pub struct Labels {
    /// The mode.
    pub mode: Mode,
    /// True if the files of the volume carry labels (LOGIN-84).
    pub is_labelled: bool,
    /// Directory of the rules.
    directory: String,
}

impl Labels {
    /// Reads the mode, and whether the volume is labelled.
    ///
    /// # Errors
    /// As the file system.
    pub fn read(fs: &dyn FileSystem) -> Result<Self> {
        let config = required(fs, "/etc/selinux/config", TEXT_BYTES_MAX)?;
        let value = |name: &[u8]| {
            let config = config.as_deref().unwrap_or_default();
            let values = lines(config).filter_map(|line| {
                let value = line.trim_ascii().strip_prefix(name)?.trim_ascii_start();
                Some(value.strip_prefix(b"=")?.trim_ascii().to_ascii_lowercase())
            });
            values.last()
        };
        let mode = match value(b"SELINUX").as_deref() {
            Some(b"enforcing") => Mode::Enforcing,
            Some(b"permissive") => Mode::Permissive,
            _ => Mode::Disabled,
        };
        let policy = value(b"SELINUXTYPE").and_then(|name| String::from_utf8(name).ok());
        let policy = policy.filter(|name| !name.contains('/') && !name.is_empty());
        let policy = policy.unwrap_or_else(|| "targeted".to_owned());
        let mut is_labelled = false;
        for path in ["/etc/passwd", "/etc"] {
            // An attribute that cannot be read must not count as none: the new file would be lost.
            if let Some(found) = find(fs, &GuestPath::new(path))? {
                is_labelled |= label_of(fs, found.node)?.is_some();
            }
        }
        let directory = format!("/etc/selinux/{policy}/contexts/files");
        Ok(Self { mode, is_labelled, directory })
    }

    /// True if new files must carry a label (LOGIN-84).
    pub fn are_needed(&self) -> bool {
        self.is_labelled && self.mode != Mode::Disabled
    }

    /// The attributes for a new node at `path` (a real path). `near` is an existing node whose
    /// label is taken
    /// when no rule fits (LOGIN-92).
    ///
    /// # Errors
    /// As the file system; `Limit` for rules beyond every reason.
    pub fn for_new(
        &self,
        fs: &dyn FileSystem,
        path: &GuestPath,
        kind: NodeKind,
        near: Option<NodeId>,
    ) -> Result<Vec<Xattr>> {
        if !self.are_needed() {
            return Ok(Vec::new());
        }
        let label = match self.look_up(fs, path, kind)? {
            Rule::Label(label) => Some(label),
            Rule::LeaveAlone => None,
            Rule::None => match near {
                Some(near) => label_of(fs, near)?.map(|label| with_ssh_type(&label)),
                None => None,
            },
        };
        Ok(label.map(attribute).into_iter().collect())
    }

    /// The label that the rules give to `path`.
    fn look_up(&self, fs: &dyn FileSystem, path: &GuestPath, kind: NodeKind) -> Result<Rule> {
        let path = self.substitute(fs, path)?;
        let mut best_literal = Rule::None;
        let mut best_pattern = Rule::None;
        for suffix in ["", ".homedirs", ".local"] {
            let file = format!("{}/file_contexts{suffix}", self.directory);
            let Some(rules) = required(fs, &file, RULES_BYTES_MAX)? else { continue };
            let mut patterns = Vec::new();
            for line in lines(&rules) {
                let Some(spec) = Spec::parse(line, kind) else { continue };
                match spec.literal() {
                    Some(literal) if literal == path.as_bytes() => best_literal = spec.rule(),
                    None if spec.may_match(path.as_bytes()) => {
                        if patterns.len() >= CANDIDATES_MAX {
                            let limit = len_u64(CANDIDATES_MAX);
                            let what = "number of SELinux rules for one path";
                            return Err(Error::limit(what, limit, limit.saturating_add(1)));
                        }
                        patterns.push(spec);
                    }
                    _ => {}
                }
            }
            // The last one in file order wins (LOGIN-89), so that few are compiled.
            let hit = patterns.into_iter().rev().find(|spec| spec.matches(path.as_bytes()));
            if let Some(spec) = hit {
                best_pattern = spec.rule();
            }
        }
        Ok(if best_literal == Rule::None { best_pattern } else { best_literal })
    }

    /// Applies `file_contexts.subs`, then `.subs_dist`: in each the last line that fits, once
    /// (LOGIN-88).
    fn substitute(&self, fs: &dyn FileSystem, path: &GuestPath) -> Result<GuestPath> {
        let mut path = path.clone();
        for suffix in ["subs", "subs_dist"] {
            let file = format!("{}/file_contexts.{suffix}", self.directory);
            let Some(rules) = required(fs, &file, TEXT_BYTES_MAX)? else { continue };
            let replaced = lines(&rules).filter_map(|line| {
                let mut words = line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
                let (from, to) = (words.next()?, words.next()?);
                let rest = path.as_bytes().strip_prefix(from)?;
                let is_component = rest.is_empty() || rest.starts_with(b"/");
                is_component.then(|| GuestPath::new([to, rest].concat()))
            });
            path = replaced.last().unwrap_or(path);
        }
        Ok(path)
    }
}

/// What the rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// This context.
    Label(Vec<u8>),
    /// `<<none>>`: write no attribute (LOGIN-90).
    LeaveAlone,
    /// Nothing fits.
    None,
}

/// One line of rules that fits the kind of node.
struct Spec<'a> {
    pattern: &'a [u8],
    context: &'a [u8],
}

/// Characters that make a rule a regular expression.
const META: &[u8] = b".^$?*+|[](){}";

impl<'a> Spec<'a> {
    fn parse(line: &'a [u8], kind: NodeKind) -> Option<Self> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let pattern = words.next().filter(|word| !word.starts_with(b"#"))?;
        let second = words.next()?;
        let wanted: &[u8] = match kind {
            NodeKind::File => b"--",
            NodeKind::Directory => b"-d",
            NodeKind::Symlink => b"-l",
            NodeKind::BlockDevice => b"-b",
            NodeKind::CharDevice => b"-c",
            NodeKind::Fifo => b"-p",
            NodeKind::Socket => b"-s",
        };
        match words.next() {
            None => Some(Self { pattern, context: second }),
            Some(context) if second == wanted => Some(Self { pattern, context }),
            Some(_) => None,
        }
    }

    fn rule(&self) -> Rule {
        if self.context == b"<<none>>" {
            Rule::LeaveAlone
        } else {
            Rule::Label(self.context.to_vec())
        }
    }

    /// The path that a rule without meta characters names, `\` taken off.
    fn literal(&self) -> Option<Vec<u8>> {
        let mut path = Vec::with_capacity(self.pattern.len());
        let mut bytes = self.pattern.iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'\\' => path.push(*bytes.next()?),
                _ if META.contains(&byte) => return None,
                _ => path.push(byte),
            }
        }
        Some(path)
    }

    /// False if the part before the first meta character rules the path out.
    fn may_match(&self, path: &[u8]) -> bool {
        let end = self.pattern.iter().position(|byte| META.contains(byte) || *byte == b'\\');
        let end = end.unwrap_or(self.pattern.len());
        // The byte before a quantifier may be missing, and with an alternative at the top level
        // everything.
        let sure = if self.has_top_alternative() { 0 } else { end.saturating_sub(1) };
        path.starts_with(self.pattern.get(..sure).unwrap_or_default())
    }

    /// True if a `|` stands outside of all parentheses, or may do so.
    fn has_top_alternative(&self) -> bool {
        let mut depth = 0i32;
        let mut is_escaped = false;
        for &byte in self.pattern {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                // Parentheses in a class do not count; so nothing is sure.
                b'[' if self.pattern.contains(&b'|') => return true,
                b'(' => depth = depth.saturating_add(1),
                b')' => depth = depth.saturating_sub(1),
                b'|' if depth <= 0 => return true,
                _ => {}
            }
        }
        false
    }

    fn matches(&self, path: &[u8]) -> bool {
        let Ok(pattern) = std::str::from_utf8(self.pattern) else { return false };
        let built = regex::bytes::RegexBuilder::new(&format!("^(?:{pattern})$"))
            .dot_matches_new_line(true)
            .unicode(false)
            .size_limit(COMPILED_BYTES_MAX)
            .build();
        built.is_ok_and(|regex| regex.is_match(path))
    }
}

/// The label of a node, without its closing NUL.
///
/// # Errors
/// As the file system.
pub fn label_of(fs: &dyn FileSystem, node: NodeId) -> Result<Option<Vec<u8>>> {
    let label = fs.xattr(node, LABEL_NAME)?;
    Ok(label.map(|label| label.split(|&byte| byte == 0).next().unwrap_or_default().to_vec()))
}

/// The attribute that carries `context`: the text and one NUL (LOGIN-85).
fn attribute(mut context: Vec<u8>) -> Xattr {
    context.push(0);
    Xattr { name: LABEL_NAME.to_vec(), value: context }
}

/// The type of a context `user:role:type:range`.
pub fn type_of(context: &[u8]) -> &[u8] {
    context.split(|&byte| byte == b':').nth(2).unwrap_or_default()
}

/// `context` with `ssh_home_t` as its type, unless it is one that sshd can read already (LOGIN-92).
fn with_ssh_type(context: &[u8]) -> Vec<u8> {
    if type_of(context) == b"ssh_home_t" {
        return context.to_vec();
    }
    let mut fields: Vec<&[u8]> = context.splitn(4, |&byte| byte == b':').collect();
    if let Some(field) = fields.get_mut(2) {
        *field = b"ssh_home_t";
    }
    fields.join(b":".as_slice())
}

/// True if sshd may not read a file with this context (LOGIN-83).
pub fn is_unreadable(context: &[u8], uid: u32) -> bool {
    let found = type_of(context);
    UNREADABLE.contains(&found) || (uid != 0 && found == b"admin_home_t")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    const RULES: &[u8] = b"/.*\tsystem_u:object_r:default_t:s0\n\
        /home\t-d\tsystem_u:object_r:home_root_t:s0\n\
        /etc/ssh/keys(/.*)?\tsystem_u:object_r:etc_t:s0\n\
        /root/\\.ssh(/.*)?\tsystem_u:object_r:ssh_home_t:s0\n\
        /mnt(/[^/]*)?\t-d\t<<none>>\n\
        /bad(((\tsystem_u:object_r:x_t:s0\n\
        # comment\n\
        /zz|/root/either\tsystem_u:object_r:either_t:s0\n\
        /root/literal\t--\tsystem_u:object_r:lit_t:s0\n\
        /root/(literal|x)\tsystem_u:object_r:late_t:s0\n";
    const HOMES: &[u8] = b"/home/[^/]+\t-d\tunconfined_u:object_r:user_home_dir_t:s0\n\
        /home/[^/]+/.+\tunconfined_u:object_r:user_home_t:s0\n\
        /home/[^/]+/\\.ssh(/.*)?\tunconfined_u:object_r:ssh_home_t:s0\n";

    fn fedora() -> MemoryTree {
        let mut tree = MemoryTree::new();
        let files = "/etc/selinux/targeted/contexts/files/file_contexts";
        tree.file(
            "/etc/selinux/config",
            0,
            0o644,
            b"# c\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
        )
        .file("/etc/passwd", 0, 0o644, b"")
        .label("/etc/passwd", "security.selinux", b"system_u:object_r:passwd_file_t:s0\0")
        .file(files, 0, 0o644, RULES)
        .file(&format!("{files}.homedirs"), 0, 0o644, HOMES)
        .file(
            &format!("{files}.subs_dist"),
            0,
            0o644,
            b"/var/home /home\n/var/roothome /root\n",
        );
        tree
    }

    #[test]
    fn rules_decide_as_in_libselinux_login_87_to_90() {
        let tree = fedora();
        let labels = Labels::read(&tree).unwrap();
        assert_eq!(labels.mode, Mode::Enforcing);
        for (path, kind, expected) in [
            ("/home/a/.ssh", NodeKind::Directory, Some("unconfined_u:object_r:ssh_home_t:s0\0")),
            (
                "/home/a/.ssh/authorized_keys",
                NodeKind::File,
                Some("unconfined_u:object_r:ssh_home_t:s0\0"),
            ),
            ("/home/a", NodeKind::Directory, Some("unconfined_u:object_r:user_home_dir_t:s0\0")),
            ("/home/a/xssh", NodeKind::File, Some("unconfined_u:object_r:user_home_t:s0\0")),
            (
                "/var/home/a/.ssh",
                NodeKind::Directory,
                Some("unconfined_u:object_r:ssh_home_t:s0\0"),
            ),
            ("/root/.ssh", NodeKind::Directory, Some("system_u:object_r:ssh_home_t:s0\0")),
            ("/root/literal", NodeKind::File, Some("system_u:object_r:lit_t:s0\0")),
            ("/root/literal", NodeKind::Directory, Some("system_u:object_r:late_t:s0\0")),
            ("/root/either", NodeKind::File, Some("system_u:object_r:either_t:s0\0")),
            ("/mnt/x", NodeKind::Directory, None),
            ("/etc/ssh/keys/a", NodeKind::File, Some("system_u:object_r:etc_t:s0\0")),
            ("/srv/x", NodeKind::File, Some("system_u:object_r:default_t:s0\0")),
        ] {
            let xattrs = labels.for_new(&tree, &GuestPath::new(path), kind, None).unwrap();
            let value = xattrs.first().map(|xattr| xattr.value.as_slice());
            assert_eq!(value, expected.map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn only_a_labelled_volume_gets_labels_login_84() {
        let path = GuestPath::new("/home/a/.ssh");
        let new = |tree: &MemoryTree| {
            let labels = Labels::read(tree).unwrap();
            labels.for_new(tree, &path, NodeKind::Directory, Some(tree.root())).unwrap().len()
        };
        let mut tree = fedora();
        assert_eq!(new(&tree), 1);
        tree.file("/etc/selinux/config", 0, 0o644, b"SELINUX=permissive\n");
        assert_eq!(new(&tree), 1);
        tree.file("/etc/selinux/config", 0, 0o644, b"SELINUX=disabled\n");
        assert_eq!(new(&tree), 0);
        let mut tree = fedora();
        tree.file("/etc/passwd", 0, 0o644, b"");
        assert_eq!(new(&tree), 0);
        assert_eq!(new(&MemoryTree::new()), 0);
    }

    #[test]
    fn a_policy_of_endless_expressions_is_a_limit() {
        let mut tree = fedora();
        let files = "/etc/selinux/targeted/contexts/files/file_contexts";
        tree.file(files, 0, 0o644, "/.*x{9}\tx\n".repeat(CANDIDATES_MAX + 1).as_bytes());
        let labels = Labels::read(&tree).unwrap();
        let path = GuestPath::new("/home/a");
        let error = labels.for_new(&tree, &path, NodeKind::File, None).unwrap_err();
        assert_eq!(error.kind_name(), "limit");
    }

    #[test]
    fn without_a_rule_a_neighbour_lends_its_label_login_92() {
        let mut tree = fedora();
        let files = "/etc/selinux/targeted/contexts/files/file_contexts";
        tree.file(files, 0, 0o644, b"").directory("/data/a", 7, 0o755);
        tree.label("/data/a", "security.selinux", b"staff_u:object_r:user_home_dir_t:s0:c1\0");
        let labels = Labels::read(&tree).unwrap();
        let path = GuestPath::new("/data/a/.ssh");
        let near = tree.node_at("/data/a");
        let found = labels.for_new(&tree, &path, NodeKind::Directory, near).unwrap();
        assert_eq!(found[0].value, b"staff_u:object_r:ssh_home_t:s0:c1\0");
    }
}
