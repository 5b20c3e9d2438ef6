//! The message of a protected procedure call.

/// Words in a message (Microkit manual, "Protected procedures").
pub const MESSAGE_WORDS: usize = 64;
/// Bytes in a message.
pub const MESSAGE_BYTES: usize = MESSAGE_WORDS * 8;

/// A label and up to [`MESSAGE_BYTES`] bytes. On seL4 it travels in message
/// registers, so neither side can change it after it was sent.
#[derive(Clone)]
pub struct Message {
    /// In a call the operation, in a reply the result (52 bits on seL4).
    pub label: u64,
    len: usize,
    words: [u64; MESSAGE_WORDS],
}

impl Message {
    /// A message without payload.
    pub const fn new(label: u64) -> Self {
        Self { label, len: 0, words: [0; MESSAGE_WORDS] }
    }

    /// A message with the given payload words, at most [`MESSAGE_WORDS`];
    /// more are cut off.
    pub fn from_words(label: u64, words: &[u64]) -> Self {
        let mut m = Self::new(label);
        let n = words.len().min(MESSAGE_WORDS);
        m.words[..n].copy_from_slice(&words[..n]);
        m.len = n;
        m
    }

    /// Replaces label and payload; words beyond [`MESSAGE_WORDS`] are cut off.
    /// Touches only the words given, unlike a new message.
    pub fn set(&mut self, label: u64, words: &[u64]) {
        let n = words.len().min(MESSAGE_WORDS);
        self.label = label;
        self.words[..n].copy_from_slice(&words[..n]);
        self.len = n;
    }

    /// The payload, as words.
    pub fn words(&self) -> &[u64] {
        &self.words[..self.len]
    }

    /// Replaces the payload by what `encode` writes. It gets a scratch buffer
    /// of [`MESSAGE_BYTES`] and returns how much it used; the payload is
    /// padded with zeros to whole words.
    pub fn set_bytes(&mut self, bytes: &[u8]) {
        let n = bytes.len().min(MESSAGE_BYTES);
        self.len = n.div_ceil(8);
        for (word, chunk) in self.words.iter_mut().zip(bytes[..n].chunks(8)) {
            let mut raw = [0; 8];
            raw[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(raw);
        }
    }

    /// Copies the payload out as bytes (little endian words) and returns the
    /// part of `buffer` that holds it.
    pub fn bytes<'a>(&self, buffer: &'a mut [u8; MESSAGE_BYTES]) -> &'a [u8] {
        for (chunk, word) in buffer.chunks_exact_mut(8).zip(self.words()) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        &buffer[..self.len * 8]
    }
}
