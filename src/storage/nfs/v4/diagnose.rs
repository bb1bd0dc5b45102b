//! Messages about COMPOUNDs that got no answer. [`crate::storage::messages`] has those about answers.

use std::net::SocketAddr;

use super::rpc::{Refusal, RpcError};
use super::server::Server;
use super::wire::SessionError;
use crate::model::directory::Share;
use crate::storage::attempt::Transport;
use crate::storage::error::Reason;
use crate::storage::messages;
use crate::storage::nfs::connect::ConnectError;
use crate::storage::no_answer;
use crate::storage::refusal::ErrorContext;
use crate::storage::status::Status;
use crate::storage::{Fault, transient};

/// What must happen before a COMPOUND can be sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Prerequisite {
    /// An earlier call that may still reach this address of the server is fenced off.
    Fence(SocketAddr),
    /// A session becomes free, or is opened.
    Session,
}

/// Returns whether another connection or session may avoid the error.
pub(super) fn is_retryable(error: &SessionError) -> bool {
    match error {
        SessionError::Rpc(error) if error.is_no_answer() => true,
        SessionError::Connect(_) | SessionError::Rpc(_) => false,
        SessionError::Refused(_, status) => {
            status.asks_to_retry()
                || status.lost_session()
                || matches!(
                    *status,
                    Status::BADSLOT | Status::SEQ_MISORDERED | Status::CONN_NOT_BOUND_TO_SESSION
                )
        }
    }
}

/// Returns the message: a COMPOUND got no answer.
pub(super) fn failed(context: &ErrorContext<'_>, error: &SessionError) -> Reason {
    let server = context.share.server();
    match error {
        SessionError::Connect(ConnectError::Resolve(error)) => {
            tracing::debug!(server, %error, "no address was found");
            no_answer::unresolved(server)
        }
        SessionError::Connect(ConnectError::Connect(address, error)) => no_answer::no_connection(*address, error),
        SessionError::Rpc(RpcError::Broken(error)) => no_answer::broken(error),
        SessionError::Rpc(RpcError::Malformed(malformed)) => messages::malformed(context.share, malformed.0),
        SessionError::Rpc(RpcError::Refused(Refusal::Version))
        | SessionError::Refused(_, Status::MINOR_VERS_MISMATCH) => Fault::Other.because(format!(
            "{server} supports neither NFSv4.2 nor NFSv4.1. Enable one there, or set nfsVersion: \"3\" in the \
                 StorageClass."
        )),
        SessionError::Rpc(RpcError::Refused(Refusal::Credentials)) => no_answer::credentials(context),
        SessionError::Rpc(RpcError::Refused(Refusal::System)) => no_answer::system_error(server),
        SessionError::Rpc(RpcError::Refused(Refusal::Arguments)) => no_answer::arguments(server),
        SessionError::Refused(_, status) if status.lost_session() => Fault::Busy.because(format!(
            "{server} forgets the sessions that it has just opened ({}). It restarts repeatedly, or another Bindery \
             uses the same name.",
            context.status_name(*status)
        )),
        SessionError::Refused(_, status) if transient::status(*status) => messages::server_fault(context, *status),
        SessionError::Refused(operation, status) => Fault::Other.because(format!(
            "{server} refuses {operation} with {}. Look for the reason in its log.",
            context.status_name(*status)
        )),
    }
}

impl Transport for Server {
    type Prerequisite = Prerequisite;
    type Session = ();

    fn prerequisite_timeout(context: &ErrorContext<'_>, prerequisite: Prerequisite) -> Reason {
        let server = context.share.server();
        match prerequisite {
            Prerequisite::Fence(address) => Fault::TimedOut.because(format!(
                "an earlier call got no answer and must first be fenced off, so that it does not take effect late; \
                 {address} did not confirm that in time. Check that the NFS server runs there. If it never runs again, \
                 Bindery stops waiting after its lease, 90 s on most servers."
            )),
            Prerequisite::Session => Fault::TimedOut.because(format!(
                "{server} did not open a session in time. Check that the NFS server runs and can be reached."
            )),
        }
    }

    fn context<'a>(&'a self, share: &'a Share) -> ErrorContext<'a> {
        ErrorContext {
            share,
            uid: self.options().uid,
            privileged: self.has_privileged_port(),
            mount: None,
        }
    }
}
