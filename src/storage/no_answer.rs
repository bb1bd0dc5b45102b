//! Messages about calls that got no answer, or that RPC refused: for users, with the next step.
//!
//! They contain no text of the operating system or of a library: that is for the log.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use rustix::io::Errno;

use crate::storage::error::{Fault, Reason};
use crate::storage::messages;
use crate::storage::refusal::ErrorContext;

/// Returns the message: the server's name has no address.
pub(super) fn unresolved(server: &str) -> Reason {
    Fault::Unreachable.because(format!(
        "no address was found for the name {server}. Check the server's name and the DNS."
    ))
}

/// Returns the message: the NFS server does not accept a connection.
pub(super) fn no_connection(address: SocketAddr, error: &io::Error) -> Reason {
    Fault::Unreachable.because(format!(
        "no connection to {address}: {}. Check that the NFS server runs, and that its port is open to this host.",
        in_words(error)
    ))
}

/// Returns the message: the server closes the connection without an answer.
pub(super) fn broken(error: &io::Error) -> Reason {
    Fault::Unreachable.because(format!(
        "the connection to the server ends without an answer: {}. Look for the reason in its log.",
        in_words(error)
    ))
}

/// Returns why there is no connection, or why it ended. The operating system's own text is for programmers.
pub(super) fn in_words(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => "nothing listens there (connection refused)",
        ErrorKind::TimedOut => "it timed out",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            "there is no route to it (unreachable)"
        }
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => "the other end has closed it",
        ErrorKind::PermissionDenied => "a firewall or a policy of this host denies it",
        ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable => "this host has no source port or address left for it",
        ErrorKind::OutOfMemory => "this host has no memory left for it",
        _ => match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE) => "too many files are open on this host",
            Some(Errno::AGAIN) => "this host has reached a limit of processes or memory",
            _ => "the operating system gives no known reason",
        },
    }
}

/// Returns the message: the server does not accept the credentials.
pub(super) fn credentials(context: &ErrorContext<'_>) -> Reason {
    Fault::Denied.because(format!(
        "{} does not accept AUTH_SYS from this host. Export with sec=sys.{}",
        context.share.server(),
        messages::port_advice(context)
    ))
}

/// Returns the message: the server failed to carry a call out.
pub(super) fn system_error(server: &str) -> Reason {
    Fault::ServerFault.because(format!(
        "{server} has an internal error that may pass (RPC: system error). If it lasts, look for the reason in its \
         log."
    ))
}

/// Returns the message: the server cannot read a call.
pub(super) fn arguments(server: &str) -> Reason {
    Fault::Other.because(format!(
        "{server} could not read the call (RPC: garbage arguments). Look for the reason in its log."
    ))
}
