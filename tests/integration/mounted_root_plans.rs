//! What is planned for a mounted root is what is planned for the same tree anywhere else: the directory as a target adds
//! nothing and hides nothing.

use crate::support::root::{NEW_KEY, OLD_KEY};
use crate::support::rooted::{KEY_FILE, Rooted};
use regain::action::key_add::{self, KeyAddRequest};
use regain::action::{Plan, edit};
use regain::fs::memory::MemoryTree;
use regain::fs::path::{GuestPath, read_file};
use regain::fs::tree::Tree;
use regain::fs::{FileEdit, FileSystem, Timestamp};
use regain::guest::select::UserChoice;
use regain::image::directory::Directory;
use regain::login::key_input;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::rc::Rc;

const NOW: Timestamp = Timestamp { seconds: 1_750_000_000, nanoseconds: 0 };

/// What alters a tree before the plan is made.
type Change = fn(&Rooted);

fn changes() -> Vec<(&'static str, Change)> {
    vec![
        ("as it is", |_| ()),
        ("without a key file", |r| fs::remove_file(r.root().join(KEY_FILE)).unwrap()),
        ("without .ssh", |r| fs::remove_dir_all(r.root().join("home/admin/.ssh")).unwrap()),
        ("open to everybody", |r| {
            for path in ["home/admin", "home/admin/.ssh", KEY_FILE] {
                fs::set_permissions(r.root().join(path), Permissions::from_mode(0o777)).unwrap();
            }
        }),
        ("with the key", |r| fs::write(r.root().join(KEY_FILE), NEW_KEY).unwrap()),
        ("without an end of line", |r| {
            fs::write(r.root().join(KEY_FILE), OLD_KEY.trim_end()).unwrap();
        }),
        ("behind a link", |r| {
            fs::rename(r.root().join(KEY_FILE), r.root().join("etc/keys")).unwrap();
            symlink("/etc/keys", r.root().join(KEY_FILE)).unwrap();
        }),
        ("with nologin", |r| fs::write(r.root().join("etc/nologin"), "closed\n").unwrap()),
        ("with keys elsewhere", |r| {
            let line = "AuthorizedKeysFile /etc/ssh/keys/%u\n";
            fs::write(r.root().join("etc/ssh/sshd_config"), line).unwrap();
        }),
    ]
}

fn request(fix: bool) -> KeyAddRequest {
    KeyAddRequest {
        users: UserChoice::Named(vec![b"admin".to_vec()]),
        keys: key_input::parse("test", NEW_KEY.as_bytes()).unwrap().keys,
        options: None,
        fix,
        fix_also: BTreeSet::new(),
        force: true,
        now: NOW,
    }
}

/// Plans, and edits; what the key file is then.
fn edited(fs: &mut dyn FileEdit, fix: bool) -> (Plan, Vec<Option<Vec<u8>>>) {
    let plan = key_add::plan(fs.as_file_system(), &request(fix)).unwrap();
    edit::run(&plan, fs).unwrap();
    let read = |path: &GuestPath| read_file(fs.as_file_system(), path, 1 << 20).ok().flatten();
    let contents = plan.changes.iter().map(|change| read(change.path())).collect();
    (plan, contents)
}

#[test]
fn plans_are_those_of_the_same_tree_in_memory() {
    let mut planned = 0;
    for (what, change) in changes() {
        for fix in [false, true] {
            let rooted = Rooted::new();
            change(&rooted);
            let mut tree = Tree::new(Rc::new(Directory::open(&rooted.root()).unwrap()), NOW);
            let mut memory = MemoryTree::copy_of(&tree).unwrap().at(NOW);
            assert_eq!(tree.identity(), memory.identity());
            let (on_disk, in_memory) = (edited(&mut tree, fix), edited(&mut memory, fix));
            assert_eq!(on_disk, in_memory, "{what}, fix {fix}");
            planned += on_disk.0.changes.len();
        }
    }
    assert!(planned >= 16, "{planned}");
}
