//! Tokens of `vfs_server` that clients show: names in the file system, and
//! open files in messages. Without the region that `vfs_server` shares with
//! this server there are none.

use strait_abi::{
    Errno,
    vfs::token::{BIND, CONNECT, FILE, Token, Verifier},
};

use crate::core::Core;

/// A token as it travels: number and code.
fn token(kind: u32, [node, mac]: [u64; 2]) -> Token {
    Token { kind, reserved: 0, node, mac }
}

fn file(bytes: &[u8; 16]) -> Token {
    token(FILE, words(bytes))
}

fn words(bytes: &[u8; 16]) -> [u64; 2] {
    let (node, mac) = bytes.split_at(8);
    [node, mac].map(|b| b.try_into().map_or(0, u64::from_ne_bytes))
}

impl Core {
    fn verify(&self, kind: u32, words: [u64; 2], client: &str) -> Result<u64, Errno> {
        self.tokens.as_ref().ok_or(Errno::EACCES)?.check(&token(kind, words), kind, client)
    }

    /// The node that a token lets the session bind to; EACCES if it does not.
    pub fn check_bind(&self, session: usize, token: [u64; 2]) -> Result<u64, Errno> {
        self.verify(BIND, token, &self.sessions[session].name)
    }

    /// The node that a token lets the session connect to; ESTALE if it does not,
    /// or not any more.
    pub fn check_connect(&self, session: usize, token: [u64; 2]) -> Result<u64, Errno> {
        self.verify(CONNECT, token, &self.sessions[session].name).map_err(|_| Errno::ESTALE)
    }

    /// A message carries the open file of a token from here on. EBADF if it is
    /// none; ETOOMANYREFS if too many messages do.
    pub fn take_file(&self, bytes: &[u8; 16]) -> Result<(), Errno> {
        self.tokens.as_ref().ok_or(Errno::EBADF)?.take(&file(bytes))
    }

    /// The message is not sent.
    pub fn refuse_file(&self, bytes: &[u8; 16]) {
        if let Some(tokens) = &self.tokens {
            tokens.refuse(&file(bytes));
        }
    }

    /// The message was received by the session.
    pub fn hand_file(&mut self, bytes: &[u8; 16], session: usize) {
        if let Some(tokens) = &self.tokens {
            self.files_lost |= tokens.hand_over(&file(bytes), &self.sessions[session].name);
        }
    }

    /// The message is gone, and nobody got it.
    pub fn lose_file(&mut self, bytes: &[u8; 16]) {
        if let Some(tokens) = &self.tokens {
            self.files_lost |= tokens.lose(&file(bytes));
        }
    }
}

/// The verifier, if the system description has a region for it.
pub fn verifier(env: &strait_pd::Environment) -> Result<Option<Verifier>, crate::StartError> {
    use strait_abi::vfs::token::REGION;
    let Ok(region) = env.region(REGION) else { return Ok(None) };
    let verifier = Verifier::new(strait_ring::SharedMemory::attach(region));
    verifier.map(Some).ok_or(crate::StartError::Region(REGION))
}
