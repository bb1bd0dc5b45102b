//! Asks a server which minor versions it supports. No share is used. If the probe is stopped, the server
//! may keep its client until the lease ends.

use std::net::SocketAddr;
use std::sync::Arc;

use super::compound::Results;
use super::diagnose;
use super::operation::Op;
use super::rpc::{Refusal, RpcError};
use super::wire::{SessionError, Wire, new_verifier};
use crate::storage::error::Reason;
use crate::storage::nfs::connect::connect_to;
use crate::storage::nfs::options::NfsOptions;
use crate::storage::refusal::ErrorContext;
use crate::storage::status::Status;

/// Returns whether the server at this address supports a minor version.
pub(in crate::storage::nfs) async fn supports(
    address: SocketAddr,
    minor: u32,
    options: &Arc<NfsOptions>,
    context: &ErrorContext<'_>,
) -> Result<bool, Reason> {
    match ask(address, minor, options).await {
        Ok(()) => Ok(true),
        Err(
            SessionError::Refused(_, Status::MINOR_VERS_MISMATCH)
            | SessionError::Rpc(RpcError::Refused(Refusal::Version)),
        ) => Ok(false),
        Err(error) => Err(diagnose::failed(context, &error)),
    }
}

async fn ask(address: SocketAddr, minor: u32, options: &Arc<NfsOptions>) -> Result<(), SessionError> {
    let connection = connect_to(address, options.privileged_port).await?;
    let mut wire = Wire::new(connection, options.clone(), minor);
    if minor == 0 {
        // Version 4.0 has no sessions.
        let mut arguments = wire.begin(1);
        Op::PutRootFh.write(&mut arguments);
        let reply = wire.send(arguments).await?;
        return match Results::new(&reply)?.next(Op::PutRootFh.number())? {
            status @ Status::MINOR_VERS_MISMATCH => Err(SessionError::Refused("PUTROOTFH", status)),
            // Any other answer is one of this version.
            _ => Ok(()),
        };
    }
    // A client of its own, so that no running Bindery loses its sessions.
    let owner = format!("bindery check {}", uuid::Uuid::new_v4());
    let client = wire.exchange_id(&owner, new_verifier()).await?.client;
    // Otherwise the server would keep it until its lease ends. An error changes nothing.
    let _ = wire.destroy_client(client).await;
    Ok(())
}
