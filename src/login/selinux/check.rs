//! May sshd pass and read what lies on the way to a key file, by its label (LOGIN-83, LOGIN-94)?
//!
//! The policy itself is not read: types that every policy lets sshd read, or none, are known by name, and any
//! other leaves the answer open.

use super::{Labels, Lookup, Mode, attribute, label_of, type_of, with_type};
use crate::bytes::text::escape_limited;
use crate::error::Result;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind, Xattr};
use crate::guest::linux::fstab::is_below;
use crate::login::Finding;
use crate::login::strict_modes::ChainNode;

/// Files without which nobody logs in (LOGIN-93).
const SYSTEM_FILES: [&str; 4] =
    ["/etc/passwd", "/etc/shadow", "/etc/ssh/sshd_config", "/etc/pam.d/sshd"];
/// Check and rule of these findings.
const ID: (&str, &str) = ("selinux-file", "LOGIN-83");

/// What to do about a label that a mount gives.
const FIXED_FIX: &str = "another context= in the options of its mount";

/// What sshd may do with a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Pass the directory or read the file.
    Allowed,
    /// Not so.
    Denied,
    /// The policy decides.
    Open,
}

/// What speaks against a node, and what would repair it.
#[derive(Debug, Clone)]
pub struct LabelProblem {
    /// Blocking, undecided or a note, by the mode of SELinux.
    pub finding: Finding,
    /// The label that the node should have: the one of the rules, or the next best (LOGIN-92).
    pub repair: Option<Xattr>,
}

/// Where a node lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The home itself, or below it.
    Own,
    /// A directory that leads to the home.
    AboveHome,
    /// Anywhere else, as in `/etc/ssh`.
    Other,
}

impl Labels {
    /// Judges one node on the way to a key file of the user `uid` with this home (a real path).
    ///
    /// # Errors
    /// As the file system.
    pub fn problem(
        &self,
        fs: &dyn FileSystem,
        node: &ChainNode,
        home: Option<&GuestPath>,
        uid: u32,
    ) -> Result<Option<LabelProblem>> {
        if !self.are_needed() {
            return Ok(None);
        }
        let place = match home {
            Some(home) if is_below(&node.path, home) => Place::Own,
            Some(home) if is_below(home, &node.path) => Place::AboveHome,
            _ => Place::Other,
        };
        if let Some(label) = self.fixed_at(&node.path) {
            let access = access(type_of(label), node.metadata.kind, place, uid);
            let finding = || self.judge(node, access, Some(label)).fixed_by(FIXED_FIX);
            let finding = (access != Access::Allowed).then(finding);
            return Ok(finding.map(|finding| LabelProblem { finding, repair: None }));
        }
        let found = label_of(fs, node.node)?;
        let found_type = found.as_deref().map_or(b"unlabeled_t".as_slice(), type_of).to_vec();
        let access = access(&found_type, node.metadata.kind, place, uid);
        if access == Access::Allowed && !self.will_relabel {
            return Ok(None);
        }
        let wanted = self.look_up(fs, &node.path, node.metadata.kind)?;
        // Types that an administrator may choose stay through a relabelling, and these may be such.
        let may_stay = access == Access::Open && found.is_some();
        if self.will_relabel && !may_stay {
            return Ok(self.after_relabel(node, (place, uid), access, &wanted));
        }
        let repair = self.repair(fs, node, (place, uid), found.as_deref(), &wanted)?;
        let finding = self.judge(node, access, found.as_deref());
        let finding = finding.fixed_by(fix(repair.as_ref(), &wanted));
        Ok(Some(LabelProblem { finding, repair }))
    }

    /// What is odd about the labels of the whole guest, and of the files that every login needs (LOGIN-93).
    pub fn findings(&self, fs: &dyn FileSystem) -> Vec<Finding> {
        let subject = "/etc/selinux/config";
        let mut findings = Vec::new();
        for path in SYSTEM_FILES.into_iter().filter(|_| self.are_needed() && !self.will_relabel) {
            findings.extend(self.system_file(fs, path).unwrap_or_else(|error| {
                let message = format!("its SELinux label cannot be read: {error}");
                Some(Finding::undecided(("selinux-file", "LOGIN-93"), path, message))
            }));
        }
        if let Some(doubt) = &self.doubt {
            findings.push(Finding::info(("selinux-file", "LOGIN-82"), subject, doubt.clone()));
        }
        let may_enforce = self.mode == Mode::Enforcing || self.doubt.is_some();
        if may_enforce && !self.is_labelled && !self.will_relabel {
            let message = "SELinux may be enforcing, and the volume carries no labels; what sshd may \
                           read then is not known";
            let id = ("selinux-file", "LOGIN-84");
            let finding = Finding::undecided(id, subject, message);
            findings.push(finding.fixed_by("an empty /.autorelabel, or enforcing=0"));
        }
        if self.will_relabel && self.mode != Mode::Disabled {
            let message =
                "every file gets its label anew at the next boot, and the guest boots twice";
            findings.push(Finding::info(("selinux-file", "LOGIN-92"), "/.autorelabel", message));
        }
        findings
    }

