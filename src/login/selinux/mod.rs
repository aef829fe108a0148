//! SELinux: is the volume labelled, which label does a new file get, and may sshd read what is there
//! (selabel_file(5); LOGIN-82 to LOGIN-94)?
//!
//! Not handled: the compiled `.bin` copies of the rules (the text files say the same), the policy itself.

mod check;
mod lookup;
mod mode;
mod pattern;
mod rules;

pub use check::LabelProblem;
pub use lookup::Lookup;
pub use mode::Mode;

use crate::error::Result;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeId, NodeKind, Xattr};
use crate::guest::linux::KernelCommandLine;
use crate::guest::linux::fstab::is_below;
use crate::guest::linux::text::{TEXT_BYTES_MAX, exists, required};
use mode::Config;
use rules::Rules;
use std::sync::{Arc, OnceLock};

/// The attribute that holds a label.
pub const LABEL_NAME: &[u8] = b"security.selinux";
/// Types that sshd may not read (LOGIN-83).
const UNREADABLE: [&[u8]; 3] = [b"unlabeled_t", b"home_root_t", b"default_t"];

/// What relabels at boot: systemd's unit, its program, and the script of EL6.
const RELABELLERS: [&str; 4] = [
    "/usr/lib/systemd/system/selinux-autorelabel.service",
    "/lib/systemd/system/selinux-autorelabel.service",
    "/usr/libexec/selinux/selinux-autorelabel",
    "/etc/rc.d/rc.sysinit",
];

/// The labelling rules of a guest.
#[derive(Debug, Clone)]
pub struct Labels {
    /// The mode. Without the files of the boot loader it is that of the configuration.
    pub mode: Mode,
    /// Why the mode may be another one, as a clause; findings then leave the answer open.
    pub doubt: Option<String>,
    /// True if the files of the volume carry labels (LOGIN-84).
    pub is_labelled: bool,
    /// True if all labels are made anew at the next boot: `/.autorelabel` is there, and a service that heeds it.
    pub will_relabel: bool,
    /// Directories whose files all have one label, and that label: the mount option `context=`.
    pub fixed: Vec<(GuestPath, Vec<u8>)>,
    /// Directory of the rules.
    directory: String,
    /// The rules, read when first needed.
    rules: Arc<OnceLock<Rules>>,
}

impl Labels {
    /// Reads the mode, and whether the volume is labelled.
    ///
    /// # Errors
    /// As the file system.
    pub fn read(fs: &dyn FileSystem) -> Result<Self> {
        let config = required(fs, "/etc/selinux/config", TEXT_BYTES_MAX)?;
        let config = config.map(|content| Config::parse(&content));
        let decided = mode::decide(config.as_ref(), &KernelCommandLine::read(fs));
        let mut is_labelled = false;
        for path in ["/etc/passwd", "/etc"] {
            // An attribute that cannot be read must not count as none: the new file would be lost.
            if let Some(found) = find(fs, &GuestPath::new(path))? {
                is_labelled |= label_of(fs, found.node)?.is_some();
            }
        }
        let policy = config.map_or_else(|| "targeted".to_owned(), |config| config.policy);
        Ok(Self {
            mode: decided.mode,
            doubt: decided.doubt,
            is_labelled,
            will_relabel: exists(fs, "/.autorelabel")
                && RELABELLERS.iter().any(|path| exists(fs, path)),
            fixed: Vec::new(),
            directory: format!("/etc/selinux/{policy}/contexts/files"),
            rules: Arc::default(),
        })
    }

    /// True if new files must carry a label (LOGIN-84).
    pub fn are_needed(&self) -> bool {
        self.is_labelled && self.mode != Mode::Disabled
    }

    /// The label that a mount gives to whatever lies on it, whatever is stored.
    fn fixed_at(&self, path: &GuestPath) -> Option<&[u8]> {
        let covers = |(directory, _): &&(GuestPath, Vec<u8>)| is_below(path, directory);
        let found = self.fixed.iter().filter(covers);
        found.max_by_key(|(at, _)| at.as_bytes().len()).map(|(_, label)| label.as_slice())
    }

    /// The attributes for a new node at `path` (a real path). `near` is an existing node whose label is
    /// taken when no rule fits, or only one whose label sshd may not read (LOGIN-92).
    ///
    /// # Errors
    /// As the file system.
    pub fn for_new(
        &self,
        fs: &dyn FileSystem,
        path: &GuestPath,
        kind: NodeKind,
        near: Option<NodeId>,
    ) -> Result<Vec<Xattr>> {
        if !self.are_needed() || self.fixed_at(path).is_some() {
            return Ok(Vec::new());
        }
        let rule = match self.look_up(fs, path, kind)? {
            Lookup::Label(label) if !UNREADABLE.contains(&type_of(&label)) => Some(label),
            Lookup::LeaveAlone => None,
            Lookup::Label(_) | Lookup::NoRule | Lookup::Unknown(_) => {
                let near = near.map(|near| label_of(fs, near)).transpose()?.flatten();
                let is_known = self.knows_type(fs, "ssh_home_t")?;
                near.filter(|label| is_known || type_of(label) == b"ssh_home_t")
                    .map(|label| with_type(&label, "ssh_home_t"))
            }
        };
        Ok(rule.map(attribute).into_iter().collect())
    }

    /// What the rules say of `path` (a real path), whether the volume is labelled or not.
    ///
    /// # Errors
    /// As the file system.
    pub fn look_up(&self, fs: &dyn FileSystem, path: &GuestPath, kind: NodeKind) -> Result<Lookup> {
        Ok(lookup::look_up(self.rules(fs)?, path.as_bytes(), kind))
    }

    /// True if a rule gives this type. Without usable rules it is taken for known: every policy of today has
    /// the types that are asked for.
    fn knows_type(&self, fs: &dyn FileSystem, name: &str) -> Result<bool> {
        let rules = self.rules(fs)?;
        Ok(rules.defect().is_some() || rules.know_type(name))
    }

    fn rules(&self, fs: &dyn FileSystem) -> Result<&Rules> {
        if let Some(rules) = self.rules.get() {
            return Ok(rules);
        }
        let rules = Rules::read(fs, &self.directory)?;
        Ok(self.rules.get_or_init(|| rules))
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

/// `context` with another type.
fn with_type(context: &[u8], name: &str) -> Vec<u8> {
    let mut fields: Vec<&[u8]> = context.splitn(4, |&byte| byte == b':').collect();
    if let Some(field) = fields.get_mut(2) {
        *field = name.as_bytes();
    }
    fields.join(b":".as_slice())
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod oracle_tests;
