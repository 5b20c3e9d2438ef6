//! Options at level IPPROTO_IPV6 (ipv6(7)).

use strait_abi::{Errno, socket as c};

use super::{
    Endpoint, Port,
    options::{receive, traffic_class},
};
use crate::socket::{int, put_int};

/// The default of IPV6_UNICAST_HOPS.
const HOPS: u8 = 64;

/// setsockopt(2) on a socket of AF_INET6.
pub fn set(endpoint: &mut Endpoint, stream: bool, name: i32, value: &[u8]) -> Result<(), Errno> {
    match name {
        c::IPV6_V6ONLY => {
            let on = int(value)? != 0;
            if endpoint.port != Port::None {
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
        c::IPV6_TCLASS => {
            let class = match int(value)? {
                -1 => 0,
                n => u8::try_from(n).map_err(|_| Errno::EINVAL)?,
            };
            endpoint.ip.class = traffic_class(stream, endpoint.ip.class, class);
        }
        c::IPV6_RECVPKTINFO => endpoint.ip.want(receive::PKTINFO6, int(value)? != 0),
        c::IPV6_RECVHOPLIMIT => endpoint.ip.want(receive::HOPS, int(value)? != 0),
        c::IPV6_RECVTCLASS => endpoint.ip.want(receive::CLASS, int(value)? != 0),
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// getsockopt(2) on a socket of AF_INET6.
pub fn get(endpoint: &Endpoint, name: i32, value: &mut [u8]) -> Result<usize, Errno> {
    let wanted = |bit: u16| i32::from(endpoint.ip.receive & bit != 0);
    let number = match name {
        c::IPV6_V6ONLY => endpoint.only6.into(),
        c::IPV6_UNICAST_HOPS => endpoint.hops.into(),
        c::IPV6_TCLASS => endpoint.ip.class.into(),
        c::IPV6_RECVPKTINFO => wanted(receive::PKTINFO6),
        c::IPV6_RECVHOPLIMIT => wanted(receive::HOPS),
        c::IPV6_RECVTCLASS => wanted(receive::CLASS),
        _ => return Err(Errno::ENOPROTOOPT),
    };
    Ok(put_int(value, number))
}
