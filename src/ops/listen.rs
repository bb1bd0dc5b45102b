//! Opens the ports that the process listens on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::cli::Listen;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Opens a port. On all addresses it is one socket for IPv4 and IPv6; a host without IPv6 gets one for IPv4.
pub fn listen(on: Listen) -> io::Result<TcpListener> {
    match on {
        Listen::Address(address) => open(address),
        Listen::AllAddresses(port) => on_all_addresses(|address| open(SocketAddr::new(address, port))),
    }
}

fn on_all_addresses<T>(open: impl Fn(IpAddr) -> io::Result<T>) -> io::Result<T> {
    match open(Ipv6Addr::UNSPECIFIED.into()) {
        Err(error) if has_no_ipv6(&error) => open(Ipv4Addr::UNSPECIFIED.into()),
        opened => opened,
    }
}

/// The kernel has no IPv6 at all, or has it switched off.
fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Some distributions set net.ipv6.bindv6only.
        socket.set_only_v6(false)?;
    }
    // A process that is started again gets its port while connections of the last one are still being closed.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_ipv6_gets_ipv4() {
        for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            let opened = on_all_addresses(|address| {
                if address.is_ipv6() {
                    Err(errno.into())
                } else {
                    Ok(address)
                }
            });
            assert_eq!(opened.unwrap(), Ipv4Addr::UNSPECIFIED);
        }
    }

    #[test]
    fn a_port_that_is_taken_is_an_error_and_no_reason_to_take_ipv4_alone() {
        let opened = on_all_addresses(|address| {
            if address.is_ipv6() {
                Err(Errno::ADDRINUSE.into())
            } else {
                Ok(address)
            }
        });
        assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
