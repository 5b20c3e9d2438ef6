//! Descriptors on their way between clients.
