//! Space: whether a claim fits into its share, and the limit of the size of its directory.

use tokio::time::Instant;

use super::{Error, Provisioner};
use crate::model::choices::{FreeSpace, SizeLimit};
use crate::model::directory::{Directory, Share};
use crate::model::identity::Identity;
use crate::model::volume::{NewVolume, Origin};
use crate::policy::space::{free_space_refusal, limit, size_limit_refusal};
use crate::storage::{ExistingLimit, Found, Space, Storage, StorageError};

impl Provisioner {
    /// Reads the free space of the share, if the class requires that the claim fits into it.
    pub(super) async fn free_space(&self, new: &NewVolume, deadline: Instant) -> Result<Option<Space>, StorageError> {
        match new.free_space {
            FreeSpace::Require => self.storage.space(&new.share, None, deadline).await,
            FreeSpace::Ignore => Ok(None),
        }
    }

    /// Limits the size of a directory, or checks that the server does, as the class requires.
    pub(super) async fn limit_size(
        &self,
        new: &NewVolume,
        origin: Origin,
        identity: Identity,
        deadline: Instant,
    ) -> Result<(), Error> {
        let (share, directory) = (&new.share, &new.directory);
        match new.size_limit {
            SizeLimit::Ignore => Ok(()),
            SizeLimit::Require => {
                let limit = limit_of(&*self.storage, share, directory, deadline);
                let limit = self.metrics.wait("nfs", limit).await?;
                match size_limit_refusal(share, directory, &new.class, limit) {
                    Some(why) => Err(Error::NoLimit(why)),
                    None => Ok(()),
                }
            }
            SizeLimit::Set => {
                let size = u64::try_from(new.capacity.bytes).unwrap_or(u64::MAX);
                let existing = ExistingLimit::of(origin == Origin::New);
                let set = self
                    .storage
                    .limit_size(share, directory, identity, size, existing, deadline);
                Ok(self.metrics.wait("nfs", set).await?)
            }
        }
    }
}

/// Returns the size to which the server limits a directory, if it does.
pub async fn limit_of(
    storage: &dyn Storage,
    share: &Share,
    directory: &Directory,
    deadline: Instant,
) -> Result<Option<u64>, StorageError> {
    // The size of some file systems changes, so both are asked for at the same time.
    let (of_share, of_directory) = tokio::try_join!(
        storage.space(share, None, deadline),
        storage.space(share, Some(directory), deadline),
    )?;
    Ok(limit(of_share, of_directory))
}

/// Fails if the claim does not fit into the free space. A directory that exists already is not checked: its files are
/// counted already.
pub(super) fn check_free_space(new: &NewVolume, found: Option<&Found>, space: Option<Space>) -> Result<(), Error> {
    match free_space_refusal(new, space) {
        Some(why) if found.is_none() => Err(Error::NoSpace(why)),
        _ => Ok(()),
    }
}
