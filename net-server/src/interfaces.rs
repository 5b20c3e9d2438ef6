//! What happens to the interfaces: addresses that come and go, and the carrier.

use alloc::vec::Vec;

use smoltcp::wire::EthernetAddress;
use strait_abi::eth;
use strait_pd::{Channel, Message, PdRef};

use crate::{NetServer, link::Ipv4Config};

/// Hardware address, carrier and MTU of the driver's port.
pub(crate) fn link_of(pd: PdRef, channel: Channel) -> Option<(EthernetAddress, bool, usize)> {
    let mut message = Message::new(eth::GET_LINK);
    pd.call(channel, &mut message);
    let &[mac, up, mtu] = message.words().first_chunk::<3>()?;
    let mac = EthernetAddress::from_bytes(&mac.to_le_bytes()[..6]);
    // RFC 791: every host takes 576 bytes; a buffer holds 2048 with header.
    let mtu = usize::try_from(mtu).ok()?.clamp(576, 1500);
    mac.is_unicast().then_some((mac, up != 0, mtu))
}

impl NetServer {
    pub(crate) fn configure(&mut self, config: Option<Ipv4Config>) {
        match &config {
            Some(c) => {
                self.log.line(format_args!("eth0 has {}, gateway {:?}, name servers {:?}", c.address, c.gateway, c.dns))
            }
            None => self.log.line(format_args!("eth0 has no address")),
        }
        self.core.links.set_ipv4(self.core.now, config);
        for family in self.families.iter_mut() {
            family.addresses_changed(&mut self.core);
        }
    }

    /// Tells of what happened to the addresses.
    #[cold]
    pub(crate) fn addresses(&mut self) {
        let links = &mut self.core.links;
        links.changed = false;
        for address in ::core::mem::take(&mut links.duplicates) {
            self.log.line(format_args!("eth0: another host has {address}"));
        }
        let six: Vec<_> = links.ipv6.valid().map(|a| a.cidr).collect();
        let (up, running) = links.state();
        let state = if !up {
            "down"
        } else if !running {
            "without carrier"
        } else {
            "up"
        };
        if core::mem::replace(&mut self.told.0, state) != state {
            self.log.line(format_args!("eth0 is {state}"));
        }
        let before = core::mem::replace(&mut self.told.1, six);
        for gained in self.told.1.iter().filter(|a| !before.contains(a)) {
            self.log.line(format_args!("eth0 has {gained}"));
        }
        for lost in before.iter().filter(|a| !self.told.1.contains(a)) {
            self.log.line(format_args!("eth0 has {lost} no longer"));
        }
        for family in self.families.iter_mut() {
            family.addresses_changed(&mut self.core);
        }
    }

    /// Asks the driver whether there is a carrier, and acts on a change.
    #[cold]
    pub(crate) fn ask_carrier(&mut self) {
        self.carrier = u64::MAX;
        self.asked = self.core.now;
        let Some((_, running, _)) = link_of(self.pd, self.driver) else { return };
        let (up, before) = self.core.links.state();
        if running == before {
            return;
        }
        self.core.links.set_state(self.core.now, up, running);
        // What the lease says may not hold where the link leads now.
        if running && let Some(dhcp) = &mut self.dhcp {
            dhcp.restart(self.core.now);
        }
    }
}
