//! The volume of an archive, if it still exists.

use std::sync::Arc;

use crate::cluster::cache::CachedVolume;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::archive::Archive;
use crate::model::directory::{Directory, Share};
use crate::model::names::is_object_name;
use crate::model::volume::Record;

use super::put_back;

/// Returns the volumes that may have archives of this instance. The names of archives do not contain the provisioner, so
/// volumes of all provisioners are among them.
pub fn all(ctx: &Context) -> Vec<Arc<CachedVolume>> {
    let may_own = |volume: &CachedVolume| {
        let maker = volume.read().maker.as_ref();
        maker.is_some_and(|maker| maker.instance == ctx.installation.instance)
    };
    ctx.cluster.volumes.store().state_filter(may_own)
}

/// Returns the name of the volume whose directory an archive was: as its object says, or else the volume that has the tag in
/// the name of the archive.
pub fn owner_of(ctx: &Context, archive: &Archive) -> Option<String> {
    let named = archive.spec.volume_name.clone().filter(|name| is_object_name(name));
    named.or_else(|| {
        let (instance, key) = (&ctx.installation.instance, archive.spec.key()?);
        let (_, tag) = key.split_once('-')?;
        let mut volumes = all(ctx).into_iter().map(|volume| volume.read().name.clone());
        volumes.find(|name| Directory::archive_tag(instance, name) == tag)
    })
}

/// What the volume of an archive says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// The volume is gone, or its directory is elsewhere.
    Free,
    /// The cleanup of the volume has not ended, so its policy may still change.
    InCleanup,
    /// The volume is in use. Bindery has moved the directory back to its path.
    PutBack,
}

/// Reads the volume of an archive, and moves the directory back if the volume is in use.
pub async fn owner_state(leader: &Leader, owner: &str, share: &Share, place: &Directory) -> Result<OwnerState, Error> {
    if put_back::put_back_to_owner(leader, owner, share, place).await? {
        return Ok(OwnerState::PutBack);
    }
    if is_being_moved_to(&leader.ctx, owner, place).await? {
        return Ok(OwnerState::InCleanup);
    }
    Ok(OwnerState::Free)
}

/// Returns whether the volume still exists, and records this place for its directory or has an invalid record.
pub async fn is_being_moved_to(ctx: &Context, owner: &str, place: &Directory) -> Result<bool, Error> {
    let volume = ctx.cluster.volume(owner).await?;
    let is_elsewhere = |record: &Record| !record.moved_to.contains(place);
    Ok(volume.is_some_and(|volume| !volume.record.as_ref().is_ok_and(is_elsewhere)))
}
