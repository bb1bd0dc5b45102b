//! Asks the portmapper of a server for the ports of version 3.

use std::net::SocketAddr;

use nfs3_client::PortmapperClient;
use nfs3_client::nfs3_types::mount::{PROGRAM as MOUNT, VERSION as MOUNT_VERSION};
use nfs3_client::nfs3_types::nfs3::{PROGRAM as NFS, VERSION as NFS_VERSION};

use super::diagnose;
use super::io::Records;
use super::mount::{Failure, Part, connect, port};
use super::pool::Pool;
use crate::storage::attempt::Transport;
use crate::storage::error::Reason;
use crate::storage::refusal::ErrorContext;

/// The ports of version 3: of mountd, and of NFS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The port of mountd.
    pub mountd: u16,
    /// The port of NFS.
    pub nfs: u16,
}

/// Returns the ports that the portmapper at this address knows.
pub(in crate::storage::nfs) async fn ports(
    portmapper: SocketAddr,
    context: &ErrorContext<'_>,
) -> Result<Ports, Reason> {
    ask(portmapper)
        .await
        .map_err(|failure| diagnose::failed(context, &failure))
}

/// Returns the message: the portmapper did not answer.
pub(in crate::storage::nfs) fn timed_out(context: &ErrorContext<'_>) -> Reason {
    Pool::prerequisite_timeout(context, Part::Portmapper)
}

async fn ask(portmapper: SocketAddr) -> Result<Ports, Failure> {
    let (stream, _) = connect(Part::Portmapper, portmapper, false).await?;
    let mut asked = PortmapperClient::new(Records::new(stream));
    Ok(Ports {
        mountd: port(&mut asked, Part::Mount, MOUNT, MOUNT_VERSION).await?,
        nfs: port(&mut asked, Part::Nfs, NFS, NFS_VERSION).await?,
    })
}
