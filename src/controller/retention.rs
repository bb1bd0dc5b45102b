//! Archives whose time is over, and what is left in the trash.
//!
//! Trigger: time, since a share cannot be watched. All that decides stands in a name below the share: whose archive it is
//! and until when it is kept, whose trash. An archive goes by way of the trash like everything else, so that a crash in the
//! middle leaves nothing half removed in sight, and the next round goes on with it. What a volume of ours still has in the
//! trash is left to that volume's cleanup; but the directory of one that nobody deletes goes back to where it was.
//! Archives and trash lie in the share, and in directories of it that there are signs for ([`Depot`]).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::Volumes;
use super::failure::Failure;
use crate::cluster::kept::KeptVolume;
use crate::policy::class::Class;
use crate::policy::directory::{Depot, Directory, Share};
use crate::storage::{Identity, Moved, Tree};

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

/// Volumes that nobody deletes, by what may be found of them where it should not be.
#[derive(Default)]
struct Living {
    by_tag: HashMap<String, Arc<KeptVolume>>,
    by_identity: HashMap<Identity, Arc<KeptVolume>>,
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
            let volume = volume.read();
            let ours = volume.maker.as_ref() == Some(&*self.us);
            Some(volume.record.as_ref().ok().filter(|_| ours)?.share.clone())
        });
        of_classes.chain(of_volumes).collect()
    }

    /// What the server refuses to do with one thing is told, and the round goes on with the next. When the server or the API
    /// server does not answer, the rest of the share waits for the next round.
    async fn tidy(&self, share: &Share) -> Result<(), Failure> {
        let living = self.living(share);
        for depot in self.depots(share).await? {
            let archives = self.storage.list(share, depot.directory(), Self::soon()).await?;
            for name in archives {
                let done = self.tidy_archive(share, &depot, &name, &living).await;
                self.pass_over(share, &name, done)?;
            }
            let trash = depot.place(&Directory::trash());
            for name in self.storage.list(share, Some(&trash), Self::soon()).await? {
                let done = self.tidy_trash(share, &depot, &name, &living).await;
                self.pass_over(share, &name, done)?;
            }
        }
        Ok(())
    }

    fn pass_over(&self, share: &Share, name: &str, done: Result<(), Failure>) -> Result<(), Failure> {
        match done {
            Err(Failure::Storage(error)) if !error.transient() => {
                tracing::warn!(%share, name, "it stays until the next round: {error}");
                self.metrics.step("not_tidied");
                Ok(())
            }
            done => done,
        }
    }

    async fn tidy_archive(&self, share: &Share, depot: &Depot, name: &str, living: &Living) -> Result<(), Failure> {
        if let Some(owner) = Directory::tag_of(name).and_then(|tag| living.by_tag.get(tag))
            && let Some(place) = depot.own(name)
            && self.put_back_to(&owner.read().name, share, &place).await?
        {
            return Ok(());
        }
        match Directory::expiring(name, &self.us.instance) {
            Some((archive, until)) if until <= Timestamp::now() => self.prune(share, depot, &archive).await,
            _ => Ok(()),
        }
    }

    async fn tidy_trash(&self, share: &Share, depot: &Depot, name: &str, living: &Living) -> Result<(), Failure> {
        let Some((place, owner)) = Directory::left_in_trash(name, &self.us.instance) else {
            return Ok(());
        };
        let place = depot.place(&place);
        let Some(found) = self.storage.look_up(share, &place, Self::soon()).await? else {
            return Ok(());
        };
        if let Some(living) = living.by_identity.get(&found.identity) {
            self.put_back_to(&living.read().name, share, &place).await?;
        } else if self.cluster.volume(owner).await?.is_none() {
            self.remove(share, &place).await?;
            tracing::info!(%share, trash = %place, "removed from the trash");
        }
        Ok(())
    }

    /// The volumes of ours on a share that are there to stay, and which directory each was given.
    fn living(&self, share: &Share) -> Living {
        let mut living = Living::default();
        for kept in self.cluster.volumes.store().state() {
            let volume = kept.read();
            let ours = volume.maker.as_ref() == Some(&*self.us) && !volume.deleting;
            if let Ok(record) = &volume.record
                && let Some(identity) = record.identity.filter(|_| ours && record.share == *share)
            {
                let tag = Directory::archive_tag(&self.us.instance, &volume.name);
                living.by_tag.insert(tag, Arc::clone(&kept));
                living.by_identity.insert(identity, kept);
            }
        }
        living
    }

    async fn prune(&self, share: &Share, depot: &Depot, archive: &Directory) -> Result<(), Failure> {
        let trash = depot.place(&archive.archive_in_trash(&self.us.instance));
        let archive = &depot.place(archive);
        let Some(found) = self.storage.look_up(share, archive, Self::soon()).await? else {
            return Ok(());
        };
        self.make_trash(share, depot).await?;
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
