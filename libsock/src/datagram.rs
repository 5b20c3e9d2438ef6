//! Moving records: one attempt, never sleeping.

use strait_abi::{
    Address, Errno,
    address::{AF_INET, AF_INET6, AF_PACKET, INET_LEN},
    control::{Item, NO_LENGTH, TOO_LONG, items},
    net::{Portion, RecordHeader},
    session::status,
    socket::{MSG_DONTWAIT, MSG_ERRQUEUE, MSG_OOB, MSG_PEEK, MSG_TRUNC, SCM_RIGHTS, SOCK_RAW, SOL_SOCKET},
};
use strait_ring::{
    PAGE,
    paged::{ClientConsumer, RING_BYTES},
};
use zerocopy::{FromZeros, IntoBytes};

use crate::{
    control::{Extra, add_own},
    parts::{Gather, Scatter},
    socket::Socket,
};

/// The longest record that a ring takes.
const MAX_RECORD: u32 = RING_BYTES - PAGE as u32;
/// Bytes of data that every datagram can have.
const SHORT: usize = 65_507;

impl Socket {
    /// Length of the datagram that comes next; 0 without one.
    pub fn next_datagram(&self) -> Result<usize, Errno> {
        if self.status() & status::SKIP != 0 {
            self.pass_purged();
        }
        let rx = self.rx.borrow();
        if rx.available() == 0 { Ok(0) } else { Ok(header(&rx)?.0.data as usize) }
    }

    /// Bytes of data in all records that are there (unix(7), SIOCINQ).
    pub fn all_packets(&self) -> Result<usize, Errno> {
        let rx = self.rx.borrow();
        let (available, mut at, mut sum) = (rx.available(), 0, 0);
        while at < available {
            let (header, total) = header_at(&rx, at)?;
            sum += header.data as usize;
            at += total;
        }
        Ok(sum)
    }

    /// recvmsg(2): EAGAIN if it would have to wait. The sender goes to `from`,
    /// all else to `extra`. The part that `into` has no room for is lost; with
    /// MSG_TRUNC the length of the whole is given.
    #[inline]
    pub fn receive_datagram<S: Scatter + ?Sized>(
        &self,
        into: &mut S,
        flags: u32,
        from: Option<&mut Address>,
        extra: Option<&mut Extra>,
    ) -> Result<usize, Errno> {
        let status = self.status();
        if flags & (MSG_OOB | MSG_ERRQUEUE) != 0 {
            self.no_special_datagram(flags)?;
        }
        if status & (status::ERR | status::ATTEND | status::SKIP) != 0 {
            self.attend(status)?;
            if status & status::ERR != 0 {
                self.check_error()?;
            }
            if status & status::SKIP != 0 {
                self.pass_purged();
            }
        }
        let mut extra = extra;
        let mut portion = Portion::default();
        if status & status::OFFSET != 0 {
            portion = self.ask((0, into.len()), flags, false, extra.as_deref_mut())?;
        }
        let mut rx = self.rx.borrow_mut();
        let available = rx.available();
        if available <= portion.skip || portion.next == Portion::END {
            return self.no_datagram(status, flags);
        }
        let Portion { skip, bytes: left_out, .. } = portion;
        let (header, total) = header_at(&rx, skip)?;
        if let Some(from) = from {
            if self.is_local() && self.is_connected_type() {
                self.peer_name_into(from)?;
            } else {
                let bytes = from.resize(header.address.into()).map_err(|_| Errno::EIO)?;
                rx.copy(skip + RecordHeader::BYTES as u32, bytes).ok_or(Errno::EIO)?;
                if self.is_inet() {
                    self.reached.enter(bytes);
                }
            }
        }
        let len = header.data.saturating_sub(left_out) as usize;
        let n = len.min(into.len());
        let from = skip + header.data_offset() + left_out;
        into.each_mut(0..n, |at, part| rx.copy(from + at as u32, part)).ok_or(Errno::EIO)?;
        if let Some(extra) = extra {
            extra.flags = if n < len { MSG_TRUNC } else { 0 };
            extra.record = true;
            if header.control != 0 {
                self.record_control(&rx, &header, skip, flags, extra)?;
            }
        }
        if flags & MSG_PEEK == 0 {
            rx.consume(total);
            drop(rx);
            self.taken_of(available, total);
        }
        Ok(if flags & MSG_TRUNC != 0 { len } else { n })
    }

