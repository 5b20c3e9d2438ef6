extern crate std;

use super::*;
use crate::disk::fake::{FakeDisk, next_random};
use proptest::prelude::*;
use std::{vec, vec::Vec};

const SECTORS: usize = 200;

fn cache() -> (FakeDisk, Cache) {
    let image: Vec<u8> = (0..SECTORS * SECTOR).map(|i| (i / SECTOR) as u8).collect();
    let disk = FakeDisk::new(image);
    let cache = Cache::new(Box::new(disk.clone()));
    (disk, cache)
}

/// Runs an operation until it is ready.
fn ready<T>(disk: &FakeDisk, cache: &mut Cache, mut operation: impl FnMut(&mut Cache) -> Result<T, Trouble>) -> T {
    for _ in 0..1000 {
        let result = operation(cache);
        cache.finish(result.is_ok());
        match result {
            Ok(value) => return value,
            Err(Trouble::NotReady) => {
                cache.service();
                disk.step();
                cache.service();
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("never ready");
}

fn get(disk: &FakeDisk, cache: &mut Cache, sector: u64) -> u8 {
    ready(disk, cache, |cache| {
        let mut bytes = [0; SECTOR];
        cache.read(sector, &mut bytes).map(|()| bytes[7])
    })
}

fn put(disk: &FakeDisk, cache: &mut Cache, kind: Kind, sector: u64, value: u8) {
    ready(disk, cache, |cache| {
        cache.begin(kind).map_err(|_| Trouble::NotReady)?;
        cache.write(sector, &[value; SECTOR])
    });
}

fn settle(disk: &FakeDisk, cache: &mut Cache) {
    loop {
        cache.service();
        if disk.waiting() == 0 && !cache.arm() {
            return;
        }
        disk.run();
    }
}

#[test]
fn what_is_missing_is_fetched_and_kept() {
    let (disk, mut cache) = cache();
    let mut bytes = vec![0; 3 * SECTOR];
    assert_eq!(cache.read(50, &mut bytes), Err(Trouble::NotReady));
    assert!(cache.blocked());
    cache.finish(false);
    cache.service();
    // A window, at once; asked for twice, fetched once.
    assert_eq!(disk.waiting(), 1);
    assert_eq!(cache.read(51, &mut bytes[..SECTOR]), Err(Trouble::NotReady));
    cache.service();
    assert_eq!(disk.waiting(), 1);
    disk.run();
    assert!(cache.service());
    cache.read(50, &mut bytes).unwrap();
    assert_eq!((bytes[0], bytes[2 * SECTOR]), (50, 52));
    assert_eq!(cache.counters().fetched, 16);
    assert_eq!(cache.read(SECTORS as u64 - 1, &mut bytes), Err(Trouble::Outside));
    assert_eq!(cache.read(u64::MAX, &mut bytes), Err(Trouble::Outside));
}

#[test]
fn an_operation_that_is_not_kept_leaves_nothing() {
    let (disk, mut cache) = cache();
    assert_eq!(cache.write(1, &[9; SECTOR]), Err(Trouble::ReadOnly), "not begun");
    cache.begin(Kind::Grow).unwrap();
    cache.write(1, &[9; SECTOR]).unwrap();
    let mut bytes = [0; SECTOR];
    cache.read(1, &mut bytes).unwrap();
    assert_eq!(bytes[0], 9);
    cache.finish(false);
    assert_eq!(get(&disk, &mut cache, 1), 1);
    cache.begin(Kind::Grow).unwrap();
    assert_eq!(cache.write(0, &vec![9; (SECTORS + 1) * SECTOR]), Err(Trouble::Outside));
    cache.finish(true);
    assert_eq!(cache.sync(), 0);
}

#[test]
fn synced_means_flushed() {
    let (disk, mut cache) = cache();
    put(&disk, &mut cache, Kind::Grow, 3, 77);
    let ticket = cache.sync();
    put(&disk, &mut cache, Kind::Grow, 4, 78);
    let mut waited = 0;
    while cache.synced(ticket) == Err(NOT_READY) {
        assert_eq!(disk.crash(waited)[4 * SECTOR], 4);
        cache.service();
        disk.step();
        cache.service();
        waited += 1;
    }
    assert!(waited >= 2);
    let image = disk.crash(0);
    assert_eq!(image[3 * SECTOR], 77);
    settle(&disk, &mut cache);
    assert_eq!(disk.crash(0)[4 * SECTOR], 78, "written without being asked for");
}

#[test]
fn kinds_do_not_mix() {
    let (disk, mut cache) = cache();
    put(&disk, &mut cache, Kind::Grow, 3, 1);
    cache.service();
    put(&disk, &mut cache, Kind::Grow, 3, 2);
    assert_eq!(cache.begin(Kind::Shrink), Err(NOT_READY));
    cache.finish(false);
    put(&disk, &mut cache, Kind::Shrink, 3, 3);
    assert_eq!(cache.counters().epochs, 2 - 1);
    settle(&disk, &mut cache);
    assert_eq!(disk.crash(0)[3 * SECTOR], 3);
}

#[test]
fn a_disk_that_fails_is_not_written_any_more() {
    let (disk, mut cache) = cache();
    disk.set_failing(true, true);
    let mut bytes = [0; SECTOR];
    assert_eq!(cache.read(9, &mut bytes), Err(Trouble::NotReady));
    cache.finish(false);
    settle(&disk, &mut cache);
    assert_eq!(cache.read(9, &mut bytes), Err(Trouble::Failed));
    // Not for ever.
    disk.set_failing(false, true);
    assert_eq!(get(&disk, &mut cache, 9), 9);
    put(&disk, &mut cache, Kind::Grow, 5, 1);
    let ticket = cache.sync();
    assert_eq!(cache.synced(ticket), Err(NOT_READY));
    settle(&disk, &mut cache);
    assert_eq!(cache.synced(ticket), Err(Errno::EIO));
    assert_eq!(cache.begin(Kind::Grow), Err(Errno::EROFS));
    assert_eq!(get(&disk, &mut cache, 5), 1, "what was changed stays visible");
    disk.set_failing(false, false);
    assert_eq!(cache.begin(Kind::Grow), Err(Errno::EROFS));
}

#[test]
fn one_operation_has_a_limit() {
    let image = vec![0; (MAX_STAGED + 10) * SECTOR];
    let mut cache = Cache::new(Box::new(FakeDisk::new(image)));
    cache.begin(Kind::Grow).unwrap();
    cache.write(0, &vec![1; MAX_STAGED * SECTOR]).unwrap();
    assert_eq!(cache.write(MAX_STAGED as u64, &[1; SECTOR]), Err(Trouble::TooMuch));
}

/// Reads all of a range at once, by an operation of `who` that is run until it
/// is ready, while another reads something else each time.
fn scan(disk: &FakeDisk, cache: &mut Cache, who: usize, sectors: core::ops::Range<u64>) -> Result<usize, Trouble> {
    let mut elsewhere = sectors.end;
    for tries in 1..10_000 {
        cache.start(who);
        let read = |at| {
            let mut bytes = [0; SECTOR];
            cache.read(at, &mut bytes)
        };
        let result = sectors.clone().try_for_each(read);
        cache.finish(result.is_ok());
        match result {
            Ok(()) => return Ok(tries),
            Err(Trouble::NotReady) => {}
            Err(other) => return Err(other),
        }
        cache.start(who + 1);
        for _ in 0..4 {
            elsewhere += 64;
            let _ = cache.read(elsewhere, &mut [0; SECTOR]);
        }
        cache.finish(false);
        settle(disk, cache);
    }
    panic!("never ready");
}

#[test]
fn what_an_operation_needs_is_kept_until_it_is_done() {
    let disk = FakeDisk::new(vec![0; 1_200_000 * SECTOR / 8]);
    let mut cache = Cache::new(Box::new(disk.clone()));
    // As much as it may look at, although others take what they can get.
    let tries = scan(&disk, &mut cache, 3, 0..MAX_USED as u64).unwrap();
    assert!(tries <= MAX_USED / WINDOW as usize + 1, "{tries}");
    assert_eq!(cache.owner, None);
    // More will never be there at once: it is told so, and is in nobody's way.
    assert_eq!(scan(&disk, &mut cache, 3, 0..MAX_USED as u64 + 100), Err(Trouble::TooMuch));
    assert_eq!(cache.owner, None);
    scan(&disk, &mut cache, 5, 5000..5000 + MAX_USED as u64).unwrap();
}

#[test]
fn an_operation_without_end_is_given_up() {
    let (disk, mut cache) = cache();
    // What it wants is never there when it comes again.
    disk.set_failing(true, false);
    for n in 0.. {
        cache.start(0);
        let result = cache.read(n % 100, &mut [0; SECTOR]);
        cache.finish(false);
        match result {
            Err(Trouble::NotReady) => cache.wanted.clear(),
            result => {
                assert_eq!((result, n), (Err(Trouble::Failed), u64::from(MAX_TRIES)));
                break;
            }
        }
    }
    // The next one begins from the start.
    disk.set_failing(false, false);
    cache.start(0);
    assert_eq!(cache.read(7, &mut [0; SECTOR]), Err(Trouble::NotReady));
    cache.finish(false);
    settle(&disk, &mut cache);
    assert_eq!(get(&disk, &mut cache, 7), 7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Beside a model: what was kept is read, whatever the disk does with its
    /// requests; and it is all on the disk in the end.
    #[test]
    fn behaves_as_memory(seed in 1u64.., ops in proptest::collection::vec((0u8..8, 0u64..SECTORS as u64, any::<u8>()), 1..300)) {
        let (disk, mut cache) = cache();
        disk.shuffle(seed);
        let mut model: Vec<u8> = (0..SECTORS).map(|n| n as u8).collect();
        let mut random = seed;
        for (op, sector, value) in ops {
            match op {
                0..3 => prop_assert_eq!(get(&disk, &mut cache, sector), model[sector as usize]),
                3..7 => {
                    let kind = [Kind::Grow, Kind::Grow, Kind::Shrink, Kind::Move][usize::from(op - 3)];
                    put(&disk, &mut cache, kind, sector, value);
                    model[sector as usize] = value;
                }
                _ => {
                    let ticket = cache.sync();
                    while cache.synced(ticket) == Err(NOT_READY) {
                        cache.service();
                        disk.step();
                        cache.service();
                    }
                    let image = disk.crash(random);
                    for (n, value) in model.iter().enumerate() {
                        prop_assert_eq!(image[n * SECTOR], *value);
                    }
                }
            }
            if next_random(&mut random).is_multiple_of(3) {
                cache.service();
                disk.step();
            }
        }
        settle(&disk, &mut cache);
        let image = disk.crash(0);
        for (n, value) in model.iter().enumerate() {
            prop_assert_eq!(image[n * SECTOR], *value);
        }
    }
}
