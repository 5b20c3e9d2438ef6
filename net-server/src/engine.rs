//! The generic socket engine: control calls of any session on sockets of any
//! family.

use ::core::net::{IpAddr, SocketAddr, SocketAddrV6};
use alloc::vec::Vec;

use strait_abi::{
    Address, Errno,
    interface::Entry,
    net::{Counters, Description, Handle, MAX_OPTION, Portion, Request},
    rights::MAX_CONTROL,
    session::VERSION,
    socket as c,
};

use crate::{
    core::Core,
    family::{Receive, Registry},
    link::{ETH_INDEX, Links, interface::Interface, ioctl::ioctl},
    policy,
    share::Left,
    socket::{ConnectionQueue, SocketId, put_int},
};

/// The port of name servers.
const DNS: u16 = 53;

/// Most bytes of an answer.
const MAX_ANSWER: usize = Portion::BYTES + MAX_CONTROL;

/// The answer to a call.
pub struct Answer {
    /// A handle or another number.
    pub value: u32,
    /// An address, an option value, control data.
    pub bytes: [u8; MAX_ANSWER],
    /// How much of `bytes` is used.
    pub len: usize,
}

impl Answer {
    const EMPTY: Self = Self { value: 0, bytes: [0; MAX_ANSWER], len: 0 };

    fn number(value: u32) -> Self {
        Self { value, ..Self::EMPTY }
    }

    fn with(mut self, bytes: &[u8]) -> Self {
        let n = bytes.len().min(MAX_ANSWER);
        self.bytes[..n].copy_from_slice(&bytes[..n]);
        self.len = n;
        self
    }
}

/// Serves one call of a session.
pub fn call(core: &mut Core, families: &mut Registry, session: usize, request: &Request<'_>) -> Result<Answer, Errno> {
    core.caller = session;
    let answer = serve(core, families, session, request);
    look_after_moved(core, families);
    answer
}

/// The clients of sockets that moved get room to write before they can use them.
fn look_after_moved(core: &mut Core, families: &mut Registry) {
    while let Some(id) = core.moved.pop() {
        if let Some(socket) = core.sockets.get(id) {
            families.get(socket.family).doorbell(core, id);
        }
    }
}

