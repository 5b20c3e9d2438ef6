//! The cases, by subject.

use crate::case::Case;

mod address;
mod bind;
mod connect;
mod control_data;
mod datagram;
mod descriptor;
mod epoll;
mod family;
mod fifo;
mod file;
mod file_names;
mod file_open;
mod file_paths;
mod interface;
mod listen;
mod multicast;
mod names;
mod option;
mod pipe;
mod raw;
mod sendfile;
mod socket;
mod socket_nodes;
mod state;
mod stream;
mod unix;
mod unix_messages;
mod unix_records;
mod unix_rights;
mod unix_urgent;
mod urgent;
mod user;
mod waiting;

/// Those of a component that may do anything, as root on Linux.
pub const ALL: &[(&str, &[Case])] = &[
    ("sockets", socket::CASES),
    ("names", bind::CASES),
    ("connecting", connect::CASES),
    ("addresses", address::CASES),
    ("states", state::CASES),
    ("listening", listen::CASES),
    ("streams", stream::CASES),
    ("datagrams", datagram::CASES),
    ("descriptors", descriptor::CASES),
    ("options", option::CASES),
    ("waiting", waiting::CASES),
    ("control data", control_data::CASES),
    ("urgent data", urgent::CASES),
    ("multicast", multicast::CASES),
    ("raw sockets", raw::CASES),
    ("interfaces", interface::CASES),
    ("names of hosts and services", names::CASES),
    ("epoll", epoll::CASES),
    ("local sockets", unix::CASES),
    ("records of local sockets", unix_records::CASES),
    ("urgent data of local sockets", unix_urgent::CASES),
    ("messages of local sockets", unix_messages::CASES),
    ("descriptors in messages", unix_rights::CASES),
    ("files", file::CASES),
    ("opening files", file_open::CASES),
    ("paths", file_paths::CASES),
    ("names of files", file_names::CASES),
    ("FIFOs", fifo::CASES),
    ("pipes", pipe::CASES),
    ("sendfile", sendfile::CASES),
    ("sockets as nodes", socket_nodes::CASES),
    ("further families", family::CASES),
];

/// Those of one that was granted nothing.
pub const USER: &[(&str, &[Case])] = &[("what a user may", user::CASES)];
