//! What partition types are called, for people only: nothing is decided by them (VOL-2).
//!
//! GPT: UEFI 2.10, table 5-7; "Discoverable Partitions Specification" (uapi-group.org); what the installers of
//! the named systems write. MBR: the types in use today.

use crate::bytes::guid::Uuid;

const GPT_TYPES: [(&str, &str); 31] = [
    ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system"),
    ("21686148-6449-6e6f-744e-656564454649", "BIOS boot"),
    ("024dee41-33e7-11d3-9d69-0008c781f39f", "MBR scheme"),
    ("9e1a2d38-c612-4316-aa26-8b49521e5a8b", "PReP boot"),
    ("0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux file system"),
    ("4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root (x86-64)"),
    ("44479540-f297-41b2-9af7-d131d5f0458a", "Linux root (x86)"),
    ("b921b045-1df0-41c3-af44-4c6f280d3fae", "Linux root (arm64)"),
    ("69dad710-2ce4-4e3c-b16c-21a1d49abed3", "Linux root (arm)"),
    ("72ec70a6-cf74-40e6-bd49-4bda08e8f224", "Linux root (riscv64)"),
    ("c31c45e6-3f39-412e-80fb-4809c4980599", "Linux root (ppc64le)"),
    ("5eead9a9-fe09-4a1e-a1d7-520d00531306", "Linux root (s390x)"),
    ("8484680c-9521-48c6-9c11-b0720656f69e", "Linux /usr (x86-64)"),
    ("b0e01050-ee5f-4390-949a-9101b17104e9", "Linux /usr (arm64)"),
    ("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5", "Linux root verity (x86-64)"),
    ("df3300ce-d69f-4c92-978c-9bfb0f38d820", "Linux root verity (arm64)"),
    ("bc13c2ff-59e6-4262-a352-b275fd6f7172", "Linux extended boot"),
    ("933ac7e1-2eb4-4f13-b844-0e14e2aef915", "Linux /home"),
    ("3b8f8425-20e0-4f3b-907f-1a25a76f98e8", "Linux /srv"),
    ("4d21b016-b534-45c2-a9fb-5c16e091fd2d", "Linux /var"),
    ("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"),
    ("e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM"),
    ("a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID"),
    ("ca7d7ccb-63ed-4c53-861c-1742536059cc", "Linux LUKS"),
    ("e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved"),
    ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft basic data"),
    ("de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery"),
    ("83bd6b9d-7f41-11dc-be0b-001560b84f0f", "FreeBSD boot"),
    ("516e7cb6-6ecf-11d6-8ff8-00022d09712b", "FreeBSD UFS"),
    ("516e7cb5-6ecf-11d6-8ff8-00022d09712b", "FreeBSD swap"),
    ("516e7cba-6ecf-11d6-8ff8-00022d09712b", "FreeBSD ZFS"),
];

/// The label of a GPT type; the GUID itself if it is not known.
pub(super) fn gpt(type_guid: Uuid) -> String {
    let guid = type_guid.to_string();
    match GPT_TYPES.iter().find(|(known, _)| *known == guid) {
        Some((_, label)) => (*label).to_owned(),
        None => guid,
    }
}

/// The label of an MBR type; the number itself if it is not known.
pub(super) fn mbr(type_code: u8) -> String {
    let label = match type_code {
        0x01 | 0x04 | 0x06 | 0x0e => "FAT",
        0x07 => "NTFS or exFAT",
        0x0b | 0x0c => "FAT32",
        0x27 => "Windows recovery",
        0x41 => "PReP boot",
        0x82 => "Linux swap",
        0x83 => "Linux file system",
        0x8e => "Linux LVM",
        0xa5 => "FreeBSD",
        0xa6 => "OpenBSD",
        0xa9 => "NetBSD",
        0xef => "EFI system",
        0xfd => "Linux RAID",
        _ => return format!("type 0x{type_code:02x}"),
    };
    label.to_owned()
}