fn serve(core: &mut Core, families: &mut Registry, session: usize, request: &Request<'_>) -> Result<Answer, Errno> {
    let with = |core: &Core, handle: Handle| {
        let id = core.find(session, handle)?;
        Ok::<_, Errno>((id, core.sockets[id].family))
    };
    match *request {
        Request::Hello { version } => {
            if version != VERSION {
                return Err(Errno::EPROTO);
            }
            close_all(core, families, session, true);
        }
        Request::Socket { family, kind, protocol } => {
            return create(core, families, session, family, kind, protocol).map(|(_, h)| Answer::number(h.into()));
        }
        Request::SocketPair { family, kind, protocol } => {
            let (first, one) = create(core, families, session, family, kind, protocol)?;
            let index = core.sockets[first].family;
            let (second, other) = create(core, families, session, family, kind, protocol)
                .inspect_err(|_| close(core, families, first, index))?;
            if let Err(errno) = families.get(index).pair(core, first, second) {
                close(core, families, first, index);
                close(core, families, second, index);
                return Err(errno);
            }
            return Ok(Answer::number(u32::from(one) | u32::from(other) << 16));
        }
        Request::Close { socket } => {
            let (id, _) = with(core, socket)?;
            release(core, families, session, id, false);
        }
        Request::Bind { socket, address } => {
            let (id, family) = with(core, socket)?;
            families.get(family).bind(core, id, &Address::from_bytes(address)?)?;
        }
        Request::Listen { socket, backlog } => {
            let (id, family) = with(core, socket)?;
            // Linux: SOMAXCONN.
            let backlog = backlog.min(4096);
            match core.queue(id) {
                Some(queue) => {
                    queue.backlog = backlog;
                    families.get(family).relisten(core, id);
                }
                None => {
                    core.sockets[id].queue = Some(ConnectionQueue { backlog, complete: Default::default() });
                    if let Err(errno) = families.get(family).listen(core, id) {
                        core.sockets[id].queue = None;
                        return Err(errno);
                    }
                }
            }
        }
        Request::Accept { socket } => return accept(core, families, session, socket),
        Request::Connect { socket, address } => {
            let (id, family) = with(core, socket)?;
            families.get(family).connect(core, id, &Address::from_bytes(address)?)?;
        }
        Request::Shutdown { socket, how } => {
            let (id, family) = with(core, socket)?;
            let (read, write) = match how {
                c::SHUT_RD => (true, false),
                c::SHUT_WR => (false, true),
                c::SHUT_RDWR => (true, true),
                _ => return Err(Errno::EINVAL),
            };
            families.get(family).shutdown(core, id, read, write)?;
        }
        Request::LocalAddress { socket } => {
            let (id, family) = with(core, socket)?;
            let address = families.get(family).local_address(core, id)?;
            return Ok(Answer::EMPTY.with(address.as_bytes()));
        }
        Request::PeerAddress { socket } => {
            let (id, family) = with(core, socket)?;
            let address = families.get(family).peer_address(core, id)?;
            return Ok(Answer::EMPTY.with(address.as_bytes()));
        }
        Request::SetOption { socket, level, name, value } => {
            let (id, family) = with(core, socket)?;
            let generic = level == c::SOL_SOCKET
                && match core.set_option(id, name, value) {
                    Err(Errno::ENOPROTOOPT) => false,
                    other => other.map(|()| true)?,
                };
            match families.get(family).set_option(core, id, level, name, value) {
                Err(Errno::ENOPROTOOPT) if generic => {}
                other => other?,
            }
        }
        Request::GetOption { socket, level, name } => {
            let (id, family) = with(core, socket)?;
            let mut answer = Answer::EMPTY;
            answer.len = match (level, name) {
                (c::SOL_SOCKET, c::SO_ERROR) => {
                    let error = core.take_error(id).map_or(0, |e| i32::from(e.raw()));
                    put_int(&mut answer.bytes, error)
                }
                (c::SOL_SOCKET, _) => match core.get_option(id, name, &mut answer.bytes) {
                    Err(Errno::ENOPROTOOPT) => {
                        families.get(family).get_option(core, id, level, name, &mut answer.bytes)?
                    }
                    other => other?,
                },
                _ => families.get(family).get_option(core, id, level, name, &mut answer.bytes)?,
            };
            return Ok(answer);
        }
        Request::Ioctl { socket, request, argument } => {
            let (id, family) = with(core, socket)?;
            // Signals are not there to be asked for.
            if matches!(request, c::SIOCSPGRP | c::SIOCGPGRP | c::FIOASYNC) {
                return Err(Errno::EOPNOTSUPP);
            }
            policy::may_ioctl(core, session, request)?;
            let mut answer = Answer::EMPTY.with(argument);
            answer.len = match families.get(family).ioctl(core, id, request, argument, &mut answer.bytes) {
                Err(Errno::ENOTTY) => {
                    let domain = core.sockets[id].domain;
                    ioctl(&mut core.links, core.now, domain, request, argument, &mut answer.bytes)?
                }
                other => other?,
            };
            return Ok(answer);
        }
        Request::SendUrgent { socket, bytes } => {
            let (id, family) = at_home(core, session, socket)?;
            families.get(family).send_urgent(core, id, bytes)?;
        }
        Request::ReceiveUrgent { socket, peek } => {
            let (id, family) = at_home(core, session, socket)?;
            let byte = families.get(family).receive_urgent(core, id, peek)?;
            return Ok(Answer::EMPTY.with(byte.as_slice()));
        }
        Request::SendControl { socket, bytes, control } => {
            let (id, family) = at_home(core, session, socket)?;
            families.get(family).send_control(core, id, bytes, control)?;
        }
        Request::Receive { socket, offset, most, how } => {
            let (id, family) = at_home(core, session, socket)?;
            let mut answer = Answer::EMPTY;
            let ask = Receive { offset, most, how };
            answer.len = families.get(family).receive(core, id, ask, &mut answer.bytes)?;
            return Ok(answer);
        }
        Request::Send { socket } => {
            let (id, family) = at_home(core, session, socket)?;
            families.get(family).send(core, id)?;
        }
        Request::Acquire { socket } => {
            let (id, _) = with(core, socket)?;
            core.acquire(id, session)?;
            return describe(core, families, id);
        }
        Request::Describe { socket } => {
            let (id, _) = with(core, socket)?;
            return describe(core, families, id);
        }
        Request::Counters => {
            (0..core.sessions.len()).for_each(|s| core.reclaim(s));
            let counters = counters(core, session);
            let mut answer = Answer::EMPTY;
            answer.len = postcard::to_slice(&counters, &mut answer.bytes).map_err(|_| Errno::EIO)?.len();
            return Ok(answer);
        }
        Request::NameServers => return Ok(name_servers(&core.links)),
        Request::Interface { at } => return interface(&core.links, at.into()),
        Request::Random { bytes } => {
            let mut answer = Answer::EMPTY;
            answer.len = usize::from(bytes).min(MAX_OPTION);
            for chunk in answer.bytes[..usize::from(bytes).min(MAX_OPTION)].chunks_mut(8) {
                chunk.copy_from_slice(&core.random().to_le_bytes()[..chunk.len()]);
            }
            return Ok(answer);
        }
    }
    Ok(Answer::EMPTY)
}

