//! The files that decide about a login: `sshd_config`, `authorized_keys`, `passwd`, `shadow`, `fstab`.
//!
//! Invariant: no panic; a plan that is carried out leaves every key line that was there in place.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::action::key_add::{KeyAddRequest, plan};
use regain::action::{edit, key_list};
use regain::fs::Timestamp;
use regain::guest::select::UserChoice;
use regain::login::key_input;

const KEY: &[u8] =
    b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICI0YpK0QOEL3u/Lm0FnhsNF7oqzdJuFFYTwVDdbLKVR new";
const KEY_FILE: &str = "/home/admin/.ssh/authorized_keys";

fuzz_target!(|bytes: &[u8]| {
    let mut tree = regain_fuzz::linux(bytes);
    let now = Timestamp::default();
    let _ = key_list::list(&tree, None, now);
    let keys = key_input::parse("new.pub", KEY).expect("a key").keys;
    let users = UserChoice::Named(vec![b"admin".to_vec()]);
    let request = KeyAddRequest { users, keys, options: None, fix: true, fix_also: Default::default(), force: true, now };
    let Ok(plan) = plan(&tree, &request) else { return };
    let before = tree.content_at(KEY_FILE).unwrap_or_default().to_vec();
    edit::run(&plan, &mut tree).expect("a plan fits the tree that it was made for");
    let after = tree.content_at(KEY_FILE).unwrap_or_default();
    // A tail of NUL bytes from a crash may be cut off.
    let kept = before.trim_ascii_end();
    let kept = &kept[..kept.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)];
    assert!(after.starts_with(kept.trim_ascii_end()));
});
