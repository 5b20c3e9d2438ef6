//! The protocol of a timer PD, which is sDDF's (`include/sddf/timer/protocol.h`):
//! protected procedure calls, one pending timeout for each channel, expiry is a
//! notification.

/// Label: reply word 0 is the time in nanoseconds.
pub const GET_TIME: u64 = 0;
/// Label: notify the caller in (argument word 0) nanoseconds. Replaces a
/// timeout that is pending.
pub const SET_TIMEOUT: u64 = 1;
