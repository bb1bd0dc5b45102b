//! Describes for people why a COMPOUND has no answer. What servers do answer is described in [`crate::storage::messages`].

use std::net::SocketAddr;

use super::rpc::{Refusal, RpcError};
use super::wire::SessionError;
use crate::model::directory::NfsVersion;
use crate::storage::attempt;
use crate::storage::error::Reason;
use crate::storage::messages::{self, ErrorContext};
use crate::storage::nfs::connect::ConnectError;
use crate::storage::no_answer;
use crate::storage::status::Status;
use crate::storage::{Fault, transient};

/// What must happen before a COMPOUND can be sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Opening {
    /// An earlier call that may still reach this address of the server is fenced off.
    Fence(SocketAddr),
    /// A session is free or opened.
    Session,
}

/// Why a COMPOUND has no answer, besides what every version has.
#[derive(Debug)]
pub(in crate::storage) enum Failure {
    Connect(ConnectError),
    Refused(Refusal),
    Session(&'static str, Status),
}

pub(super) type Cause = attempt::Cause<Failure>;

/// Whether another connection or session may help.
pub(super) fn passes(cause: &Cause) -> bool {
    match cause {
        Cause::Broken(_) => true,
        Cause::Other(Failure::Session(_, status)) => {
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

pub(super) fn cause(error: SessionError) -> Cause {
    match error {
        SessionError::Rpc(RpcError::Broken(error)) => Cause::Broken(error),
        SessionError::Rpc(RpcError::Malformed(malformed)) => Cause::Malformed(malformed.0),
        SessionError::Rpc(RpcError::Refused(refusal)) => Cause::Other(Failure::Refused(refusal)),
        SessionError::Refused(operation, status) => Cause::Other(Failure::Session(operation, status)),
    }
}

/// What answers is no NFSv4 server.
pub(super) fn malformed(context: &ErrorContext<'_>, what: &str) -> Reason {
    let server = context.share.server();
    Fault::Other.because(format!(
        "what answers on port 2049 of {server} does not follow the NFSv4 protocol ({what}). Is it an NFS server?"
    ))
}

/// The COMPOUND has no answer.
pub(super) fn failed(context: &ErrorContext<'_>, failure: &Failure) -> Reason {
    let server = context.share.server();
    match failure {
        Failure::Connect(ConnectError::Resolve(error)) => {
            tracing::debug!(server, %error, "no address was found");
            no_answer::unresolved(server)
        }
        Failure::Connect(ConnectError::Connect(address, error)) => no_answer::no_connection(*address, error),
        Failure::Refused(Refusal::Version) | Failure::Session(_, Status::MINOR_VERS_MISMATCH) => {
            Fault::Other.because(format!(
                "{server} supports neither NFSv4.2 nor NFSv4.1. Enable one there, or set nfsVersion: \"3\" in the \
                 StorageClass."
            ))
        }
        Failure::Refused(Refusal::Credentials) => no_answer::credentials(context),
        Failure::Refused(Refusal::System) => no_answer::system_error(server),
        Failure::Refused(Refusal::Arguments) => no_answer::arguments(server),
        Failure::Session(_, status) if status.gone() => Fault::Busy.because(format!(
            "{server} forgets the sessions that it has just opened ({}). It restarts repeatedly, or another Bindery \
             uses the same name.",
            status.in_version(NfsVersion::V4)
        )),
        Failure::Session(_, status) if transient::status(*status) => messages::server_fault(context, *status),
        Failure::Session(operation, status) => Fault::Other.because(format!(
            "{server} refuses {operation} with {}. Look for the reason in its log.",
            status.in_version(NfsVersion::V4)
        )),
    }
}

/// The deadline came before the COMPOUND could be sent.
pub(super) fn not_opened(context: &ErrorContext<'_>, opening: Opening) -> Reason {
    let server = context.share.server();
    match opening {
        Opening::Fence(address) => Fault::TimedOut.because(format!(
            "an earlier call got no answer and must first be fenced off, so that it does not take effect late; \
             {address} did not confirm that in time. Check that the NFS server runs there; if it is gone for good, \
             this ends soon after its lease, 90 s on most servers."
        )),
        Opening::Session => Fault::TimedOut.because(format!(
            "{server} did not open a session in time. Check that the NFS server runs and can be reached."
        )),
    }
}
