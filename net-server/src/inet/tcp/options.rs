//! What options change in a connection, and its deadlines: keep-alive, the user
//! timeout, the cork.

use smoltcp::{
    socket::tcp::{Socket, State},
    time::Duration,
};
use strait_abi::{Errno, socket as c};

use super::{Connection, DATA_TIMEOUT, Endpoint, LastSent, Marks, Shared, Tcp, urgent::after};
use crate::{core::Core, socket::SocketId};

const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;
/// How long a part of a segment is held back for more to follow (tcp(7),
/// TCP_CORK), in nanoseconds.
const CORK: u64 = 200 * MILLISECOND;
/// Bytes of headers without options.
const HEADERS: usize = 40;
/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;

/// Bytes of a `struct tcp_info`, up to `tcpi_rcv_wnd`.
pub const INFO_BYTES: usize = 236;

/// Keep-alive of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// TCP_KEEPIDLE and TCP_KEEPINTVL, in nanoseconds.
    idle: u64,
    interval: u64,
    /// TCP_KEEPCNT.
    count: u32,
    /// TCP_USER_TIMEOUT takes the place of the count.
    user_timeout: u64,
}

/// When a connection gives up, and what it holds back.
#[derive(Debug)]
pub struct Watch {
    /// When its peer was heard last.
    pub heard: u64,
    /// Since when something waits to be acknowledged; `u64::MAX` if nothing.
    since: u64,
    /// How long that may take without a word of the peer, in nanoseconds.
    pub limit: u64,
    /// TCP_USER_TIMEOUT, in nanoseconds: how long something may be sent again.
    user_timeout: Option<u64>,
    keep: Option<Keep>,
    /// Probes sent since the peer was heard, and when the last one was.
    pub probes: u32,
    probed: u64,
    /// TCP_CORK.
    cork: bool,
    /// When what is held back goes out; `u64::MAX` if nothing is.
    release: u64,
    /// The greatest segment that the peer takes, as its SYN said; 0 before.
    pub segment: u16,
    /// What is timed: the number that acknowledges it, and when it left.
    timed: Option<(u32, u64)>,
    /// Round trips and their variance in microseconds (RFC 6298: SRTT, RTTVAR);
    /// 0 before the first.
    trip: u32,
    /// See `trip`.
    variance: u32,
    /// Segments that came, left, and left once more.
    came: u32,
    /// See `came`.
    left: u32,
    /// See `came`.
    again: u32,
}

impl Watch {
    pub fn new(now: u64) -> Self {
        Self {
            heard: now,
            since: u64::MAX,
            limit: u64::MAX,
            user_timeout: None,
            keep: None,
            probes: 0,
            probed: 0,
            cork: false,
            release: u64::MAX,
            segment: 0,
            timed: None,
            trip: 0,
            variance: 0,
            came: 0,
            left: 0,
            again: 0,
        }
    }

    /// A segment left; `next` and `repeats` as they were before.
    #[inline]
    pub fn sent(&mut self, (next, repeats): (u32, u32), last: &LastSent, now: u64) {
        self.left = self.left.wrapping_add(1);
        if last.repeats != repeats {
            self.again = self.again.wrapping_add(1);
            // Nobody knows which one will be acknowledged (RFC 6298, 3).
            self.timed = None;
        } else if last.next != next && self.timed.is_none() {
            self.timed = Some((last.next, now));
        }
    }

    /// A segment came, and acknowledged up to there; `answered`: one left.
    #[inline]
    pub fn came(&mut self, acknowledged: Option<u32>, now: u64, answered: bool) {
        self.came = self.came.wrapping_add(1);
        self.left = self.left.wrapping_add(answered.into());
        let (Some((end, at)), Some(to)) = (self.timed, acknowledged) else { return };
        if after(end, to) {
            return;
        }
        self.timed = None;
        let trip = (now.saturating_sub(at) / 1000).clamp(1, u32::MAX.into()) as u32;
        if self.trip == 0 {
            (self.trip, self.variance) = (trip, trip / 2);
        } else {
            self.variance = self.variance - self.variance / 4 + self.trip.abs_diff(trip) / 4;
            self.trip = (self.trip - self.trip / 8 + trip / 8).max(1);
        }
    }

