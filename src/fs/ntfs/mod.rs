//! NTFS 3.1.
