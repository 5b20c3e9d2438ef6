//! A file as a disk.
//!
//! An operation is done when it is submitted, by way of a private buffer; the
//! driver finds its end at once, so there is no interrupt. The client runs in
//! another process meanwhile.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use strait_abi::blk::{MAX_SECTORS, SECTOR};
use strait_blk_driver::{BlockDevice, Operation};
use strait_ring::SharedMemory;

/// Operations that the device takes.
const QUEUE: usize = 64;

pub struct Disk {
    file: File,
    sectors: u64,
    data: SharedMemory,
    ended: VecDeque<(u16, bool)>,
    buffer: Vec<u8>,
}

impl Disk {
    /// The whole sectors of `file`; `data` is the data region.
    pub fn new(file: File, data: SharedMemory) -> Result<Self> {
        let bytes = file.metadata().context("cannot tell the size of the disk")?.len();
        let buffer = vec![0; MAX_SECTORS as usize * SECTOR];
        Ok(Self { file, sectors: bytes / SECTOR as u64, data, ended: VecDeque::with_capacity(QUEUE), buffer })
    }

    fn run(&mut self, operation: Operation) -> io::Result<()> {
        let outside = || io::Error::from(io::ErrorKind::InvalidInput);
        match operation {
            Operation::Read { sector, offset, count } => {
                let bytes = self.buffer.get_mut(..count as usize * SECTOR).ok_or_else(outside)?;
                self.file.read_exact_at(bytes, sector * SECTOR as u64)?;
                self.data.write(offset as usize, bytes).ok_or_else(outside)
            }
            Operation::Write { sector, offset, count } => {
                let bytes = self.buffer.get_mut(..count as usize * SECTOR).ok_or_else(outside)?;
                self.data.read(offset as usize, bytes).ok_or_else(outside)?;
                self.file.write_all_at(bytes, sector * SECTOR as u64)
            }
            Operation::Flush => self.file.sync_data(),
        }
    }
}

impl BlockDevice for Disk {
    fn capacity(&self) -> u64 {
        self.sectors
    }

    fn read_only(&self) -> bool {
        false
    }

    fn ack_interrupt(&mut self) {}

    fn room(&self) -> usize {
        QUEUE - self.ended.len()
    }

    fn submit(&mut self, token: u16, operation: Operation) {
        let done = self.run(operation);
        if let Err(e) = &done {
            eprintln!("the disk failed ({operation:?}): {e}");
        }
        self.ended.push_back((token, done.is_ok()));
    }

    fn poll(&mut self) -> Option<(u16, bool)> {
        self.ended.pop_front()
    }

    fn ready(&self) -> bool {
        !self.ended.is_empty()
    }

    fn kick(&mut self) {}

    fn set_interrupt(&mut self, _: bool) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use strait_ring::memory::leak_for_tests;

    #[test]
    fn sectors_come_and_go() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 3 * SECTOR + 100], 0).unwrap();
        let data = leak_for_tests(4096);
        let mut disk = Disk::new(file.try_clone().unwrap(), data).unwrap();
        assert_eq!(disk.capacity(), 3);
        disk.submit(0, Operation::Read { sector: 1, offset: 512, count: 2 });
        let mut bytes = [0; 2048];
        data.read(0, &mut bytes).unwrap();
        assert_eq!((bytes[511], bytes[512], bytes[1535], bytes[1536]), (0, 7, 7, 0));
        data.write(512, &[8; 512]).unwrap();
        disk.submit(1, Operation::Write { sector: 2, offset: 512, count: 1 });
        disk.submit(2, Operation::Flush);
        // Behind the end: the driver lets none through.
        disk.submit(3, Operation::Read { sector: 3, offset: 0, count: 1 });
        let ends: Vec<_> = std::iter::from_fn(|| disk.poll()).collect();
        assert_eq!(ends, [(0, true), (1, true), (2, true), (3, false)]);
        let mut back = [0; 2];
        file.read_exact_at(&mut back, 1023).unwrap();
        assert_eq!(back, [7, 8]);
    }
}
