//! What one receive may take, where the ring alone does not say it.

use strait_abi::{
    Errno,
    net::{Portion, receive},
    socket as c,
};
use zerocopy::IntoBytes;

use super::{
    Unix,
    control::{Control, identity},
    endpoint::{Endpoint, What},
    stream::before,
};
use crate::{core::Core, family::Receive, socket::SocketId};

impl Receive {
    fn is(self, bit: u8) -> bool {
        self.how & bit != 0
    }
}

/// An answer that is made.
struct Answer<'a> {
    portion: Portion,
    bytes: &'a mut [u8],
    used: usize,
}

impl Answer<'_> {
    /// The descriptors of a message are received.
    fn hand_over(&mut self, core: &mut Core, session: usize, ask: Receive, control: &mut Control) {
        let peek = ask.is(receive::PEEK);
        if ask.is(receive::CONTROL) {
            control.give(core, session, peek, self.bytes, &mut self.used);
        } else if !peek {
            let rights = core::mem::take(&mut control.rights);
            Control { rights, from: None }.lose(core);
        }
    }
}

impl Unix {
    /// Puts the answer in `bytes`, and returns how many of them it takes.
    pub(super) fn receive_portion(
        &mut self,
        core: &mut Core,
        id: SocketId,
        ask: Receive,
        bytes: &mut [u8],
    ) -> Result<usize, Errno> {
        self.settle_one(core, id);
        let mut answer = Answer { portion: Portion::default(), bytes, used: Portion::BYTES };
        if core.sockets[id].kind == c::SOCK_STREAM {
            self.receive_stream(core, id, ask, &mut answer);
        } else {
            self.receive_record(core, id, ask, &mut answer);
        }
        let Answer { portion, bytes, used } = answer;
        bytes.get_mut(..Portion::BYTES).ok_or(Errno::EIO)?.copy_from_slice(portion.as_bytes());
        self.settle_one(core, id);
        Ok(used)
    }

    fn receive_stream(&mut self, core: &mut Core, id: SocketId, ask: Receive, answer: &mut Answer<'_>) {
        let Some((rings, _, options)) = core.rings(id) else { return };
        let (head, tail, inline) = (rings.rx.head(), rings.rx.tail(), options.oob_inline);
        let session = core.sockets[id].session;
        let (peek, first) = (ask.is(receive::PEEK), !ask.is(receive::GOES_ON));
        let endpoint = self.endpoint(core, id);
        let mut left_out = if peek && first { endpoint.peek_offset.max(0) as u32 } else { 0 };
        // Nobody has peeked further than at all there is.
        let mut at = head.wrapping_add(ask.offset.min(tail.wrapping_sub(head)));
        let Portion { mut skip, mut bytes, mut next } = Portion::default();
        let (mut end_of_message, mut passed) = (None, false);
        while before(at, tail) && end_of_message != Some(at) && (bytes == 0 || bytes < ask.most) {
            let got = bytes != 0 || !first;
            // Linux: what comes next after SO_PEEK_OFF it does not look at.
            let next_to_offset = core::mem::take(&mut passed);
            let special = endpoint.marks.iter().position(|m| m.at == at && m.what.is_urgent());
            let special = special.filter(|i| !next_to_offset || !matches!(endpoint.marks[*i].what, What::Urgent(_)));
            if let Some(index) = special {
                let hole = match endpoint.marks[index].what {
                    What::Hole(bytes) => Some(bytes),
                    _ => None,
                };
                if got && (hole.is_none() || !endpoint.is_urgent()) {
                    next = Portion::END;
                    break;
                }
                if bytes != 0 {
                    // What lies behind the hole belongs to this receive.
                    next = Portion::MORE;
                    break;
                }
                if hole.is_none() && !peek {
                    endpoint.marks.remove(index);
                }
                if hole.is_some() || !inline {
                    if !peek && let Some((_, control)) = endpoint.message_at(at) {
                        answer.hand_over(core, session, Receive { how: 0, ..ask }, control);
                    }
                    let n = hole.unwrap_or(1);
                    (skip, at) = (skip + n, at.wrapping_add(n));
                    continue;
                }
            }
            let run = endpoint.change_behind(at).map_or(u32::MAX, |to| to.wrapping_sub(at)).min(tail.wrapping_sub(at));
            if left_out != 0 {
                let n = run.min(left_out);
                (skip, at, left_out) = (skip + n, at.wrapping_add(n), left_out - n);
                passed = left_out == 0;
                continue;
            }
            if endpoint.pass_credentials {
                let writer = endpoint.writer_at(at);
                if got && writer != endpoint.told {
                    next = Portion::END;
                    break;
                }
                endpoint.told = writer;
                if !got && ask.is(receive::CONTROL) {
                    identity(core, writer, answer.bytes, &mut answer.used);
                }
            }
            // Of a message that is peeked at in parts they come once.
            if end_of_message.is_none()
                && let Some((end, control)) = endpoint.message_at(at)
            {
                end_of_message = Some(end);
                answer.hand_over(core, session, ask, control);
            }
            let n = run.min(ask.most - bytes);
            (bytes, at) = (bytes + n, at.wrapping_add(n));
            if ask.most == 0 {
                break;
            }
        }
        if end_of_message == Some(at) {
            next = Portion::END;
        }
        endpoint.move_peek_offset(peek, bytes, bytes);
        answer.portion = Portion { skip, bytes, next };
    }

