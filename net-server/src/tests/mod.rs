mod hostile;
mod inet6;
mod tcp;
mod udp;
mod world;
