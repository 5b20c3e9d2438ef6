mod fragments;
mod hostile;
mod inet6;
mod options;
mod policy;
mod tcp;
mod udp;
mod world;
