//! `regain` gets people back into machines they are locked out of, from the root disk alone.
//!
//! Placeholder until the layers stand; see below.
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::large_stack_arrays,
        clippy::too_many_lines
    )
)]

pub mod bytes;
pub mod disk;
pub mod error;
pub mod fs;
pub mod image;
pub mod patch;
pub mod volume;