    /// Sets how long the peer may take, in milliseconds.
    pub fn set_limit(&mut self, millis: u64) {
        self.limit = millis.saturating_mul(MILLISECOND);
    }

    /// How many of `ready` bytes are sent now. `more`: the client says that
    /// more follows (MSG_MORE).
    #[inline]
    pub fn cut(&mut self, now: u64, mtu: usize, ready: u32, more: bool) -> u32 {
        if !(self.cork || more) || ready == 0 {
            self.release = u64::MAX;
            return ready;
        }
        let part = ready % u32::from(self.effective(mtu));
        if part == 0 || now >= self.release {
            self.release = u64::MAX;
            return ready;
        }
        if self.release == u64::MAX || part != ready {
            self.release = now + CORK;
        }
        ready - part
    }

    /// The greatest segment that is sent, in bytes of data.
    pub fn effective(&self, mtu: usize) -> u16 {
        let own = mtu.saturating_sub(HEADERS).clamp(1, 65_535) as u16;
        if self.segment == 0 { own } else { own.min(self.segment) }
    }
}

impl Tcp {
    /// Gives the connection of a socket the options of the socket.
    pub fn apply_options(&mut self, shared: &mut Shared, core: &Core, id: SocketId) {
        let socket = &core.sockets[id];
        let endpoint = &shared.endpoints[socket.state];
        let Some(index) = endpoint.connection else { return };
        let options = endpoint.tcp;
        let user_timeout = u64::from(options.user_timeout);
        let connection = &mut self.connections[index];
        let v4 = connection.tuple.remote.is_ipv4();
        let watch = &mut connection.watch;
        let keep = socket.options.keep_alive.then(|| Keep {
            idle: u64::from(options.keep_idle) * SECOND,
            interval: u64::from(options.keep_interval) * SECOND,
            count: options.keep_count,
            user_timeout: user_timeout * MILLISECOND,
        });
        let uncorked = watch.cork && !options.cork;
        watch.cork = options.cork;
        let rearm = keep.is_some();
        watch.keep = keep;
        watch.user_timeout = (user_timeout != 0).then_some(user_timeout * MILLISECOND);
        if connection.connected {
            watch.set_limit(DATA_TIMEOUT);
        }
        let Marks { first, urgent, local, .. } = connection.marks;
        connection.marks = Marks { first, urgent, local, ..endpoint.marks(v4) };
        connection.tcp().set_nagle_enabled(!options.nodelay);
        // The deadlines may be earlier now, and what was held back goes out.
        if uncorked || rearm || options.nodelay || user_timeout != 0 {
            self.mark(index);
        }
    }

    /// What is held back leaves (tcp(7), TCP_NODELAY).
    pub fn push(&mut self, shared: &Shared, core: &Core, id: SocketId) {
        if let Some(index) = shared.endpoints[core.sockets[id].state].connection {
            let release = &mut self.connections[index].watch.release;
            *release = if *release == u64::MAX { u64::MAX } else { 0 };
            self.mark(index);
        }
    }

    /// Does what is due: probes an idle peer, gives up on a silent one. Returns
    /// when it must be called next.
    #[inline]
    pub(super) fn watch(&mut self, core: &mut Core, index: usize) -> u64 {
        let connection = &mut self.connections[index];
        let tcp: &Socket<'_> = connection.set.get(connection.handle);
        let state = tcp.state();
        let ends = connection.fin_sent && matches!(state, State::FinWait1 | State::Closing | State::LastAck);
        let waits = state != State::Closed && (!connection.connected || ends || tcp.send_queue() > 0);
        let watch = &mut connection.watch;
        let mut next = watch.release;
        if !waits {
            watch.since = u64::MAX;
            if watch.keep.is_some() {
                next = next.min(self.keep_alive(core, index));
            }
            return next;
        }
        if watch.since == u64::MAX {
            watch.since = core.now;
        }
        let mut end = watch.since.max(watch.heard).saturating_add(watch.limit);
        if let Some(limit) = watch.user_timeout {
            // Linux looks when it sends again, so that what is on its way is
            // never too late. Of data it is the only limit.
            let last = &connection.last;
            let own = if last.repeats == 0 { u64::MAX } else { last.repeated.saturating_add(limit) };
            end = if connection.connected { own } else { end.min(own) };
        }
        if end <= core.now {
            self.silent(core, index);
        }
        next.min(end)
    }

