//! What opening costs.

use crate::image::container::testing::Made;

/// The tables of a disk of 2 TiB are megabytes; reading here and there needs only pages of them.
#[test]
fn opening_a_disk_of_two_tebibytes_reads_little() {
    for (format, options) in [
        ("vpc", "subformat=dynamic"),
        ("vmdk", "subformat=monolithicSparse"),
        ("vhdx", "subformat=dynamic,block_size=1048576"),
    ] {
        let made = Made::empty(2040 << 30, format, options);
        let image = crate::image::open(&made.image, None).unwrap();
        assert!(image.bytes_read() < 256 * 1024, "{format}: {}", image.bytes_read());
        let before = image.bytes_read();
        for part in 0..16 {
            let at = image.disk.len_bytes() / 16 * part;
            assert_eq!(image.disk.read_vec(at, 4096).unwrap(), [0; 4096]);
        }
        let read = image.bytes_read() - before;
        assert!(read <= 16 * 2 * 4096, "{format}: {read}");
    }
}
