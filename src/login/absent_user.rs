//! A user who is not in /etc/passwd (LOGIN-57).

use super::finding::Finding;
use crate::bytes::text::escape_limited;
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, find};
use crate::guest::linux::Accounts;

/// What follows for the user called `name`: no such user, unless another source may know it.
pub fn finding(fs: &dyn FileSystem, accounts: &Accounts, name: &[u8]) -> Finding {
    let id = ("user-exists", "LOGIN-57");
    let shown = escape_limited(name, 64);
    let record = [name, b".identity".as_slice()].concat();
    let record = GuestPath::new("/var/lib/systemd/home").join(record);
    if matches!(find(fs, &record), Ok(Some(_))) {
        let message = "the user is one of systemd-homed, whose keys are in a signed record";
        return Finding::undecided(("home-crypt", "LOGIN-T4"), shown, message);
    }
    let others = accounts.services.other_users();
    if others.is_empty() {
        return Finding::block(id, shown, "there is no such user in /etc/passwd");
    }
    let others = escape_limited(others.join(", ").as_bytes(), 64);
    let message = format!("the user is not in /etc/passwd; {others} may know it");
    Finding::undecided(id, shown, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn a_user_who_is_not_there_may_be_elsewhere_login_57() {
        for (path, content, is_open) in [
            ("/etc/x", "", false),
            ("/etc/nsswitch.conf", "passwd: files systemd\n", false),
            ("/etc/nsswitch.conf", "passwd: files unheard_of\n", true),
            ("/var/lib/systemd/home/x.identity", "", true),
        ] {
            let mut tree = MemoryTree::new();
            tree.file("/etc/passwd", 0, 0o644, b"root:x:0:0::/root:/bin/sh\n");
            tree.file(path, 0, 0o644, content.as_bytes());
            let accounts = Accounts::read(&tree).unwrap();
            let found = finding(&tree, &accounts, b"x");
            assert_eq!((found.is_undecided, found.is_blocking()), (is_open, !is_open), "{path}");
        }
    }
}
