//! Where the directory of a volume is: at its path, or where an earlier attempt has moved it.

use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::model::directory::{Directory, TrashRoot};
use crate::model::identity::Identity;
use crate::model::volume::{Record, Volume};
use crate::storage::Fault;

/// Where a directory was found.
#[derive(Debug)]
pub enum FoundAt {
    /// At its path.
    Path(Identity),
    /// At another place, where an earlier attempt has moved it.
    Moved(Identity, Directory),
    /// Nowhere. Nothing is at its path.
    Missing,
    /// Nowhere. Another directory is at its path.
    Replaced,
}

/// Looks for the directory at its path, and at each place to which an earlier attempt may have moved it.
pub async fn find(ctx: &Context, volume: &Volume, record: &Record) -> Result<FoundAt, Error> {
    let (share, directory) = (&record.share, &record.directory);
    let there = match ctx.storage.look_up(share, directory, storage_deadline()).await {
        Ok(there) => there.map(|there| there.identity),
        // Somebody has created a file at the path since.
        Err(error) if error.fault == Fault::NotADirectory && !record.moved_to.is_empty() => None,
        Err(error) => return Err(error.into()),
    };
    let Some(identity) = record.identity else {
        return find_by_name(ctx, record, &recorded_places(ctx, volume, record), there).await;
    };
    if there == Some(identity) {
        return Ok(FoundAt::Path(identity));
    }
    // In the order in which it is moved, and twice: a late rename may move it between two lookups.
    let places = places(ctx, volume, record);
    for place in places.iter().chain(&places) {
        let found = ctx.storage.look_up(share, place, storage_deadline()).await?;
        if found.is_some_and(|found| found.identity == identity) {
            return Ok(FoundAt::Moved(identity, place.clone()));
        }
    }
    Ok(match there {
        None => FoundAt::Missing,
        Some(_) => FoundAt::Replaced,
    })
}

/// Looks for a directory whose identity is not recorded, for example because an administrator has removed the
/// annotation. What is at a recorded place is the directory: the names of those places contain the volume's name and
/// uid.
async fn find_by_name(
    ctx: &Context,
    record: &Record,
    recorded: &[Directory],
    there: Option<Identity>,
) -> Result<FoundAt, Error> {
    for place in recorded.iter().chain(recorded) {
        if let Some(found) = ctx.storage.look_up(&record.share, place, storage_deadline()).await? {
            return Ok(FoundAt::Moved(found.identity, place.clone()));
        }
    }
    Ok(there.map_or(FoundAt::Missing, FoundAt::Path))
}

/// Returns the recorded places and the places on the way to them; none if no move was begun.
fn recorded_places(ctx: &Context, volume: &Volume, record: &Record) -> Vec<Directory> {
    if record.moved_to.is_empty() {
        return Vec::new();
    }
    let aside = Directory::aside(&ctx.installation.instance, &volume.name, &volume.uid);
    let asides = TrashRoot::of(&record.directory).map(|root| root.place(&aside));
    asides.chain(record.moved_to.iter().cloned()).collect()
}

/// Returns all places where the directory may be, except its path.
fn places(ctx: &Context, volume: &Volume, record: &Record) -> Vec<Directory> {
    let instance = &ctx.installation.instance;
    let aside = Directory::aside(instance, &volume.name, &volume.uid);
    // Earlier versions recorded nothing, and did not put the uid into the name.
    let old = Directory::in_trash_without_uid(instance, &volume.name);
    let trash_roots: Vec<TrashRoot> = TrashRoot::of(&record.directory).collect();
    let in_roots = |own: Directory| trash_roots.iter().map(move |root| root.place(&own));
    in_roots(aside)
        .chain(record.moved_to.iter().cloned())
        .chain(in_roots(old))
        .collect()
}

/// Returns how Events name the directory of a volume.
pub fn describe(record: &Record) -> String {
    format!("directory {} of share {}", record.directory, record.share)
}
