//! Version 3 of NFS (RFC 1813), on the crate `nfs3_client`.
//!
//! From the wire up: [`io`] carries records for the crate, [`procedure`] has the procedures as values, [`mount`] opens a
//! connection to a share, and [`pool`] keeps connections; [`attempt`] sends the calls of a verb, some of them again, and
//! [`diagnose`] describes what went wrong; [`calls`] and [`make`] are the calls that the verbs are made of.

mod attempt;
mod calls;
mod diagnose;
mod io;
mod make;
mod mount;
mod pool;
mod procedure;

use self::pool::Pool;
use crate::storage::client::Client;

/// [`Storage`](crate::storage::Storage) on NFSv3 servers; each share has connections of its own.
///
/// - **Late calls.** Version 3 cannot prevent them. The connection of a call without an answer is cut, so that this host
///   sends nothing more; what has reached the server may still take effect at any time, also after the next verb. A verb that
///   failed after such a call says [`Outcome::Unknown`](crate::storage::Outcome::Unknown).
/// - **Rename** looks, renames, looks again, and moves back what was not meant. If that cannot be done, or was interrupted,
///   the next call says so and moves nothing.
/// - **Removing an empty directory** looks, then removes: an empty directory that takes the place in between is removed instead.
pub type Nfs3Storage = Client<Pool>;
