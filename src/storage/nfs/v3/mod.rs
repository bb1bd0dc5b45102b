//! Version 3 of NFS (RFC 1813), on the crate `nfs3_client`.
//!
//! The modules, from the lowest layer to the highest: [`io`] transports records for the crate. [`procedure`] has the
//! procedures as values. [`mount`] opens a connection to a share. [`pool`] keeps connections. [`attempt`] sends the calls of
//! a verb, some of them again. [`diagnose`] describes errors. [`calls`] and [`make`] are the calls that verbs consist of.
//! [`probe`] asks for the ports.

mod attempt;
mod calls;
mod diagnose;
mod io;
mod make;
mod mount;
mod pool;
pub(super) mod probe;
mod procedure;

use self::pool::Pool;
use crate::storage::client::Client;

/// [`Storage`](crate::storage::Storage) on NFSv3 servers; each share has connections of its own.
///
/// - **Late calls.** Version 3 cannot prevent them. The connection of a call without an answer is cut, so that this host
///   sends nothing more. A call that has reached the server may still take effect at any time, also after the next verb. The
///   error of a verb with such a call has [`Outcome::Unknown`](crate::storage::Outcome::Unknown).
/// - **Rename** checks the identity, renames, and checks again. A wrong directory is moved back. If that fails or is
///   interrupted, the next call returns an error and moves nothing.
/// - **Removal of an empty directory** checks the identity, then removes. If another empty directory replaces it in between,
///   that one is removed.
pub type Nfs3Storage = Client<Pool>;
