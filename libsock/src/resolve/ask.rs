//! Asking name servers.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use strait_abi::Errno;

use super::{
    ResolveError,
    lookup::{Action, Lookup, Outcome},
    message::{ENTROPY, MAX_MESSAGE, UDP_SIZE, Verdict},
};
use crate::{
    Process,
    aio::{Read, TcpStream, UdpSocket, Write, timeout},
    net::Error,
};

/// Datagrams that are looked at for one question: forged ones are dropped, but
/// not for ever.
const MAX_ANSWERS: usize = 100;

/// Carries a look-up out.
pub async fn carry_out(process: &Process, lookup: &mut Lookup) -> Result<Outcome, ResolveError> {
    loop {
        let mut entropy = [0; ENTROPY];
        process.getentropy(&mut entropy)?;
        match lookup.next(&entropy) {
            Action::Done(result) => return result,
            Action::Ask { server, tcp, wait } => {
                let result = if tcp {
                    timeout(process, wait, ask_tcp(process, server, lookup)).await
                } else {
                    timeout(process, wait, ask_udp(process, server, lookup)).await
                };
                let late = |e: Errno| if e == Errno::ETIMEDOUT { ResolveError::TimedOut } else { e.into() };
                let result = result.map_err(late).and_then(|r| r.map_err(system));
                lookup.heard(result);
            }
        }
    }
}

fn system(e: Error) -> ResolveError {
    match e {
        Error::System(errno) => errno.into(),
        Error::Resolve(e) => e,
    }
}

async fn ask_udp(process: &Process, server: SocketAddr, lookup: &Lookup) -> Result<Verdict, Error> {
    // A new socket for each question: it gets a new port.
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(process, (any, 0))?;
    socket.get_ref().connect(server)?;
    socket.send(lookup.query()).await?;
    let mut buffer = [0; UDP_SIZE as usize];
    for _ in 0..MAX_ANSWERS {
        let n = socket.recv(&mut buffer).await?;
        if let Some(verdict) = buffer.get(..n).and_then(|answer| lookup.read(answer)) {
            return Ok(verdict);
        }
    }
    Err(ResolveError::TimedOut.into())
}

async fn ask_tcp(process: &Process, server: SocketAddr, lookup: &Lookup) -> Result<Verdict, Error> {
    let mut stream = TcpStream::connect(process, server).await?;
    let query = lookup.query();
    let mut request = (query.len() as u16).to_be_bytes().to_vec();
    request.extend_from_slice(query);
    stream.write_all(&request).await?;
    let mut length = [0; 2];
    let cut = |e| match e {
        embedded_io_async::ReadExactError::UnexpectedEof => Error::Resolve(ResolveError::ServerFailure),
        embedded_io_async::ReadExactError::Other(e) => e,
    };
    stream.read_exact(&mut length).await.map_err(cut)?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > MAX_MESSAGE {
        return Ok(Verdict::Failure);
    }
    let mut answer = alloc::vec![0; length];
    stream.read_exact(&mut answer).await.map_err(cut)?;
    Ok(lookup.read(&answer).unwrap_or(Verdict::Failure))
}
