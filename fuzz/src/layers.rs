//! What lies between a disk and a file system: LVM, LUKS and RAID. Checksums pass, so none is repaired.

use crate::lvm_build::GroupSpec;
use crate::md_build::MemberSpec;

/// A physical volume of four extents with this text of its group.
pub fn physical_volume(text: &[u8]) -> Vec<u8> {
    let spec = GroupSpec::new(65536, &[4]);
    let mut image = spec.head_with(0, &String::from_utf8_lossy(text));
    image.resize(spec.physical_bytes(0) as usize, 0);
    image
}

/// A LUKS2 header with this JSON, and some room behind it.
pub fn luks2_header(json: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 64 << 10];
    image[..8].copy_from_slice(b"LUKS\xba\xbe\0\x02");
    image[8..16].copy_from_slice(&0x4000_u64.to_be_bytes());
    image[72..78].copy_from_slice(b"sha256");
    let len = json.len().min(0x4000 - 4096);
    image[4096..4096 + len].copy_from_slice(&json[..len]);
    image
}

/// A member of a mirror: the first byte chooses the version, then each group of three bytes is an offset in the
/// superblock and the byte that goes there.
pub fn md_member(bytes: &[u8]) -> Vec<u8> {
    let (choice, groups) = bytes.split_first().unwrap_or((&0, &[]));
    let versions = ["0.90", "0.90 big-endian", "1.0", "1.1", "1.2"];
    let spec = MemberSpec::mirror(versions[usize::from(*choice) % versions.len()], 0, 64 << 10);
    let mut member = spec.member(&[]);
    for group in groups.chunks_exact(3) {
        let offset = usize::from(u16::from_le_bytes([group[0], group[1]])) % 4096;
        member[spec.place() as usize + offset] = group[2];
    }
    member
}
