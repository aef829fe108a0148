//! Every shape of file system, each with an append and with a new `.ssh`.

use super::{Bench, Intended};
use crate::support::root;
use crate::support::scratch::Scratch;
use crate::support::shapes::{Shape, every_shape};

macro_rules! cases {
    ($($name:ident: $kind:expr, $mib:expr, $arguments:expr, $features:expr, $tune:expr;)*) => {
        $(
            mod $name {
                const SHAPE: super::Shape = super::Shape {
                    kind: $kind, size_mib: $mib, arguments: $arguments, features: $features, tune: $tune,
                };

                #[test]
                fn append() {
                    super::append(&SHAPE);
                }

                #[test]
                fn new_ssh() {
                    super::new_ssh(&SHAPE);
                }
            }
        )*
    };
}
every_shape!(cases);

/// An append that starts in the last block of the key file and needs a new one.
fn append(shape: &Shape) {
    let mut before = root::OLD_KEY.to_owned();
    before.push_str(&"#".repeat(shape.block_bytes() - before.len() - 20));
    before.push('\n');
    let scratch = Scratch::new();
    let nodes = root::with_key_file(&before);
    let image = shape.builder().nodes(nodes).build_in(&scratch, "disk.img");
    Bench::new(scratch, image, 0).prove(&Intended::append(&before));
}

/// A new directory with a new file, in a home that is crowded enough to be indexed where blocks are small.
fn new_ssh(shape: &Shape) {
    let mut nodes = root::bare();
    root::crowd(&mut nodes, "/home/admin", 60, 50);
    let scratch = Scratch::new();
    let image = shape.builder().nodes(nodes).rehashed().build_in(&scratch, "disk.img");
    Bench::new(scratch, image, 0).prove(&Intended::create());
}
