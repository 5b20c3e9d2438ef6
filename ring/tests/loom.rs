//! Every interleaving of both ends of each ring, by loom, with the reorderings
//! that the C11 memory model allows (all but load buffering).
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p strait-ring --test loom
//! ```
//!
//! A sleep that nobody ends is a deadlock, which loom reports: so no wake-up is
//! lost. Payload bytes are tracked cells (see `memory_model.rs`): so nothing is
//! read before it was published, nor overwritten while it may be read.
//!
//! That the models can fail was tried: each of these mistakes, alone, makes
//! the test named fail (or abort).
//!
//! | mistake | found by |
//! |---|---|
//! | `Signal`: no fence in `raise`, or none in `arm` | `bitmap_and_signal` |
//! | `Bitmap`: words set, or taken, with `Relaxed`; the summary set before the word | `bitmap_and_signal` |
//! | `net_queue`: tail stored, or loaded, with `Relaxed` | `net_queue_*` |
//! | `net_queue`: head stored, or loaded, with `Relaxed` | `net_queue_that_is_full` |
//! | `bytes`: tail stored, or loaded, with `Relaxed` | `log_ring` |
//! | `bytes`: head stored, or loaded, with `Relaxed` | `log_ring` |
//! | `paged`: `rx_tail` or `rx_head` stored, or loaded, with `Relaxed` | `paged_to_client` |
//! | `paged`: `tx_tail` or `tx_limit` stored, or loaded, with `Relaxed` | `paged_to_server` |
//! | `paged`: pages that were revoked freed before the client answered | `paged_room_comes_back` |
//!
//! One is beyond loom: `Relaxed` on the bitmap's summary passes, because loom
//! does not reorder read-modify-writes of one thread.
#![cfg(loom)]

use loom::{
    sync::{Arc, Notify, atomic::AtomicU32, atomic::AtomicU64, atomic::Ordering as Order},
    thread,
};
use strait_ring::{
    PAGE, SharedMemory,
    arena::Arena,
    bitmap::Bitmap,
    bytes,
    memory::leak_for_tests,
    net_queue::{Consumer, Descriptor, Producer, queue_bytes},
    paged::{ClientConsumer, ClientProducer, ServerConsumer, ServerProducer, Slot},
    signal::Signal,
};

fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // More switches than any known mistake needs.
    builder.preemption_bound = Some(2);
    builder.check(f);
}

/// The consumer sees each descriptor whole, in order, and never sleeps while
/// there is one.
fn net_queue(capacity: u16, count: u64) {
    let memory = leak_for_tests(queue_bytes(capacity));
    let (mut producer, mut consumer) =
        (Producer::new(memory, capacity).unwrap(), Consumer::new(memory, capacity).unwrap());
    let (work, room) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (wake, freed) = (work.clone(), room.clone());
    let other = thread::spawn(move || {
        for n in 0..count {
            while !producer.put(Descriptor::new(n, n as u16 + 7)).unwrap() {
                freed.wait();
            }
            if producer.publish() {
                wake.notify();
            }
        }
    });
    let mut next = 0;
    while next < count {
        while let Some(descriptor) = consumer.take().unwrap() {
            assert_eq!(descriptor, Descriptor::new(next, next as u16 + 7));
            next += 1;
        }
        consumer.release();
        room.notify();
        if next == count {
            break;
        }
        consumer.request_signal();
        if consumer.available().unwrap() == 0 {
            work.wait();
        }
        consumer.cancel_signal();
    }
    other.join().unwrap();
}

#[test]
fn net_queue_with_room() {
    model(|| net_queue(2, 2));
}

#[test]
fn net_queue_that_is_full() {
    model(|| net_queue(1, 3));
}

/// A rung doorbell is found, together with what it stands for.
#[test]
fn bitmap_and_signal() {
    model(|| {
        let memory = leak_for_tests(1024);
        let summary: &AtomicU64 = memory.cell(0).unwrap();
        let words: &[AtomicU64; 64] = memory.cell(64).unwrap();
        let flag: &AtomicU32 = memory.cell(800).unwrap();
        let bitmap = Bitmap::new(summary, words);
        let signal = Signal(flag);
        let sleep = Arc::new(Notify::new());
        let wake = sleep.clone();
        let other = thread::spawn(move || {
            for (i, index) in [1usize, 2, 65].into_iter().enumerate() {
                memory.write(900 + i, &[index as u8]).unwrap();
                bitmap.set(index);
                if signal.raise() {
                    wake.notify();
                }
            }
        });
        let mut seen = Vec::new();
        while seen.len() < 3 {
            bitmap.take(|index| {
                let place = [1, 2, 65].iter().position(|i| *i == index).unwrap();
                let mut byte = [0];
                memory.read(900 + place, &mut byte).unwrap();
                assert_eq!(usize::from(byte[0]), index);
                seen.push(index);
            });
            if seen.len() == 3 {
                break;
            }
            signal.arm();
            if !bitmap.any() {
                sleep.wait();
            }
            signal.disarm();
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 65]);
        other.join().unwrap();
    });
}

