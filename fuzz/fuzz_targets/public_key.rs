//! What a user gives as a public key.
//!
//! Invariant: no panic; the line made of an accepted key is accepted again as the same key.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::login::key_input;

fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = key_input::parse("input", bytes) else { return };
    for key in input.keys {
        let again = key_input::parse("line", &key.to_line(None)).expect("a line of ours");
        assert_eq!(again.keys.len(), 1);
        assert_eq!(again.keys[0].blob(), key.blob());
    }
});
