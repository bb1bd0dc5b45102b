//! Archives whose time is over, and what is left in the trash.
//!
//! Trigger: time, since a share cannot be watched. All that decides stands in a name below the share: whose archive it is
//! and until when it is kept, whose trash. An archive goes by way of the trash like everything else, so that a crash in the
//! middle leaves nothing half removed in sight, and the next round goes on with it. What a volume of ours still has in the
//! trash is left to that volume's cleanup.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::Volumes;
use super::failure::Failure;
use crate::policy::class::Class;
use crate::policy::directory::{Directory, Share};
use crate::storage::{Attributes, Existing, Moved, Tree};
use crate::volume::Volume;

/// Makes a round now, and again after each pause. Never ends.
pub async fn run(volumes: &Volumes, pause: Duration) {
    loop {
        for share in volumes.shares() {
            if let Err(failure) = volumes.tidy(&share).await {
                tracing::warn!(%share, "archives and trash could not be looked after; it is tried again in {pause:?}: {failure}");
            }
        }
        sleep(pause).await;
    }
}

impl Volumes {
    /// Every share that a class or a volume of ours names.
    fn shares(&self) -> BTreeSet<Share> {
        let classes = self.cluster.classes.store().state();
        let ours = classes.iter().filter(|class| class.provisioner == self.us.provisioner);
        let of_classes = ours.filter_map(|class| {
            let class = Class::read(class, &self.defaults).ok()?;
            Some(class.share.over(class.settings.version.unwrap_or_default()))
        });
        let volumes = self.cluster.volumes.store().state();
        let of_volumes = volumes.iter().filter_map(|volume| {
            let volume = Volume::read(volume);
            let ours = volume.maker.as_ref() == Some(&*self.us);
            Some(volume.record.ok().filter(|_| ours)?.share)
        });
        of_classes.chain(of_volumes).collect()
    }

    async fn tidy(&self, share: &Share) -> Result<(), Failure> {
        let now = Timestamp::now();
        for name in self.storage.list(share, None, Self::soon()).await? {
            if let Some((archive, until)) = Directory::expiring(&name, &self.us.instance)
                && until <= now
            {
                self.prune(share, &archive).await?;
            }
        }
        for name in self
            .storage
            .list(share, Some(&Directory::trash()), Self::soon())
            .await?
        {
            if let Some((trash, owner)) = Directory::left_in_trash(&name, &self.us.instance)
                && self.cluster.volume(owner).await?.is_none()
            {
                self.remove(share, &trash).await?;
                tracing::info!(%share, %trash, "removed from the trash");
            }
        }
        Ok(())
    }

    async fn prune(&self, share: &Share, archive: &Directory) -> Result<(), Failure> {
        let Some(found) = self.storage.look_up(share, archive, Self::soon()).await? else {
            return Ok(());
        };
        let trash = archive.archive_in_trash(&self.us.instance);
        self.make_trash(share).await?;
        self.may_act()?;
        let moved = self
            .storage
            .rename(share, archive, found.identity, &trash, Self::soon())
            .await?;
        if moved == Moved::Done {
            self.remove(share, &trash).await?;
            tracing::info!(%share, %archive, "the archive's time is over: it is removed");
            self.metrics.step("pruned");
        }
        Ok(())
    }

    /// The folder that a directory is moved to before it is removed.
    pub(super) async fn make_trash(&self, share: &Share) -> Result<(), Failure> {
        let attributes = Attributes {
            mode: 0o700,
            uid: None,
            gid: None,
        };
        let (trash, existing) = (Directory::trash(), Existing::LeaveAlone);
        self.storage
            .make(share, &trash, attributes, existing, Self::soon())
            .await?;
        Ok(())
    }

    /// Removes what lies in the trash; a stop comes in between, and the next start goes on.
    pub(super) async fn remove(&self, share: &Share, trash: &Directory) -> Result<(), Failure> {
        loop {
            self.may_act()?;
            if self.storage.remove_tree(share, trash, Self::soon()).await? == Tree::Gone {
                return Ok(());
            }
        }
    }
}
