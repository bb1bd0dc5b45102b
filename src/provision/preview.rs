//! Makes the checks of provisioning, without any effect.

use tokio::time::Instant;

use super::space::check_free_space;
use super::{Error, Provisioner};
use crate::model::choices::ExistingDirectory;
use crate::model::volume::NewVolume;
use crate::policy::conflict::exists_refusal;
use crate::policy::restore::use_existing;

impl Provisioner {
    /// Makes the checks of [`Provisioner::provision`] that come before its first write, and returns the same errors. It
    /// cannot check whether the server allows Bindery to create the directory.
    pub async fn preview(
        &self,
        new: &NewVolume,
        deadline: Instant,
        confirm: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        if let Some(archive) = &new.restored {
            return Box::pin(self.preview_restored(new, archive, deadline, confirm)).await;
        }
        let (found, share_id, space) = self.look_up(new, deadline, confirm).await?;
        // A directory whose name contains the name of its volume cannot overlap with the directory of another volume.
        if !new.directory.cannot_overlap(&new.name) {
            if let Some(volume) = self.volume(new, deadline).await? {
                use_existing(&volume, new, &self.installation)?;
                return Ok(());
            }
            let location = new.location(Some(share_id), found.map(|found| found.identity));
            self.refuse_overlap(new, &location, None, deadline).await?;
        }
        if found.is_some() && new.existing == ExistingDirectory::Deny {
            return Err(Error::DirectoryExists(exists_refusal(new)));
        }
        check_free_space(new, found.as_ref(), space)?;
        self.choose_group(&mut new.clone(), found, deadline).await
    }
}