fn describe(core: &Core, families: &mut Registry, id: SocketId) -> Result<Answer, Errno> {
    let socket = &core.sockets[id];
    let options = &socket.options;
    let description = Description {
        family: socket.domain,
        kind: socket.kind,
        protocol: socket.protocol,
        has_peer: families.get(socket.family).peer_address(core, id).is_ok(),
        oob_inline: options.oob_inline,
        linger: options.linger.0.then_some(options.linger.1),
        receive_low: options.receive_low,
        timeouts: options.timeouts,
    };
    let mut answer = Answer::EMPTY;
    answer.len = postcard::to_slice(&description, &mut answer.bytes).map_err(|_| Errno::EIO)?.len();
    Ok(answer)
}

/// A socket whose data the session moves: EAGAIN if its rings are elsewhere.
fn at_home(core: &Core, session: usize, handle: Handle) -> Result<(SocketId, usize), Errno> {
    let id = core.find(session, handle)?;
    let socket = &core.sockets[id];
    let here = socket.session == session && socket.rings.as_ref().is_none_or(|rings| !rings.unseen);
    if here { Ok((id, socket.family)) } else { Err(Errno::EAGAIN) }
}

/// Types of sockets that there can be (Linux: SOCK_MAX).
const TYPES: u16 = 11;

/// A new socket and its handle.
fn create(
    core: &mut Core,
    families: &mut Registry,
    session: usize,
    family: u16,
    kind: u16,
    protocol: u16,
) -> Result<(SocketId, Handle), Errno> {
    let index = families.index(family)?;
    if kind >= TYPES {
        return Err(Errno::EINVAL);
    }
    policy::may_create(core, session, family, kind)?;
    let id = core.add(session, index, family, kind, protocol, false)?;
    let made = core.attach(id).and_then(|handle| families.get(index).create(core, id).map(|()| (id, handle)));
    let made = made.inspect_err(|_| core.remove(id))?;
    policy::may_keep(core, id).inspect_err(|_| close(core, families, id, index))?;
    Ok(made)
}

fn accept(core: &mut Core, families: &mut Registry, session: usize, socket: Handle) -> Result<Answer, Errno> {
    let listener = core.find(session, socket)?;
    let queue = core.queue(listener).ok_or(Errno::EINVAL)?;
    let Some(id) = queue.complete.pop_front() else { return Err(Errno::EAGAIN) };
    let handle = match core.adopt(id, session) {
        Ok(handle) => handle,
        Err(errno) => {
            // It stays at the head of the queue.
            if let Some(queue) = core.queue(listener) {
                queue.complete.push_front(id);
            }
            return Err(errno);
        }
    };
    core.update_listener(listener);
    let family = core.sockets[id].family;
    let peer = families.get(family).accepted(core, id);
    Ok(Answer::number(handle.into()).with(peer.as_bytes()))
}

/// A handle of a session goes: its client closed it, or begins `anew`.
fn release(core: &mut Core, families: &mut Registry, session: usize, id: SocketId, anew: bool) {
    let family = core.sockets[id].family;
    match core.release(id, session) {
        Left::Held => {}
        Left::Broken => families.get(family).broken(core, id),
        Left::Nobody => {
            if anew {
                // What an earlier incarnation left is reset, not finished.
                let socket = &mut core.sockets[id];
                socket.options.linger = (true, 0);
                socket.abandoned = true;
            }
            close(core, families, id, family);
        }
    }
}

