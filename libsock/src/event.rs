//! Events: an interface for servers with many sockets, whose cost is by what
//! changes and not by the number of sockets.

use core::time::Duration;

use strait_abi::{Errno, session::status};

use crate::{
    descriptor::Fd,
    process::{Process, nanos},
    session::Net,
};

/// A watched socket may have become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Event {
    /// The name given to [`Process::watch`].
    pub token: usize,
    /// The bits of poll(2) that hold now: `POLLIN`, ...
    pub ready: u16,
}

impl Process {
    /// Reports changes of the socket `fd` by [`wait_events`](Self::wait_events)
    /// under the name `token`, once for the state it is in now. Watching it
    /// again changes the name. It ends when the socket is closed.
    pub fn watch(&self, fd: Fd, token: usize) -> Result<(), Errno> {
        let socket = self.socket_of(fd)?;
        socket.net.watch(&socket, token);
        // As if it had changed now.
        socket.net.region().events().set(socket.handle.into());
        Ok(())
    }

    /// Waits until watched sockets change and writes who they are to `events`.
    /// Returns how many; 0 after `timeout`, or if a notification came that is
    /// not the library's (see
    /// [`take_foreign_notifications`](Self::take_foreign_notifications)).
    ///
    /// An event is given for a *change*, so go on with a socket until it gives
    /// EAGAIN (or, where sending is the business, until there is no room): no
    /// further event comes for what was there before.
    pub fn wait_events(&self, events: &mut [Event], timeout: Option<Duration>) -> Result<usize, Errno> {
        let net = self.net()?;
        let signal = net.region().to_client();
        let mut deadline = None;
        let mut first = true;
        loop {
            let n = Self::collect(net, events);
            if n != 0 {
                // Work without sleeping: what was put off goes now, so that it
                // waits for one turn at most.
                net.flush();
                return Ok(n);
            }
            if self.waiter().has_foreign() {
                net.flush();
                return Ok(0);
            }
            if first {
                first = false;
                deadline = self.waiter().deadline(timeout.map(nanos));
            }
            signal.arm();
            if net.region().events().any() {
                signal.disarm();
                continue;
            }
            match self.waiter().sleep(deadline) {
                Err(Errno::EAGAIN) => {
                    net.flush();
                    return Ok(0);
                }
                other => other?,
            }
        }
    }

    fn collect(net: &Net, events: &mut [Event]) -> usize {
        if events.is_empty() {
            return 0;
        }
        if net.none_changed() {
            net.take_events();
        }
        let mut n = 0;
        net.each_changed(|socket, token| {
            let ready = socket.readiness() & status::POLL;
            if ready != 0 {
                events[n] = Event { token, ready: ready as u16 };
                n += 1;
            }
            n < events.len()
        });
        n
    }
}
