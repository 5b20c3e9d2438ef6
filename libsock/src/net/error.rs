//! The error of the std-shaped types.

use core::fmt;

use embedded_io::ErrorKind;
use strait_abi::Errno;

use crate::resolve::ResolveError;

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The error of the descriptor call below.
    System(Errno),
    /// A name could not be turned into an address.
    Resolve(ResolveError),
}

impl From<Errno> for Error {
    fn from(e: Errno) -> Self {
        Self::System(e)
    }
}

impl From<ResolveError> for Error {
    fn from(e: ResolveError) -> Self {
        match e {
            ResolveError::System(e) => Self::System(e),
            other => Self::Resolve(other),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(e) => e.fmt(f),
            Self::Resolve(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl embedded_io::Error for Error {
    fn kind(&self) -> ErrorKind {
        let Self::System(errno) = self else { return ErrorKind::Other };
        match *errno {
            Errno::EPERM | Errno::EACCES => ErrorKind::PermissionDenied,
            Errno::ECONNREFUSED => ErrorKind::ConnectionRefused,
            Errno::ECONNRESET => ErrorKind::ConnectionReset,
            Errno::ECONNABORTED => ErrorKind::ConnectionAborted,
            Errno::ENOTCONN => ErrorKind::NotConnected,
            Errno::EADDRINUSE => ErrorKind::AddrInUse,
            Errno::EADDRNOTAVAIL => ErrorKind::AddrNotAvailable,
            Errno::EPIPE => ErrorKind::BrokenPipe,
            Errno::EINVAL => ErrorKind::InvalidInput,
            Errno::ETIMEDOUT => ErrorKind::TimedOut,
            Errno::EINTR => ErrorKind::Interrupted,
            Errno::EOPNOTSUPP => ErrorKind::Unsupported,
            Errno::ENOMEM | Errno::ENOBUFS => ErrorKind::OutOfMemory,
            _ => ErrorKind::Other,
        }
    }
}
