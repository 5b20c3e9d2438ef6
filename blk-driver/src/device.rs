//! What the driver asks of a disk.

/// Requests that the driver has under way at most. Tokens are below it.
pub const MAX_REQUESTS: usize = 64;

/// What a disk is to do. Sectors are on the disk, and `offset` and the bytes
/// from there on in the data region; the driver has checked both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// From the disk into the data region.
    Read {
        /// First sector.
        sector: u64,
        /// Where in the data region.
        offset: u32,
        /// How many sectors, at least 1.
        count: u32,
    },
    /// From the data region onto the disk.
    Write {
        /// First sector.
        sector: u64,
        /// Where in the data region.
        offset: u32,
        /// How many sectors, at least 1.
        count: u32,
    },
    /// All that was written and answered before onto what survives a loss of
    /// power.
    Flush,
}

/// A disk. The caller uses a token at most once until it comes back.
///
/// An implementation never returns a token that it was not given, whatever the
/// hardware claims.
pub trait BlockDevice {
    /// Its size in sectors.
    fn capacity(&self) -> u64;

    /// Whether it cannot be written.
    fn read_only(&self) -> bool;

    /// Clears the reason of the interrupt. Comes before [`poll`](Self::poll),
    /// so that what happens meanwhile raises it anew.
    fn ack_interrupt(&mut self);

    /// Whether it broke its protocol, so that nothing comes back from it any
    /// more.
    fn broken(&self) -> bool {
        false
    }

    /// Operations that may be submitted now.
    fn room(&self) -> usize;

    /// Begins an operation. Only with [`room`](Self::room).
    fn submit(&mut self, token: u16, operation: Operation);

    /// Takes the end of an operation: its token, and whether it succeeded.
    fn poll(&mut self) -> Option<(u16, bool)>;

    /// Whether [`poll`](Self::poll) has something.
    fn ready(&self) -> bool;

    /// Tells the device about what was submitted. Once for each batch.
    fn kick(&mut self);

    /// Whether ends raise the interrupt. After enabling look once more.
    fn set_interrupt(&mut self, enabled: bool);
}
