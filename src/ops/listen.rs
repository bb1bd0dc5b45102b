//! Opens listening sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::str::FromStr;
use std::{fmt, io};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

/// The most connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `:PORT`: this port on all addresses, IPv4 and IPv6.
    AllAddresses(u16),
    /// `ADDRESS:PORT`: this address only.
    Address(SocketAddr),
}

impl Listen {
    /// Returns the port.
    pub fn port(self) -> u16 {
        match self {
            Self::AllAddresses(port) => port,
            Self::Address(address) => address.port(),
        }
    }
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let listen = match text.strip_prefix(':') {
            Some(port) => port.parse().map(Self::AllAddresses).ok(),
            None => text.parse().map(Self::Address).ok(),
        };
        listen.ok_or("write it as :8443 (all addresses, IPv4 and IPv6), 192.0.2.1:8443 or [2001:db8::1]:8443")
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllAddresses(port) => write!(f, ":{port}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Opens a port. For all addresses it opens one socket for IPv4 and IPv6, or for IPv4 alone if the host has no IPv6.
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

/// Returns whether the kernel has no IPv6, or it is disabled.
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
    // After a restart, connections of the previous process may still be closing.
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
    fn a_port_alone_means_all_addresses_and_an_address_is_kept_as_written() {
        for written in [":8443", "0.0.0.0:8443", "127.0.0.1:8443", "[::]:8443", "[fd00::1]:8443"] {
            let listen: Listen = written.parse().unwrap();
            assert_eq!((listen.to_string().as_str(), listen.port()), (written, 8443));
        }
        assert_eq!(":8443".parse(), Ok(Listen::AllAddresses(8443)));
        for text in ["", ":", "8443", "::8443", ":65536", "localhost:8443"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

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
    fn a_port_in_use_is_an_error_without_a_fallback_to_ipv4() {
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
