//! Directories other than the share itself that hold trash and archives, and the marks that lead to them.

use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share, TrashRoot};
use crate::storage::{self, Existing};

/// Creates the directory to which everything is moved before it is removed.
pub async fn make_trash(leader: &Leader, share: &Share, root: &TrashRoot) -> Result<(), Error> {
    make_own(leader, share, &root.place(&Directory::trash())).await
}

/// Marks in the share that this directory holds trash or archives of this installation.
pub async fn make_marker(leader: &Leader, share: &Share, root: &TrashRoot) -> Result<(), Error> {
    match root.marker(&leader.ctx.installation.instance) {
        Some(marker) => make_own(leader, share, &marker).await,
        None => Ok(()),
    }
}

/// Returns the share, and each of its directories that is marked.
pub async fn trash_roots(ctx: &Context, share: &Share) -> Result<Vec<TrashRoot>, Error> {
    let instance = &ctx.installation.instance;
    Ok(storage::trash_roots(&*ctx.storage, share, instance, storage_deadline).await?)
}

async fn make_own(leader: &Leader, share: &Share, directory: &Directory) -> Result<(), Error> {
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
