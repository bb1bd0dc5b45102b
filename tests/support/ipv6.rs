//! An IPv6 address on the loopback interface that only one test uses.

use std::net::{IpAddr, Ipv6Addr};
use std::process::Command;

use uuid::Uuid;

/// The address. Dropping this removes it.
pub struct Ipv6Address(Ipv6Addr);

impl Ipv6Address {
    /// Adds a random unique local address.
    pub fn new() -> Self {
        let [_, rest @ ..] = *Uuid::new_v4().as_bytes();
        let mut bytes = [0xfd; 16];
        bytes[1..].copy_from_slice(&rest);
        let address = Self(Ipv6Addr::from(bytes));
        address.ip_address("add");
        address
    }

    pub fn ip(&self) -> IpAddr {
        self.0.into()
    }

    fn ip_address(&self, what: &str) {
        let address = format!("{}/128", self.0);
        let done = Command::new("ip")
            .args(["-6", "address", what, &address, "dev", "lo"])
            .status();
        assert!(done.expect("ip runs").success(), "ip address {what} {address}");
    }
}

impl Drop for Ipv6Address {
    fn drop(&mut self) {
        self.ip_address("del");
    }
}
