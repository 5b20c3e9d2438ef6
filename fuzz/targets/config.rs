//! The configuration of a PD.
#![no_main]

use strait_pd::Config;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(config) = Config::decode(bytes) {
        let again = config.encode().unwrap();
        assert_eq!(Config::decode(&again), Ok(config));
    }
});
