//! Why a volume's turn did not come to its end.

use crate::cluster::api_error::ApiFault;
use crate::storage::{Fault, StorageError};

/// Why a turn did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server.
    #[error("a request of Bindery's to the API server failed: {}", ApiFault::from(.0))]
    Api(#[from] kube::Error),
    /// The NFS server.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The volume's marks.
    #[error(
        "the volume cannot be looked after: {0}; correct it, or remove the finalizer bindery.dev/cleanup: the volume then goes, and a directory that is at its path stays there"
    )]
    Invalid(String),
    /// The share is not what it was when the directory was made.
    #[error("{0}")]
    FileSystemChanged(String),
    /// Another volume that names the directory, or one in it, is being cleaned up first.
    #[error(
        "volume {0} names the directory or one in it, and is cleaned up first. If that does not come to an end, look at the \
         Events of that volume"
    )]
    WaitsForCleanup(String),
    /// The watch does not have yet what was just written.
    #[error("the watch of volumes is behind")]
    CacheBehind,
    /// Another volume is just being made in the same place, and will back out.
    #[error("volume {0} is being made in the same place")]
    OverlapBeingMade(String),
    /// Another program made the volume, and Bindery cannot look after it.
    #[error("{0}")]
    NotTakenOver(String),
    /// The volume's policy, or the place of its directory, is another one than a moment ago.
    #[error("the volume or its directory has changed meanwhile")]
    Changed,
    /// The process is stopping, or another replica leads by now.
    #[error("Bindery is stopping here")]
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
