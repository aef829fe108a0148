//! Modules that look a user up in a file of the system: pam_shells, pam_time and pam_sepermit.

use super::{ANYTHING, Answer, Arguments, Asked, Missing, plain};
use crate::bytes::text::escape_limited;
use crate::fs::NodeKind;
use crate::fs::path::{GuestPath, find};
use crate::guest::linux::text::{exists, lines};
use crate::login::Finding;
use crate::login::pam::code::Code;

impl Asked<'_> {
    /// pam_shells: the shell must be a line of /etc/shells.
    pub(super) fn shells(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let path = "/etc/shells";
        let metadata = find(self.fs(), &GuestPath::new(path)).ok().flatten();
        let metadata = metadata.and_then(|found| self.fs().metadata(found.node).ok());
        let is_trusted =
            metadata.is_some_and(|found| found.kind == NodeKind::File && found.mode & 0o002 == 0);
        let content = self.read(path.as_bytes()).unwrap_or_default();
        let shell = self.user.effective_shell();
        if is_trusted && lines(&content).any(|line| line.starts_with(b"/") && line == shell) {
            return plain(&[Code::Success]);
        }
        let vendor = exists(self.fs(), "/usr/etc/shells")
            || exists(self.fs(), "/usr/share/defaults/etc/shells");
        if vendor {
            return plain(&[Code::Success, Code::AuthErr]);
        }
        let message = format!(
            "pam_shells: /etc/shells does not list the login shell {}",
            escape_limited(shell, 128)
        );
        let reason = Finding::block(("pam-account", "LOGIN-66"), call.place, message);
        vec![Answer::because(Code::AuthErr, reason)]
    }

    /// pam_time refuses only where a rule for sshd exists.
    pub(super) fn time(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let path = call.value("conffile=").unwrap_or(b"/etc/security/time.conf");
        let Ok(content) = self.read(path) else { return plain(&[Code::Success, Code::PermDenied]) };
        let is_about_us = |line: &[u8]| {
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
            let services = line.split(|&byte| byte == b';').next().unwrap_or_default();
            let has =
                |text: &[u8]| services.windows(text.len().max(1)).any(|window| window == text);
            // A line that goes on could hold anything.
            !line.is_empty()
                && (has(self.service) || has(b"*") || has(b"!") || line.ends_with(b"\\"))
        };
        if !lines(&content).any(is_about_us) {
            return plain(&[Code::Success]);
        }
        let shown = escape_limited(path, 256);
        let message = "a rule of pam_time may refuse the login at some times";
        let reason = Finding::block(("pam-account", "LOGIN-66"), shown, message);
        vec![Answer::plain(Code::Success), Answer::because(Code::PermDenied, reason)]
    }

    /// pam_sepermit has nothing to say about users that its file does not name.
    pub(super) fn sepermit(&self) -> Vec<Answer> {
        let content = match self.read(b"/etc/security/sepermit.conf") {
            Ok(content) => content,
            Err(Missing::Absent) => return plain(&[Code::Success, Code::Ignore]),
            Err(_) => return plain(&ANYTHING),
        };
        let is_rule = |line: &[u8]| !matches!(line.trim_ascii().first(), None | Some(b'#'));
        if lines(&content).any(is_rule) {
            plain(&ANYTHING)
        } else {
            plain(&[Code::Success, Code::Ignore])
        }
    }
}
