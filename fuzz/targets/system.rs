//! `microkit.system` and `strait.toml`, separated by a zero byte.
#![no_main]

use strait_system::{Settings, System, check, config};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (system, settings) = text.split_once('\0').unwrap_or((text, ""));
    let (system, settings) = (System::parse(system, "system"), Settings::parse(settings, "settings"));
    if let (Ok(system), Ok(settings)) = (system, settings) {
        check(&system, &settings);
        for pd in &system.pds {
            let _ = config(&system, &settings, pd).encode();
        }
    }
});
