//! What a PD may ask of an entropy PD, by protected procedure call.

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
