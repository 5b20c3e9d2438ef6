//! The heap of `net_server` must hold what its clients may make it hold
//! ([`strait_abi::heap`]).

use strait_abi::heap;

use super::Report;
use super::policy::policy_of;
use crate::programs::{NET, NET_HEAP};
use crate::{Settings, System};

/// A large page, in whose multiples a heap is best given.
const UNIT: u64 = 0x20_0000;

pub fn check(system: &System, settings: &Settings, report: &mut Report<'_>) {
    let Some(region) = system.region(NET_HEAP).filter(|region| system.users(&region.name).next().is_some()) else {
        return;
    };
    let sessions = system.regions.iter().filter_map(|session| {
        let client = session.name.strip_suffix(NET.suffix)?.strip_suffix('_')?;
        system.pd(client)?;
        Some(heap::places(usize::try_from(session.size).ok()?, &policy_of(settings, client)))
    });
    let places = sessions.sum::<usize>();
    let least = heap::least(places as u64);
    if region.size < least {
        let (name, size) = (&region.name, least.next_multiple_of(UNIT));
        report.at(
            region.line,
            format!("`{name}` is too small for the {places} sockets that all sessions have places for; write size=\"{size:#x}\", or sockets = ... below [net_server.policy.<client>]"),
        );
    }
}
