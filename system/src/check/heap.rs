//! The heaps of the servers must hold what their clients may make them hold
//! ([`strait_abi::heap`], [`strait_abi::vfs::heap`]).

use strait_abi::{heap, vfs};

use super::Report;
use super::policy::policy_of;
use crate::programs::{NET, NET_HEAP, Service, VFS, VFS_HEAP};
use crate::{Settings, System, model::Region};

/// A large page, in whose multiples a heap is best given.
const UNIT: u64 = 0x20_0000;

pub fn check(system: &System, settings: &Settings, report: &mut Report<'_>) {
    let sockets = sessions(system, &NET).filter_map(|(client, session)| {
        Some(heap::places(usize::try_from(session.size).ok()?, &policy_of(settings, client)))
    });
    let places = sockets.sum::<usize>();
    let what = format!("the {places} sockets that all sessions have places for");
    let or = ", or sockets = ... below [net_server.policy.<client>]";
    refuse_less(system, NET_HEAP, heap::least(places as u64), &what, or, report);

    let clients = sessions(system, &VFS).count();
    let disk = system.pd("blk_driver").is_some();
    let what = format!("its clients ({clients}){}", if disk { " and a disk" } else { "" });
    refuse_less(system, VFS_HEAP, vfs::heap::least(clients as u64, disk), &what, "", report);
}

/// The clients of a server, and their session regions.
fn sessions<'a>(system: &'a System, service: &Service) -> impl Iterator<Item = (&'a str, &'a Region)> {
    system.regions.iter().filter_map(|session| {
        let client = session.name.strip_suffix(service.suffix)?.strip_suffix('_')?;
        system.pd(client)?;
        Some((client, session))
    })
}

fn refuse_less(system: &System, name: &str, least: u64, what: &str, or: &str, report: &mut Report<'_>) {
    let Some(region) = system.region(name).filter(|_| system.users(name).next().is_some()) else { return };
    if region.size < least {
        let size = least.next_multiple_of(UNIT);
        report.at(region.line, format!("`{name}` is too small for {what}; write size=\"{size:#x}\"{or}"));
    }
}
