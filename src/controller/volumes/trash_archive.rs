//! Moves an archive to the trash: it has expired, or somebody has deleted its object.

use super::trash_roots;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::archive::ArchiveRecord;
use crate::model::directory::{Directory, Share, TrashRoot};
use crate::model::identity::Identity;
use crate::storage::Moved;

/// Returns the path of an archive in the trash.
pub fn in_trash(instance: &str, place: &Directory) -> Directory {
    let (_, name) = place.split_last();
    TrashRoot::containing(place).place(&Directory::in_trash_without_uid(instance, name))
}

/// Returns whether the directory of an archive is in the trash.
pub async fn is_in_trash(ctx: &Context, record: &ArchiveRecord) -> Result<bool, Error> {
    let trash = in_trash(&ctx.installation.instance, &record.directory);
    Ok(ctx.look_up(&record.share, &trash).await? == Some(record.identity))
}

/// Moves an archive to the trash if it has this identity, and sends it to the loop that empties the trash. Returns
/// whether it was moved.
pub async fn move_to_trash(
    leader: &Leader,
    share: &Share,
    place: &Directory,
    identity: Identity,
) -> Result<bool, Error> {
    let ctx = &leader.ctx;
    let trash = in_trash(&ctx.installation.instance, place);
    trash_roots::make_trash(leader, share, &TrashRoot::containing(place)).await?;
    leader.may_act()?;
    if ctx.rename(share, place, identity, &trash).await? != Moved::Done {
        return Ok(false);
    }
    leader.remove_from_trash(share, trash);
    Ok(true)
}
