//! Modules that ask where an account comes from and what kind it is: pam_localuser and pam_usertype.

use super::{Answer, Arguments, Asked, plain};
use crate::guest::linux::text::{TEXT_BYTES_MAX, lines, required};
use crate::login::pam::code::Code;

impl Asked<'_> {
    /// pam_localuser: the user must be in the file itself.
    pub(super) fn local_user(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let Some(path) = call.value("file=") else {
            // A user of nss-altfiles is not in the file itself.
            let is_local = self.user.line != 0;
            return plain(&[if is_local { Code::Success } else { Code::PermDenied }]);
        };
        let Ok(content) = self.read(path) else {
            return plain(&[Code::ServiceErr, Code::PermDenied]);
        };
        let mut head = self.user.name.clone();
        head.push(b':');
        let is_local = lines(&content).any(|line| line.starts_with(&head));
        plain(&[if is_local { Code::Success } else { Code::PermDenied }])
    }

    /// pam_usertype: accounts of the system or of people.
    pub(super) fn user_type(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let uid = if call.has("use_uid") { 0 } else { self.user.uid };
        let is_system = self.is_system(uid);
        let is_wanted = match (call.has("issystem"), call.has("isregular")) {
            (true, false) => is_system,
            (false, true) => !is_system,
            (false, false) => return plain(&[Code::ServiceErr]),
            // The last one counts.
            (true, true) => return plain(&[Code::Success, Code::AuthErr]),
        };
        plain(&[if is_wanted { Code::Success } else { Code::AuthErr }])
    }

    /// pam_usertype: below `UID_MIN` and not above `SYS_UID_MAX`, or nobody.
    fn is_system(&self, uid: u32) -> bool {
        let uid_min = self.guest.system.accounts.uid_min;
        let settings = required(self.fs(), "/etc/login.defs", TEXT_BYTES_MAX);
        let settings = settings.ok().flatten().unwrap_or_default();
        let mut system_max = uid_min.saturating_sub(1);
        for line in lines(&settings) {
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            if words.next() == Some(b"SYS_UID_MAX") {
                let value = words.next().and_then(|word| std::str::from_utf8(word).ok());
                system_max = value.and_then(|value| value.parse().ok()).unwrap_or(system_max);
            }
        }
        uid == 65534 || (uid <= system_max && uid < uid_min)
    }
}
