//! Boot test of what lies below `net_server`, whose place it takes in
//! `tests/drivers.system`: the runtime's memory functions and clock, a sleep by
//! the timer, random words, and an ARP exchange with the gateway of QEMU's user
//! network. Prints the sentinel `probe: all well`.

#![no_std]
#![no_main]

extern crate alloc;

mod link;
mod memory;

use strait_abi::{entropy, log::Logger, timer};
use strait_pd::{Channel, Environment, Message};

strait_sel4::client!(heap = 0x40000, main = main);

/// What the sleep asks for, and what it may take.
const NAP: u64 = 100_000_000;
const NAP_MOST: u64 = 400_000_000;

fn main(env: Environment) -> ! {
    let log = Logger::new(&env);
    let mut failed = memory::check();
    let mut check = |what: &str, ok: bool| {
        log.line(format_args!("{what}: {}", if ok { "ok" } else { "FAILED" }));
        failed += usize::from(!ok);
    };
    check("unaligned access", memory::unaligned_works());
    check("sleep", sleeps(&env));
    check("random words", random(&env));
    check("arp exchange", link::exchange(&env, &log));
    if failed == 0 {
        log.line(format_args!("probe: all well"));
    } else {
        log.line(format_args!("probe: {failed} checks failed"));
    }
    loop {
        env.pd.wait();
    }
}

fn sleep(env: &Environment, channel: Channel, ns: u64) {
    let mut message = Message::from_words(timer::SET_TIMEOUT, &[ns]);
    env.pd.call(channel, &mut message);
    while !env.pd.wait().contains(channel) {}
}

fn sleeps(env: &Environment) -> bool {
    let Ok(channel) = env.channel("timer_driver") else { return false };
    (0..3).all(|_| {
        let before = env.pd.now();
        sleep(env, channel, NAP);
        let mut message = Message::new(timer::GET_TIME);
        env.pd.call(channel, &mut message);
        let slept = env.pd.now() - before;
        message.words().first().is_some_and(|t| *t > before) && (NAP..NAP_MOST).contains(&slept)
    })
}

fn random(env: &Environment) -> bool {
    let Ok(channel) = env.channel("entropy_driver") else { return false };
    let mut last = [0; 8];
    (0..100).all(|_| {
        let mut message = Message::from_words(entropy::GET_WORDS, &[8]);
        env.pd.call(channel, &mut message);
        let fresh = message.label == entropy::OK && message.words().len() == 8 && message.words() != last;
        if fresh {
            last.copy_from_slice(message.words());
        }
        fresh
    })
}
