//! Patch files: no panic, and what decodes encodes to a file that decodes to the same.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::patch;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(decoded) = patch::decode(&regain_fuzz::raw_or_patch(bytes)) {
        let again = patch::decode(&patch::encode(&decoded).expect("decoded patches encode"));
        assert_eq!(again.expect("encoded patches decode"), decoded);
    }
});
