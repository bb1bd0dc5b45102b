//! A directory leaves its live path, and comes back where that was wrong.
//!
//! A replica that was paused, or a call that was stuck, may come late: another replica has finished the volume, and the
//! path belongs to a later one. The identity of the directory usually tells the two apart, but file systems give the
//! number of a file that was removed to the next one (ext4 does at once). So whoever has moved a directory looks then
//! whether the very volume is still there and still being deleted. If not, what was moved is somebody else's, and is
//! put back, by its identity, with all that is in it; programs that use it meanwhile notice nothing, since NFS clients hold
//! directories by handle. Where a process dies in between, or the look fails, the rounds of [`super::retention`] put it
//! back: the living volume says that it is its own.

use serde_json::{Value, json};

use super::Volumes;
use super::failure::Failure;
use crate::crash::{self, Point};
use crate::fence::{self, annotate, patch, test};
use crate::names::mark;
use crate::policy::directory::{Depot, Directory, Share};
use crate::storage::{Fault, Found, Identity, Moved, Outcome, Removed, StorageError};
use crate::volume::{Record, Volume};

/// What came of leaving, and where to.
pub(super) struct Left {
    pub moved: Moved,
    pub to: Directory,
}

impl Volumes {
    /// Renames the directory away from the live path, if it is the one that the volume was given: to `own` in the share,
    /// or beside it where the share is another file system.
    pub(super) async fn leave(&self, volume: &Volume, record: &Record, own: &Directory) -> Result<Left, Failure> {
        let missing = |to| Left {
            moved: Moved::Missing,
            to,
        };
        let mut to = own.clone();
        let Some(identity) = self.identity(volume, record).await? else {
            return Ok(missing(to));
        };
        self.may_act()?;
        let mut moved = self.move_away(record, identity, &to).await;
        if let Err(error) = &moved
            && error.fault == Fault::OtherFileSystem
            && let Some(beside) = Depot::beside(&record.directory)
        {
            self.make_sign(&record.share, &beside).await?;
            self.make_trash(&record.share, &beside).await?;
            to = beside.place(own);
            self.may_act()?;
            moved = self.move_away(record, identity, &to).await;
        }
        tracing::debug!(volume = volume.name, ?moved, %to, "left the live path");
        crash::point(Point::Renamed);
        let may_be_there = match &moved {
            Ok(moved) => *moved == Moved::Done,
            Err(error) => error.outcome == Outcome::Unknown,
        };
        if may_be_there && !self.still_leaves(volume).await? {
            self.put_back(volume, record, identity, &to).await?;
            return Err(Failure::Stopping);
        }
        Ok(Left { moved: moved?, to })
    }

    async fn move_away(&self, record: &Record, identity: Identity, to: &Directory) -> Result<Moved, StorageError> {
        self.storage
            .rename(&record.share, &record.directory, identity, to, Self::soon())
            .await
    }

    /// Removes the directory of a volume if nothing is in it. One that turns out to be a later volume's is made again by
    /// the binder: nothing was in it.
    pub(super) async fn remove_empty(
        &self,
        volume: &Volume,
        record: &Record,
        identity: Identity,
    ) -> Result<Removed, Failure> {
        // The directory was looked at before: if the volume is still there, it was the volume's.
        if !self.still_leaves(volume).await? {
            return Err(Failure::Stopping);
        }
        self.may_act()?;
        let removed = self
            .storage
            .remove_empty(&record.share, &record.directory, identity, Self::soon())
            .await;
        let may_be_gone = match &removed {
            // Missing: also when the answer to this very call was lost, and it was asked again.
            Ok(removed) => matches!(removed, Removed::Done | Removed::Missing),
            Err(error) => error.outcome == Outcome::Unknown,
        };
        if may_be_gone && !self.still_leaves(volume).await? {
            self.make_again(volume).await?;
            return Err(Failure::Stopping);
        }
        Ok(removed?)
    }

    /// Whether the very volume is still there to be cleaned up, by a live look.
    async fn still_leaves(&self, volume: &Volume) -> Result<bool, Failure> {
        let now = self.cluster.volume(&volume.name).await?;
        Ok(now.is_some_and(|now| now.uid == volume.uid && now.deleting && now.held))
    }