    /// One of the files that every login needs: with the label of the rules it is right.
    fn system_file(&self, fs: &dyn FileSystem, path: &str) -> Result<Option<Finding>> {
        let Some(found) = find(fs, &GuestPath::new(path))? else { return Ok(None) };
        let metadata = fs.metadata(found.node)?;
        let label = label_of(fs, found.node)?;
        let found_type = label.as_deref().map_or(b"unlabeled_t".as_slice(), type_of);
        if matches!(found_type, b"etc_t" | b"passwd_file_t" | b"shadow_t") {
            return Ok(None);
        }
        let wanted = self.look_up(fs, &found.real_path, metadata.kind)?;
        if let Lookup::Label(context) = &wanted
            && type_of(context) == found_type
        {
            return Ok(None);
        }
        let access =
            if super::UNREADABLE.contains(&found_type) { Access::Denied } else { Access::Open };
        let node = ChainNode { path: found.real_path, node: found.node, metadata };
        let mut finding = self.judge(&node, access, label.as_deref());
        finding.rule = "LOGIN-93";
        Ok(Some(finding.fixed_by(fix(None, &wanted))))
    }

    fn judge(&self, node: &ChainNode, access: Access, found: Option<&[u8]>) -> Finding {
        let message = match (access, found) {
            (_, None) => "it has no SELinux label, so that sshd may not read it".to_owned(),
            (Access::Denied, Some(found)) => {
                format!("sshd may not read the SELinux label {}", escape_limited(found, 128))
            }
            (_, Some(found)) => {
                let found = escape_limited(found, 128);
                format!("whether sshd may read the SELinux label {found} is up to the policy")
            }
        };
        match (self.mode, &self.doubt) {
            (_, Some(doubt)) => Finding::undecided(ID, &node.path, format!("{message}; {doubt}")),
            (Mode::Enforcing, None) if access == Access::Denied => {
                Finding::block(ID, &node.path, message)
            }
            (Mode::Enforcing, None) => Finding::undecided(ID, &node.path, message),
            (_, None) => Finding::info(ID, &node.path, format!("{message} when it enforces")),
        }
    }

    /// At the next boot the rules decide, not what is there now.
    fn after_relabel(
        &self,
        node: &ChainNode,
        (place, uid): (Place, u32),
        present: Access,
        wanted: &Lookup,
    ) -> Option<LabelProblem> {
        let access = match wanted {
            Lookup::Label(context) => access(type_of(context), node.metadata.kind, place, uid),
            Lookup::LeaveAlone | Lookup::NoRule => present,
            Lookup::Unknown(_) => Access::Open,
        };
        let context = match wanted {
            _ if access == Access::Allowed => return None,
            Lookup::Label(context) => Some(context.as_slice()),
            Lookup::LeaveAlone | Lookup::NoRule => Some(b"that it has now".as_slice()),
            Lookup::Unknown(_) => Some(b"that it then gets".as_slice()),
        };
        let mut finding = self.judge(node, access, context);
        finding.message = format!("after the relabelling at the next boot: {}", finding.message);
        Some(LabelProblem { finding, repair: None })
    }

    /// The label for a node whose own is unfit (LOGIN-92): the rules', else one that sshd can read.
    fn repair(
        &self,
        fs: &dyn FileSystem,
        node: &ChainNode,
        (place, uid): (Place, u32),
        found: Option<&[u8]>,
        wanted: &Lookup,
    ) -> Result<Option<Xattr>> {
        let kind = node.metadata.kind;
        if let Lookup::Label(context) = wanted
            && access(type_of(context), kind, place, uid) == Access::Allowed
        {
            return Ok(Some(attribute(context.clone())));
        }
        // The rules know no such home (LOGIN-91). What the label of a home should be is not guessed.
        let is_ssh = node.path.file_name() == b".ssh" || kind == NodeKind::File;
        if place != Place::Own || !is_ssh || !self.knows_type(fs, "ssh_home_t")? {
            return Ok(None);
        }
        let rule = match wanted {
            Lookup::Label(context) => Some(context.as_slice()),
            _ => None,
        };
        Ok(found.or(rule).map(|context| attribute(with_type(context, "ssh_home_t"))))
    }
}

/// What to do about a label.
fn fix(repair: Option<&Xattr>, wanted: &Lookup) -> String {
    let give = |context: &[u8]| format!("give it the label {}", escape_limited(context, 128));
    match (repair, wanted) {
        (Some(repair), _) => give(repair.value.strip_suffix(b"\0").unwrap_or(&repair.value)),
        (None, Lookup::Unknown(reason)) => {
            format!("restorecon on the guest; its label is not known here: {reason}")
        }
        (None, Lookup::Label(context)) if !super::UNREADABLE.contains(&type_of(context)) => {
            give(context)
        }
        (None, Lookup::Label(context)) => format!(
            "a rule for it on the guest (semanage fcontext), since the present ones give it {}",
            escape_limited(type_of(context), 64)
        ),
        (None, _) => "restorecon on the guest, or an empty /.autorelabel".to_owned(),
    }
}

/// What sshd may do with a node of this type.
fn access(found: &[u8], kind: NodeKind, place: Place, uid: u32) -> Access {
    let is_directory = kind == NodeKind::Directory;
    match found {
        b"ssh_home_t" | b"user_home_t" | b"etc_t" => Access::Allowed,
        b"user_home_dir_t" | b"root_t" | b"var_t" | b"var_lib_t" | b"usr_t" if is_directory => {
            Access::Allowed
        }
        // The directory of all homes has a label that no home may have.
        b"home_root_t" if is_directory && place == Place::AboveHome => Access::Allowed,
        b"admin_home_t" if uid == 0 => Access::Allowed,
        b"unlabeled_t" if place != Place::Own => Access::Open,
        _ if super::UNREADABLE.contains(&found) || found == b"admin_home_t" => Access::Denied,
        _ => Access::Open,
    }
}
