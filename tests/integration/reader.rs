//! Our reader shows every shape of volume as the outside reader does.

use crate::support::model::Model;
use crate::support::populated::populated;
use crate::support::scratch::Scratch;
use crate::support::shapes::{Shape, every_shape};
use crate::support::tree;
use regain::disk::DiskEdit;
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::fs::ext::Ext;
use regain::fs::{FileSystem as _, Timestamp};
use std::sync::Arc;

macro_rules! shapes {
    ($($name:ident: $kind:expr, $mib:expr, $arguments:expr, $features:expr, $tune:expr;)*) => {
        $(
            #[test]
            fn $name() {
                read(stringify!($name), Shape {
                    kind: $kind, size_mib: $mib, arguments: $arguments, features: $features, tune: $tune,
                });
            }
        )*
    };
}
every_shape!(shapes);

fn read(name: &str, shape: Shape) {
    let scratch = Scratch::new();
    let path = populated(&shape.builder()).build_in(&scratch, "a.img");
    let disk = Arc::new(MemoryDisk::new(std::fs::read(&path).unwrap()));
    let overlay: Arc<dyn DiskEdit> = Arc::new(Overlay::new(disk));
    let fs = Ext::open(overlay, Timestamp::default()).unwrap();
    assert_eq!(fs.identity().type_name, shape.kind);
    Model::read(&fs).unwrap().assert_equals(&tree::read(&path, 0), name);
}
