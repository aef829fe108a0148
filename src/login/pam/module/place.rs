//! Where the modules are.

use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, find};
use crate::guest::linux::text;

/// Directories of modules by the first part of a machine's name; an empty one is for every machine.
const DIRECTORIES: [(&str, &str); 14] = [
    ("", "/usr/lib64/security"),
    ("", "/lib64/security"),
    ("x86_64", "/usr/lib/x86_64-linux-gnu/security"),
    ("x86_64", "/lib/x86_64-linux-gnu/security"),
    ("aarch64", "/usr/lib/aarch64-linux-gnu/security"),
    ("aarch64", "/lib/aarch64-linux-gnu/security"),
    ("i", "/usr/lib/i386-linux-gnu/security"),
    ("i", "/lib/i386-linux-gnu/security"),
    ("arm", "/usr/lib/arm-linux-gnueabihf/security"),
    ("arm", "/lib/arm-linux-gnueabihf/security"),
    ("ppc64", "/usr/lib/powerpc64le-linux-gnu/security"),
    ("s390", "/usr/lib/s390x-linux-gnu/security"),
    ("", "/usr/lib/security"),
    ("", "/lib/security"),
];

/// The directories in which this system looks for modules: those that hold the usual ones.
pub(super) fn directories(fs: &dyn FileSystem, arch: Option<&str>) -> Vec<&'static str> {
    let is_for =
        |prefix: &str| prefix.is_empty() || arch.is_none_or(|arch| arch.starts_with(prefix));
    let usual = |directory: &str| {
        ["pam_unix.so", "pam_permit.so"]
            .iter()
            .any(|name| text::exists(fs, &format!("{directory}/{name}")))
    };
    let candidates = DIRECTORIES.iter().filter(|(prefix, _)| is_for(prefix));
    let mut found: Vec<&str> =
        candidates.map(|(_, directory)| *directory).filter(|directory| usual(directory)).collect();
    // Where a system of 64 bits also has modules of 32 bits, these are not for sshd.
    if found.iter().any(|directory| directory.contains("lib64")) {
        found.retain(|directory| directory.contains("lib64"));
    } else if found.iter().any(|directory| directory.contains("-linux-")) {
        // Debian also looks into the directory of old.
        found.push("/lib/security");
    }
    found
}

/// True if the module is there, or if the volume shows no modules at all.
pub(super) fn exists(fs: &dyn FileSystem, directories: &[&str], path: &[u8]) -> bool {
    let is_there = |path: &GuestPath| matches!(find(fs, path), Ok(Some(_)));
    if directories.is_empty() {
        return true;
    }
    // `$ISA` stands for the directory of the machine's word size.
    let isa = b"$ISA";
    if path.windows(isa.len()).any(|window| window == isa) {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        return directories.iter().any(|directory| is_there(&GuestPath::new(directory).join(name)));
    }
    if path.starts_with(b"/") {
        return is_there(&GuestPath::new(path));
    }
    directories.iter().any(|directory| is_there(&GuestPath::new(directory).join(path)))
}
