//! What the tests are built from: images, outside readers and checkers, and the program under test.
#![allow(dead_code, reason = "the harness is ahead of the tests that use it")]

pub(crate) mod digest;
pub(crate) mod image;
pub(crate) mod jbd2;
pub(crate) mod model;
pub(crate) mod oracle;
pub(crate) mod populated;
pub(crate) mod regain;
pub(crate) mod rng;
pub(crate) mod root;
pub(crate) mod scratch;
pub(crate) mod shapes;
pub(crate) mod structures;
pub(crate) mod tools;
pub(crate) mod tree;
