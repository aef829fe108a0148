//! Images made by the tools of each file system.
