//! Patch files of disks and of directories: no panic, and what decodes encodes to a file that decodes to the same.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::patch;

fuzz_target!(|bytes: &[u8]| {
    let bytes = regain_fuzz::raw_or_patch(bytes);
    if let Ok(decoded) = patch::decode(&bytes) {
        let again = patch::decode(&patch::encode(&decoded).expect("decoded patches encode"));
        assert_eq!(again.expect("encoded patches decode"), decoded);
    }
    if let Ok(decoded) = patch::files::decode(&bytes) {
        for record in decoded.records() {
            assert!(record.path.starts_with(b"/") && !record.path.contains(&0));
            assert!(record.path.split(|&byte| byte == b'/').all(|name| name != b".."));
        }
        let again = patch::files::encode(&decoded).expect("decoded patches encode");
        let again = patch::files::decode(&again).expect("encoded patches decode");
        assert_eq!(again, decoded);
    }
});
