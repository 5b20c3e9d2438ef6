mod hostile;
mod tcp;
mod udp;
mod world;
