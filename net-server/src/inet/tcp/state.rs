//! What calls make of a stream socket: the states that Linux keeps for it
//! (`struct socket`, `sk_state`, `sk_shutdown`), beside those of the protocol.

use core::net::SocketAddr;

use smoltcp::socket::tcp::{Socket, State};
use strait_abi::{Address, Errno, session::status};

use super::{CONNECT_TIMEOUT, ORPHAN_TIMEOUT, Shared, TCP, Tcp, Tuple};
use crate::{
    core::Core,
    inet::{
        Endpoint, Port,
        addressing::{any, bound_source, is_group, to_connect},
    },
    socket::SocketId,
};

/// What connect(2) has told of a connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing; or that it failed.
    #[default]
    Unconnected,
    /// That it is under way.
    Connecting,
    /// That it stands.
    Connected,
    /// That it is under way, and then came shutdown(2).
    Disconnecting,
}

/// What the protocol does for a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Nothing (TCP_CLOSE).
    Nothing,
    Listening,
    /// It opens a connection (TCP_SYN_SENT).
    Opening,
    /// The rest.
    Connected,
}

/// The bits of the status word that follow from the ends of both directions.
pub(super) fn ends((read, write): (bool, bool)) -> u32 {
    let mut word = if read { status::IN | status::RDHUP } else { 0 };
    word |= if write { status::WRSHUT } else { 0 };
    word | if read && write { status::HUP } else { 0 }
}

impl Endpoint {
    /// The status word of a stream without connection.
    pub(super) fn closed(&self) -> u32 {
        status::OUT | status::HUP | ends(self.shut) | if self.done { status::DONE } else { 0 }
    }
}

impl Tcp {
    fn doing(&self, shared: &Shared, core: &Core, id: SocketId) -> Doing {
        let socket = &core.sockets[id];
        if socket.queue.is_some() {
            return Doing::Listening;
        }
        let index = shared.endpoints[socket.state].connection;
        match index.map(|index| &self.connections[index]) {
            Some(c) if !c.over && c.connected => Doing::Connected,
            Some(c) if !c.over => Doing::Opening,
            _ => Doing::Nothing,
        }
    }

    /// Whether getpeername(2) has an answer.
    pub fn is_connected(&self, endpoint: &Endpoint) -> bool {
        endpoint.connection.is_some_and(|i| self.connections[i].connected && !self.connections[i].over)
    }

    /// connect(2) (Linux: __inet_stream_connect): what state the socket is in
    /// says more than what is asked for.
    pub fn connect(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        id: SocketId,
        address: &Address,
    ) -> Result<(), Errno> {
        let state = core.sockets[id].state;
        match shared.endpoints[state].phase {
            Phase::Connected => return Err(Errno::EISCONN),
            Phase::Disconnecting => return Err(Errno::EINVAL),
            Phase::Connecting => {}
            Phase::Unconnected => {
                if self.doing(shared, core, id) != Doing::Nothing {
                    return Err(Errno::EISCONN);
                }
                let remote = to_connect(core, id, &shared.endpoints[state], address)?;
                self.begin(shared, core, id, remote)?;
                shared.endpoints[state].phase = Phase::Connecting;
                return Err(Errno::EINPROGRESS);
            }
        }
        match self.doing(shared, core, id) {
            Doing::Opening => Err(Errno::EALREADY),
            Doing::Connected | Doing::Listening => {
                shared.endpoints[state].phase = Phase::Connected;
                Ok(())
            }
            Doing::Nothing => {
                // It failed; who took the error before does not get it again.
                let errno = core.take_error(id).unwrap_or(Errno::ECONNABORTED);
                self.dissolve(shared, core, id);
                Err(errno)
            }
        }
    }

    /// Begins a connection.
    fn begin(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId, remote: SocketAddr) -> Result<(), Errno> {
        let state = core.sockets[id].state;
        if is_group(&core.links, remote.ip()) {
            return Err(Errno::ENETUNREACH);
        }
        let (domain, local) = (core.sockets[id].domain, shared.endpoints[state].local);
        let bound = local.and_then(|local| bound_source(&core.links, domain, local.ip()));
        let source = Shared::way(core, id, bound, remote.ip())?.0;
        // What is left of a connection before.
        if let Some(index) = shared.endpoints[state].connection {
            self.end(shared, core, index);
        }
        if bound.is_none() {
            shared.set_address(core, id, any(core, id));
        }
        let begun = self.begin_to(shared, core, id, SocketAddr::new(source, 0), remote);
        if begun.is_err() {
            shared.forget_name(core, id, true);
            return begun;
        }
        shared.endpoints[state].peer = Some(remote);
        shared.endpoints[state].done = false;
        let _ = core.take_error(id);
        match shared.endpoints[state].connection {
            Some(index) => {
                let word = ends((shared.endpoints[state].shut.0, false));
                core.set_status(id, word);
                self.mark(index);
            }
            None => {
                // Nobody can be at port 0: it is refused without asking.
                shared.endpoints[state].shut = (true, true);
                if !shared.endpoints[state].fixed.1 {
                    shared.unbind(core, id);
                }
                let word = shared.endpoints[state].closed();
                core.set_status(id, word);
                core.set_error(id, Errno::ECONNREFUSED);
            }
        }
        Ok(())
    }