    /// Refuses what a family of datagrams does not have.
    #[cold]
    fn no_special_datagram(&self, flags: u32) -> Result<(), Errno> {
        if self.is_connected_type() && self.status() & status::CONNECTED == 0 {
            Err(Errno::ENOTCONN)
        } else if flags & MSG_ERRQUEUE != 0 && self.is_inet() {
            // The queue of errors is always empty: IP_RECVERR cannot be set.
            Err(Errno::EAGAIN)
        } else if flags & MSG_OOB == 0 || self.is_udp() {
            // Linux: by UDP, ignored.
            Ok(())
        } else {
            Err(Errno::EOPNOTSUPP)
        }
    }

    /// The control data of a record, `at` behind the head. Descriptors that
    /// nobody asks for are dropped by the server when the record is taken.
    #[cold]
    fn record_control(
        &self,
        rx: &ClientConsumer,
        header: &RecordHeader,
        at: u32,
        flags: u32,
        extra: &mut Extra,
    ) -> Result<(), Errno> {
        let mut control = alloc::vec![0; header.control.into()];
        rx.copy(at + header.control_offset(), &mut control).ok_or(Errno::EIO)?;
        let rights = |item: Result<Item<'_>, Errno>| item.is_ok_and(|i| (i.level, i.kind) == (SOL_SOCKET, SCM_RIGHTS));
        if self.is_local() && extra.rights.is_empty() && items(&control).any(rights) {
            self.ask((0, 0), flags, false, Some(extra))?;
        }
        extra.control = control;
        Ok(())
    }

    #[cold]
    fn no_datagram(&self, status: u32, flags: u32) -> Result<usize, Errno> {
        if self.is_connected_type() && status & status::CONNECTED == 0 {
            Err(Errno::ENOTCONN)
        } else if status & status::RDHUP != 0 {
            // Linux: who may not wait does not learn of the end without a
            // connection.
            let wait = flags & MSG_DONTWAIT == 0 && self.flags.may_wait();
            if wait || self.is_connected_type() { Ok(0) } else { Err(Errno::EAGAIN) }
        } else {
            Err(Errno::EAGAIN)
        }
    }

    /// sendmsg(2): EAGAIN if there is no room; then an event will tell when
    /// there is.
    #[inline]
    pub fn send_datagram<G: Gather + ?Sized>(
        &self,
        data: &G,
        flags: u32,
        to: Option<&Address>,
        control: &[u8],
    ) -> Result<usize, Errno> {
        let status = self.status();
        if self.is_connected_type() {
            if status & status::ERR != 0 {
                self.check_error()?;
            }
            if status & status::CONNECTED == 0 {
                return Err(Errno::ENOTCONN);
            }
        }
        if flags & MSG_OOB != 0 && !self.is_inet() {
            return Err(Errno::EOPNOTSUPP);
        }
        if data.len() > self.longest_datagram() {
            return self.send_too_long(data.len(), flags, to, control);
        }
        let to = match to {
            to if !self.is_inet() => self.destination(to, status)?,
            None => &[],
            // Linux: one of no length is not none.
            Some(to) if to.as_bytes().is_empty() && !(self.kind == SOCK_RAW && self.family == AF_INET) => &[0],
            Some(to) => to.as_bytes(),
        };
        // What may be wrong with it the server says at once.
        let asked = !self.is_inet()
            || self.is_raw()
            || !control.is_empty()
            || data.len() > SHORT
            || match to {
                [] => status & status::CONNECTED == 0,
                to => !self.reached.enter(to),
            };
        if status & (status::ERR | status::WRSHUT | status::ATTEND) != 0 {
            self.attend(status)?;
            // By AF_UNIX the server looks at address and length first.
            if !(self.is_local() || asked && self.is_inet()) {
                self.check_sending(status)?;
            }
        }
        let header = RecordHeader { data: data.len() as u32, address: to.len() as u16, control: control.len() as u16 };
        let total = header.total().filter(|n| *n <= MAX_RECORD).ok_or(Errno::EMSGSIZE)?;
        let mut tx = self.tx.borrow_mut();
        if tx.room() < total {
            self.want(&tx, total).inspect_err(|_| self.reached.forget(to))?;
            // Room may have appeared while the wish for it was on its way.
            if tx.room() < total {
                self.reached.forget(to);
                return Err(Errno::EAGAIN);
            }
        }
        self.want_nothing(&tx);
        let mut head = [0; RecordHeader::BYTES + INET_LEN];
        if let Some(short) = head[RecordHeader::BYTES..].get_mut(..to.len()) {
            // In one piece.
            short.copy_from_slice(to);
            head[..RecordHeader::BYTES].copy_from_slice(header.as_bytes());
            tx.stage(0, &head[..RecordHeader::BYTES + to.len()]).ok_or(Errno::EIO)?;
        } else {
            tx.stage(0, header.as_bytes()).ok_or(Errno::EIO)?;
            tx.stage(RecordHeader::BYTES as u32, to).ok_or(Errno::EIO)?;
        }
        if !control.is_empty() {
            tx.stage(header.control_offset(), control).ok_or(Errno::EIO)?;
        }
        data.each(0..data.len(), |at, part| tx.stage(header.data_offset() + at as u32, part)).ok_or(Errno::EIO)?;
        tx.commit(total);
        drop(tx);
        if asked {
            self.send_now().inspect_err(|_| self.reached.forget(to))?;
        } else {
            self.doorbell();
        }
        Ok(data.len())
    }

