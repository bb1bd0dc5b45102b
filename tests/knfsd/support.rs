//! The virtual machine: its shell, its shares, and clients for them.

use std::process::Command;
use std::time::Duration;

use bindery::model::directory::Share;
use bindery::storage::nfs::{NfsOptions, NfsStorage};

/// Time limit of every wait in these tests. It includes the server's grace period (90 s).
pub const LATE: Duration = Duration::from_secs(180);

/// Runs a command as root in the virtual machine, and returns its output.
pub fn in_guest(command: &str) -> String {
    let output = script("in-guest").arg(command).env("TIMEOUT", "120").output();
    let output = output.expect("in-guest runs");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(
        output.status.success(),
        "{command}: {text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Returns a command that runs a script of `tests/bed/knfsd`.
pub fn script(name: &str) -> Command {
    Command::new(format!("{}/tests/bed/knfsd/{name}", env!("CARGO_MANIFEST_DIR")))
}

/// Returns a client with a name that no other test uses.
pub fn storage(machine: &str) -> NfsStorage {
    NfsStorage::new(NfsOptions {
        uid: 0,
        gid: 0,
        machine: machine.to_owned(),
        privileged_port: true,
    })
}

/// Returns a share of the server: `/srv/DISK/NAME`.
pub fn share(disk: &str, name: &str) -> Share {
    let address = std::env::var("KNFSD_ADDRESS").unwrap_or_else(|_| "127.0.0.21".to_owned());
    Share::parse(&address, &format!("/srv/{disk}/{name}")).expect("a share")
}
