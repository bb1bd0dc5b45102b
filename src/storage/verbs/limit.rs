//! Limits the size of a directory.

use super::protocol::{Protocol, Walk};
use crate::model::directory::Directory;
use crate::model::identity::Identity;
use crate::storage::attempt::{Attempt, RetryReason, RoundError};
use crate::storage::refusal::Action;
use crate::storage::status::Status;
use crate::storage::{ExistingLimit, Fault};

impl<P: Protocol> Attempt<'_, P> {
    /// One round of [`crate::storage::Storage::limit_size`].
    pub async fn limit_size(
        &self,
        directory: &Directory,
        expected: Identity,
        bytes: u64,
        existing: ExistingLimit,
    ) -> Result<(), RoundError> {
        let segments: Vec<&str> = directory.segments().collect();
        let found = match P::walk(self, &segments).await? {
            Walk::Found(found) if found.found.identity == expected => found,
            Walk::Found(_) | Walk::Missing(_) => {
                return Err(RoundError::Retry(RetryReason::Changed(Status::NOENT)));
            }
        };
        match P::limit_size(self, &found.handle, bytes, existing).await? {
            Ok(()) => Ok(()),
            Err(Status::NOTSUPP) => Err(self.fails(Fault::Other.because(
                "Bindery can set limits only on CephFS that is mounted in its pod (--mounted). Use a StorageClass with \
                 sizeLimit: ignore, or sizeLimit: require if the server itself limits directories.",
            ))),
            Err(status @ (Status::ACCESS | Status::PERM)) => Err(self.fails(Fault::Denied.because(format!(
                "the quota was refused ({}). The CephFS client needs the capability \"p\": create its key with \
                 `ceph fs authorize ... rwp`.",
                self.context().status_name(status)
            )))),
            Err(status) => Err(self.refused(Action::Limit, status)),
        }
    }
}
