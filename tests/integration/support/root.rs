//! The content of a small Linux root disk that somebody is locked out of (VOL-7).

use super::image::{Content, Nodes};

/// The name of the user that is edited in most tests.
pub(crate) const USER: &str = "admin";
/// Its user and group number.
pub(crate) const USER_ID: u32 = 1000;
/// The path of its key file.
pub(crate) const KEY_FILE: &str = "/home/admin/.ssh/authorized_keys";
/// The key that is already there.
pub(crate) const OLD_KEY: &str = "ssh-ed25519 \
    AAAAC3NzaC1lZDI1NTE5AAAAIDndab5Ko/JSbtDa2rdnRbF5nDsHRL/VBqbT0ndS4He/ old@laptop\n";
/// The key that gets added.
pub(crate) const NEW_KEY: &str = "ssh-ed25519 \
    AAAAC3NzaC1lZDI1NTE5AAAAIDwnFgEwTVS7pB55Xd/swnAa51YOfhMtx193ubo3NBzK rescue@bench\n";

/// A root without any `.ssh`.
pub(crate) fn bare() -> Nodes {
    let mut nodes = Nodes::default();
    for path in
        ["/bin", "/etc", "/etc/ssh", "/home", "/root", "/usr", "/usr/bin", "/usr/lib", "/var"]
    {
        nodes.directory(path, 0o755, 0);
    }
    nodes.add("/bin", Content::Symlink("usr/bin".to_owned()), 0o777, 0);
    nodes.directory("/root", 0o700, 0);
    nodes.file("/usr/bin/bash", vec![0x7f; 9000], 0o755, 0);
    nodes.file(
        "/usr/lib/os-release",
        "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n",
        0o644,
        0,
    );
    nodes.link("/etc/os-release", "../usr/lib/os-release");
    nodes.file(
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
         admin:x:1000:1000:Debian:/home/admin:/bin/bash\n",
        0o644,
        0,
    );
    nodes.file("/etc/shadow", "root:*:19700:0:99999:7:::\nadmin:!:19700:0:99999:7:::\n", 0o640, 0);
    nodes.file("/etc/group", "root:x:0:\nadmin:x:1000:\n", 0o644, 0);
    nodes.file("/etc/shells", "/bin/sh\n/bin/bash\n", 0o644, 0);
    nodes.file("/etc/hostname", "locked-out\n", 0o644, 0);
    nodes.file("/etc/fstab", "LABEL=root / ext4 defaults 0 1\n", 0o644, 0);
    nodes.file("/etc/ssh/sshd_config", "PasswordAuthentication no\nUsePAM yes\n", 0o644, 0);
    let pam = "account required pam_nologin.so\naccount required pam_unix.so\n\
               session required pam_unix.so\n";
    nodes.directory("/etc/pam.d", 0o755, 0);
    nodes.file("/etc/pam.d/sshd", pam, 0o644, 0);
    nodes.directory("/home/admin", 0o700, USER_ID);
    nodes.file("/home/admin/.profile", "umask 077\n", 0o644, USER_ID);
    nodes
}

/// A root whose user has the old key.
pub(crate) fn with_key() -> Nodes {
    with_key_file(OLD_KEY)
}

/// A root whose user has a key file with this content.
pub(crate) fn with_key_file(content: impl AsRef<[u8]>) -> Nodes {
    let mut nodes = bare();
    nodes.directory("/home/admin/.ssh", 0o700, USER_ID);
    nodes.file(KEY_FILE, content, 0o600, USER_ID);
    nodes
}

/// Adds `count` small files to the directory `path`, with names of `name_len` characters.
pub(crate) fn crowd(nodes: &mut Nodes, path: &str, count: usize, name_len: usize) {
    for index in 0..count {
        let name = format!("{index:0>name_len$}");
        nodes.file(&format!("{path}/f{name}"), "", 0o644, 0);
    }
}