    /// What sending more than a record can hold gives: EMSGSIZE, unless
    /// something else is wrong.
    #[cold]
    fn send_too_long(&self, len: usize, flags: u32, to: Option<&Address>, control: &[u8]) -> Result<usize, Errno> {
        if !self.is_inet() {
            return Err(Errno::EMSGSIZE);
        }
        let mut control = control.to_vec();
        add_own(&mut control, TOO_LONG);
        if len > usize::from(u16::MAX) {
            add_own(&mut control, NO_LENGTH);
        }
        self.send_datagram::<[u8]>(&[], flags, to, &control)
    }

    /// The errors of the socket that a send finds.
    #[cold]
    fn check_sending(&self, status: u32) -> Result<(), Errno> {
        if status & status::ERR != 0 {
            self.check_error()?;
        }
        if status & status::WRSHUT != 0 { Err(Errno::EPIPE) } else { Ok(()) }
    }

    /// What IP can carry; other families have their records' limit.
    fn longest_datagram(&self) -> usize {
        match self.family {
            AF_INET | AF_INET6 if self.is_raw() => 65_535,
            AF_INET => SHORT,
            AF_INET6 => 65_527,
            _ => MAX_RECORD as usize,
        }
    }

    /// The bytes of the address to send to, empty for the peer.
    fn destination<'a>(&self, to: Option<&'a Address>, status: u32) -> Result<&'a [u8], Errno> {
        // unix(7): a connection of records takes no other address.
        if let Some(to) = to.filter(|to| !to.as_bytes().is_empty() && !self.is_connected_type()) {
            return Ok(to.as_bytes());
        }
        // A local datagram goes by a call, which looks at more before that.
        let later = self.family == AF_PACKET || self.is_local() && !self.is_connected_type();
        if self.has_peer.get() || later || status & status::CONNECTED != 0 { Ok(&[]) } else { Err(Errno::ENOTCONN) }
    }
}

/// The header of the next record and its length in the ring. EIO if they make
/// no sense.
#[inline]
fn header(rx: &ClientConsumer) -> Result<(RecordHeader, u32), Errno> {
    header_at(rx, 0)
}

/// [`header`] of the record `offset` behind the head.
#[inline]
fn header_at(rx: &ClientConsumer, offset: u32) -> Result<(RecordHeader, u32), Errno> {
    let mut header = RecordHeader::new_zeroed();
    let available = rx.available().saturating_sub(offset);
    if available < RecordHeader::BYTES as u32 {
        return Err(Errno::EIO);
    }
    rx.copy(offset, header.as_mut_bytes()).ok_or(Errno::EIO)?;
    let total = header.total().filter(|total| *total <= available).ok_or(Errno::EIO)?;
    Ok((header, total))
}