    /// The record that comes next, or with SO_PEEK_OFF a later one.
    fn receive_record(&mut self, core: &mut Core, id: SocketId, ask: Receive, answer: &mut Answer<'_>) {
        let Some(head) = core.rings(id).map(|(rings, ..)| rings.rx.head()) else { return };
        let session = core.sockets[id].session;
        let peek = ask.is(receive::PEEK);
        let endpoint = self.endpoint(core, id);
        let passes = peek && endpoint.peek_offset >= 0;
        let mut left_out = if passes { endpoint.peek_offset as u32 } else { 0 };
        let (mut at, peeked) = (endpoint.first, endpoint.peeked);
        // Linux: an empty record is shown once.
        let found = endpoint.queue.iter_mut().find(|r| {
            let over = passes && left_out >= r.data && (r.data != 0 || left_out != 0 || before(at, peeked));
            if over {
                (left_out, at) = (left_out - r.data, at.wrapping_add(r.total));
            }
            !over
        });
        let Some(record) = found else {
            answer.portion.next = Portion::END;
            return;
        };
        answer.portion = Portion { skip: at.wrapping_sub(head), bytes: left_out, next: 0 };
        let (data, end) = (record.data, at.wrapping_add(record.total));
        if let Some(control) = &mut record.control {
            answer.hand_over(core, session, ask, control);
            if control.rights.is_empty() {
                record.control = None;
            }
        }
        if peek && data == 0 {
            endpoint.peeked = end;
        }
        endpoint.move_peek_offset(peek, (data - left_out).min(ask.most), data);
    }
}

impl Endpoint {
    /// The descriptors of the message that `at` lies in, and where it ends.
    fn message_at(&mut self, at: u32) -> Option<(u32, &mut Control)> {
        self.marks.iter_mut().filter(|m| !before(at, m.at)).find_map(|m| match &mut m.what {
            What::Message(bytes, control) if !control.rights.is_empty() && at.wrapping_sub(m.at) < *bytes => {
                Some((m.at.wrapping_add(*bytes), &mut **control))
            }
            _ => None,
        })
    }

    /// SO_PEEK_OFF goes on by what was peeked at, and back by what was read.
    fn move_peek_offset(&mut self, peek: bool, peeked: u32, read: u32) {
        if self.peek_offset >= 0 {
            let change = if peek { peeked as i32 } else { -(read as i32) };
            self.peek_offset = self.peek_offset.saturating_add(change).max(0);
        }
    }
}

impl What {
    /// An urgent byte, or a hole that such left.
    fn is_urgent(&self) -> bool {
        matches!(self, Self::Urgent(_) | Self::Hole(_))
    }
}
