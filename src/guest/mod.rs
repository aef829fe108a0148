//! Who lives on a volume: operating system, accounts, agents, and which user is meant.
//!
//! Everything is read through [`FileSystem`](crate::fs::FileSystem); nothing is executed, nothing
//! written.

pub mod linux;
pub mod select;
mod system;
pub mod windows;

pub use system::{System, detect};
