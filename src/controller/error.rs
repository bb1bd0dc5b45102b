//! Why a volume's turn did not come to its end.

use crate::cluster::api_error::ApiFault;
use crate::storage::{Fault, StorageError};

/// Why a turn did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server.
    #[error("a request to the API server failed: {}", ApiFault::from(.0))]
    Api(#[from] kube::Error),
    /// The NFS server.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The volume's marks.
    #[error(
        "Bindery cannot handle this volume: {0}. Correct that, or remove the finalizer bindery.dev/cleanup: the volume is then deleted, and a directory at its path stays"
    )]
    Invalid(String),
    /// The share is not what it was when the directory was made.
    #[error("{0}")]
    FileSystemChanged(String),
    /// Another volume that names the directory, or one in it, is being cleaned up first.
    #[error(
        "volume {0} uses this directory or one inside it, and is cleaned up first. If that takes long, look at the Events of that \
         volume"
    )]
    WaitsForCleanup(String),
    /// The watch does not have yet what was just written.
    #[error("the watch of PersistentVolumes has not delivered the latest change yet")]
    CacheBehind,
    /// Another volume is just being made in the same place, and will back out.
    #[error("volume {0} is being created with an overlapping directory")]
    OverlapBeingMade(String),
    /// Another program made the volume, and Bindery cannot look after it.
    #[error("{0}")]
    NotTakenOver(String),
    /// The volume's policy, or the place of its directory, is another one than a moment ago.
    #[error("the volume or its directory changed in the meantime")]
    Changed,
    /// The process is stopping, or another replica leads by now.
    #[error("this replica is stopping, or no longer leads")]
    NotLeading,
}

/// The name of a fault, by which Events are told apart.
pub fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Unreachable => "Unreachable",
        Fault::TimedOut => "TimedOut",
        Fault::NotMounted => "NotMounted",
        Fault::Busy => "Busy",
        Fault::ServerFault => "ServerFault",
        Fault::NoSuchShare => "NoSuchShare",
        Fault::Denied => "Denied",
        Fault::ReadOnly => "ReadOnly",
        Fault::NoSpace => "NoSpace",
        Fault::NotADirectory => "NotADirectory",
        Fault::OtherFileSystem => "OtherFileSystem",
        Fault::HiddenEntries => "HiddenEntries",
        Fault::Other => "Other",
    }
}