    #[cold]
    fn keep_alive(&mut self, core: &mut Core, index: usize) -> u64 {
        let connection = &mut self.connections[index];
        let state = connection.tcp().state();
        let idle = matches!(state, State::Established | State::CloseWait | State::FinWait2);
        let watch = &mut connection.watch;
        let Some(keep) = watch.keep.filter(|_| idle) else { return u64::MAX };
        let due = if watch.probes == 0 { watch.heard + keep.idle } else { watch.probed + keep.interval };
        if core.now < due {
            return due;
        }
        let over = match keep.user_timeout {
            0 => watch.probes >= keep.count,
            limit => watch.probes > 0 && core.now >= watch.heard + limit,
        };
        if over {
            self.silent(core, index);
            return u64::MAX;
        }
        watch.probes += 1;
        watch.probed = core.now;
        // The first leaves at once, and smoltcp repeats it.
        connection.tcp().set_keep_alive(Some(Duration::from_micros(keep.interval / 1000)));
        core.now + keep.interval
    }

    /// The peer is not there any more.
    #[cold]
    fn silent(&mut self, core: &mut Core, index: usize) {
        let connection = &mut self.connections[index];
        connection.tcp().abort();
        if connection.listener.is_none() {
            core.set_error(connection.socket, Errno::ETIMEDOUT);
        }
    }

    /// The greatest segment that a connected socket sends.
    pub fn segment(&self, core: &Core, endpoint: &Endpoint) -> Option<u16> {
        let connection = &self.connections[endpoint.connection?];
        connection.connected.then(|| connection.watch.effective(connection.marks.mtu(&core.links)))
    }

    /// Bytes that smoltcp has and the peer has not acknowledged (SIOCOUTQ).
    /// EINVAL for a listener.
    pub fn unacknowledged(&self, shared: &Shared, core: &Core, id: SocketId) -> Result<u32, Errno> {
        if core.sockets[id].queue.is_some() {
            return Err(Errno::EINVAL);
        }
        let connection = shared.endpoints[core.sockets[id].state].connection.map(|i| &self.connections[i]);
        let queue = |c: &Connection| c.set.get::<Socket<'_>>(c.handle).send_queue() as u32;
        Ok(connection.filter(|c| c.connected).map_or(0, queue))
    }

