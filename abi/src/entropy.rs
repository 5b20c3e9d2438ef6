//! What a PD may ask of an entropy PD, by protected procedure call.

use strait_pd::{Channel, Message, PdRef};

/// Label: argument word 0 is how many random words are wanted, 1 to
/// [`MAX_WORDS`]. The reply has label [`OK`] and that many words, or label
/// [`NOT_NOW`] and none.
pub const GET_WORDS: u64 = 0;
/// Most words of one call.
pub const MAX_WORDS: usize = 32;
/// Label of a reply: here they are. No word is ever given out twice.
pub const OK: u64 = 0;
/// Label of a reply: the source has not delivered yet; ask again later.
pub const NOT_NOW: u64 = 1;
/// Label of a reply: the request made no sense.
pub const BAD_REQUEST: u64 = 2;

/// Random words for a PD that starts. Waits for the source by asking again;
/// `None` from one that has nothing after so many calls, or does not speak this.
pub fn words<const N: usize>(pd: PdRef, channel: Channel) -> Option<[u64; N]> {
    for _ in 0..10_000 {
        let mut message = Message::from_words(GET_WORDS, &[N as u64]);
        pd.call(channel, &mut message);
        match (message.label, message.words().first_chunk()) {
            (OK, Some(words)) => return Some(*words),
            (NOT_NOW, _) => {}
            _ => return None,
        }
    }
    None
}
