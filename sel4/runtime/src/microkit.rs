//! The implementation of [`Pd`]: one system call per method.

use sel4_microkit::Channel as Port;
use strait_pd::{Channel, ChannelSet, Message, Pd};

use crate::{clock, run};

/// Words of a message that travel in processor registers; calls and replies no
/// longer than this take the kernel's fast path.
const FAST_WORDS: usize = 4;

/// The world of a Microkit protection domain.
pub struct Microkit;

#[inline]
fn port(channel: Channel) -> Port {
    Port::new(channel.index())
}

impl Pd for Microkit {
    fn notify(&self, channel: Channel) {
        port(channel).notify();
    }

    fn irq_ack(&self, channel: Channel) {
        // Fails only for a channel that is no interrupt, which `port` panics on.
        let _ = port(channel).irq_ack();
    }

    fn call(&self, channel: Channel, message: &mut Message) {
        let endpoint = port(channel).endpoint();
        let words = message.words();
        let info = sel4::MessageInfo::new(message.label, 0, 0, words.len());
        if words.len() <= FAST_WORDS {
            let reply = endpoint.call_with_mrs(info, words);
            run::read_reply(message, &reply.info, &reply.msg);
        } else {
            sel4::with_ipc_buffer_mut(|b| b.msg_regs_mut()[..words.len()].copy_from_slice(words));
            let reply = endpoint.call(info);
            run::read_message(message, &reply);
        }
    }

    fn wait(&self) -> ChannelSet {
        run::wait_from(run::receive())
    }

    fn notify_and_wait(&self, channel: Channel) -> ChannelSet {
        run::wait_from(run::signal_and_receive(channel))
    }

    fn poll(&self) -> ChannelSet {
        run::poll()
    }

    fn now(&self) -> u64 {
        clock::now()
    }

    fn debug_write(&self, bytes: &[u8]) {
        for &b in bytes {
            debug_put(b);
        }
    }
}

#[sel4::sel4_cfg(PRINTING)]
fn debug_put(byte: u8) {
    sel4::debug_put_char(byte);
}

#[sel4::sel4_cfg(not(PRINTING))]
fn debug_put(_: u8) {}
