//! What the driver asks of a network device.

/// Longest frame, without its check sequence: an Ethernet header with one
/// VLAN tag and 1,500 bytes.
pub const MAX_FRAME: u16 = 1518;

/// Most bytes that a frame may carry behind its Ethernet header.
pub const MTU: u16 = 1500;

/// A frame that the device has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The buffer it is in.
    pub slot: u16,
    /// Its length; 0 if what the device said made no sense and the buffer
    /// holds nothing.
    pub len: u16,
}

/// A network device. Buffers are named by their number in the data region of
/// their direction; the caller passes a buffer at most once until the device
/// has returned it, and only numbers inside the region.
///
/// An implementation never returns a buffer that it was not given, whatever
/// the hardware claims.
pub trait NetDevice {
    /// The station's address.
    fn mac(&self) -> [u8; 6];

    /// Whether there is a carrier.
    fn link_up(&self) -> bool;

    /// Clears the reason of the interrupt. Comes before the queues are looked
    /// at, so that what happens meanwhile raises it anew. Returns whether the
    /// device itself changed, which is its carrier.
    fn ack_interrupt(&mut self) -> bool;

    /// Receive buffers that may be posted now.
    fn rx_room(&self) -> usize;

    /// Receive buffers that the device has.
    fn rx_posted(&self) -> usize;

    /// Gives an empty buffer to the device. Only with [`rx_room`](Self::rx_room).
    fn post_rx(&mut self, slot: u16);

    /// Takes a received frame.
    fn poll_rx(&mut self) -> Option<Received>;

    /// Whether [`poll_rx`](Self::poll_rx) has something.
    fn rx_ready(&self) -> bool;

    /// Frames that may be submitted now.
    fn tx_room(&self) -> usize;

    /// Gives a frame to the device. Only with [`tx_room`](Self::tx_room).
    fn submit_tx(&mut self, slot: u16, len: u16);

    /// Takes back the buffer of a frame that was sent.
    fn poll_tx(&mut self) -> Option<u16>;

    /// Whether [`poll_tx`](Self::poll_tx) has something.
    fn tx_ready(&self) -> bool;

    /// Frames submitted whose buffers have not come back.
    fn tx_pending(&self) -> usize;

    /// Tells the device about what was posted and submitted since the last
    /// time. Once for each batch: it may cost an exit to a hypervisor.
    fn kick(&mut self, rx: bool, tx: bool);

    /// Whether received frames raise the interrupt. After enabling look at
    /// the queue once more.
    fn set_rx_interrupt(&mut self, enabled: bool);

    /// Whether sent frames raise the interrupt. After enabling look at the
    /// queue once more.
    fn set_tx_interrupt(&mut self, enabled: bool);
}
