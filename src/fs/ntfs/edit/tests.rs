use super::super::Ntfs;
use super::testing::{Bench, Mount, assert_clean, sectors, with_acl};
use crate::fs::{FileEdit as _, FileSystem as _, NewNode, NodeId};

fn bytes(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8 ^ seed).collect()
}

#[test]
fn a_fresh_volume_takes_files_of_every_size() {
    let mut bench = Bench::new(32, &["-c", "4096"], |_| {});
    let mut files = Vec::new();
    for (index, len) in [0, 1, 600, 700, 800, 4096, 5000, 100_000].into_iter().enumerate() {
        let name = format!("file {index}.dat");
        let content = bytes(len, 7);
        files.push((bench.create(&name, &content), name, content));
    }
    let root = bench.ntfs.root();
    let directory = bench.ntfs.create_directory(root, b"sub", &NewNode::default()).unwrap();
    bench.ntfs.create_file(directory, b"inner.txt", &NewNode::default(), b"inner").unwrap();
    for (node, _, content) in &files {
        assert_eq!(&bench.read(*node), content);
    }
    let image = bench.assert_clean();
    let mount = Mount::new(&image, "ro");
    for (_, name, content) in &files {
        assert_eq!(&std::fs::read(mount.0.join(name)).unwrap(), content, "{name}");
    }
    assert_eq!(std::fs::read(mount.0.join("sub/inner.txt")).unwrap(), b"inner");
}
