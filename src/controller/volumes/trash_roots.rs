//! Trash and archives that do not lie in the share itself, and the signs that lead there.

use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Failure;
use crate::controller::leader::Leader;
use crate::model::attributes::Attributes;
use crate::model::directory::{Depot, Directory, Share};
use crate::storage::Existing;

/// The directory that everything is moved to before it is removed.
pub async fn make_trash(leader: &Leader, share: &Share, depot: &Depot) -> Result<(), Failure> {
    make_own(leader, share, &depot.place(&Directory::trash())).await
}

/// Says at the share that something of ours lies in this depot.
pub async fn make_sign(leader: &Leader, share: &Share, depot: &Depot) -> Result<(), Failure> {
    match depot.sign(&leader.ctx.installation.instance) {
        Some(sign) => make_own(leader, share, &sign).await,
        None => Ok(()),
    }
}

/// The share, and each of its directories that there is a sign for.
pub async fn depots(ctx: &Context, share: &Share) -> Result<Vec<Depot>, Failure> {
    let mut depots = vec![Depot::SHARE];
    let mut looked_at = 0;
    while let Some(depot) = depots.get(looked_at).cloned() {
        let signs = depot
            .sign(&ctx.installation.instance)
            .unwrap_or_else(|| Depot::signs(&ctx.installation.instance));
        let names = ctx.storage.list(share, Some(&signs), storage_deadline()).await?;
        depots.extend(names.iter().filter_map(|name| depot.below(name)));
        looked_at += 1;
    }
    Ok(depots)
}

async fn make_own(leader: &Leader, share: &Share, directory: &Directory) -> Result<(), Failure> {
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
