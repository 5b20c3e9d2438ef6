//! The server's side of the link to `eth_driver`, as small as can be.

use strait_abi::{eth, log::Logger};
use strait_pd::{Environment, Message};
use strait_ring::SharedMemory;
use strait_ring::net_queue::{BUFFER_SIZE, Consumer, Descriptor, Producer, capacity_for};

/// Frames sent; the transmit buffers come round several times.
const ROUNDS: u64 = 300;
/// Transmit buffers in use.
const TX_BUFFERS: u64 = 8;

fn attach<Q>(env: &Environment, name: &str, new: impl Fn(SharedMemory, u16) -> Option<Q>) -> Option<Q> {
    let region = env.region(name).ok()?;
    new(SharedMemory::attach(region), capacity_for(region.size())?)
}

/// Asks the gateway for its address again and again; whether it always
/// answered. Descriptors that make no sense go along and must do no harm.
pub fn exchange(env: &Environment, log: &Logger) -> bool {
    run(env, log).unwrap_or(false)
}

fn run(env: &Environment, log: &Logger) -> Option<bool> {
    let driver = env.channel("eth_driver").ok()?;
    let mut rx_free = attach(env, "eth_rx_free", Producer::new)?;
    let mut rx_active = attach(env, "eth_rx_active", Consumer::new)?;
    let mut tx_active = attach(env, "eth_tx_active", Producer::new)?;
    let mut tx_free = attach(env, "eth_tx_free", Consumer::new)?;
    let rx_data = SharedMemory::attach(env.region("eth_rx_data").ok()?);
    let tx_data = SharedMemory::attach(env.region("eth_tx_data").ok()?);

    let mut message = Message::new(eth::GET_LINK);
    env.pd.call(driver, &mut message);
    let mac = message.words().first()?.to_le_bytes();
    log.line(format_args!("mac {:02x?}, link {}, mtu {}", &mac[..6], message.words().get(1)?, message.words().get(2)?));

    for offset in [1, u64::MAX, rx_data.len() as u64, 0, 0] {
        rx_free.put(Descriptor::new(offset, 0)).ok()?;
    }
    for slot in 1..64 {
        rx_free.put(Descriptor::new(slot * BUFFER_SIZE as u64, 0)).ok()?;
    }
    if rx_free.publish() {
        env.pd.notify(driver);
    }
    let mut free: alloc::vec::Vec<u64> = (0..TX_BUFFERS).map(|n| n * BUFFER_SIZE as u64).collect();
    let mut answers = 0;
    for round in 0..ROUNDS {
        let offset = free.pop()?;
        tx_data.write(offset as usize, &request(&mac))?;
        if round == 5 {
            for bad in [Descriptor::new(7, 60), Descriptor::new(u64::MAX - 2047, 60)] {
                tx_active.put(bad).ok()?;
            }
        }
        tx_active.put(Descriptor::new(offset, 60)).ok()?;
        if tx_active.publish() {
            env.pd.notify(driver);
        }
        while let Some(d) = tx_free.take().ok()? {
            free.push(d.offset);
        }
        tx_free.release();
        let mut got = false;
        while !got || free.is_empty() {
            while let Some(d) = rx_active.take().ok()? {
                let mut frame = [0; 42];
                rx_data.read(d.offset as usize, &mut frame)?;
                // An ARP reply from 10.0.2.2.
                got |= frame[12..14] == [8, 6] && frame[20..22] == [0, 2] && frame[28..32] == [10, 0, 2, 2];
                rx_free.put(Descriptor::new(d.offset, 0)).ok()?;
            }
            rx_active.release();
            if rx_free.publish() {
                env.pd.notify(driver);
            }
            while let Some(d) = tx_free.take().ok()? {
                free.push(d.offset);
            }
            tx_free.release();
            rx_active.request_signal();
            if free.is_empty() {
                tx_free.request_signal();
            }
            let waiting = rx_active.available().ok()? == 0 && (!free.is_empty() || tx_free.available().ok()? == 0);
            if (!got || free.is_empty()) && waiting {
                env.pd.wait();
            }
        }
        answers += 1;
    }
    let mut message = Message::new(eth::GET_COUNTERS);
    env.pd.call(driver, &mut message);
    log.line(format_args!("{answers} answers; driver's counters {:?}", message.words()));
    // Six refused above: three receive offsets and one twice, two to send.
    Some(answers == ROUNDS && message.words().get(3) == Some(&6))
}

/// Who has 10.0.2.2? Tell 10.0.2.15.
fn request(mac: &[u8; 8]) -> [u8; 60] {
    let mut f = [0; 60];
    f[..6].fill(0xff);
    f[6..12].copy_from_slice(&mac[..6]);
    f[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    f[22..28].copy_from_slice(&mac[..6]);
    f[28..32].copy_from_slice(&[10, 0, 2, 15]);
    f[38..42].copy_from_slice(&[10, 0, 2, 2]);
    f
}
