//! Finds the directory of a volume: at its path, or at a place to which an earlier attempt moved it.

use super::step::Step;
use crate::controller::error::Error;
use crate::model::directory::{Directory, TrashRoot};
use crate::model::identity::Identity;
use crate::storage::Fault;

/// The place where a directory was found.
#[derive(Debug)]
pub enum FoundAt {
    /// At its path.
    Path(Identity),
    /// At this place, to which an earlier attempt moved it.
    Moved(Identity, Directory),
    /// Not found. Its path does not exist.
    Missing,
    /// Not found. Another directory is at its path.
    Replaced,
}

/// Looks for the directory at its path, and at each place to which an earlier attempt may have moved it.
///
/// Its identity may be unknown, for example because an administrator has removed the annotation. Then a directory at a
/// recorded place is accepted, because the name of such a place contains the volume's name and uid.
pub async fn find(step: Step<'_>) -> Result<FoundAt, Error> {
    let Step { ctx, record, .. } = step;
    let at_path = match ctx.look_up(&record.share, &record.directory).await {
        Ok(found) => found,
        // After the move, another program created a file at the path.
        Err(error) if error.fault == Fault::NotADirectory && !record.moved_to.is_empty() => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(identity) = at_path
        && record.identity == Some(identity)
    {
        return Ok(FoundAt::Path(identity));
    }
    // The places are in the order of the moves. They are searched twice, because a late rename may move the directory
    // between two lookups.
    let places = places(step);
    for place in places.iter().chain(&places) {
        if let Some(found) = ctx.look_up(&record.share, place).await?
            && record.identity.is_none_or(|identity| identity == found)
        {
            return Ok(FoundAt::Moved(found, place.clone()));
        }
    }
    Ok(match (at_path, record.identity) {
        (None, _) => FoundAt::Missing,
        (Some(found), None) => FoundAt::Path(found),
        (Some(_), Some(_)) => FoundAt::Replaced,
    })
}

/// Returns the places to which the directory may have been moved.
fn places(step: Step<'_>) -> Vec<Directory> {
    let Step {
        ctx, volume, record, ..
    } = step;
    if record.identity.is_none() && record.moved_to.is_empty() {
        return Vec::new();
    }
    // Earlier versions did not record moves, and names in their trash do not contain the uid. Such a directory is
    // recognized only by its identity.
    let old = Directory::in_trash_without_uid(&ctx.installation.instance, &volume.name);
    let old = record.identity.map(|_| old);
    let in_roots = |own: Directory| TrashRoot::of(&record.directory).map(move |root| root.place(&own));
    in_roots(step.aside())
        .chain(record.moved_to.iter().cloned())
        .chain(old.into_iter().flat_map(in_roots))
        .collect()
}