/// A log is read as it was written, and its reader is woken.
#[test]
fn log_ring() {
    model(|| {
        let memory = leak_for_tests(64 + 8);
        let (mut writer, mut reader) = (bytes::Writer::new(memory).unwrap(), bytes::Reader::new(memory).unwrap());
        let sleep = Arc::new(Notify::new());
        let wake = sleep.clone();
        let other = thread::spawn(move || {
            for piece in [b"abc", b"def", b"ghi"] {
                if writer.write(piece) {
                    wake.notify();
                }
            }
        });
        let mut got = Vec::new();
        let mut buffer = [0; 4];
        while got.len() < 6 {
            let n = reader.read(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..n]);
            if n > 0 {
                continue;
            }
            reader.request_signal();
            match reader.read(&mut buffer).unwrap() {
                0 => sleep.wait(),
                n => got.extend_from_slice(&buffer[..n]),
            }
            reader.cancel_signal();
        }
        other.join().unwrap();
        // The third piece has room only if some was read before; then it lies
        // where bytes lay that were read.
        while let n @ 1.. = reader.read(&mut buffer).unwrap() {
            got.extend_from_slice(&buffer[..n]);
        }
        let all = b"abcdefghi";
        assert_eq!(got, all[..if reader.lost() == 0 { 9 } else { 6 }]);
    });
}

fn session() -> (SharedMemory, &'static Slot, Arena) {
    // Page 0 is not handed out; two pages must serve for more than two.
    let memory = leak_for_tests(3 * PAGE);
    (memory, memory.cell(1 << 20).unwrap(), Arena::new(1, 3))
}

const TEXT: [u8; 20] = *b"0123456789abcdefghij";
/// As much as takes a page for the second time.
const SHORT: [u8; 17] = *b"0123456789abcdefg";

/// Server to client, through more pages than there are: no page is filled anew
/// while the client may read it.
#[test]
fn paged_to_client() {
    model(|| {
        let (memory, slot, mut arena) = session();
        let (mut server, mut client) = (ServerProducer::new(memory, slot), ClientConsumer::new(memory, slot));
        let (data, space) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (wake, freed) = (data.clone(), space.clone());
        let other = thread::spawn(move || {
            let mut sent = 0;
            while sent < SHORT.len() {
                server.reclaim(&mut arena).unwrap();
                let end = (sent + 8).min(SHORT.len());
                let n = server.push(&mut arena, 16, &SHORT[sent..end]);
                server.publish();
                sent += n;
                if n > 0 { wake.notify() } else { freed.wait() }
            }
        });
        let mut got = Vec::new();
        while got.len() < SHORT.len() {
            let n = client.available() as usize;
            let mut piece = vec![0; n];
            client.copy(0, &mut piece).unwrap();
            client.consume(n as u32);
            got.extend_from_slice(&piece);
            if n > 0 { space.notify() } else { data.wait() }
        }
        assert_eq!(got, SHORT);
        other.join().unwrap();
    });
}

/// Client to server, by grants.
#[test]
fn paged_to_server() {
    model(|| {
        let (memory, slot, mut arena) = session();
        let (mut server, mut client) = (ServerConsumer::new(memory, slot), ClientProducer::new(memory, slot));
        let (data, space) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (wake, granted) = (data.clone(), space.clone());
        let other = thread::spawn(move || {
            let mut sent = 0;
            while sent < TEXT.len() {
                let n = (client.room() as usize).min(TEXT.len() - sent).min(7);
                if n == 0 {
                    granted.wait();
                    continue;
                }
                client.stage(0, &TEXT[sent..sent + n]).unwrap();
                client.commit(n as u32);
                sent += n;
                wake.notify();
            }
        });
        let mut got = Vec::new();
        server.grant(16, &mut arena);
        space.notify();
        while got.len() < TEXT.len() {
            let n = server.available().unwrap();
            if n == 0 {
                data.wait();
                continue;
            }
            let mut piece = vec![0; n as usize];
            server.copy(0, &mut piece).unwrap();
            server.consume(n, &mut arena);
            got.extend_from_slice(&piece);
            server.grant(16, &mut arena);
            space.notify();
        }
        assert_eq!(got, TEXT);
        other.join().unwrap();
    });
}

/// Room that was granted comes back, also from the middle of a write, and its
/// page is used for something else at once.
#[test]
fn paged_room_comes_back() {
    model(|| {
        // Page 0 is not handed out.
        let memory = leak_for_tests(3 * PAGE);
        let slot: &'static Slot = memory.cell(1 << 20).unwrap();
        let mut arena = Arena::new(1, 3);
        let (mut server, mut client) = (ServerConsumer::new(memory, slot), ClientProducer::new(memory, slot));
        let mut other = ServerProducer::new(memory, slot);
        server.grant(2 * PAGE as u32, &mut arena);
        let writer = thread::spawn(move || {
            let mut sent = 0;
            // Each write looks at the status first.
            for _ in 0..2 {
                if slot.status.load(Order::Acquire) != 0 {
                    client.yield_room();
                }
                let n = (client.room() as usize).min(PAGE + 2);
                client.stage(0, &TEXT[sent..sent + n]).unwrap();
                client.commit(n as u32);
                sent += n;
            }
            sent
        });
        let revoked = server.revoke().unwrap();
        if revoked {
            slot.status.store(1, Order::Release);
        }
        // One look is enough for the model: it tries every moment of it.
        if server.take_back(&mut arena).unwrap() && arena.used() < 2 {
            other.push(&mut arena, PAGE as u32, b"mine");
        }
        let sent = writer.join().unwrap();
        let n = server.available().unwrap() as usize;
        assert_eq!(n, sent);
        let mut got = vec![0; n];
        server.copy(0, &mut got).unwrap();
        assert_eq!(got, &TEXT[..n]);
    });
}
