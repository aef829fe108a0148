//! Bytes and numbers: everything here is pure, knows no format and does no I/O.
//!
//! Values that come from a volume are read with [`field`], combined with [`arith`], and printed with
//! [`text`]; none of these can panic or wrap.

pub mod arith;
pub mod checksum;
pub mod field;
pub mod guid;
pub mod text;
