use super::*;
use crate::memory::leak_for_tests;
use proptest::prelude::*;
use std::collections::VecDeque;

struct Pair {
    arena: Arena,
    slot: &'static Slot,
    to_client: ServerProducer,
    from_client: ServerConsumer,
    reader: ClientConsumer,
    writer: ClientProducer,
}

fn pair(pages: u16) -> Pair {
    let memory = leak_for_tests((usize::from(pages) + 1) * PAGE);
    let slot: &'static Slot = memory.cell(0).unwrap();
    slot.reset();
    Pair {
        arena: Arena::new(1, pages + 1),
        slot,
        to_client: ServerProducer::new(memory, slot),
        from_client: ServerConsumer::new(memory, slot),
        reader: ClientConsumer::new(memory, slot),
        writer: ClientProducer::new(memory, slot),
    }
}

fn pattern(from: u64, n: usize) -> Vec<u8> {
    (from..from + n as u64).map(|i| (i * 7 % 251) as u8).collect()
}

#[test]
fn idle_rings_own_no_pages() {
    let mut p = pair(80);
    assert_eq!(p.to_client.push(&mut p.arena, RING_BYTES, &pattern(0, 200_000)), 200_000);
    p.to_client.publish();
    assert_eq!(p.arena.used(), 49);
    let mut b = vec![0; 200_000];
    assert_eq!(p.reader.available(), 200_000);
    p.reader.copy(0, &mut b).unwrap();
    assert_eq!(b, pattern(0, 200_000));
    p.reader.consume(200_000);
    p.to_client.reclaim(&mut p.arena).unwrap();
    assert_eq!(p.arena.used(), 0);
    // The window goes on in the middle of a page.
    assert_eq!(p.to_client.push(&mut p.arena, RING_BYTES, b"x"), 1);
    assert_eq!(p.arena.used(), 1);
}

#[test]
fn an_empty_arena_limits_both_directions() {
    let mut p = pair(2);
    assert_eq!(p.to_client.push(&mut p.arena, RING_BYTES, &[1; 10_000]), 8192);
    assert!(!p.from_client.grant(4096, &mut p.arena));
    assert_eq!(p.writer.room(), 0);
    p.to_client.publish();
    p.reader.consume(8192);
    p.to_client.reclaim(&mut p.arena).unwrap();
    assert!(p.from_client.grant(10_000, &mut p.arena));
    assert_eq!(p.writer.room(), 8192);
}

#[test]
fn a_client_that_lies_is_found_out() {
    let mut p = pair(8);
    p.from_client.grant(4096, &mut p.arena);
    p.slot.tx_tail.store(4097, Ordering::Relaxed);
    assert_eq!(p.from_client.available(), Err(Misbehaved));
    p.slot.tx_tail.store(100, Ordering::Relaxed);
    assert_eq!(p.from_client.available(), Ok(100));
    p.slot.tx_tail.store(99, Ordering::Relaxed);
    assert_eq!(p.from_client.available(), Err(Misbehaved));
    p.to_client.push(&mut p.arena, RING_BYTES, &[0; 10]);
    p.slot.rx_head.store(11, Ordering::Relaxed);
    assert_eq!(p.to_client.reclaim(&mut p.arena), Err(Misbehaved));
    p.to_client.close(&mut p.arena);
    p.from_client.close(&mut p.arena);
    assert_eq!(p.arena.used(), 0);
}

#[test]
fn records_come_whole_or_not_at_all() {
    let mut p = pair(1);
    assert!(p.to_client.push_record(&mut p.arena, 4096, 4008, &[&[1; 8], &[2; 4000]]));
    assert!(!p.to_client.push_record(&mut p.arena, 4096, 4008, &[&[1; 8], &[2; 4000]]));
    assert!(!p.to_client.push_record(&mut p.arena, RING_BYTES, 4008, &[&[1; 8], &[2; 4000]]), "no second page");
    assert_eq!(p.to_client.used(), 4008);
    // Two pages are there, three would be needed: none is taken.
    let mut p = pair(2);
    assert!(!p.to_client.push_record(&mut p.arena, RING_BYTES, 9000, &[&[1; 9000]]));
    assert_eq!((p.arena.used(), p.arena.take_short()), (0, true));
    assert!(p.to_client.push_record(&mut p.arena, RING_BYTES, 8192, &[&[1; 8192]]));
    // Not more pages than a ring has, wherever it begins.
    let mut p = pair(100);
    assert!(p.to_client.push_record(&mut p.arena, RING_BYTES, 8, &[&[0; 8]]));
    p.to_client.publish();
    p.reader.consume(8);
    p.to_client.reclaim(&mut p.arena).unwrap();
    assert!(!p.to_client.push_record(&mut p.arena, RING_BYTES, RING_BYTES as usize, &[]));
    assert_eq!(p.arena.used(), 0);
}