    /// Gives the socket its name and its connection.
    fn begin_to(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        id: SocketId,
        source: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(), Errno> {
        let state = core.sockets[id].state;
        if shared.endpoints[state].port == Port::None {
            // Linux: with a peer there is no such address any more, rather than a
            // user of it.
            shared.bind(core, id, source).map_err(|e| match e {
                Errno::EADDRINUSE => Errno::EADDRNOTAVAIL,
                other => other,
            })?;
        }
        shared.settle_address(core, id, source.ip());
        if remote.port() == 0 {
            return Ok(());
        }
        let port = shared.endpoints[state].local.map_or(0, |l| l.port());
        let local = SocketAddr::new(source.ip(), port);
        let tuple = Tuple { local, remote };
        let first = self.first_number(&tuple, core.now);
        let index = self.add(shared, core, id, tuple, first)?;
        shared.endpoints[state].connection = Some(index);
        let connection = &mut self.connections[index];
        connection.watch.set_limit(CONNECT_TIMEOUT);
        let tcp: &mut Socket<'_> = connection.set.get_mut(connection.handle);
        if tcp.connect(shared.interface(connection.marks.local).context(), remote, local).is_err() {
            self.end(shared, core, index);
            return Err(Errno::EADDRNOTAVAIL);
        }
        self.apply_options(shared, core, id);
        Ok(())
    }

    /// listen(2); the engine has set up the queue.
    pub fn listen(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        let state = core.sockets[id].state;
        if shared.endpoints[state].phase != Phase::Unconnected {
            return Err(Errno::EINVAL);
        }
        shared.autobind(core, id)?;
        let local = shared.endpoints[state].local.ok_or(Errno::EINVAL)?;
        shared.ports.listen(TCP, local, id)?;
        core.set_status(id, 0);
        Ok(())
    }

    /// shutdown(2) (Linux: inet_shutdown).
    pub fn shutdown(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        id: SocketId,
        read: bool,
        write: bool,
    ) -> Result<(), Errno> {
        let doing = self.doing(shared, core, id);
        let endpoint = &mut shared.endpoints[core.sockets[id].state];
        if endpoint.phase == Phase::Connecting {
            let stands = doing == Doing::Connected;
            endpoint.phase = if stands { Phase::Connected } else { Phase::Disconnecting };
        }
        match doing {
            // Only the end of receiving means something to a listener.
            Doing::Listening if !read => return Ok(()),
            Doing::Listening | Doing::Opening => {
                self.dissolve(shared, core, id);
                return Ok(());
            }
            Doing::Nothing | Doing::Connected => endpoint.shut = (endpoint.shut.0 | read, endpoint.shut.1 | write),
        }
        if let Some(index) = endpoint.connection {
            self.connections[index].fin_wanted |= write;
            self.mark(index);
            self.settle_index(shared, core, index);
        } else {
            let was = core.sockets[id].status & status::CONNECTED;
            let word = endpoint.closed();
            core.set_status(id, word | was);
        }
        if doing == Doing::Connected { Ok(()) } else { Err(Errno::ENOTCONN) }
    }

    /// Ends whatever the socket does, and it is as new but for what bind(2) said
    /// (Linux: tcp_disconnect): connect(2) with AF_UNSPEC, shutdown(2) of a
    /// listener or of a connection that does not stand yet, and what follows a
    /// connect(2) that failed.
    pub fn dissolve(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId) {
        let state = core.sockets[id].state;
        let doing = self.doing(shared, core, id);
        if doing == Doing::Listening {
            self.unlisten(shared, core, id);
        }
        if let Some(index) = shared.endpoints[state].connection {
            let state = self.connections[index].tcp().state();
            // Those that are closing anyway say no more.
            let ending = matches!(state, State::Closing | State::LastAck);
            if doing != Doing::Nothing && !ending {
                self.abort(shared, core, index);
                core.set_error(id, Errno::ECONNRESET);
            } else {
                self.end(shared, core, index);
            }
        }
        shared.forget_name(core, id, doing != Doing::Nothing);
        let endpoint = &mut shared.endpoints[state];
        endpoint.phase = Phase::Unconnected;
        (endpoint.peer, endpoint.shut, endpoint.done) = (None, (false, false), false);
        let word = endpoint.closed();
        if let Some((rings, arena, _)) = core.rings(id) {
            rings.tx.consume(u32::MAX, arena);
        }
        core.set_status(id, word);
    }

    /// close(2).
    pub fn close(&mut self, shared: &mut Shared, core: &mut Core, id: SocketId) {
        if core.sockets[id].queue.is_some() {
            // (Those that were complete are closed by the engine.)
            self.handshakes.forget(id);
        }
        let state = core.sockets[id].state;
        let Some(index) = shared.endpoints[state].connection else {
            shared.unbind(core, id);
            shared.endpoints.remove(state);
            core.remove(id);
            return;
        };
        let unread = match core.rings(id) {
            Some((rings, arena, _)) => rings.rx.reclaim(arena).is_err() || rings.rx.used() > 0,
            None => false,
        };
        let linger = core.sockets[id].options.linger;
        let connection = &mut self.connections[index];
        let tcp: &mut Socket<'_> = connection.set.get_mut(connection.handle);
        // Unread data is lost, which the peer must learn (RFC 2525 2.17).
        if !connection.connected || unread || tcp.can_recv() || linger == (true, 0) {
            self.abort(shared, core, index);
            return;
        }
        connection.watch.set_limit(ORPHAN_TIMEOUT);
        connection.fin_wanted = true;
        self.mark(index);
        self.settle_index(shared, core, index);
    }
}
