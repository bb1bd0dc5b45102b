//! The trash roots of a share: the directories that hold its trash and its archives. The share itself is one of them. A
//! marker in the share names each other one.

use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share, TrashRoot};
use crate::storage::{self, Existing};

/// Creates the trash directory of a trash root.
pub async fn make_trash(leader: &Leader, share: &Share, root: &TrashRoot) -> Result<(), Error> {
    make_private_directory(leader, share, &root.place(&Directory::trash())).await
}

/// Creates the marker of a trash root that is not the share itself.
pub async fn make_marker(leader: &Leader, share: &Share, root: &TrashRoot) -> Result<(), Error> {
    match root.marker(&leader.ctx.installation.instance) {
        Some(marker) => make_private_directory(leader, share, &marker).await,
        None => Ok(()),
    }
}

/// Returns all trash roots of a share.
pub async fn trash_roots(ctx: &Context, share: &Share) -> Result<Vec<TrashRoot>, Error> {
    let instance = &ctx.installation.instance;
    Ok(storage::trash_roots(&*ctx.storage, share, instance, storage_deadline).await?)
}

async fn make_private_directory(leader: &Leader, share: &Share, directory: &Directory) -> Result<(), Error> {
    let attributes = Attributes {
        mode: Some(0o700),
        uid: None,
        gid: None,
    };
    leader
        .ctx
        .storage
        .make(share, directory, attributes, Existing::LeaveAlone, storage_deadline())
        .await?;
    Ok(())
}
