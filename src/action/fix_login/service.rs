//! Repairs of the unit of sshd (LOGIN-146).
//!
//! systemd enables a unit by a symbolic link. A drop-in of the target that wants the unit does the same
//! (systemd.unit(5)), and is a plain file with a name of our own, so that is what is written.

use super::{Answer, Repairs};
use crate::action::draft::Trial;
use crate::error::Result;
use crate::fs::path::{GuestPath, Resolution, find, resolve};
use crate::fs::{NewNode, NodeKind};
use crate::guest::linux::unit_file::is_null;

/// Where units come with the distribution.
const VENDOR: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];
/// Where the administrator's choices are.
const OWN: &str = "/etc/systemd/system";
/// The units by their names on Debian, and everywhere else (LOGIN-106).
const UNITS: [&str; 2] = ["ssh.service", "sshd.service"];
/// Our drop-in of the target.
const DROP_IN: &str = "multi-user.target.d/50-regain-sshd.conf";

impl Repairs<'_> {
    /// Has the unit start at boot: takes the mark off that masks it, and has the target want it.
    pub(super) fn enable_service(&self, draft: &mut Trial<'_>) -> Result<Answer> {
        let Some(unit) = self.unit()? else { return Ok(Answer::No(None)) };
        let Some(own) = find(self.guest.fs, &GuestPath::new(OWN))? else {
            return Ok(Answer::No(None));
        };
        let mark = own.real_path.join(unit);
        let mut what = String::new();
        if is_null(self.guest.fs, &mark) {
            what.push_str("the mask is removed, and ");
            draft.own.remove(mark, "the unit of sshd is no longer masked");
        }
        let wanted = own.real_path.join("multi-user.target.wants").join(unit);
        let is_wanted = matches!(resolve(self.guest.fs, &wanted, false)?, Resolution::Found(_));
        if !is_wanted {
            self.want(&own.real_path, unit, draft)?;
        }
        Ok(Answer::Done(format!("{what}{unit} starts at boot")))
    }

    /// The unit that the distribution brings.
    fn unit(&self) -> Result<Option<&'static str>> {
        for directory in VENDOR {
            for unit in UNITS {
                let path = GuestPath::new(directory).join(unit);
                if find(self.guest.fs, &path)?.is_some() {
                    return Ok(Some(unit));
                }
            }
        }
        Ok(None)
    }

    /// Writes the drop-in.
    fn want(&self, own: &GuestPath, unit: &str, draft: &mut Trial<'_>) -> Result<()> {
        let fs = self.guest.fs;
        let path = own.join(DROP_IN);
        if find(fs, &path)?.is_some() || draft.content(&path).is_some() {
            return Ok(());
        }
        let new = |path: &GuestPath, kind, mode| {
            let xattrs = self.guest.labels.for_new(fs, path, kind, None)?;
            Ok::<_, crate::error::Error>(NewNode { mode, uid: 0, gid: 0, xattrs })
        };
        let directory = path.parent().unwrap_or_else(GuestPath::root);
        if find(fs, &directory)?.is_none() {
            draft.own.directory(directory.clone(), new(&directory, NodeKind::Directory, 0o755)?);
        }
        let content = format!("[Unit]\nWants={unit}\n").into_bytes();
        let file = new(&path, NodeKind::File, 0o644)?;
        draft.own.file(path, None, file, content, vec![format!("{unit} starts at boot")]);
        Ok(())
    }
}
