//! The component.
//!
//! Order of an interrupt: clear its reason in the device, do everything, then
//! acknowledge it to the kernel: what happens in between raises it anew (the
//! line is level triggered). Signals (`strait_ring::signal`): the client is
//! notified once for a batch, and only if it asked.
//!
//! A request is taken only when its response is sure of a place, so no
//! response is ever lost or waited for.

use strait_abi::blk::{self, DriverEnd, ENTRIES, MAX_SECTORS, Request, Response, SECTOR, code, status};
use strait_pd::{Channel, ChannelSet, Component, Message, PdRef};
use strait_ring::Misbehaved;

use crate::device::{BlockDevice, MAX_REQUESTS, Operation};

/// What has happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sectors read.
    pub read: u64,
    /// Sectors written.
    pub written: u64,
    /// Flushes.
    pub flushes: u64,
    /// Operations that the device failed.
    pub failures: u64,
    /// Requests of the client that were refused.
    pub refused: u64,
    /// Queue indices of the client that cannot be.
    pub bad_indices: u64,
    /// Interrupts.
    pub interrupts: u64,
    /// Notifications sent to the client.
    pub signals: u64,
}

/// The driver of one disk for one client.
pub struct BlkDriver<D> {
    pd: PdRef,
    device: D,
    irq: Channel,
    client: Channel,
    link: DriverEnd,
    /// Size of the data region in bytes.
    data_bytes: usize,
    /// By token: the id of the request that the device has.
    under_way: [Option<u32>; MAX_REQUESTS],
    count: u32,
    counters: Counters,
}

