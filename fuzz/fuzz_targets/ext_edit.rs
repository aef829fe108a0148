//! A whole edit on a damaged ext file system.
//!
//! Invariant: no panic; either every edit is refused, or what was written can be read back.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::error::Result;
use regain::fs::ext::Ext;
use regain::fs::path::{self, GuestPath};
use regain::fs::{FileEdit, FileSystem, NewNode, Timestamp, Xattr};

const LINE: &[u8] = b"ssh-ed25519 AAAA a line that is appended\n";
const LABEL: &[u8] = b"system_u:object_r:ssh_home_t:s0\0";

fuzz_target!(|bytes: &[u8]| {
    let overlay = regain_fuzz::damaged(bytes);
    let Ok(mut fs) = Ext::open(overlay.clone(), Timestamp::default()) else { return };
    if edit(&mut fs).is_err() {
        return;
    }
    // Damage elsewhere may still hide from a fresh reader what the edit did, but must not change it.
    let Ok(again) = Ext::open(overlay, Timestamp::default()) else { return };
    let Ok(Some(content)) = path::read_file(&again, &GuestPath::new("/etc/new/file"), 1 << 20) else {
        return;
    };
    assert_eq!(content, LINE);
});

fn edit(fs: &mut Ext) -> Result<()> {
    fs.check_writable()?;
    if let Some(keys) = path::find(fs, &GuestPath::new("/home/admin/.ssh/authorized_keys"))? {
        fs.append(keys.node, LINE)?;
    }
    let Some(etc) = path::find(fs, &GuestPath::new("/etc"))? else { return Ok(()) };
    let label = Xattr { name: b"security.selinux".to_vec(), value: LABEL.to_vec() };
    let new = NewNode { mode: 0o700, uid: 1000, gid: 1000, xattrs: vec![label] };
    let directory = fs.create_directory(etc.node, b"new", &new)?;
    fs.create_file(directory, b"file", &new, LINE)?;
    if let Some(many) = path::find(fs, &GuestPath::new("/many"))? {
        fs.remove(many.node, b"a-rather-long-file-name-9")?;
        for number in 0..8 {
            fs.create_file(many.node, format!("new-{number}").as_bytes(), &new, LINE)?;
        }
    }
    if let Some(large) = path::find(fs, &GuestPath::new("/home/large"))? {
        fs.replace(large.node, LINE)?;
    }
    Ok(())
}