    /// Puts a directory back that was not this volume's to move. If something is at the path by now, it becomes an archive
    /// that is kept for ever: it has data of somebody in it.
    async fn put_back(
        &self,
        volume: &Volume,
        record: &Record,
        identity: Identity,
        from: &Directory,
    ) -> Result<(), Failure> {
        let (share, directory) = (&record.share, &record.directory);
        let there = self.storage.look_up(share, from, Self::soon()).await?;
        if there.is_none_or(|there| there.identity != identity) {
            return Ok(());
        }
        let mut to = directory.clone();
        if self.storage.look_up(share, directory, Self::soon()).await?.is_some() {
            let tag = Directory::archive_tag(&self.us.instance, &volume.name);
            if from.lasts() {
                return Ok(());
            }
            let archive = directory.archive(jiff::Timestamp::now(), &tag, None);
            to = Depot::around(from).place(&archive);
        }
        let moved = self.storage.rename(share, from, identity, &to, Self::soon()).await?;
        tracing::warn!(
            volume = volume.name, %share, %directory, %from, %to, ?moved,
            "a step that came too late has moved the directory of a later volume: it is put back"
        );
        self.metrics.step("put_back");
        Ok(())
    }

    /// Puts back what lies at `place` if it is the directory of a volume that nobody deletes: that volume's cleanup cannot
    /// have moved it, for it was there before a look at the volume found that none is due.
    pub(super) async fn put_back_to(&self, owner: &str, share: &Share, place: &Directory) -> Result<bool, Failure> {
        let Some(found) = self.storage.look_up(share, place, Self::soon()).await? else {
            return Ok(false);
        };
        let Some(volume) = self.cluster.volume(owner).await? else {
            return Ok(false);
        };
        let Ok(record) = &volume.record else { return Ok(false) };
        if volume.deleting || record.share != *share || record.identity != Some(found.identity) {
            return Ok(false);
        }
        self.may_act()?;
        self.put_back(&volume, record, found.identity, place).await?;
        Ok(true)
    }

    /// The later volume of this name does not count as ready any more, so the binder makes its directory again.
    async fn make_again(&self, volume: &Volume) -> Result<(), Failure> {
        let Some(now) = self.cluster.volume(&volume.name).await? else {
            return Ok(());
        };
        if now.uid != volume.uid && now.ready && !now.deleting {
            tracing::warn!(
                volume = now.name,
                "its directory, in which nothing was, may have been removed with an earlier volume's: it is made again"
            );
            let unready =
                json!({"metadata": {"annotations": {mark::READY: Value::Null, mark::DIRECTORY_ID: Value::Null}}});
            fence::merge(&self.api(), &now, unready).await?;
        }
        Ok(())
    }

    /// What an earlier try, or another replica, has moved to the trash for this volume.
    pub(super) async fn lies_in_trash(
        &self,
        volume: &Volume,
        record: &Record,
    ) -> Result<Option<(Directory, Found)>, Failure> {
        let own = Directory::in_trash(&self.us.instance, &volume.name);
        for depot in Depot::of(&record.directory) {
            let place = depot.place(&own);
            if let Some(found) = self.storage.look_up(&record.share, &place, Self::soon()).await? {
                return Ok(Some((place, found)));
            }
        }
        Ok(None)
    }

    /// Which directory the volume was given. One that was bound without us does not say: then the directory that is
    /// there now is written on the volume first, so that every later try means the same one.
    pub(super) async fn identity(&self, volume: &Volume, record: &Record) -> Result<Option<Identity>, Failure> {
        if record.identity.is_some() {
            return Ok(record.identity);
        }
        let Some(found) = self
            .storage
            .look_up(&record.share, &record.directory, Self::soon())
            .await?
        else {
            return Ok(None);
        };
        let operations = [
            test("/metadata/uid", json!(volume.uid)),
            test("/metadata/resourceVersion", json!(volume.version)),
            annotate(mark::DIRECTORY_ID, &found.identity.to_string()),
        ];
        patch(&self.api(), &volume.name, operations.into()).await?;
        Ok(Some(found.identity))
    }
}
