//! AF_ECHO: datagrams come back to who sent them, from the address that they
//! were sent to. It shows what a family outside of `net_server` needs; the
//! program that starts the server registers it in one line:
//!
//! ```ignore
//! strait_net_server::start_with(env, &[strait_family_echo::FAMILY])
//! ```
//!
//! and `[net_server.family]` with `echo = true` in `strait.toml` switches it on.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{boxed::Box, vec::Vec};

use strait_abi::{Address, Errno, session::status, socket::SOCK_DGRAM};
use strait_net_server::api::{Core, Family, Further, Registry, SocketId};

/// The family's number: beyond all that Linux knows.
pub const AF_ECHO: u16 = 0xfe00;
/// Bytes of the longest datagram.
const LONGEST: u32 = 16 * 1024;
/// Datagrams of one socket in one turn.
const BURST: usize = 64;

/// The family, for a server.
pub const FAMILY: Further = Further { name: "echo", register };

fn register(registry: &mut Registry, _: &mut Core) {
    registry.register(&[AF_ECHO], Box::new(Echo::default()));
}

/// The family: all that it knows is whose client wrote something.
#[derive(Default)]
struct Echo {
    dirty: Vec<SocketId>,
}

impl Family for Echo {
    fn create(&mut self, core: &mut Core, id: SocketId) -> Result<(), Errno> {
        let socket = &core.sockets[id];
        if socket.kind != SOCK_DGRAM {
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        if socket.protocol != 0 {
            return Err(Errno::EPROTONOSUPPORT);
        }
        core.set_status(id, status::OUT);
        core.grant_records(id, LONGEST);
        Ok(())
    }

    fn bind(&mut self, _: &mut Core, _: SocketId, _: &Address) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn listen(&mut self, _: &mut Core, _: SocketId) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn connect(&mut self, _: &mut Core, _: SocketId, _: &Address) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn accepted(&mut self, _: &mut Core, _: SocketId) -> Address {
        Address::EMPTY
    }

    fn shutdown(&mut self, _: &mut Core, _: SocketId, _: bool, _: bool) -> Result<(), Errno> {
        Err(Errno::ENOTCONN)
    }

    fn close(&mut self, core: &mut Core, id: SocketId) {
        core.remove(id);
    }

    fn local_address(&self, _: &Core, _: SocketId) -> Result<Address, Errno> {
        Address::from_bytes(&AF_ECHO.to_ne_bytes())
    }

    fn peer_address(&self, _: &Core, _: SocketId) -> Result<Address, Errno> {
        Err(Errno::ENOTCONN)
    }

    fn set_option(&mut self, _: &mut Core, _: SocketId, _: i32, _: i32, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::ENOPROTOOPT)
    }

    fn get_option(&mut self, _: &mut Core, _: SocketId, _: i32, _: i32, _: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::ENOPROTOOPT)
    }

    fn doorbell(&mut self, _: &mut Core, id: SocketId) {
        if !self.dirty.contains(&id) {
            self.dirty.push(id);
        }
    }

    fn input(&mut self, _: &mut Core, _: &mut [u8]) -> bool {
        false
    }

    fn settle(&mut self, core: &mut Core) -> bool {
        let mut more = false;
        for id in core::mem::take(&mut self.dirty) {
            if !core.sockets.contains(id) {
                continue;
            }
            let mut left = BURST;
            while left > 0
                && let Some(record) = core.take_record(id)
            {
                // Without room it is lost, as datagrams are.
                core.give_record(id, &record.address, &record.control, &[&record.data]);
                left -= 1;
            }
            core.grant_records(id, LONGEST);
            if left == 0 {
                self.doorbell(core, id);
                more = true;
            }
        }
        more
    }

    fn deadline(&self) -> Option<u64> {
        None
    }

    fn tick(&mut self, _: &mut Core) {}

    fn addresses_changed(&mut self, _: &mut Core) {}
}
