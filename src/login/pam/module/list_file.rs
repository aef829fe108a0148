//! pam_listfile: a file that lists users, groups or shells.

use super::{Answer, Arguments, Asked, Missing, by_condition, plain};
use crate::bytes::text::escape_limited;
use crate::fs::NodeKind;
use crate::fs::path::{GuestPath, Resolution, resolve};
use crate::guest::linux::text::lines;
use crate::login::Finding;
use crate::login::pam::code::Code;
use crate::login::pam::tri::Tri;

impl Asked<'_> {
    pub(super) fn list_file(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let mut on_error = Code::ServiceErr;
        let (mut item, mut file, mut denies, mut apply) = (None, None, None, None);
        for word in call.words.iter().filter(|word| word.as_slice() != b"quiet") {
            let Some(equals) = word.iter().position(|&byte| byte == b'=') else { continue };
            let (name, value) = word.split_at(equals);
            let value = value.get(1..).unwrap_or_default();
            match (name, value) {
                (b"onerr", b"succeed") => on_error = Code::Success,
                (b"onerr", b"fail") => on_error = Code::ServiceErr,
                (b"sense", b"allow") => denies = Some(false),
                (b"sense", b"deny") => denies = Some(true),
                (b"file", path) => file = Some(path),
                (b"item", what) => item = Some(what),
                (b"apply", whom) => apply = Some(whom),
                // What follows from the errors is decided by the order of the words.
                _ => return plain(&[Code::ServiceErr, Code::Success]),
            }
        }
        let (Some(item), Some(file), Some(denies)) = (item, file, denies) else {
            return plain(&[on_error]);
        };
        // `apply=` counts only where the item is not about the user.
        if apply.is_some() && matches!(item, b"tty" | b"rhost" | b"shell") {
            return plain(&[Code::Ignore, Code::Success, Code::AuthErr, on_error]);
        }
        let listed = match self.listed(item, file) {
            Ok(listed) => listed,
            Err(Listing::Absent) => return plain(&[on_error]),
            Err(Listing::Untrusted) => {
                let message = "pam_listfile refuses everybody: its file is no regular one, or all may write it";
                let shown = escape_limited(file, 256);
                let reason = Finding::block(("pam-account", "LOGIN-66"), shown, message);
                return vec![Answer::because(Code::AuthErr, reason)];
            }
            Err(Listing::Open) => return plain(&[Code::Success, Code::AuthErr, on_error]),
        };
        let name = self.user.display_name();
        let file = escape_limited(file, 256);
        let message = if denies {
            format!("pam_listfile: {file} lists {name}, which refuses")
        } else {
            format!("pam_listfile: {file} does not list {name}, which refuses")
        };
        let reason = Finding::block(("pam-account", "LOGIN-66"), call.place, message);
        let holds = if denies { !listed } else { listed };
        by_condition(holds, Answer::because(Code::AuthErr, reason))
    }

    /// Whether the file lists what `item` says.
    fn listed(&self, item: &[u8], file: &[u8]) -> Result<Tri, Listing> {
        let value: &[u8] = match item {
            b"user" | b"group" => &self.user.name,
            b"shell" => &self.user.shell,
            b"tty" => b"ssh",
            b"ruser" => b"",
            b"rhost" => return Err(Listing::Open),
            _ => return Err(Listing::Absent),
        };
        if value.is_empty() {
            return Ok(Tri::No);
        }
        let found = match resolve(self.fs(), &GuestPath::new(file), false) {
            Ok(Resolution::Found(found)) => found,
            Ok(Resolution::Missing { .. }) => return Err(Listing::Absent),
            Err(_) => return Err(Listing::Open),
        };
        let metadata = self.fs().metadata(found.node).map_err(|_| Listing::Open)?;
        if metadata.kind != NodeKind::File || metadata.mode & 0o002 != 0 {
            return Err(Listing::Untrusted);
        }
        let content = self.read(file).map_err(|missing| match missing {
            Missing::Absent => Listing::Absent,
            Missing::Broken | Missing::Unread => Listing::Open,
        })?;
        let entries = lines(&content)
            .map(|line| line.split(|byte| matches!(byte, b'\r' | 0)).next().unwrap_or_default());
        let entries = entries.filter(|entry| !entry.is_empty());
        Ok(entries.fold(Tri::No, |listed, entry| {
            listed.or(match item {
                b"group" => self.in_group(entry),
                b"tty" => (entry.strip_prefix(b"/dev/").unwrap_or(entry) == value).into(),
                _ => (entry == value).into(),
            })
        }))
    }
}

/// Why there is no answer.
enum Listing {
    /// The module takes it as an error.
    Absent,
    /// The module refuses.
    Untrusted,
    /// It cannot be told from the volume.
    Open,
}
