//! Why there is no volume, and whether that passes.

use crate::cluster::api_error::{ApiFault, Kind};
use crate::model::choices::OnStorageFailure;
use crate::storage::StorageError;

/// Why there is no volume.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A claim of that name exists: the API server will refuse this one, and nothing was made.
    #[error("a claim of this name exists")]
    ClaimExists,
    /// A claim of that name is on its way out: when the API server comes to this one, it may be gone or not.
    #[error("a claim of this name is still being deleted; try again in a few seconds")]
    ClaimDeleting,
    /// The claim that was to be provisioned is gone, or has a volume by now.
    #[error("the claim was deleted or has a volume already")]
    ClaimNotWaiting,
    /// The directory is there already, and was made by somebody else.
    #[error("{0}")]
    DirectoryExists(String),
    /// The directory, or one above or in it, has a volume already.
    #[error("{0}")]
    Conflict(String),
    /// The same, but that volume will be gone in a moment.
    #[error("{0}")]
    Releasing(String),
    /// The NFS server.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A request to the API server, by what it was for: "create PersistentVolume pvc-1".
    #[error("Bindery could not {0}: {1}")]
    Api(String, ApiFault),
}

impl Error {
    /// Whether it goes away by itself, so that the claim may be admitted without a volume and get one later. An NFS server
    /// that refuses will refuse later, too: its user had better read that now. `onStorageFailure` is about the NFS server
    /// alone: a fault of the API server that passes never refuses a claim.
    pub fn passes(&self, on_failure: OnStorageFailure) -> bool {
        match self {
            Self::Releasing(_) => true,
            Self::Storage(error) => on_failure == OnStorageFailure::Queue && error.transient(),
            // Somebody else wrote to the same object at the same moment, and the next try sees what came of it.
            Self::Api(_, fault) => fault.is_transient() || fault.kind == Kind::Conflict,
            Self::ClaimExists
            | Self::ClaimDeleting
            | Self::ClaimNotWaiting
            | Self::DirectoryExists(_)
            | Self::Conflict(_) => false,
        }
    }

    /// What follows from it, if it is the API server's.
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
    fn a_fault_of_the_api_server_that_passes_refuses_no_claim_whatever_on_storage_failure_says() {
        let denied = "admission webhook \"other\" denied the request: no";
        for (error, passes) in [
            (api(500, ""), true),
            (api(429, ""), true),
            (api(409, ""), true),
            (Error::Api("read claim data".to_owned(), ApiFault::timeout()), true),
            (api(403, denied), false),
            (api(404, ""), false),
        ] {
            for on_failure in [OnStorageFailure::Queue, OnStorageFailure::Deny] {
                assert_eq!(error.passes(on_failure), passes, "{error} {on_failure:?}");
            }
        }
    }

    #[test]
    fn a_failed_request_says_what_it_was_for_and_why_it_failed() {
        assert_eq!(
            api(500, "error reading from server: EOF").to_string(),
            "Bindery could not create PersistentVolume pvc-1: the API server reported an internal error (500)"
        );
    }
}
