//! Messages about calls that got no answer. [`crate::storage::messages`] has those about answers.

use nfs3_client::RpcError;

use super::mount::{Failure, Part, is_broken};
use super::pool::Pool;
use crate::model::directory::Share;
use crate::storage::attempt::Transport;
use crate::storage::error::Reason;
use crate::storage::messages;
use crate::storage::no_answer;
use crate::storage::refusal::ErrorContext;
use crate::storage::status::Status;
use crate::storage::{Fault, transient};

/// The alternative if version 3 is not available.
const OR_V4: &str = "or let Bindery use NFSv4 (nfsVersion 4), which needs port 2049 alone";

/// Returns the message: there is no connection, or no answer to a call.
pub(super) fn failed(context: &ErrorContext<'_>, failure: &Failure) -> Reason {
    let server = context.share.server();
    match failure {
        Failure::Resolve(error) => {
            tracing::debug!(server, %error, "no address was found");
            no_answer::unresolved(server)
        }
        Failure::Connect(Part::Portmapper, address, error) => Fault::Unreachable.because(format!(
            "NFSv3 needs the server's portmapper on port 111, and there is no connection to {address}: {}. Check that \
             the server is up, that rpcbind runs there, and that the port is open to this host; {OR_V4}.",
            no_answer::in_words(error)
        )),
        Failure::Connect(Part::Mount, address, error) => Fault::Unreachable.because(format!(
            "NFSv3 needs the server's mountd, and there is no connection to {address}: {}. Check that it runs, and \
             that its port is open to this host (a fixed port is best); {OR_V4}.",
            no_answer::in_words(error)
        )),
        Failure::Connect(Part::Nfs, address, error) => no_answer::no_connection(*address, error),
        Failure::Call(part, error) => call(context, *part, error),
        Failure::NotRegistered(part) => {
            // The server may just be starting.
            Fault::Unreachable.because(format!(
                "the portmapper of {server} knows no {} over TCP. Enable NFSv3 there, {OR_V4}.",
                protocol(*part)
            ))
        }
        Failure::Mount(status) => mount(context, *status),
        Failure::NoAuthSys => Fault::Denied.because(
            "the server requires Kerberos there, which Bindery's NFS client does not support. Export the share with \
             sec=sys.",
        ),
    }
}

/// Returns the message: the server refused MNT. Its statuses have the numbers of NFS statuses (RFC 1813, 5.1.5).
fn mount(context: &ErrorContext<'_>, status: u32) -> Reason {
    let path = context.share.path();
    let port = messages::port_advice(context);
    match Status(status) {
        Status::ACCESS | Status::PERM => {
            let code = if status == 13 { "MNT3ERR_ACCES" } else { "MNT3ERR_PERM" };
            Fault::NoSuchShare.because(format!(
                "the server does not export {path} to this host ({code}). Check what it exports, and to whom: \
                 showmount -e {}.{port}",
                context.share.server()
            ))
        }
        Status::NOENT => Fault::NoSuchShare.because(format!(
            "the server has no {path} (MNT3ERR_NOENT). Check that it is there and exported to this host: showmount -e \
             {}.{port}",
            context.share.server()
        )),
        Status::NOTDIR => Fault::NoSuchShare.because(format!(
            "{path} is not a directory there (MNT3ERR_NOTDIR). Name the directory that is exported."
        )),
        status if transient::status(status) => messages::server_fault(context, status),
        _ => Fault::Other.because(format!(
            "the server does not let {path} be mounted (mount status {status}). Look for the reason in its log."
        )),
    }
}

fn call(context: &ErrorContext<'_>, part: Part, error: &RpcError) -> Reason {
    let server = context.share.server();
    match error {
        RpcError::Io(error) if is_broken(error) => no_answer::broken(error),
        RpcError::Auth(_) => no_answer::credentials(context),
        RpcError::ProgUnavail | RpcError::ProgMismatch { .. } | RpcError::RpcMismatch { .. } => {
            Fault::Other.because(format!(
                "{server} does not speak {}. Enable NFSv3 there, {OR_V4}.",
                protocol(part)
            ))
        }
        RpcError::SystemErr => no_answer::system_error(server),
        RpcError::GarbageArgs | RpcError::ProcUnavail => no_answer::arguments(server),
        error => {
            tracing::debug!(server, %error, "the answer of the server cannot be read");
            let text = format!(
                "the answer of {server} does not follow the protocol of {} (it cannot be read). Is it an NFS server?",
                protocol(part)
            );
            Fault::Other.because(text)
        }
    }
}

fn protocol(part: Part) -> &'static str {
    match part {
        Part::Portmapper => "a portmapper",
        Part::Mount => "mountd of version 3",
        Part::Nfs => "NFSv3",
    }
}

impl Transport for Pool {
    type Prerequisite = Part;
    type Session = ();

    /// Returns the message: this part of the server did not answer.
    fn prerequisite_timeout(context: &ErrorContext<'_>, part: Part) -> Reason {
        let server = context.share.server();
        match part {
            Part::Portmapper => Fault::TimedOut.because(format!(
                "NFSv3 needs the portmapper of {server} on port 111, which did not answer in time. Check that the server \
                 is up, that rpcbind runs there, and that the port is open to this host; {OR_V4}."
            )),
            Part::Mount => Fault::TimedOut.because(format!(
                "NFSv3 needs the mountd of {server}, which did not answer in time. Check that it runs, and that its port \
                 is open to this host (a fixed port is best); {OR_V4}."
            )),
            Part::Nfs => messages::timed_out(context),
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
