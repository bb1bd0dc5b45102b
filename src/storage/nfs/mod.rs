//! NFS without a mount: clients in user space for versions 4.2, 4.1 and 3, over TCP, with AUTH_SYS.
//!
//! [`v4`] and [`v3`] implement the protocols: connections, sessions, and the calls of [`super::verbs`]. Both use
//! [`connect`], [`record`] and [`idle`] for connections.
//!
//! Not implemented: reading and writing files, locks, delegations, referrals, Kerberos, UDP.

#![allow(
    clippy::doc_markdown,
    reason = "protocol names such as AUTH_SYS are easier to read without backticks"
)]
#![allow(
    private_bounds,
    private_interfaces,
    reason = "other modules need only NfsStorage and Nfs3Storage"
)]

mod connect;
mod idle;
mod options;
pub mod probe;
mod record;
mod v3;
mod v4;

pub use self::options::NfsOptions;
pub use self::v3::Nfs3Storage;
pub use self::v4::NfsStorage;
#[cfg(fuzzing)]
pub use self::v4::fuzzing;
