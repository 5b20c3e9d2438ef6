//! What `strait.toml` says about the interfaces.

use ::core::{net::Ipv4Addr, str::FromStr};
use alloc::{format, vec::Vec};

use smoltcp::wire::{Ipv4Cidr, Ipv6Cidr};
use strait_pd::Environment;

use crate::{
    StartError,
    core::Core,
    link::{
        Ipv4Config,
        ipv6::{Origin, Route6},
    },
};

fn parse<T: FromStr>(key: &str, text: &str) -> Result<T, StartError> {
    text.parse().map_err(|_| StartError::Setting(format!("net_server.{key} = \"{text}\": not an address")))
}

fn list<T: FromStr>(env: &Environment, key: &str) -> Result<Vec<T>, StartError> {
    let text = env.config.setting(key).unwrap_or_default();
    text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(|t| parse(key, t)).collect()
}

/// `[net_server.ipv4]`: `mode` is `dhcp`, or `static` with `address` (several
/// with prefixes; the first is the one that packets come from), `gateway` and
/// `dns`. The first address, if it is fixed, and the others.
pub fn ipv4(env: &Environment) -> Result<(Option<Ipv4Config>, Vec<Ipv4Cidr>), StartError> {
    let setting = |key: &str| env.config.setting(key);
    match setting("ipv4.mode").unwrap_or("dhcp") {
        "dhcp" => return Ok((None, Vec::new())),
        "static" => {}
        other => return Err(StartError::Setting(format!("net_server.ipv4.mode = \"{other}\": use dhcp or static"))),
    }
    let mut addresses: Vec<Ipv4Cidr> = list(env, "ipv4.address")?;
    let usable = |a: Ipv4Addr| !(a.is_unspecified() || a.is_multicast() || a.is_broadcast());
    if let Some(address) = addresses.iter().find(|a| !usable(a.address())) {
        return Err(StartError::Setting(format!("net_server.ipv4.address = \"{address}\": not an address of a host")));
    }
    if addresses.is_empty() {
        return Err(StartError::Setting("net_server.ipv4.address is missing".into()));
    }
    let gateway = setting("ipv4.gateway").map(|t| parse("ipv4.gateway", t)).transpose()?;
    let address = addresses.remove(0);
    Ok((Some(Ipv4Config { address, gateway, dns: list(env, "ipv4.dns")? }), addresses))
}

/// `[net_server.ipv6]`: `mode` is `auto` (a link-local address and what routers
/// announce), `static` (no router is listened to) or `off`. In the first two,
/// `address` (several with prefixes), `gateway` and `dns` are fixed settings
/// beside.
pub fn ipv6(env: &Environment, core: &mut Core) -> Result<(), StartError> {
    let (enabled, autoconf) = match env.config.setting("ipv6.mode").unwrap_or("auto") {
        "auto" => (true, true),
        "static" => (true, false),
        "off" => (false, false),
        other => {
            return Err(StartError::Setting(format!("net_server.ipv6.mode = \"{other}\": use auto, static or off")));
        }
    };
    let links = &mut core.links;
    (links.ipv6.enabled, links.ipv6.autoconf) = (enabled, autoconf);
    if !enabled {
        return Ok(());
    }
    for cidr in list::<Ipv6Cidr>(env, "ipv6.address")? {
        let address = cidr.address();
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            return Err(StartError::Setting(format!("net_server.ipv6.address = \"{cidr}\": not an address of a host")));
        }
        if !links.add_ipv6(core.now, cidr, Origin::Static) {
            return Err(StartError::Setting(format!("net_server.ipv6.address: \"{cidr}\" is one too many")));
        }
    }
    if let Some(gateway) = env.config.setting("ipv6.gateway") {
        let gateway = Some(parse("ipv6.gateway", gateway)?);
        let everywhere = Ipv6Cidr::new(::core::net::Ipv6Addr::UNSPECIFIED, 0);
        links.ipv6.routes.push(Route6 { prefix: everywhere, gateway });
    }
    links.ipv6.dns = list(env, "ipv6.dns")?;
    links.start_ipv6(core.now);
    Ok(())
}
