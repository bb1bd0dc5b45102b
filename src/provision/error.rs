//! Why provisioning failed, and whether the claim can get its volume later.

use crate::cluster::api_error::{ApiFault, Kind};
use crate::model::choices::OnStorageFailure;
use crate::policy::conflict::Conflict;
use crate::storage::StorageError;

/// Why provisioning failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A claim of this name exists, so the API server will refuse the new one. Nothing was created.
    #[error("a claim of this name exists")]
    ClaimExists,
    /// A claim of this name is being deleted. It may still exist when the API server stores the new one.
    #[error("a claim of this name is still being deleted; try again in a few seconds")]
    ClaimDeleting,
    /// The class or the namespace is not what the decision was based on. Nothing was created.
    #[error("the StorageClass or the namespace of the claim was changed in this moment; try again")]
    Outdated,
    /// The claim to be provisioned is gone, or has a volume already.
    #[error("the claim was deleted or has a volume already")]
    ClaimNotWaiting,
    /// The directory already exists, and Bindery did not create it.
    #[error("{0}")]
    DirectoryExists(String),
    /// Another volume has this directory, or one above or inside it.
    #[error("{0}")]
    Conflict(String),
    /// The same as `Conflict`, but the other volume will soon be gone.
    #[error("{0}")]
    Releasing(String),
    /// The archive cannot be given to the claim.
    #[error("{0}")]
    Archive(String),
    /// Other volumes and archives use all groups of the class.
    #[error("{0}")]
    NoGroup(String),
    /// The claim requests more than what is free.
    #[error("{0}")]
    NoSpace(String),
    /// The server does not limit the size of the directory.
    #[error("{0}")]
    NoLimit(String),
    /// The NFS server returned an error or did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A request to the API server failed. The text is its purpose, such as "create PersistentVolume pvc-1".
    #[error("Bindery could not {0}: {1}")]
    Api(String, ApiFault),
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Releasing(why) => Self::Releasing(why),
            Conflict::Refuse(why) => Self::Conflict(why),
        }
    }
}

impl Error {
    /// Returns whether the problem is temporary, so that the claim can be admitted without a volume and get one later.
    /// An NFS server that refuses now will also refuse later, so the user must know it now. `onStorageFailure` applies
    /// only to the NFS server: a temporary error of the API server never refuses a claim.
    pub fn can_queue(&self, on_failure: OnStorageFailure) -> bool {
        match self {
            Self::Releasing(_) | Self::Outdated => true,
            Self::Storage(error) => on_failure == OnStorageFailure::Queue && error.transient(),
            // Another client wrote to the same object at the same time; the next attempt sees the result.
            Self::Api(_, fault) => fault.may_pass() || fault.kind == Kind::Conflict,
            Self::ClaimExists
            | Self::ClaimDeleting
            | Self::ClaimNotWaiting
            | Self::DirectoryExists(_)
            | Self::Conflict(_)
            | Self::Archive(_)
            | Self::NoGroup(_)
            | Self::NoSpace(_)
            | Self::NoLimit(_) => false,
        }
    }

    /// Returns whether the same request to the API server may succeed later.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Api(_, fault) if fault.may_pass())
    }

    /// Returns the kind of the API server's error, if it is one.
    pub(super) fn api(&self) -> Option<Kind> {
        match self {
            Self::Api(_, fault) => Some(fault.kind),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16, message: &str) -> Error {
        let error = kube::Error::Api(Status::failure(message, "Reason").with_code(code).boxed());
        Error::Api("create PersistentVolume pvc-1".to_owned(), error.into())
    }

    #[test]
    fn a_temporary_api_error_never_refuses_a_claim() {
        let lacks =
            "persistentvolumes is forbidden: User \"b\" cannot create resource \"persistentvolumes\" in API group";
        let denied = "admission webhook \"other\" denied the request: no";
        for (error, can_queue) in [
            (api(500, ""), true),
            (api(429, ""), true),
            (api(409, ""), true),
            (Error::Api("read claim data".to_owned(), ApiFault::timeout()), true),
            // An API server that has just started does not know the rights of ServiceAccounts yet.
            (api(403, lacks), true),
            (api(403, denied), false),
            (api(404, ""), false),
        ] {
            for on_failure in [OnStorageFailure::Queue, OnStorageFailure::Deny] {
                assert_eq!(error.can_queue(on_failure), can_queue, "{error} {on_failure:?}");
            }
        }
    }

    #[test]
    fn an_api_error_names_its_purpose_and_reason() {
        assert_eq!(
            api(500, "error reading from server: EOF").to_string(),
            "Bindery could not create PersistentVolume pvc-1: the API server reported an internal error (500)"
        );
    }
}
