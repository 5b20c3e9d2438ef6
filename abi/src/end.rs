//! The end of a client, as its supervisor tells it to the servers: a protected
//! call with the label [`END`] and the client's name. The reply's label is 0 or
//! an errno.
//!
//! A server believes the PD that the client is nested in, and nobody else
//! (EPERM). It does what exit(2) does: every descriptor that the client had is
//! closed. What it wrote before still goes out; what it gave away lives on.

use core::str;

use alloc::format;
use strait_pd::{Channel, Config, MESSAGE_BYTES, Message};

use crate::Errno;

/// The label. (The requests of sessions have the label 0.)
pub const END: u64 = 1;

/// The message that `client` has ended.
pub fn encode(client: &str) -> Message {
    let mut message = Message::new(END);
    message.set_bytes(client.as_bytes());
    message
}

/// Turns the message into its reply, and returns which client has ended: its
/// place among `clients`, which are their names and who may say so of them.
pub fn receive<'a>(
    message: &mut Message,
    caller: Channel,
    mut clients: impl Iterator<Item = (&'a str, Option<Channel>)>,
) -> Option<usize> {
    let mut buffer = [0; MESSAGE_BYTES];
    let name = str::from_utf8(message.bytes(&mut buffer)).ok().map(|name| name.trim_end_matches('\0'));
    let found = clients.position(|(client, parent)| Some(client) == name && parent == Some(caller));
    *message = Message::new(if found.is_some() { 0 } else { Errno::EPERM.raw().into() });
    found
}

/// Who may say that `client` has ended, in the configuration of a server.
pub fn parent(config: &Config, client: &str) -> Option<Channel> {
    config.channel(config.setting(&format!("parent.{client}"))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_parent_is_believed() {
        let (parent, other) = (Channel::new(5), Channel::new(6));
        let clients = [("echo", parent), ("alone", None), ("httpd", parent), ("a_long_name", other)];
        for (name, caller, which) in [
            ("echo", 5, Some(0)),
            ("httpd", 5, Some(2)),
            ("a_long_name", 6, Some(3)),
            ("a_long_name", 5, None),
            ("echo", 6, None),
            ("alone", 5, None),
            ("", 5, None),
            ("ech", 5, None),
        ] {
            let mut message = encode(name);
            let found = receive(&mut message, Channel::new(caller).unwrap(), clients.into_iter());
            assert_eq!(found, which, "{name}");
            assert_eq!(message.label, if which.is_some() { 0 } else { u64::from(Errno::EPERM.raw()) });
        }
        let mut noise = Message::from_words(END, &[u64::MAX; 64]);
        assert_eq!(receive(&mut noise, Channel::new(5).unwrap(), clients.into_iter()), None);
    }
}
