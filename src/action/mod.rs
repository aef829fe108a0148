//! What is to be changed: check, then plan, then edit.
//!
//! A plan is made from a [`FileSystem`](crate::fs::FileSystem) and changes nothing; [`edit::run`] makes its changes
//! on a [`FileEdit`](crate::fs::FileEdit), which is an overlay.

mod draft;
pub mod edit;
pub mod fix_login;
pub mod key_add;
pub mod key_check;
mod key_feed;
pub mod key_judge;
pub mod key_list;
mod key_place;
pub mod key_revoke;
pub mod key_rotate;
mod key_source;
mod key_works;
pub mod linux_password;
pub mod password_reset;
pub mod plan;
pub mod windows_key;
pub mod windows_key_revoke;

pub use plan::{FileChange, Outcome, Plan, UserPlan};

#[cfg(test)]
mod key_add_tests;
#[cfg(test)]
mod key_revoke_tests;
#[cfg(test)]
mod windows_key_tests;
