//! What a name server, or whoever pretends to be one, answers.
#![no_main]

use strait_libsock::resolve::read_answer_to;

/// A, PTR and AAAA.
const KINDS: [u8; 3] = [1, 12, 28];
/// Header and question for the A records of `a.b`, as an answer repeats them.
const BEGINNING: [u8; 21] = *b"\0\0\x81\x80\0\x01\0\x01\0\0\0\0\x01a\x01b\0\0\x01\0\x01";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for kind in KINDS {
        let _ = read_answer_to("a.b", kind.into(), bytes);
    }
    // The same after what no fuzzer guesses; the counts are the input's.
    let mut answer = BEGINNING.to_vec();
    if let Some((counts, rest)) = bytes.split_at_checked(2) {
        (answer[7], answer[9]) = (counts[0], counts[1]);
        answer.extend_from_slice(rest);
    }
    for kind in KINDS {
        answer[18] = kind;
        if let Some(Ok(addresses)) = read_answer_to("a.b", kind.into(), &answer) {
            assert!(addresses.len() <= 32 && (kind == 12 || !addresses.is_empty()));
        }
    }
});
