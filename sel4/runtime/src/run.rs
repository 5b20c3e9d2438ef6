//! The event loop of a server and the receive half of a client.
//!
//! A turn costs one system call: the reply to a protected call, or the
//! notification that the component asked for, is fused with the next receive.

use sel4::{
    Cap, MessageInfo, cap, cap_type,
    sys::{
        seL4_CapFault_Msg as CapFault, seL4_Fault_tag as tag, seL4_UnknownSyscall_Msg as UnknownSyscall,
        seL4_UserException_Msg as UserException, seL4_VMFault_Msg as VMFault,
    },
};
use sel4_microkit::Child;
use strait_pd::{Channel, ChannelSet, Component, Fault, FaultKind, MESSAGE_WORDS, Message};

/// Where Microkit puts the capabilities of a PD (its libmicrokit agrees).
const INPUT: cap::Endpoint = Cap::from_bits(1);
const REPLY: cap::Reply = Cap::from_bits(4);
const FIRST_NOTIFICATION: u64 = 10;

/// Badge bits that tell a protected call and a child's fault from
/// notifications.
const IS_CALL: u64 = 1 << 63;
const IS_FAULT: u64 = 1 << 62;
/// The child's number in the badge of its fault.
const CHILD: u64 = 0xff;

/// The label of a reply to a call that the component does not serve.
const NOT_SERVED: u64 = u64::MAX >> 12;

/// What the kernel delivered: message information and badge.
pub type Event = (MessageInfo, u64);

#[inline]
pub fn receive() -> Event {
    INPUT.recv(REPLY)
}

#[inline]
fn reply_and_receive(info: MessageInfo) -> Event {
    INPUT.reply_recv(info, REPLY)
}

/// Signals `channel` and receives, in one system call.
#[inline]
pub fn signal_and_receive(channel: Channel) -> Event {
    let notification: cap::Notification = Cap::from_bits(FIRST_NOTIFICATION + channel.index() as u64);
    notification.nb_send_recv(MessageInfo::new(0, 0, 0, 0), INPUT.cast::<cap_type::Unspecified>(), REPLY)
}

/// The notifications of `event`. A client serves no calls: one that arrives
/// nevertheless is refused and the wait goes on.
pub fn wait_from(mut event: Event) -> ChannelSet {
    loop {
        let badge = event.1;
        if badge & (IS_CALL | IS_FAULT) == 0 {
            return ChannelSet(badge);
        }
        event = if badge & IS_CALL != 0 { reply_and_receive(MessageInfo::new(NOT_SERVED, 0, 0, 0)) } else { receive() };
    }
}

/// The notifications that are pending now.
pub fn poll() -> ChannelSet {
    // The kernel answers a badge of zero when there is nothing.
    let (_, badge) = INPUT.nb_recv(REPLY);
    if badge & IS_CALL != 0 {
        REPLY.send(MessageInfo::new(NOT_SERVED, 0, 0, 0));
        return ChannelSet::EMPTY;
    }
    if badge & IS_FAULT != 0 { ChannelSet::EMPTY } else { ChannelSet(badge) }
}

/// Copies the message described by `info` out of the message registers.
pub fn read_message(message: &mut Message, info: &MessageInfo) {
    let n = info.length().min(MESSAGE_WORDS);
    sel4::with_ipc_buffer(|b| message.set(info.label(), &b.msg_regs()[..n]));
}

/// As [`read_message`], where the first words are at hand in `fast`.
pub fn read_reply(message: &mut Message, info: &MessageInfo, fast: &[u64; 4]) {
    match fast.get(..info.length()) {
        Some(words) => message.set(info.label(), words),
        None => {
            sel4::with_ipc_buffer_mut(|b| b.msg_regs_mut()[..fast.len()].copy_from_slice(fast));
            read_message(message, info);
        }
    }
}

fn write_message(message: &Message) -> MessageInfo {
    let words = message.words();
    sel4::with_ipc_buffer_mut(|b| b.msg_regs_mut()[..words.len()].copy_from_slice(words));
    MessageInfo::new(message.label & NOT_SERVED, 0, 0, words.len())
}

/// A breakpoint or the like, in kernels that know of them.
#[sel4::sel4_cfg(HARDWARE_DEBUG_API)]
const DEBUG_EXCEPTION: u64 = tag::seL4_Fault_DebugException;
#[sel4::sel4_cfg(not(HARDWARE_DEBUG_API))]
const DEBUG_EXCEPTION: u64 = u64::MAX;

/// What the kernel says of a fault: its kind is the label, what belongs to it
/// the message (seL4 manual, "Faults").
fn read_fault(info: &MessageInfo) -> Fault {
    let (kind, ip, detail) = match info.label() {
        tag::seL4_Fault_VMFault => (FaultKind::Memory, VMFault::seL4_VMFault_IP, VMFault::seL4_VMFault_Addr),
        tag::seL4_Fault_UserException => {
            (FaultKind::Exception, UserException::seL4_UserException_FaultIP, UserException::seL4_UserException_Number)
        }
        // The instruction, and the kind of exception.
        DEBUG_EXCEPTION => (FaultKind::Exception, 0, 1),
        tag::seL4_Fault_UnknownSyscall => {
            (FaultKind::Call, UnknownSyscall::seL4_UnknownSyscall_FaultIP, UnknownSyscall::seL4_UnknownSyscall_Syscall)
        }
        tag::seL4_Fault_CapFault => (FaultKind::Call, CapFault::seL4_CapFault_IP, CapFault::seL4_CapFault_Addr),
        other => return Fault { kind: FaultKind::Other, ip: 0, detail: other },
    };
    sel4::with_ipc_buffer(|b| {
        let word = |at: u64| b.msg_regs()[at as usize];
        Fault { kind, ip: word(ip), detail: word(detail) }
    })
}

/// Runs `component` for ever.
pub fn serve(component: &mut impl Component) -> ! {
    // One message for all calls: only the words in use are ever copied.
    let mut message = Message::new(0);
    let mut event = receive();
    loop {
        let badge = event.1;
        event = if badge & IS_CALL != 0 {
            read_message(&mut message, &event.0);
            match Channel::new((badge & !IS_CALL) as u8) {
                Some(channel) => component.protected(channel, &mut message),
                None => message.set(NOT_SERVED, &[]),
            }
            reply_and_receive(write_message(&message))
        } else if badge & IS_FAULT != 0 {
            let child = Child::new((badge & CHILD) as usize);
            let fault = read_fault(&event.0);
            // It waits for a reply, which it does not get.
            let _ = child.tcb().tcb_suspend();
            component.fault(child.index() as u8, &fault);
            receive()
        } else {
            match component.notified(ChannelSet(badge)) {
                Some(channel) => signal_and_receive(channel),
                None => receive(),
            }
        };
    }
}
