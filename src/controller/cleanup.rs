//! The claim is gone: the directory meets the fate that stands on the volume.
//!
//! Trigger: a volume of ours that is being deleted and that no claim holds. Order: its directory leaves the live path,
//! by a rename that the server carries out only if it is the very directory that the volume was given; then it is
//! removed, or stays as an archive; the finalizer goes last. A crash after any step leads back here, and what is done
//! is seen and not done again: the directory is no longer at its path, and is found in the trash or among the archives
//! by the instance and the volume in its name. Only what lies in the trash under our own name is ever removed, and what a
//! step of a replica that was paused takes away by mistake comes back (see [`super::leave`]).

use super::Volumes;
use super::failure::Failure;
use super::overlap::Overlap;
use crate::crash::{self, Point};
use crate::fence;
use crate::names::reason;
use crate::policy::directory::{Depot, Directory};
use crate::policy::plan::Dispose;
use crate::storage::{Moved, Removed};
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
            Dispose::Keep(record) => self.keep(volume, &record).await,
            Dispose::RemoveUnused(record) => self.remove_unused(volume, &record).await?,
            Dispose::Delete(record) => self.delete(volume, &record).await?,
            Dispose::Archive(record) => self.archive(volume, &record).await?,
        };
        match end {
            End::Quiet => {}
            End::Done(reason, note) => self.events.done(volume, reason, note),
            End::Odd(reason, note) => self.events.warn(volume, reason, reason, note),
        }
        crash::point(Point::DirectoryDone);
        fence::release(&self.api(), volume).await?;
        crash::point(Point::FinalizerRemoved);
        self.metrics.step("cleaned");
        Ok(())
    }

    /// Nothing is done, and the NFS server need not be there. But the fate may have been changed when the directory was on its
    /// way out already.
    async fn keep(&self, volume: &Volume, record: &Record) -> End {
        match self.lies_in_trash(volume, record).await {
            Ok(Some((place, _))) => End::Odd(
                reason::RETAINED,
                format!(
                    "{} was being removed: what is left of it lies in {place}. Move it away now to keep it, for the trash is \
                     emptied now and then",
                    named(record)
                ),
            ),
            Ok(None) | Err(_) => End::Done(reason::RETAINED, format!("{} is kept as it is", named(record))),
        }
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
        match self.remove_empty(volume, record, found.identity).await? {
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
        self.make_trash(share, &Depot::SHARE).await?;
        let left = self.leave(volume, record, &trash).await?;
        let place = match left.moved {
            Moved::Done => Some(left.to),
            Moved::Missing | Moved::Another(_) => self.lies_in_trash(volume, record).await?.map(|(place, _)| place),
        };
        let Some(place) = place else {
            return self.absent(record, left.moved).await;
        };
        self.remove(share, &place).await?;
        Ok(End::Done(reason::DELETED, format!("{} is deleted", named(record))))
    }

    async fn archive(&self, volume: &Volume, record: &Record) -> Result<End, Failure> {
        // It named a claim that never came to use it: an archive of nothing would only lie about.
        if !volume.ready
            && record.origin == Origin::New
            && let Some(identity) = self.identity(volume, record).await?
            && let Removed::Done = self.remove_empty(volume, record, identity).await?
        {
            return Ok(End::Quiet);
        }
        let tag = Directory::archive_tag(&self.us.instance, &volume.name);
        let now = jiff::Timestamp::now();
        let archive = record.directory.archive(now, &tag, record.retention.ends(now));
        let left = self.leave(volume, record, &archive).await?;
        let place = match left.moved {
            Moved::Done => Some(left.to),
            Moved::Missing | Moved::Another(_) => match self.archive_from_trash(volume, record, &archive).await? {
                None => self.archived_before(record, &tag).await?,
                archived => archived,
            },
        };
        match place {
            Some(place) => Ok(End::Done(
                reason::ARCHIVED,
                format!("{} is archived as {place}", named(record)),
            )),
            None => self.absent(record, left.moved).await,
        }
    }

    /// The archive that an earlier try has made. An earlier volume of this name may have left one, too.
    async fn archived_before(&self, record: &Record, tag: &str) -> Result<Option<Directory>, Failure> {
        let share = &record.share;
        for depot in Depot::of(&record.directory) {
            let names = self.storage.list(share, depot.directory(), Self::soon()).await?;
            let archives = names.iter().filter(|name| Directory::is_archive_of(name, tag));
            for archive in archives.filter_map(|name| depot.own(name)) {
                let found = self.storage.look_up(share, &archive, Self::soon()).await?;
                if found.is_some_and(|found| record.identity == Some(found.identity)) {
                    return Ok(Some(archive));
                }
            }
        }
        Ok(None)
    }

    /// Somebody changed its fate when it was on its way out, or another replica had not heard of that: what is in the
    /// trash is what is left of it.
    async fn archive_from_trash(
        &self,
        volume: &Volume,
        record: &Record,
        archive: &Directory,
    ) -> Result<Option<Directory>, Failure> {
        let Some((trash, found)) = self.lies_in_trash(volume, record).await? else {
            return Ok(None);
        };
        let archive = Depot::around(&trash).place(archive);
        self.may_act()?;
        let moved = self
            .storage
            .rename(&record.share, &trash, found.identity, &archive, Self::soon())
            .await?;
        Ok((moved == Moved::Done).then_some(archive))
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
}

fn replaced(record: &Record) -> String {
    format!(
        "{} is not the one that this volume was given: it is left as it is",
        named(record)
    )
}

pub(super) fn named(record: &Record) -> String {
    format!("directory {} of share {}", record.directory, record.share)
}
