//! The address that a server listens on, as a flag names it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// The address that a server listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `:PORT`: this port on all addresses, IPv4 and IPv6.
    AllAddresses(u16),
    /// `ADDRESS:PORT`: this address only.
    Address(SocketAddr),
}

impl Listen {
    /// The port.
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
        for wrong in ["", ":", "8443", "::8443", ":65536", "localhost:8443"] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }
}
