//! Finds the directory of an archive on its share.

use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::volumes::file_system::others_are_missing;
use crate::model::archive::ArchiveRecord;
use crate::model::directory::Directory;
use crate::provision::places_with_key;

/// Where the directory of an archive was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Here.
    At(Directory),
    /// Another directory has the name of the archive.
    Replaced(Directory),
    /// Nowhere. The share shows the same file system as before.
    Missing,
}

/// Looks for the directory at the place where it was last seen.
pub async fn find(ctx: &Context, record: &ArchiveRecord) -> Result<Found, Error> {
    match at(ctx, record, &record.directory).await? {
        Some(found) => Ok(found),
        None => missing(ctx, record).await,
    }
}

/// Looks for the directory at the place where it was last seen, and then for an archive of another name that has the same
/// key: a person may have changed its expiry on the server.
pub async fn find_renamed(ctx: &Context, record: &ArchiveRecord) -> Result<Found, Error> {
    if let Some(found) = at(ctx, record, &record.directory).await? {
        return Ok(found);
    }
    let key = (&*record.key, &*ctx.installation.instance);
    let (share, directory) = (&record.share, &record.directory);
    for place in places_with_key(&*ctx.storage, share, directory, key, storage_deadline()).await? {
        if let Some(found) = at(ctx, record, &place).await? {
            return Ok(found);
        }
    }
    missing(ctx, record).await
}

/// Looks at one place. Returns `None` if nothing is there.
async fn at(ctx: &Context, record: &ArchiveRecord, place: &Directory) -> Result<Option<Found>, Error> {
    let found = ctx.look_up(&record.share, place).await?;
    match found {
        None => Ok(None),
        Some(identity) if identity == record.identity => Ok(Some(Found::At(place.clone()))),
        Some(identity) if identity.fsid == record.identity.fsid => Ok(Some(Found::Replaced(place.clone()))),
        Some(_) => Err(changed(record)),
    }
}

/// Checks that the share shows the same file system as before: otherwise its disk may not be mounted, and the archive
/// still exists.
async fn missing(ctx: &Context, record: &ArchiveRecord) -> Result<Found, Error> {
    let (share, directory) = (&record.share, &record.directory);
    if let Some(before) = record.share_id {
        let now = ctx.storage.identify(share, storage_deadline()).await?;
        if before.change(now).is_some() {
            return Err(changed(record));
        }
    }
    let above = ctx.storage.above(share, directory, storage_deadline()).await?;
    // With a fixed fsid= on the export, another disk may look the same.
    let made = directory.archive_times().map(|(made, _)| made);
    if above.identity.fsid != record.identity.fsid || others_are_missing(ctx, share, None, made).await? {
        return Err(changed(record));
    }
    Ok(Found::Missing)
}

fn changed(record: &ArchiveRecord) -> Error {
    Error::FileSystemChanged(format!(
        "archive {} of share {} was not found, and the share shows another file system than before. Nothing is changed. \
         Check that the server has mounted the file system that it exports. If its fsid= or its disk was changed on \
         purpose, delete this object and then remove its finalizer, as an administrator of the cluster: the directory is \
         kept, and gets another object",
        record.directory, record.share
    ))
}
