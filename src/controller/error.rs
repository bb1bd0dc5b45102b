//! Why the reconcile of a volume or of a claim failed.

use crate::cluster::api_error::ApiFault;
use crate::provision;
use crate::storage::StorageError;

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The volume of a claim could not be created.
    #[error(transparent)]
    Provision(#[from] provision::Error),
    /// A request to the API server failed.
    #[error("a request to the API server failed: {}", ApiFault::from(.0))]
    Api(#[from] kube::Error),
    /// A call to the NFS server failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The annotations of the volume cannot be read, or contradict another volume. An administrator must correct them.
    #[error(
        "Bindery cannot handle this volume: {0}. Correct that, or remove the finalizer bindery.dev/cleanup: the volume \
         is then deleted, and a directory at its path stays"
    )]
    Invalid(String),
    /// The directory of a volume in use lacks the limit that its class requires.
    #[error("the claim has the volume already, and {0}")]
    NoLimit(String),
    /// The server may export another file system now than when the directory was created.
    #[error("{0}")]
    FileSystemChanged(String),
    /// The cleanup of another volume comes first, whose directory is this one or inside it.
    #[error(
        "volume {0} uses this directory or one inside it, and is cleaned up first. If that takes long, look at the \
         Events of that volume"
    )]
    WaitsForCleanup(String),
    /// The watch cache does not have the latest write yet.
    #[error("the watch of PersistentVolumes has not delivered the latest change yet")]
    CacheBehind,
    /// Another volume with an overlapping directory is being created, and will be removed again.
    #[error("volume {0} is being created with an overlapping directory")]
    OverlapBeingCreated(String),
    /// Another program created the volume, and Bindery cannot take it over.
    #[error("{0}")]
    NotTakenOver(String),
    /// During the reconcile, the policy of the volume changed, or its directory was moved.
    #[error("the volume or its directory changed in the meantime")]
    Changed,
    /// The volume to be cleaned up does not exist any more, or is not being deleted.
    #[error("the volume is gone, or is no longer to be cleaned up")]
    VolumeGone,
    /// The policy of this volume could not be written on another volume, whose directory also holds its files.
    #[error(
        "could not write onDelete of this volume on volume {0}, whose directory also holds its files: a request to the \
         API server failed: {fault}",
        fault = ApiFault::from(.1)
    )]
    PolicyNotWritten(String, kube::Error),
    /// The directory of an archive is still the directory of a volume.
    #[error("the cleanup of volume {0}, whose directory is this archive, has not ended")]
    ArchiveInUse(String),
    /// A volume is to get the directory of this archive, and it is not known yet whether its claim is created.
    #[error("the archive is being restored to a claim, as PersistentVolume {0}")]
    BeingRestored(String),
    /// The name of an archive is in use, so the directory cannot become that archive again.
    #[error(
        "the directory was an archive and must become one again, because no claim got it, but {0} of share {1} exists. An \
         administrator must move that away on the server"
    )]
    ArchiveNameTaken(String, String),
    /// The object of an archive could not be written in Bindery's own namespace, to which it is to be moved.
    #[error("the object could not be written in namespace {0}, to which it is moved before its namespace is deleted")]
    NotMoved(String),
    /// The process is stopping, or another replica leads.
    #[error("this replica is stopping, or no longer leads")]
    NotLeading,
}

impl Error {
    /// Returns the cause for Events. Events with different causes are counted separately.
    pub fn cause(&self) -> String {
        let name = match self {
            Self::Storage(error) | Self::Provision(provision::Error::Storage(error)) => {
                return format!("{:?}", error.fault);
            }
            Self::Provision(provision::Error::Releasing(_)) => "Releasing",
            Self::Provision(_) | Self::Api(_) | Self::PolicyNotWritten(..) => "Api",
            Self::Invalid(_) => "Invalid",
            Self::NoLimit(_) => "NoLimit",
            Self::FileSystemChanged(_) => "FileSystemChanged",
            Self::WaitsForCleanup(_) => "WaitsForCleanup",
            Self::CacheBehind => "CacheBehind",
            Self::OverlapBeingCreated(_) => "OverlapBeingCreated",
            Self::NotTakenOver(_) => "NotTakenOver",
            Self::Changed => "Changed",
            Self::VolumeGone => "VolumeGone",
            Self::ArchiveInUse(_) => "ArchiveInUse",
            Self::BeingRestored(_) => "BeingRestored",
            Self::ArchiveNameTaken(..) => "ArchiveNameTaken",
            Self::NotMoved(_) => "NotMoved",
            Self::NotLeading => "NotLeading",
        };
        name.to_owned()
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
