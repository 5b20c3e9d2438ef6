//! How a component logs: line by line into the ring `<pd>_log`, which the
//! `console` PD prints with the name of its writer.
//!
//! Logging never blocks and never fails: what does not fit the ring is lost
//! (the ring counts it). A PD without log ring or without a channel to the
//! console writes to the world's debug output instead, if there is one.

use core::{cell::RefCell, fmt};

use strait_pd::{Channel, Environment, PdRef};
use strait_ring::{SharedMemory, bytes::Writer};

/// Bytes of a line that are written at once; a longer line goes in parts.
const LINE: usize = 256;

/// The log of a PD.
///
/// ```no_run
/// # fn f(env: &strait_pd::Environment) {
/// use core::fmt::Write;
/// let mut log = strait_abi::log::Logger::new(env);
/// let _ = writeln!(log, "listening on port {}", 7);
/// log.line(format_args!("the same, with a shared reference"));
/// # }
/// ```
pub struct Logger(RefCell<Inner>);

struct Inner {
    pd: PdRef,
    ring: Option<(Writer, Channel)>,
    line: [u8; LINE],
    len: usize,
}

impl Logger {
    /// The log of the PD whose environment this is. One for each PD: two would
    /// write over each other.
    pub fn new(env: &Environment) -> Self {
        let ring = || {
            // `<pd>_log`, without allocating.
            let name = env
                .config
                .regions
                .iter()
                .map(|r| r.name.as_str())
                .find(|n| n.strip_suffix("_log").is_some_and(|pd| pd == env.config.name))?;
            let memory = SharedMemory::attach(env.region(name).ok()?);
            Some((Writer::new(memory)?, env.channel("console").ok()?))
        };
        Self(RefCell::new(Inner { pd: env.pd, ring: ring(), line: [0; LINE], len: 0 }))
    }

    /// Writes one line; the line end is added.
    pub fn line(&self, args: fmt::Arguments<'_>) {
        // Held already only if formatting an argument logs: that line is lost.
        if let Ok(mut inner) = self.0.try_borrow_mut() {
            let _ = fmt::write(&mut *inner, args);
            inner.put(b"\n");
        }
    }
}

impl fmt::Write for Logger {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.get_mut().put(s.as_bytes());
        Ok(())
    }
}

impl fmt::Write for Inner {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.put(s.as_bytes());
        Ok(())
    }
}

impl Inner {
    fn put(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.line[self.len] = b;
            self.len += 1;
            if b == b'\n' || self.len == LINE {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let line = &self.line[..self.len];
        match &mut self.ring {
            Some((writer, console)) => {
                if writer.write(line) {
                    self.pd.notify(*console);
                }
            }
            None => self.pd.debug_write(line),
        }
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::fmt::Write;
    use std::{boxed::Box, string::String, sync::Mutex, vec, vec::Vec};
    use strait_pd::{ChannelConfig, ChannelSet, Config, Message, Pd, RegionConfig};
    use strait_ring::{
        bytes::Reader,
        memory::{environment_for_tests, leak_for_tests},
    };

    #[derive(Default)]
    struct World {
        notified: Mutex<Vec<usize>>,
        debug: Mutex<Vec<u8>>,
    }

    impl Pd for World {
        fn notify(&self, channel: Channel) {
            self.notified.lock().unwrap().push(channel.index());
        }
        fn irq_ack(&self, _: Channel) {}
        fn call(&self, _: Channel, _: &mut Message) {}
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
            self.debug.lock().unwrap().extend_from_slice(bytes);
        }
    }

    fn config(with_ring: bool) -> Config {
        let region = |name: &str| RegionConfig { name: name.into(), vaddr: 0, size: 4096, prefill: 0, writable: true };
        Config {
            name: "echo".into(),
            regions: if with_ring { vec![region("other_log"), region("echo_log")] } else { vec![] },
            channels: vec![ChannelConfig { peer: "console".into(), id: 9, can_call: false }],
            irqs: vec![],
            children: vec![],
            settings: vec![],
        }
    }

    #[test]
    fn whole_lines_reach_the_console() {
        let world: &'static World = Box::leak(Box::default());
        let memory = leak_for_tests(4096);
        let env = environment_for_tests(world, config(true), &[("echo_log", memory)]);
        let mut log = Logger::new(&env);
        let mut reader = Reader::new(memory).unwrap();
        let mut b = [0; 1000];
        write!(log, "port {}", 7).unwrap();
        assert_eq!(reader.read(&mut b), Ok(0));
        writeln!(log).unwrap();
        assert_eq!(reader.read(&mut b), Ok(7));
        assert_eq!(&b[..7], b"port 7\n");
        assert_eq!(*world.notified.lock().unwrap(), [9]);
        let long: String = core::iter::repeat_n('x', 300).collect();
        log.line(format_args!("{long}"));
        assert_eq!(reader.read(&mut b), Ok(301));
    }

    #[test]
    fn without_a_ring_the_debug_output_serves() {
        let world: &'static World = Box::leak(Box::default());
        Logger::new(&environment_for_tests(world, config(false), &[])).line(format_args!("x"));
        assert_eq!(*world.debug.lock().unwrap(), b"x\n");
    }
}
