//! What a browser sends to httpd.
#![no_main]

use strait_httpd::request::{Parsed, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Parsed::Request(request, head) = parse(bytes, false) else { return };
    assert!(head <= bytes.len());
    let path = request.path.below("/www", None);
    assert!(path.starts_with(b"/www"));
    assert!(path.split(|&b| b == b'/').all(|part| part != b".."));
    assert!(request.path.as_directory_target().starts_with('/'));
    for size in [0, 1, 1000, u64::MAX] {
        if let Some(Some((begin, end))) = request.range.map(|range| range.within(size)) {
            assert!(begin < end && end <= size);
        }
    }
});
