//! What can be wrong with a superblock.

/// Why a superblock cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// The checksum is wrong.
    #[error("its checksum is {stored:#010x}, its bytes have {computed:#010x}")]
    Checksum {
        /// What it says.
        stored: u32,
        /// What its bytes have.
        computed: u32,
    },
    /// There are more roles than fit.
    #[error("it has {0} roles, which do not fit")]
    Roles(
        /// How many.
        u32,
    ),
    /// A role is none of the array.
    #[error("role {role} of an array of {raid_disks} members")]
    Role {
        /// The role.
        role: u32,
        /// Members of the array.
        raid_disks: u32,
    },
    /// The data do not lie on the disk, or lie under the superblock.
    #[error(
        "{size_bytes} bytes of data at {offset_bytes:#x} do not lie on the disk beside the superblock"
    )]
    Data {
        /// Where the data start, in bytes.
        offset_bytes: u64,
        /// Their size in bytes.
        size_bytes: u64,
    },
}
