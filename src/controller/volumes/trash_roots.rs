//! Directories other than the share itself that hold trash and archives, and the marks that lead to them.

use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share, TrashRoot};
use crate::storage::Existing;

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
    let mut trash_roots = vec![TrashRoot::SHARE];
    let mut looked_at = 0;
    while let Some(root) = trash_roots.get(looked_at).cloned() {
        let markers = root
            .marker(&ctx.installation.instance)
            .unwrap_or_else(|| TrashRoot::markers(&ctx.installation.instance));
        let names = ctx.storage.list(share, Some(&markers), storage_deadline()).await?;
        trash_roots.extend(names.iter().filter_map(|name| root.below(name)));
        looked_at += 1;
    }
    Ok(trash_roots)
}

async fn make_own(leader: &Leader, share: &Share, directory: &Directory) -> Result<(), Error> {
    let attributes = Attributes {
        mode: 0o700,
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
