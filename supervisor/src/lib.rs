//! Looks after the PDs that are nested in it in the system description: when one
//! faults, it says so in the log, and tells the servers that their client has
//! ended, so that what it had is given back and its peers hear of it
//! ([`strait_abi::end`]).
//!
//! `net_server` is told first: then `vfs_server` finds which open files are in
//! messages that somebody may still receive.
//!
//! Limit: a PD that has ended is not started again.

#![no_std]
#![forbid(unsafe_code)]

use core::convert::Infallible;

use strait_abi::{end, log::Logger};
use strait_pd::{Channel, ChannelSet, ChildConfig, Component, Environment, Fault};

/// The servers, in the order in which they are told.
const SERVERS: [&str; 2] = ["net_server", "vfs_server"];

/// The component.
pub struct Supervisor {
    env: Environment,
    log: Logger,
}

impl Supervisor {
    /// Starts.
    pub fn new(env: Environment) -> Result<Self, Infallible> {
        let log = Logger::new(&env);
        log.line(format_args!("looks after {} components", env.config.children.len()));
        Ok(Self { env, log })
    }
}

impl Component for Supervisor {
    fn notified(&mut self, _: ChannelSet) -> Option<Channel> {
        None
    }

    fn fault(&mut self, child: u8, fault: &Fault) {
        let Some(ChildConfig { name, .. }) = self.env.config.children.iter().find(|c| c.id == child) else { return };
        self.log.line(format_args!("{name} ended: {fault}"));
        for server in SERVERS {
            let callable = self.env.config.channels.iter().find(|c| c.peer == server && c.can_call);
            if let Some(channel) = callable.and_then(|c| Channel::new(c.id)) {
                // EPERM from one whose client it was not.
                self.env.pd.call(channel, &mut end::encode(name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{boxed::Box, string::String, sync::Mutex, vec, vec::Vec};

    use strait_pd::{ChannelConfig, Config, FaultKind, MESSAGE_BYTES, Message, Pd};
    use strait_ring::memory::environment_for_tests;

    use super::*;

    #[derive(Default)]
    struct World {
        calls: Mutex<Vec<(usize, u64, String)>>,
        said: Mutex<Vec<u8>>,
    }

    impl Pd for World {
        fn notify(&self, _: Channel) {}
        fn irq_ack(&self, _: Channel) {}
        fn call(&self, channel: Channel, message: &mut Message) {
            let mut bytes = [0; MESSAGE_BYTES];
            let name = String::from_utf8(message.bytes(&mut bytes).into()).unwrap();
            self.calls.lock().unwrap().push((channel.index(), message.label, name.trim_end_matches('\0').into()));
            *message = Message::new(1);
        }
        fn wait(&self) -> ChannelSet {
            ChannelSet::EMPTY
        }
        fn poll(&self) -> ChannelSet {
            ChannelSet::EMPTY
        }
        fn now(&self) -> u64 {
            0
        }
        fn debug_write(&self, bytes: &[u8]) {
            self.said.lock().unwrap().extend(bytes);
        }
    }

    #[test]
    fn a_fault_is_logged_and_told_to_the_servers_in_order() {
        let world: &'static World = Box::leak(Box::default());
        let channel = |peer: &str, id| ChannelConfig { peer: peer.into(), id, can_call: true };
        let config = Config {
            name: "supervisor".into(),
            regions: vec![],
            channels: vec![channel("vfs_server", 4), channel("net_server", 9)],
            irqs: vec![],
            children: vec![ChildConfig { name: "echo".into(), id: 3 }, ChildConfig { name: "httpd".into(), id: 5 }],
            settings: vec![],
        };
        let Ok(mut supervisor) = Supervisor::new(environment_for_tests(world, config, &[]));
        let fault = Fault { kind: FaultKind::Memory, ip: 0x40, detail: 0x1000 };
        supervisor.fault(4, &fault);
        assert!(world.calls.lock().unwrap().is_empty());
        supervisor.fault(5, &fault);
        let called = [(9, end::END, "httpd".into()), (4, end::END, "httpd".into())];
        assert_eq!(*world.calls.lock().unwrap(), called);
        let said = String::from_utf8(world.said.lock().unwrap().clone()).unwrap();
        assert_eq!(said, "looks after 2 components\nhttpd ended: memory fault at 0x1000, instruction 0x40\n");
    }
}
