//! Reading and writing streams: the traits of `embedded-io`, for the types and
//! for shared references to them.

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use strait_abi::socket::{POLLIN, POLLOUT};

use super::{Error, OwnedFd, TcpStream, UnixStream};

macro_rules! stream {
    ($($type:ty),*) => {$(
        impl ErrorType for $type {
            type Error = Error;
        }

        impl ErrorType for &$type {
            type Error = Error;
        }

        impl Read for &$type {
            fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
                Ok(self.0.process.read(self.0.fd, into)?)
            }
        }

        impl Write for &$type {
            fn write(&mut self, from: &[u8]) -> Result<usize, Error> {
                Ok(self.0.process.write(self.0.fd, from)?)
            }

            fn flush(&mut self) -> Result<(), Error> {
                Ok(())
            }
        }

        impl ReadReady for &$type {
            fn read_ready(&mut self) -> Result<bool, Error> {
                self.0.ready(POLLIN)
            }
        }

        impl WriteReady for &$type {
            fn write_ready(&mut self) -> Result<bool, Error> {
                self.0.ready(POLLOUT)
            }
        }

        impl Read for $type {
            fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
                (&*self).read(into)
            }
        }

        impl Write for $type {
            fn write(&mut self, from: &[u8]) -> Result<usize, Error> {
                (&*self).write(from)
            }

            fn flush(&mut self) -> Result<(), Error> {
                Ok(())
            }
        }

        impl ReadReady for $type {
            fn read_ready(&mut self) -> Result<bool, Error> {
                (&*self).read_ready()
            }
        }

        impl WriteReady for $type {
            fn write_ready(&mut self) -> Result<bool, Error> {
                (&*self).write_ready()
            }
        }
    )*};
}

stream!(OwnedFd, TcpStream, UnixStream);
