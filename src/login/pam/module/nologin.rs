//! pam_nologin (LOGIN-72).

use super::{Answer, Arguments, Asked, plain};
use crate::bytes::text::escape_limited;
use crate::fs::NodeKind;
use crate::fs::path::{GuestPath, Resolution, resolve};
use crate::guest::linux::text::{exists, kind};
use crate::login::Finding;
use crate::login::pam::code::Code;

impl Asked<'_> {
    /// Refuses everybody but root while the file exists.
    pub(super) fn nologin(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let if_absent = if call.has("successok") { Code::Success } else { Code::Ignore };
        let path = call.value("file=").unwrap_or(b"/etc/nologin");
        // /run is made anew at every boot.
        let is_on_disk = !path.starts_with(b"/run/") && !path.starts_with(b"/var/run/");
        let shown = escape_limited(path, 256);
        if is_on_disk {
            match kind(self.fs(), &String::from_utf8_lossy(path)) {
                None => {}
                Some(NodeKind::Directory) => {
                    let message = "it is a directory, at which pam_nologin refuses everybody";
                    let reason = Finding::block(("nologin", "LOGIN-72"), shown, message);
                    return vec![Answer::because(Code::SystemErr, reason)];
                }
                Some(_) if self.user.uid == 0 => return plain(&[if_absent]),
                Some(_) => {
                    let message = "it exists, so only root may log in";
                    let reason = Finding::block(("nologin", "LOGIN-72"), shown, message);
                    return vec![Answer::because(
                        Code::AuthErr,
                        reason.fixed_by("remove the file"),
                    )];
                }
            }
        }
        let old = "/var/run/nologin";
        if call.value("file=").is_none()
            && self.user.uid != 0
            && self.is_run_on_disk()
            && exists(self.fs(), old)
        {
            let message =
                "it exists, and only root may log in unless the system removes it at boot";
            let reason = Finding::block(("nologin", "LOGIN-72"), old, message);
            return vec![Answer::plain(if_absent), Answer::because(Code::AuthErr, reason)];
        }
        plain(&[if_absent])
    }

    /// True on systems of the time before /run, where /var/run is a directory of the disk.
    fn is_run_on_disk(&self) -> bool {
        let run = resolve(self.fs(), &GuestPath::new("/var/run"), false);
        let Ok(Resolution::Found(found)) = run else { return false };
        let metadata = self.fs().metadata(found.node);
        metadata.is_ok_and(|metadata| metadata.kind == NodeKind::Directory)
            && !exists(self.fs(), "/run")
    }
}
