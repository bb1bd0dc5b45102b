//! Where the directory of a volume is: at its path, or where an earlier attempt has moved it.

use super::step::Step;
use crate::controller::error::Error;
use crate::model::directory::{Directory, TrashRoot};
use crate::model::identity::Identity;
use crate::storage::Fault;

/// Where a directory is.
#[derive(Debug)]
pub enum FoundAt {
    /// At its path.
    Path(Identity),
    /// At another place, where it was moved.
    Moved(Identity, Directory),
    /// Nowhere. Nothing is at its path.
    Missing,
    /// Nowhere. Another directory is at its path.
    Replaced,
}

/// Looks for the directory at its path, and at each place to which an earlier attempt may have moved it.
///
/// Its identity may be unknown, for example because an administrator has removed the annotation. Then what is at a
/// recorded place is the directory, since the names of those places contain the volume's name and uid.
pub async fn find(step: Step<'_>) -> Result<FoundAt, Error> {
    let Step { ctx, record, .. } = step;
    let at_path = match ctx.look_up(&record.share, &record.directory).await {
        Ok(found) => found,
        // Somebody has created a file at the path since.
        Err(error) if error.fault == Fault::NotADirectory && !record.moved_to.is_empty() => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(identity) = at_path
        && record.identity == Some(identity)
    {
        return Ok(FoundAt::Path(identity));
    }
    // In the order in which it is moved, and twice: a late rename may move it between two lookups.
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

/// Returns the places where the directory may be, except its path.
fn places(step: Step<'_>) -> Vec<Directory> {
    let Step {
        ctx, volume, record, ..
    } = step;
    if record.identity.is_none() && record.moved_to.is_empty() {
        return Vec::new();
    }
    // Earlier versions recorded no move, and did not put the uid into the name: only the identity tells.
    let old = Directory::in_trash_without_uid(&ctx.installation.instance, &volume.name);
    let old = record.identity.map(|_| old);
    let in_roots = |own: Directory| TrashRoot::of(&record.directory).map(move |root| root.place(&own));
    in_roots(step.aside())
        .chain(record.moved_to.iter().cloned())
        .chain(old.into_iter().flat_map(in_roots))
        .collect()
}
