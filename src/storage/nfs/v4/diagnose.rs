//! From what kept a COMPOUND from being answered to a sentence that a person can act on. What servers do answer is told
//! by [`crate::storage::messages`].

use std::io;
use std::net::SocketAddr;

use super::rpc::{Refusal, RpcError};
use super::wire::SessionError;
use crate::model::directory::NfsVersion;
use crate::storage::messages::{self, ErrorContext};
use crate::storage::nfs::connect::ConnectError;
use crate::storage::nfs::no_answer;
use crate::storage::status::Status;
use crate::storage::{Fault, transient};

/// What a verb waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiting {
    /// An earlier call that may still come to this address of the server.
    Fence(SocketAddr),
    Session,
    Answer,
    Later(Status),
}

/// Why a call has no reply.
#[derive(Debug)]
pub(super) enum Cause {
    Connect(ConnectError),
    Broken(io::Error),
    Malformed(&'static str),
    Refused(Refusal),
    Session(&'static str, Status),
    /// What was found is no longer there at the next call, again and again.
    KeepsChanging(Status),
}

impl Cause {
    /// Whether it may be gone with another connection or session.
    pub fn passes(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Session(_, status) => {
                status.later()
                    || status.gone()
                    || matches!(
                        *status,
                        Status::BADSLOT | Status::SEQ_MISORDERED | Status::CONN_NOT_BOUND_TO_SESSION
                    )
            }
            _ => false,
        }
    }
}

impl From<SessionError> for Cause {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Rpc(RpcError::Broken(error)) => Self::Broken(error),
            SessionError::Rpc(RpcError::Malformed(malformed)) => Self::Malformed(malformed.0),
            SessionError::Rpc(RpcError::Refused(refusal)) => Self::Refused(refusal),
            SessionError::Refused(operation, status) => Self::Session(operation, status),
        }
    }
}

/// The call has no reply.
pub(super) fn failed(context: &ErrorContext<'_>, cause: &Cause) -> (Fault, String) {
    let server = context.share.server();
    match cause {
        Cause::Connect(ConnectError::Resolve(error)) => {
            tracing::debug!(server, %error, "no address was found");
            no_answer::unresolved(server)
        }
        Cause::Connect(ConnectError::Connect(address, error)) => no_answer::no_connection(*address, error),
        Cause::Broken(error) => no_answer::broken(error),
        Cause::Malformed(what) => (
            Fault::Other,
            format!("what answers on port 2049 of {server} does not keep to NFSv4 ({what}). Is it an NFS server?"),
        ),
        Cause::Refused(Refusal::Version) | Cause::Session(_, Status::MINOR_VERS_MISMATCH) => (
            Fault::Other,
            format!(
                "{server} speaks neither NFSv4.2 nor NFSv4.1. Enable one there, or set nfsVersion: \"3\" in the StorageClass."
            ),
        ),
        Cause::Refused(Refusal::Credentials) => {
            let (fault, text) = no_answer::credentials(server);
            (fault, text + messages::port(context))
        }
        Cause::Refused(Refusal::System) => no_answer::system_error(server),
        Cause::Refused(Refusal::Arguments) => no_answer::arguments(server),
        Cause::Session(_, status) if status.gone() => (
            Fault::Busy,
            format!(
                "{server} forgets the sessions that it has just opened ({}). It restarts again and again, or another \
                 Bindery goes by the same name.",
                status.in_version(NfsVersion::V4)
            ),
        ),
        Cause::Session(_, status) if transient::status(*status) => messages::server_fault(context, *status),
        Cause::Session(operation, status) => (
            Fault::Other,
            format!(
                "{server} refuses {operation} with {}. Look for the reason in its log.",
                status.in_version(NfsVersion::V4)
            ),
        ),
        Cause::KeepsChanging(status) => messages::keeps_changing(context, *status),
    }
}

/// The deadline came.
pub(super) fn timed_out(context: &ErrorContext<'_>, waiting: Waiting) -> (Fault, String) {
    let server = context.share.server();
    match waiting {
        Waiting::Fence(address) => (
            Fault::TimedOut,
            format!(
                "an earlier call got no answer and must first be fenced off, lest it take effect late; {address} did not \
                 confirm that in time. Check that the NFS server runs there; if it is gone for good, this ends soon \
                 after its lease, 90 s on most servers."
            ),
        ),
        Waiting::Session => (
            Fault::TimedOut,
            format!("{server} did not open a session in time. Check that the NFS server runs and can be reached."),
        ),
        Waiting::Answer => messages::silent(server),
        Waiting::Later(status) => messages::busy(context, status),
    }
}
