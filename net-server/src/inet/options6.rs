//! Options at level IPPROTO_IPV6 (ipv6(7)).

use strait_abi::{Errno, socket as c};

use super::Endpoint;
use crate::socket::{int, put_int};

/// The default of IPV6_UNICAST_HOPS.
const HOPS: u8 = 64;

/// setsockopt(2) on a socket of AF_INET6.
pub fn set(endpoint: &mut Endpoint, name: i32, value: &[u8]) -> Result<(), Errno> {
    match name {
        c::IPV6_V6ONLY => {
            let on = int(value)? != 0;
            if endpoint.local.is_some() {
                return Err(Errno::EINVAL);
            }
            endpoint.only6 = on;
        }
        c::IPV6_UNICAST_HOPS => {
            endpoint.hops = match int(value)? {
                -1 => HOPS,
                n => u8::try_from(n).map_err(|_| Errno::EINVAL)?,
            }
        }
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// getsockopt(2) on a socket of AF_INET6.
pub fn get(endpoint: &Endpoint, name: i32, value: &mut [u8]) -> Result<usize, Errno> {
    let number = match name {
        c::IPV6_V6ONLY => endpoint.only6.into(),
        c::IPV6_UNICAST_HOPS => endpoint.hops.into(),
        _ => return Err(Errno::ENOPROTOOPT),
    };
    Ok(put_int(value, number))
}
