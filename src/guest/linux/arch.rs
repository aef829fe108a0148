//! The architecture of a guest, from the header of one of its binaries.

use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind};

/// Binaries of which at least one exists on every root.
const BINARIES: [&str; 5] =
    ["/usr/sbin/sshd", "/bin/sh", "/usr/bin/sh", "/usr/bin/env", "/sbin/init"];

/// The name that `uname -m` prints there, if a binary tells.
pub fn detect(fs: &dyn FileSystem) -> Option<&'static str> {
    BINARIES.iter().find_map(|path| {
        let found = find(fs, &GuestPath::new(path)).ok()??;
        if fs.metadata(found.node).ok()?.kind != NodeKind::File {
            return None;
        }
        of_header(&fs.read_at(found.node, 0, 20).ok()?)
    })
}

/// Reads the machine out of an ELF header.
///
/// Format: System V ABI, "ELF Header". The byte order is that of `EI_DATA`.
///
/// | offset | size | spec              | ours    | valid when        |
/// |-------:|-----:|-------------------|---------|-------------------|
/// |    0x0 |    4 | EI_MAG0..EI_MAG3  | (magic) | `7f 45 4c 46`     |
/// |    0x4 |    1 | EI_CLASS          | class   | 1 (32), 2 (64)    |
/// |    0x5 |    1 | EI_DATA           | order   | 1 (LE), 2 (BE)    |
/// |   0x12 |    2 | e_machine         | machine | one of ours       |
fn of_header(header: &[u8]) -> Option<&'static str> {
    let [0x7f, b'E', b'L', b'F', class, order, ..] = header else { return None };
    let machine = [*header.get(0x12)?, *header.get(0x13)?];
    let machine = match order {
        1 => u16::from_le_bytes(machine),
        2 => u16::from_be_bytes(machine),
        _ => return None,
    };
    Some(match (machine, class, order) {
        (62, _, _) => "x86_64",
        (3, _, _) => "i686",
        (183, _, _) => "aarch64",
        (40, _, _) => "arm",
        (243, 2, _) => "riscv64",
        (22, 2, _) => "s390x",
        (21, _, 1) => "ppc64le",
        (21, _, _) => "ppc64",
        (258, _, _) => "loongarch64",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_told_by_their_header() {
        let header = |class: u8, order: u8, machine: [u8; 2]| {
            let mut header = vec![0x7f, b'E', b'L', b'F', class, order];
            header.resize(18, 0);
            header.extend(machine);
            header
        };
        assert_eq!(of_header(&header(2, 1, [62, 0])), Some("x86_64"));
        assert_eq!(of_header(&header(2, 1, [183, 0])), Some("aarch64"));
        assert_eq!(of_header(&header(2, 2, [0, 22])), Some("s390x"));
        assert_eq!(of_header(&header(2, 3, [62, 0])), None);
        assert_eq!(of_header(b"\x7fELF"), None);
        assert_eq!(of_header(b"#!/bin/sh"), None);
    }
}