impl<D: BlockDevice> BlkDriver<D> {
    /// A driver of `device`, whose interrupt is `irq`, for the PD at the other
    /// end of `client`. The data region has `data_bytes` bytes.
    pub fn new(pd: PdRef, device: D, irq: Channel, client: Channel, link: DriverEnd, data_bytes: usize) -> Self {
        let mut driver = Self {
            pd,
            device,
            irq,
            client,
            link,
            data_bytes,
            under_way: [None; MAX_REQUESTS],
            count: 0,
            counters: Counters::default(),
        };
        if driver.run() {
            pd.notify(driver.client);
        }
        driver
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The disk, for tests.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// The operation that `request` asks for, if it makes sense.
    fn check(&self, request: &Request) -> Result<Operation, u32> {
        let &Request { code, reserved, sector, offset, count, reserved2, .. } = request;
        if reserved != 0 || reserved2 != [0; 2] {
            return Err(status::REFUSED);
        }
        if code == code::FLUSH {
            let plain = sector == 0 && offset == 0 && count == 0;
            return if plain { Ok(Operation::Flush) } else { Err(status::REFUSED) };
        }
        let on_disk = (1..=MAX_SECTORS).contains(&count)
            && sector.checked_add(count.into()).is_some_and(|end| end <= self.device.capacity());
        let in_data =
            (offset as usize).is_multiple_of(SECTOR) && offset as usize + count as usize * SECTOR <= self.data_bytes;
        match code {
            code::READ if on_disk && in_data => Ok(Operation::Read { sector, offset, count }),
            code::WRITE if self.device.read_only() => Err(status::READ_ONLY),
            code::WRITE if on_disk && in_data => Ok(Operation::Write { sector, offset, count }),
            _ => Err(status::REFUSED),
        }
    }

    fn respond(&mut self, id: u32, status: u32) {
        // There is a place, unless the client took one back by a lie.
        if self.link.responses.put(&Response { id, status, reserved: [0; 2] }) != Ok(true) {
            self.counters.bad_indices += 1;
        }
    }

    /// Device to client.
    fn collect(&mut self) {
        while let Some((token, ok)) = self.device.poll() {
            let Some(id) = self.under_way.get_mut(usize::from(token)).and_then(Option::take) else { continue };
            self.count -= 1;
            self.counters.failures += u64::from(!ok);
            self.respond(id, if ok { status::OK } else { status::IO_ERROR });
        }
        if self.device.broken() {
            for token in 0..MAX_REQUESTS {
                if let Some(id) = self.under_way[token].take() {
                    self.count -= 1;
                    self.counters.failures += 1;
                    self.respond(id, status::IO_ERROR);
                }
            }
        }
    }

    /// Whether a request can be taken: the device has room, and so has the
    /// response ring.
    fn room(&mut self) -> Result<bool, Misbehaved> {
        let device = self.device.room() > 0 || self.device.broken();
        Ok(device && self.count < MAX_REQUESTS as u32 && self.link.responses.room()? > self.count)
    }

    fn next(&mut self) -> Result<Option<Request>, Misbehaved> {
        if self.room()? { self.link.requests.take() } else { Ok(None) }
    }

    /// Client to device. Returns whether there was anything.
    fn accept(&mut self) -> bool {
        let (mut any, mut submitted) = (false, false);
        for _ in 0..ENTRIES {
            let request = match self.next() {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(Misbehaved) => {
                    self.counters.bad_indices += 1;
                    break;
                }
            };
            any = true;
            // A place there is, while `room` says so.
            let free = self.under_way.iter().position(Option::is_none).filter(|_| !self.device.broken());
            match (self.check(&request), free) {
                (Ok(operation), Some(token)) => {
                    match operation {
                        Operation::Read { count, .. } => self.counters.read += u64::from(count),
                        Operation::Write { count, .. } => self.counters.written += u64::from(count),
                        Operation::Flush => self.counters.flushes += 1,
                    }
                    self.under_way[token] = Some(request.id);
                    self.count += 1;
                    self.device.submit(token as u16, operation);
                    submitted = true;
                }
                (Ok(_), None) => self.respond(request.id, status::IO_ERROR),
                (Err(why), _) => {
                    self.counters.refused += 1;
                    self.respond(request.id, why);
                }
            }
        }
        self.link.requests.release();
        if submitted {
            self.device.kick();
        }
        any
    }

    /// Whether there is work that no wake-up will announce. Work behind an
    /// impossible index is none.
    fn missed(&mut self) -> bool {
        self.device.ready() || (self.room().unwrap_or(false) && self.link.requests.available().is_ok_and(|n| n > 0))
    }

    /// Works until there is nothing to do and the wake-ups are asked for.
    /// Returns whether to notify the client.
    ///
    /// It ends: each turn uses up requests that the client must first make, and
    /// the client has the lower priority.
    fn run(&mut self) -> bool {
        let mut signal = false;
        loop {
            self.device.set_interrupt(false);
            self.collect();
            self.accept();
            signal |= self.link.responses.publish() && self.link.peer.raise();
            self.device.set_interrupt(true);
            self.link.wake.arm();
            if !self.missed() {
                break;
            }
            self.link.wake.disarm();
        }
        self.counters.signals += u64::from(signal);
        signal
    }
}

impl<D: BlockDevice> Component for BlkDriver<D> {
    fn notified(&mut self, channels: ChannelSet) -> Option<Channel> {
        let interrupt = channels.contains(self.irq);
        if interrupt {
            self.counters.interrupts += 1;
            self.device.ack_interrupt();
        }
        let signal = self.run();
        if interrupt {
            self.pd.irq_ack(self.irq);
        }
        signal.then_some(self.client)
    }

    fn protected(&mut self, _: Channel, message: &mut Message) {
        match message.label {
            blk::GET_DISK => {
                let flags = if self.device.read_only() { blk::READ_ONLY } else { 0 };
                message.set(0, &[self.device.capacity(), flags]);
            }
            blk::GET_COUNTERS => {
                let c = &self.counters;
                message.set(
                    0,
                    &[c.read, c.written, c.flushes, c.failures, c.refused, c.bad_indices, c.interrupts, c.signals],
                );
            }
            _ => message.set(u64::MAX >> 12, &[]),
        }
    }
}
