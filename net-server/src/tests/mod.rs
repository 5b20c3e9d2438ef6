mod fragments;
mod hostile;
mod inet6;
mod policy;
mod tcp;
mod udp;
mod world;
