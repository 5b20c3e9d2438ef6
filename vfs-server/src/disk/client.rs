//! A disk behind a block driver's link: the regions `blk_queue` and `blk_data`,
//! and the channel to `blk_driver`.
//!
//! The data region is divided into places of [`MAX_RUN`] sectors; a request
//! has one from its beginning to its end. Of the driver is believed only that
//! a request which is under way has ended.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use strait_abi::blk::{self, ClientEnd, ENTRIES, READ_ONLY, Request, SECTOR, code, status};
use strait_pd::{Channel, Environment, Message, PdRef};
use strait_ring::{Misbehaved, SharedMemory};

use super::{Content, Disk, End, MAX_RUN};

/// Name of the driver's PD.
pub const DRIVER: &str = "blk_driver";
/// Bytes of a place.
const PLACE: usize = MAX_RUN * SECTOR;

/// The disk.
pub struct Client {
    pd: PdRef,
    driver: Channel,
    link: ClientEnd,
    data: SharedMemory,
    capacity: u64,
    read_only: bool,
    /// By place: tag and sectors read of the request that has it.
    under_way: Vec<Option<(u32, usize)>>,
    /// The driver wrote indices that cannot be: nothing is begun any more.
    broken: bool,
}

/// The disk of the system description; text for the log if there is none.
pub fn open(env: &Environment) -> Result<Client, String> {
    let text = |e: strait_pd::ConfigError| e.to_string();
    let driver = env.channel(DRIVER).map_err(text)?;
    let queue = SharedMemory::attach(env.region("blk_queue").map_err(text)?);
    let data = SharedMemory::attach(env.region("blk_data").map_err(text)?);
    Client::new(env.pd, driver, queue, data).ok_or_else(|| format!("{DRIVER} does not say how large the disk is"))
}

impl Client {
    /// The disk that the PD at the other end of `driver` drives.
    pub fn new(pd: PdRef, driver: Channel, queue: SharedMemory, data: SharedMemory) -> Option<Self> {
        let mut message = Message::new(blk::GET_DISK);
        pd.call(driver, &mut message);
        let &[capacity, flags, ..] = message.words() else { return None };
        if message.label != 0 {
            return None;
        }
        let places = (data.len() / PLACE).min(ENTRIES as usize);
        Some(Self {
            pd,
            driver,
            link: ClientEnd::new(queue)?,
            data,
            // What lies beyond has no byte offset.
            capacity: capacity.min(u64::MAX / SECTOR as u64),
            read_only: flags & READ_ONLY != 0,
            under_way: alloc::vec![None; places],
            broken: false,
        })
    }

    fn begin(&mut self, tag: u32, code: u16, sector: u64, count: usize, reads: usize, data: &[Content]) {
        let Some(place) = self.under_way.iter().position(Option::is_none) else { return };
        let offset = place * PLACE;
        for (i, content) in data.iter().take(MAX_RUN).enumerate() {
            // Inside: there are as many places as fit.
            let _ = self.data.write(offset + i * SECTOR, &content[..]);
        }
        let offset = if code == code::FLUSH { 0 } else { offset as u32 };
        let request = Request { id: place as u32, code, sector, offset, count: count as u32, ..Request::default() };
        self.under_way[place] = Some((tag, reads));
        // There is a place in the ring for each in the data region.
        if self.link.requests.put(&request) != Ok(true) {
            self.broken = true;
        }
    }

    /// What was under way when the driver broke the protocol will not end.
    fn fail_one(&mut self) -> Option<End> {
        let (tag, _) = self.under_way.iter_mut().find_map(Option::take)?;
        Some(End { tag, ok: false })
    }
}

impl Disk for Client {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn room(&mut self) -> usize {
        self.under_way.iter().filter(|place| place.is_none()).count()
    }

    fn read(&mut self, tag: u32, sector: u64, count: usize) {
        let count = count.min(MAX_RUN);
        self.begin(tag, code::READ, sector, count, count, &[]);
    }

    fn write(&mut self, tag: u32, sector: u64, data: &[Content]) {
        self.begin(tag, code::WRITE, sector, data.len().min(MAX_RUN), 0, data);
    }

    fn flush(&mut self, tag: u32) {
        self.begin(tag, code::FLUSH, 0, 0, 0, &[]);
    }

    fn poll(&mut self, data: &mut Vec<u8>) -> Option<End> {
        data.clear();
        while !self.broken {
            let response = match self.link.responses.take() {
                Ok(Some(response)) => response,
                Ok(None) => return None,
                Err(Misbehaved) => {
                    self.broken = true;
                    break;
                }
            };
            self.link.responses.release();
            let place = response.id as usize;
            // An answer to nothing is none.
            let Some((tag, reads)) = self.under_way.get_mut(place).and_then(Option::take) else { continue };
            let mut ok = response.status == status::OK;
            if ok {
                data.resize(reads * SECTOR, 0);
                ok = self.data.read(place * PLACE, data).is_some();
            }
            return Some(End { tag, ok });
        }
        self.fail_one()
    }

    fn submit(&mut self) {
        if self.link.requests.publish() && self.link.peer.raise() {
            self.pd.notify(self.driver);
        }
    }

    fn arm(&mut self) -> bool {
        if self.broken {
            return self.under_way.iter().any(Option::is_some);
        }
        self.link.wake.arm();
        let came = self.link.responses.available().map_or(true, |n| n > 0);
        if came {
            self.link.wake.disarm();
        }
        came
    }
}
