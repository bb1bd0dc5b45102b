//! NFS without a mount: clients in user space for versions 4.2, 4.1 and 3, over TCP, with AUTH_SYS.
//!
//! [`v4`] and [`v3`] speak the protocols: connections, sessions, and the calls of [`super::verbs`]. [`connect`], [`record`] and
//! [`idle`] are about connections.
//!
//! Not implemented: reading and writing files, locks, delegations, referrals, Kerberos, UDP.

#![allow(
    clippy::doc_markdown,
    reason = "names of the protocol, AUTH_SYS and NOT_SAME, read better plain"
)]
#![allow(
    private_bounds,
    private_interfaces,
    reason = "the versions are chosen in here; NfsStorage and Nfs3Storage are all that others need"
)]

mod connect;
mod idle;
mod options;
mod record;
mod v3;
mod v4;

pub use self::options::NfsOptions;
pub use self::v3::Nfs3Storage;
pub use self::v4::NfsStorage;
#[cfg(fuzzing)]
pub use self::v4::fuzzing;