fn run(ops: Vec<(u8, u32)>, start: u32) -> Result<(), TestCaseError> {
    let mut p = pair(70);
    // Begin anywhere in the position space, also shortly before it wraps.
    let memory = p.reader.memory;
    p.to_client = ServerProducer::resumed(memory, p.slot, start);
    p.from_client = ServerConsumer::resumed(memory, p.slot, start);
    p.reader = ClientConsumer::new(memory, p.slot);
    p.writer = ClientProducer::new(memory, p.slot);
    let (mut down, mut up) = (VecDeque::new(), VecDeque::new());
    let (mut sent_down, mut sent_up) = (0u64, 0u64);
    for (op, n) in ops {
        match op {
            0 => {
                let bytes = pattern(sent_down, n as usize);
                let k = p.to_client.push(&mut p.arena, RING_BYTES, &bytes);
                p.to_client.publish();
                down.extend(&bytes[..k]);
                sent_down += k as u64;
            }
            1 => {
                let k = p.reader.available().min(n);
                let mut b = vec![0; k as usize];
                p.reader.copy(0, &mut b).unwrap();
                p.reader.consume(k);
                prop_assert_eq!(b, down.drain(..k as usize).collect::<Vec<u8>>());
            }
            2 => p.to_client.reclaim(&mut p.arena).unwrap(),
            3 => {
                p.from_client.grant(n, &mut p.arena);
            }
            4 => {
                let k = p.writer.room().min(n);
                let bytes = pattern(sent_up, k as usize);
                p.writer.stage(0, &bytes).unwrap();
                p.writer.commit(k);
                up.extend(&bytes);
                sent_up += u64::from(k);
            }
            _ => {
                let k = p.from_client.available().unwrap().min(n);
                let mut b = vec![0; k as usize];
                p.from_client.copy(0, &mut b).unwrap();
                p.from_client.consume(k, &mut p.arena);
                prop_assert_eq!(b, up.drain(..k as usize).collect::<Vec<u8>>());
            }
        }
        let pages = p.to_client.pages() + p.from_client.pages();
        prop_assert_eq!(p.arena.used() as u32, pages);
        prop_assert!(p.to_client.pages() <= p.to_client.used().div_ceil(PAGE as u32) + 1);
    }
    p.to_client.close(&mut p.arena);
    p.from_client.close(&mut p.arena);
    prop_assert_eq!(p.arena.used(), 0);
    Ok(())
}

/// Miri takes a thousand times as long.
const OPERATIONS: usize = if cfg!(miri) { 12 } else { 200 };
const MOST: u32 = if cfg!(miri) { 5_000 } else { 100_000 };

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        ops in proptest::collection::vec((0u8..6, 0u32..MOST), 0..OPERATIONS),
        start in prop_oneof![Just(0u32), Just(u32::MAX - 5000), any::<u32>()],
    ) {
        run(ops, start)?;
    }

    #[test]
    fn no_index_of_the_client_is_fatal(ops in proptest::collection::vec((0u8..4, any::<u32>(), any::<u32>()), 0..OPERATIONS)) {
        let mut p = pair(20);
        for (op, a, b) in ops {
            match op {
                0 => { p.slot.rx_head.store(a, Ordering::Relaxed); let _ = p.to_client.reclaim(&mut p.arena); }
                1 => { p.slot.tx_tail.store(a, Ordering::Relaxed); let _ = p.from_client.available(); }
                2 => { p.to_client.push(&mut p.arena, a, &[7; 5000]); p.to_client.publish(); }
                _ => {
                    p.from_client.grant(a, &mut p.arena);
                    let mut x = [0; 64];
                    let _ = p.from_client.copy(b, &mut x);
                    p.from_client.consume(a % 9000, &mut p.arena);
                }
            }
        }
        p.to_client.close(&mut p.arena);
        p.from_client.close(&mut p.arena);
        prop_assert_eq!(p.arena.used(), 0);
    }
}

