//! Reading files along their chains of clusters.
//!
//! The crate begins at a file's first cluster whenever the volume is opened, and
//! that is for each step: who read a file in pieces would pay for it by the square
//! of its size. So the way through a file that is open is remembered here, also how
//! far an operation got that has to be run again.

use alloc::vec::Vec;

use hadris_fs::Extent;
use strait_abi::{Errno, blk::SECTOR};

use super::{Fat, Node, trouble};
use crate::{
    disk::{
        NOT_READY,
        epoch::{Layout, Width},
    },
    file_system::Window,
};

/// Sectors of the FAT that one run of an operation reads.
const MAX_SECTORS: u32 = 1024;

/// A cluster of a file.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// The file's first cluster, by which it is seen that it is another chain.
    first: u32,
    /// How many clusters are before it.
    index: u32,
    cluster: u32,
}

/// A sector of the FAT at hand.
struct Table {
    number: u64,
    bytes: [u8; SECTOR],
    /// How many were read.
    read: u32,
}

impl Fat {
    /// Reads from a file.
    pub(super) fn read_file(&mut self, node: Node, offset: u64, into: Window) -> Result<usize, Errno> {
        let id = self.id(node)?;
        let mut record = [Extent::new(0, 0)];
        let metadata = self.with(|volume| {
            let metadata = volume.stat(id)?;
            volume.records(id, &mut record)?;
            Ok(metadata)
        })?;
        if metadata.file_type().is_dir() {
            return Err(Errno::EISDIR);
        }
        let Some(layout) = self.layout else { return Err(Errno::EIO) };
        let entry = self.read_entry(record[0].offset())?;
        let total = metadata.len().saturating_sub(offset).min(into.len() as u64) as usize;
        let word = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
        let first = word(26) | if layout.width == Width::Bits32 { word(20) << 16 } else { 0 };
        let mut at = self.positions.get(&node).copied().filter(|p| p.first == first);
        let mut table = Table { number: u64::MAX, bytes: [0; SECTOR], read: 0 };
        let mut done = 0;
        while done < total {
            let here = offset + done as u64;
            let index = u32::try_from(here / layout.cluster).map_err(|_| Errno::EIO)?;
            let begin = at.filter(|p| p.index <= index).unwrap_or(Position { first, index: 0, cluster: first });
            let mut position = begin;
            let result = self.walk(&layout, &mut table, &mut position, index);
            self.positions.insert(node, position);
            result?;
            // As far as clusters lie one behind the other.
            let within = here % layout.cluster;
            let (start, mut n) = (position.cluster, layout.cluster - within);
            while n < (total - done) as u64 {
                let mut next = position;
                self.walk(&layout, &mut table, &mut next, position.index + 1)?;
                if next.cluster != position.cluster + 1 {
                    break;
                }
                (position, n) = (next, n + layout.cluster);
            }
            at = Some(position);
            let n = n.min((total - done) as u64) as usize;
            let from = layout.data + u64::from(start - 2) * layout.cluster + within;
            self.read_bytes(from, into, done, n)?;
            done += n;
        }
        if let Some(at) = at {
            self.positions.insert(node, at);
        }
        Ok(total)
    }

    /// Goes on to the cluster number `index` of a file; the position says how far
    /// it got.
    fn walk(&mut self, layout: &Layout, table: &mut Table, position: &mut Position, index: u32) -> Result<(), Errno> {
        // Not a cluster: the file is longer than its chain.
        let check = |cluster: u32| if cluster < 2 { Err(Errno::EIO) } else { Ok(()) };
        check(position.cluster)?;
        while position.index < index {
            let next = self.next_cluster(layout, table, position.cluster)?;
            check(next)?;
            (position.index, position.cluster) = (position.index + 1, next);
            if table.read > MAX_SECTORS {
                self.again = true;
                self.cache.block();
                return Err(NOT_READY);
            }
        }
        Ok(())
    }

    /// The entry of a cluster in the FAT; 0 for an end, and what is no cluster.
    fn next_cluster(&mut self, layout: &Layout, table: &mut Table, cluster: u32) -> Result<u32, Errno> {
        let (at, len) = layout.entry(cluster.into());
        let mut entry = [0; 4];
        for (byte, at) in entry.iter_mut().zip(at..).take(len) {
            let number = at / SECTOR as u64;
            if at >= layout.fat + layout.fat_size {
                return Err(Errno::EIO);
            }
            if table.number != number {
                self.cache.read(number, &mut table.bytes).map_err(trouble)?;
                (table.number, table.read) = (number, table.read + 1);
            }
            *byte = table.bytes[at as usize % SECTOR];
        }
        let (next, end) = match layout.width {
            Width::Bits12 if cluster.is_multiple_of(2) => (u32::from_le_bytes(entry) & 0xfff, 0xff7),
            Width::Bits12 => (u32::from_le_bytes(entry) >> 4 & 0xfff, 0xff7),
            Width::Bits16 => (u32::from_le_bytes(entry), 0xfff7),
            Width::Bits32 => (u32::from_le_bytes(entry) & 0x0fff_ffff, 0x0fff_fff7),
        };
        Ok(if next >= end { 0 } else { next })
    }

    /// Copies bytes of the disk to a client.
    fn read_bytes(&mut self, from: u64, into: Window, at: usize, n: usize) -> Result<(), Errno> {
        let first = from / SECTOR as u64;
        let sectors = (from + n as u64).div_ceil(SECTOR as u64) - first;
        let mut bytes: Vec<u8> = alloc::vec![0; sectors as usize * SECTOR];
        self.cache.read(first, &mut bytes).map_err(trouble)?;
        let skip = from as usize % SECTOR;
        into.write(at, bytes.get(skip..skip + n).ok_or(Errno::EIO)?)
    }
}