/// Closes the sockets that nobody refers to any more. Returns whether there
/// were any.
pub fn close_orphans(core: &mut Core, families: &mut Registry) -> bool {
    let orphans = core.take_orphans();
    let any = !orphans.is_empty();
    for id in orphans {
        if let Some(socket) = core.sockets.get(id)
            && socket.open
            && !core.is_referenced(id)
        {
            close(core, families, id, core.sockets[id].family);
        }
    }
    any
}

fn close(core: &mut Core, families: &mut Registry, id: SocketId, family: usize) {
    let waiting: Vec<SocketId> = core.queue(id).map(|q| q.complete.drain(..).collect()).unwrap_or_default();
    for connection in waiting {
        core.sockets[connection].open = false;
        // Nobody will ever read from it (Linux: inet_csk_listen_stop).
        core.sockets[connection].options.linger = (true, 0);
        families.get(family).close(core, connection);
    }
    core.sockets[id].open = false;
    families.get(family).close(core, id);
}

/// The client of a session has ended: exit(2). Or it begins `anew`: then nothing
/// goes on that it left behind.
pub fn close_all(core: &mut Core, families: &mut Registry, session: usize, anew: bool) {
    let slots = core.sessions[session].slots.clone();
    for id in slots.into_iter().flatten() {
        if core.sockets.get(id).is_some_and(|s| s.open && (s.session != session || s.held)) {
            release(core, families, session, id, anew);
        }
    }
    if anew {
        abandon(core, families, session);
    }
    look_after_moved(core, families);
}

/// Sockets that were closed before, whose data was still on its way from the
/// session's memory.
fn abandon(core: &mut Core, families: &mut Registry, session: usize) {
    for slot in 0..core.sessions[session].slots.len() {
        if let Some(id) = core.sessions[session].slots[slot]
            && let Some(socket) = core.sockets.get_mut(id)
            && !socket.open
        {
            socket.abandoned = true;
            families.get(socket.family).doorbell(core, id);
        }
    }
}

fn counters(core: &Core, session: usize) -> Counters {
    let own = &core.sessions[session];
    let links = &core.links.counters;
    Counters {
        sockets: own.sockets as u32,
        pages: own.arena.used() as u32,
        pages_peak: own.arena.peak() as u32,
        sockets_all: core.sockets.len() as u32,
        pages_all: core.sessions.iter().map(|s| s.arena.used() as u32).sum(),
        flying_all: core.sessions.iter().map(|s| s.flying as u32).sum(),
        rx_frames: links.rx_frames,
        tx_frames: links.tx_frames,
        rx_dropped: links.rx_dropped,
        tx_dropped: links.tx_dropped,
        bad_descriptors: core.links.bad_descriptors(),
        misbehaved: core.counters.misbehaved,
        notify_driver: core.counters.notify_driver,
        notify_clients: core.counters.notify_clients,
        wakeups: core.counters.wakeups,
        buffer_bytes: core.counters.buffer_bytes,
    }
}

fn interface(links: &Links, at: usize) -> Result<Answer, Errno> {
    let (count, entry) = links.entry(at);
    let mut answer = Answer::number(count as u32);
    if let Some((interface, address)) = entry {
        let octets = address.map(|(ip, _)| match ip {
            IpAddr::V4(ip) => (ip.to_ipv6_mapped().octets(), 12),
            IpAddr::V6(ip) => (ip.octets(), 0),
        });
        let Interface { index, name, flags, mtu, kind, hardware } = interface;
        let address_bytes = octets.as_ref().map_or(&[][..], |(bytes, from)| &bytes[*from..]);
        let prefix = address.map_or(0, |(_, prefix)| prefix);
        let entry = Entry { index, name, flags, mtu, kind, hardware, address: address_bytes, prefix };
        answer.len = entry.encode(&mut answer.bytes)?.len();
    }
    Ok(answer)
}

fn name_servers(links: &Links) -> Answer {
    let mut answer = Answer::EMPTY;
    for server in links.name_servers().take(8) {
        let address = Address::from(match server {
            // All of these came by the same link.
            IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, DNS, 0, ETH_INDEX).into(),
            other => SocketAddr::new(other, DNS),
        });
        let bytes = address.as_bytes();
        answer.bytes[answer.len] = bytes.len() as u8;
        answer.bytes[answer.len + 1..][..bytes.len()].copy_from_slice(bytes);
        answer.len += 1 + bytes.len();
    }
    answer
}