#[test]
fn room_comes_back_when_the_client_says_so() {
    let mut p = pair(80);
    p.from_client.grant(100_000, &mut p.arena);
    assert_eq!(p.arena.used(), 25);
    p.writer.stage(0, &pattern(0, 5000)).unwrap();
    p.writer.commit(5000);
    assert!(p.from_client.revoke().unwrap());
    assert!(!p.from_client.revoke().unwrap());
    // Nothing is free before the client has answered.
    assert!(!p.from_client.take_back(&mut p.arena).unwrap());
    assert!(!p.from_client.grant(200_000, &mut p.arena));
    assert_eq!(p.arena.used(), 25);
    // A write that was begun before goes on.
    p.writer.stage(0, &pattern(5000, 20_000)).unwrap();
    p.writer.commit(20_000);
    assert_eq!(p.writer.room(), 0);
    assert!(p.writer.yield_room());
    assert!(!p.writer.yield_room());
    assert!(p.from_client.take_back(&mut p.arena).unwrap());
    assert_eq!((p.arena.used(), p.writer.room()), (7, 7 * 4096 - 25_000));
    let mut b = vec![0; 25_000];
    assert_eq!(p.from_client.available(), Ok(25_000));
    p.from_client.copy(0, &mut b).unwrap();
    assert_eq!(b, pattern(0, 25_000));
    p.from_client.consume(25_000, &mut p.arena);
    assert_eq!(p.arena.used(), 1);
    assert!(!p.from_client.revoke().unwrap());
    assert!(p.from_client.grant(8192, &mut p.arena));
    assert_eq!(p.arena.used(), 3);
    p.from_client.close(&mut p.arena);
    assert_eq!(p.arena.used(), 0);
}

#[test]
fn rings_move_to_another_session_with_what_is_in_them() {
    let (mut p, mut q) = (pair(80), pair(80));
    assert_eq!(p.to_client.push(&mut p.arena, RING_BYTES, &pattern(0, 70_000)), 70_000);
    p.to_client.publish();
    p.from_client.grant(20_000, &mut p.arena);
    p.writer.stage(0, &pattern(7, 9000)).unwrap();
    p.writer.commit(9000);
    p.reader.consume(10_000);
    p.to_client.reclaim(&mut p.arena).unwrap();
    p.from_client.available().unwrap();
    q.slot.reset();
    let memory = q.to_client.memory;
    let mut to_client = p.to_client.moved(memory, q.slot, &mut q.arena).unwrap();
    let mut from_client = p.from_client.moved(memory, q.slot, &mut q.arena).unwrap();
    p.to_client.close(&mut p.arena);
    p.from_client.close(&mut p.arena);
    assert_eq!((p.arena.used(), q.arena.used()), (0, 16 + 3));
    let (mut reader, mut writer) = (ClientConsumer::new(memory, q.slot), ClientProducer::new(memory, q.slot));
    to_client.push(&mut q.arena, RING_BYTES, b"more");
    to_client.publish();
    let mut b = vec![0; 60_004];
    assert_eq!(reader.available(), 60_004);
    reader.copy(0, &mut b).unwrap();
    assert_eq!((&b[..60_000], &b[60_000..]), (&pattern(10_000, 60_000)[..], &b"more"[..]));
    reader.consume(60_004);
    assert_eq!(writer.room(), 3 * 4096 - 9000);
    writer.stage(0, b"and this").unwrap();
    writer.commit(8);
    assert_eq!(from_client.available(), Ok(9008));
    let mut b = vec![0; 9008];
    from_client.copy(0, &mut b).unwrap();
    assert_eq!((&b[..9000], &b[9000..]), (&pattern(7, 9000)[..], &b"and this"[..]));
    from_client.consume(9008, &mut q.arena);
    to_client.reclaim(&mut q.arena).unwrap();
    // There are not always enough pages.
    let mut small = pair(2);
    to_client.push(&mut q.arena, RING_BYTES, &pattern(0, 9000));
    assert!(to_client.moved(small.to_client.memory, small.slot, &mut small.arena).is_none());
    assert_eq!(small.arena.used(), 0);
}

proptest! {
    #[test]
    fn bytes_go_from_ring_to_ring(
        // Miri takes its time for each byte.
        sizes in proptest::collection::vec((1usize..9000, 1usize..9000), 1..if cfg!(miri) { 3 } else { 30 }),
        start in 0usize..9000,
    ) {
        let (mut p, mut q) = (pair(80), pair(80));
        // Not at the same place in their pages.
        p.from_client.grant(100_000, &mut p.arena);
        q.to_client.push(&mut q.arena, RING_BYTES, &vec![0; start]);
        q.to_client.publish();
        q.reader.consume(start as u32);
        let (mut written, mut read) = (0u64, 0u64);
        for (n, m) in sizes {
            let n = n.min(p.writer.room() as usize);
            p.writer.stage(0, &pattern(written, n)).unwrap();
            p.writer.commit(n as u32);
            written += n as u64;
            let available = p.from_client.available().unwrap() as usize;
            q.to_client.reclaim(&mut q.arena).unwrap();
            let moved = q.to_client.push_ring(&mut q.arena, 50_000, &p.from_client, available.min(m));
            p.from_client.consume(moved as u32, &mut p.arena);
            p.from_client.grant(100_000, &mut p.arena);
            q.to_client.publish();
            let got = q.reader.available() as usize;
            let mut b = vec![0; got];
            q.reader.copy(0, &mut b).unwrap();
            prop_assert_eq!(&b, &pattern(read, got));
            q.reader.consume(got as u32);
            read += got as u64;
        }
    }
}
