//! The claim is gone: the directory meets the fate that stands on the volume.
//!
//! Trigger: a volume of ours that is being deleted and that no claim holds. Order: its directory leaves the live path,
//! by a rename that the server carries out only if it is the very directory that the volume was given; then it is
//! removed, or stays as an archive; the finalizer goes last. A crash after any step leads back here, and what is done
//! is seen and not done again: the directory is no longer at its path, and is found in the trash or among the archives
//! by the instance and the volume in its name. Only what lies in the trash under our own name is ever removed.

use serde_json::json;

use super::Volumes;
use super::failure::Failure;
use crate::crash::{self, Point};
use crate::fence::{self, annotate, patch, test};
use crate::names::{mark, reason};
use crate::policy::directory::Directory;
use crate::policy::plan::Dispose;
use crate::policy::taken::Overlap;
use crate::storage::{Identity, Moved, Removed};
use crate::volume::{Origin, Record, Volume};

/// How the directory came to its end, told once as an Event.
enum End {
    Quiet,
    Done(&'static str, String),
    Odd(&'static str, String),
}

impl Volumes {
    /// Takes care of the directory, tells what became of it, and lets the volume go.
    pub(super) async fn dispose(&self, volume: &Volume, dispose: Dispose) -> Result<(), Failure> {
        let end = match dispose {
            Dispose::Delete(record) | Dispose::Archive(record)
                if let Some(other) = self.overlaps(volume, &record).await? =>
            {
                let place = named(&record);
                End::Odd(
                    reason::RETAINED,
                    format!("{place} is kept: the directory of volume {other} is above or in it"),
                )
            }
            Dispose::Keep(record) => End::Done(reason::RETAINED, format!("{} is kept as it is", named(&record))),
            Dispose::RemoveUnused(record) => self.remove_unused(volume, &record).await?,
            Dispose::Delete(record) => self.delete(volume, &record).await?,
            Dispose::Archive(record) => self.archive(volume, &record).await?,
        };
        match end {
            End::Quiet => {}
            End::Done(reason, note) => self.events.done(volume, reason, note).await,
            End::Odd(reason, note) => self.events.warn(volume, reason, reason, note).await,
        }
        crash::point(Point::DirectoryDone);
        fence::release(&self.api(), volume).await?;
        crash::point(Point::FinalizerRemoved);
        self.metrics.step("cleaned");
        Ok(())
    }

    async fn remove_unused(&self, volume: &Volume, record: &Record) -> Result<End, Failure> {
        let (share, directory) = (&record.share, &record.directory);
        // One that another is just making is no matter: that one makes it again.
        if !directory.stands_alone(&volume.name)
            && let Overlap::Given(_) = self.neighbour(volume, record).await?
        {
            return Ok(End::Quiet);
        }
        if record.origin == Origin::Adopted {
            return Ok(End::Quiet);
        }
        let Some(found) = self.storage.look_up(share, directory, Self::soon()).await? else {
            return Ok(End::Quiet);
        };
        match self
            .storage
            .remove_empty(share, directory, found.identity, Self::soon())
            .await?
        {
            Removed::Done | Removed::Missing => Ok(End::Quiet),
            Removed::NotEmpty => Ok(End::Odd(
                reason::RETAINED,
                format!(
                    "{} was never given to a claim, but something is in it: it is kept",
                    named(record)
                ),
            )),
            Removed::Another(_) => Ok(End::Odd(reason::REPLACED, replaced(record))),
        }
    }

    async fn delete(&self, volume: &Volume, record: &Record) -> Result<End, Failure> {
        let (share, trash) = (&record.share, Directory::in_trash(&self.us.instance, &volume.name));
        self.make_trash(share).await?;
        let left = self.leave(volume, record, &trash).await?;
        if left != Moved::Done && self.storage.look_up(share, &trash, Self::soon()).await?.is_none() {
            return self.absent(record, left).await;
        }
        self.remove(share, &trash).await?;
        Ok(End::Done(reason::DELETED, format!("{} is deleted", named(record))))
    }

    async fn archive(&self, volume: &Volume, record: &Record) -> Result<End, Failure> {
        // It named a claim that never came to use it: an archive of nothing would only lie about.
        if !volume.ready
            && record.origin == Origin::New
            && let Some(identity) = self.identity(volume, record).await?
            && let Removed::Done = self
                .storage
                .remove_empty(&record.share, &record.directory, identity, Self::soon())
                .await?
        {
            return Ok(End::Quiet);
        }
        let tag = Directory::archive_tag(&self.us.instance, &volume.name);
        let now = jiff::Timestamp::now();
        let archive = record.directory.archive(now, &tag, record.retention.ends(now));
        let left = self.leave(volume, record, &archive).await?;
        let name = if left == Moved::Done {
            Some(archive.to_string())
        } else {
            let names = self.storage.list(&record.share, None, Self::soon()).await?;
            names.into_iter().find(|name| Directory::is_archive_of(name, &tag))
        };
        match name {
            Some(name) => Ok(End::Done(
                reason::ARCHIVED,
                format!("{} is archived as {name}", named(record)),
            )),
            None => self.absent(record, left).await,
        }
    }

    /// Renames the directory away from the live path, if it is the one that the volume was given.
    async fn leave(&self, volume: &Volume, record: &Record, to: &Directory) -> Result<Moved, Failure> {
        let Some(identity) = self.identity(volume, record).await? else {
            return Ok(Moved::Missing);
        };
        self.may_act()?;
        let moved = self
            .storage
            .rename(&record.share, &record.directory, identity, to, Self::soon())
            .await?;
        crash::point(Point::Renamed);
        tracing::debug!(volume = volume.name, ?moved, to = %to, "left the live path");
        Ok(moved)
    }

    /// The directory is neither at its path nor where an earlier try would have moved it. On another file system than it
    /// was made on that proves nothing: its disk may not be mounted, and the volume is the only record of it.
    async fn absent(&self, record: &Record, left: Moved) -> Result<End, Failure> {
        let above = self
            .storage
            .above(&record.share, &record.directory, Self::soon())
            .await?;
        if record
            .identity
            .is_some_and(|identity| identity.fsid != above.identity.fsid)
        {
            return Err(Failure::OtherFileSystem(format!(
                "{} cannot be found: share and directory were on another file system when it was made. Check that the \
                 server has mounted what it exports",
                named(record)
            )));
        }
        Ok(match left {
            Moved::Another(_) => End::Odd(reason::REPLACED, replaced(record)),
            Moved::Missing | Moved::Done => End::Odd(
                reason::MISSING,
                format!(
                    "{} is not there: an earlier try or somebody else has moved or removed it",
                    named(record)
                ),
            ),
        })
    }

    /// Which directory the volume was given. One that was bound without us does not say: then the directory that is
    /// there now is written on the volume first, so that every later try means the same one.
    async fn identity(&self, volume: &Volume, record: &Record) -> Result<Option<Identity>, Failure> {
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

fn replaced(record: &Record) -> String {
    format!(
        "{} is not the one that this volume was given: it is left as it is",
        named(record)
    )
}

fn named(record: &Record) -> String {
    format!("directory {} of share {}", record.directory, record.share)
}