    /// TCP_INFO: a `struct tcp_info` as far as smoltcp tells; what it does not
    /// is 0.
    pub fn info(&self, shared: &Shared, core: &Core, id: SocketId) -> [u8; INFO_BYTES] {
        let mut info = [0; INFO_BYTES];
        let mut word = |at: usize, value: u32| info[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        let connection = shared.endpoints[core.sockets[id].state].connection.map(|i| &self.connections[i]);
        let Some(connection) = connection else {
            info[0] = if core.sockets[id].queue.is_some() { c::TCP_LISTEN } else { c::TCP_CLOSE };
            return info;
        };
        let tcp: &Socket<'_> = connection.set.get(connection.handle);
        let mtu = connection.marks.mtu(&core.links);
        let since_heard = (core.now.saturating_sub(connection.watch.heard) / MILLISECOND) as u32;
        let segment = u32::from(connection.watch.effective(mtu));
        // tcpi_snd_mss, tcpi_rcv_mss, tcpi_unacked (in segments).
        word(16, segment);
        word(20, segment);
        word(24, (tcp.send_queue() as u32).div_ceil(segment));
        // tcpi_last_data_recv, tcpi_last_ack_recv, tcpi_pmtu.
        word(52, since_heard);
        word(56, since_heard);
        word(60, core.links.mtu_to(connection.tuple.remote.ip()) as u32);
        // tcpi_rtt, tcpi_rttvar; tcpi_total_retrans, tcpi_segs_out, tcpi_segs_in.
        word(68, connection.watch.trip);
        word(72, connection.watch.variance);
        word(100, connection.watch.again);
        word(136, connection.watch.left);
        word(140, connection.watch.came);
        // tcpi_advmss, tcpi_rcv_space, tcpi_rcv_wnd.
        word(84, mtu.saturating_sub(HEADERS) as u32);
        word(96, (tcp.recv_capacity() - tcp.recv_queue()) as u32);
        word(232, (tcp.recv_capacity() - tcp.recv_queue()) as u32);
        info[0] = match tcp.state() {
            State::Established => c::TCP_ESTABLISHED,
            State::SynSent => c::TCP_SYN_SENT,
            State::SynReceived | State::Listen => c::TCP_SYN_RECV,
            State::FinWait1 => c::TCP_FIN_WAIT1,
            State::FinWait2 => c::TCP_FIN_WAIT2,
            State::TimeWait => c::TCP_TIME_WAIT,
            State::Closed => c::TCP_CLOSE,
            State::CloseWait => c::TCP_CLOSE_WAIT,
            State::LastAck => c::TCP_LAST_ACK,
            State::Closing => c::TCP_CLOSING,
        };
        // tcpi_retransmits, tcpi_probes.
        info[2] = connection.last.repeats.min(255) as u8;
        info[3] = connection.watch.probes.min(255) as u8;
        info
    }
}

/// Cuts the maximum segment size that a SYN announces to `most`, in a TCP
/// segment; returns what it announces then, if it does.
pub fn clamp_segment(tcp: &mut [u8], most: u16) -> Option<u16> {
    let end = usize::from(tcp.get(12)? >> 4) * 4;
    let mut options = tcp.get_mut(TCP_HEADER..end)?;
    loop {
        match *options {
            [1, ref mut rest @ ..] => options = rest,
            [2, 4, ref mut high, ref mut low, ..] => {
                let size = u16::from_be_bytes([*high, *low]).min(most);
                [*high, *low] = size.to_be_bytes();
                return Some(size);
            }
            [kind, len, ..] if kind != 0 && len >= 2 => options = options.get_mut(usize::from(len)..)?,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_segments_are_held_back_for_a_time() {
        let mut w = Watch::new(0);
        assert_eq!(w.cut(5, 1500, 100, false), 100);
        assert_eq!(w.cut(5, 1500, 100, true), 0);
        assert_eq!(w.cut(CORK, 1500, 2920 + 7, true), 2920);
        // The clock begins anew with what was sent.
        assert_eq!(w.cut(2 * CORK - 1, 1500, 7, true), 0);
        assert_eq!(w.cut(2 * CORK, 1500, 7, true), 7);
        assert_eq!(w.release, u64::MAX);
        w.segment = 100;
        assert_eq!(w.cut(0, 1500, 250, true), 200);
        assert_eq!(w.cut(1, 1500, 50, false), 50);
    }

    #[test]
    fn the_announced_segment_is_cut() {
        let mut tcp = [0; 28];
        tcp[12] = 7 << 4;
        tcp[20..].copy_from_slice(&[1, 1, 2, 4, 5, 0xb4, 0, 0]);
        assert_eq!(clamp_segment(&mut tcp, 65_535), Some(1460));
        assert_eq!(clamp_segment(&mut tcp, 500), Some(500));
        assert_eq!(tcp[24..26], 500u16.to_be_bytes());
        for options in
            [[3, 0, 2, 4, 9, 9, 0, 0], [3, 200, 2, 4, 9, 9, 0, 0], [1, 1, 1, 1, 1, 1, 2, 4], [0, 2, 4, 1, 1, 1, 1, 1]]
        {
            tcp[20..].copy_from_slice(&options);
            assert_eq!(clamp_segment(&mut tcp, 9), None);
        }
        assert_eq!(clamp_segment(&mut [0; 5], 9), None);
        tcp[12] = 0xff;
        assert_eq!(clamp_segment(&mut tcp, 9), None);
    }
}
