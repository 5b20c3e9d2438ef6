//! The cache as the crate's disk.

use hadris_io::{Error, ErrorType};
use hadris_storage::{BlockIndex, BlockSize, sync::BlockDevice};
use strait_abi::blk::SECTOR;

use crate::disk::cache::{Cache, Trouble};

const BLOCK: BlockSize = match BlockSize::new(SECTOR as u32) {
    Some(size) => size,
    None => panic!("not 0"),
};

/// The cache during one step of an operation.
pub struct View<'a>(pub &'a mut Cache);

impl ErrorType for View<'_> {
    type Error = Trouble;
}

fn error(trouble: Trouble) -> Error<Trouble> {
    Error::device(trouble, "the cache")
}

impl BlockDevice for View<'_> {
    fn block_size(&self) -> BlockSize {
        BLOCK
    }

    fn block_count(&self) -> u64 {
        self.0.capacity()
    }

    fn writable(&self) -> bool {
        !self.0.read_only()
    }

    fn read_blocks(&mut self, first: BlockIndex, buf: &mut [u8]) -> Result<(), Error<Trouble>> {
        self.0.read(first.get(), buf).map_err(error)
    }

    fn write_blocks(&mut self, first: BlockIndex, buf: &[u8]) -> Result<(), Error<Trouble>> {
        self.0.write(first.get(), buf).map_err(error)
    }

    /// The cache decides when.
    fn flush(&mut self) -> Result<(), Error<Trouble>> {
        Ok(())
    }
}
