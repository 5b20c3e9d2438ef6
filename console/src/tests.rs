//! The console over rings that the test writes.

extern crate std;

use super::*;
use std::{boxed::Box, vec};
use strait_pd::{Config, Message, Pd, RegionConfig};
use strait_ring::bytes::Writer;
use strait_ring::memory::{environment_for_tests, leak_for_tests};

struct World;

impl Pd for World {
    fn notify(&self, _: Channel) {}
    fn irq_ack(&self, _: Channel) {}
    fn call(&self, _: Channel, _: &mut Message) {}
    fn wait(&self) -> ChannelSet {
        ChannelSet::EMPTY
    }
    fn poll(&self) -> ChannelSet {
        ChannelSet::EMPTY
    }
    fn now(&self) -> u64 {
        0
    }
    fn debug_write(&self, _: &[u8]) {}
}

#[derive(Default)]
struct Paper(Vec<u8>);

impl Output for Paper {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

fn setup() -> (Writer, Writer, Console<Paper>) {
    let region = |n: &str| RegionConfig { name: n.into(), vaddr: 0, size: 4096, prefill: 0, writable: true };
    let config = Config {
        name: "console".into(),
        regions: vec![region("a_log"), region("b_log"), region("pl011"), region("console_log")],
        channels: vec![],
        irqs: vec![],
        children: vec![],
        settings: vec![],
    };
    let (a, b) = (leak_for_tests(4096), leak_for_tests(4096));
    let env = environment_for_tests(Box::leak(Box::new(World)), config, &[("a_log", a), ("b_log", b)]);
    (Writer::new(a).unwrap(), Writer::new(b).unwrap(), Console::new(&env, Paper::default()))
}

fn printed(c: &mut Console<Paper>) -> String {
    c.notified(ChannelSet(1));
    String::from_utf8(core::mem::take(&mut c.output.0)).unwrap()
}

#[test]
fn lines_alternate_and_never_mix() {
    let (mut a, mut b, mut c) = setup();
    let _ = a.write(b"one\ntwo\nthr");
    let _ = b.write(b"ONE\n");
    assert_eq!(printed(&mut c), "a| one\r\nb| ONE\r\na| two\r\n");
    assert_eq!(printed(&mut c), "");
    let _ = a.write(b"ee\n");
    assert_eq!(printed(&mut c), "a| three\r\n");
}

#[test]
fn control_characters_do_not_get_out() {
    let (mut a, _, mut c) = setup();
    let _ = a.write(b"x\x1b[2J\rb| lie\tok\n");
    assert_eq!(printed(&mut c), "a| x.[2J.b| lie\tok\r\n");
}

#[test]
fn long_lines_come_in_parts() {
    let (mut a, _, mut c) = setup();
    let _ = a.write(&[b'x'; 300]);
    let _ = a.write(b"\n");
    let text = printed(&mut c);
    let lens: Vec<_> = text.lines().map(str::len).collect();
    assert_eq!(lens, [3 + 256, 3 + 44]);
}

#[test]
fn losses_are_told() {
    let (mut a, _, mut c) = setup();
    for _ in 0..40 {
        let _ = a.write(&[b'x'; 127]);
        let _ = a.write(b"\n");
    }
    assert!(printed(&mut c).contains("writes lost)"));
    assert_eq!(printed(&mut c), "");
}

#[test]
fn the_writer_is_asked_to_signal_only_before_sleep() {
    let (mut a, _, mut c) = setup();
    assert!(a.write(b"1\n"));
    assert!(!a.write(b"2\n"));
    assert_eq!(printed(&mut c), "a| 1\r\na| 2\r\n");
    assert!(a.write(b"3\n"));
}
