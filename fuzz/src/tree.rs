//! A Linux system whose login files are the input.

use regain::fs::memory::MemoryTree;

/// The files that take turns: the input is cut at bytes 0.
const FILES: [&str; 6] = [
    "/etc/ssh/sshd_config",
    "/home/admin/.ssh/authorized_keys",
    "/etc/passwd",
    "/etc/ssh/sshd_config.d/more.conf",
    "/etc/shadow",
    "/etc/fstab",
];

/// A small system in which each part of `bytes` takes the place of one file; an empty part leaves it as it is.
pub fn linux(bytes: &[u8]) -> MemoryTree {
    let mut tree = MemoryTree::new();
    let passwd = b"root:x:0:0::/root:/bin/bash\nadmin:x:1000:1001::/home/admin:/bin/bash\n";
    tree.file("/etc/passwd", 0, 0o644, passwd)
        .file("/etc/group", 0, 0o644, b"root:x:0:\nadmin:x:1001:\n")
        .file("/etc/shadow", 0, 0o640, b"root:*:1:0:99999:7:::\nadmin:!:1:0:99999:7:::\n")
        .file("/etc/os-release", 0, 0o644, b"ID=debian\n")
        .file("/etc/ssh/sshd_config", 0, 0o644, b"UsePAM yes\n")
        .file("/bin/bash", 0, 0o755, b"")
        .directory("/root", 0, 0o700)
        .directory("/home/admin", 1000, 0o755)
        .directory("/home/admin/.ssh", 1000, 0o700);
    for (path, content) in FILES.iter().zip(bytes.split(|&byte| byte == 0)) {
        if !content.is_empty() {
            let uid = if path.starts_with("/home") { 1000 } else { 0 };
            tree.file(path, uid, 0o600, content);
        }
    }
    tree
}
