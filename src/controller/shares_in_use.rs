//! The shares that this installation uses.

use std::collections::BTreeSet;

use super::archives::follow;
use super::leader::Leader;
use crate::model::directory::Share;
use crate::policy::class::Class;

/// Returns every share that a class, a volume or the object of an archive of this installation names.
pub fn shares_in_use(leader: &Leader) -> BTreeSet<Share> {
    let ctx = &leader.ctx;
    let classes = ctx.cluster.classes.store().state();
    let ours = classes
        .iter()
        .filter(|class| class.provisioner == ctx.installation.provisioner);
    let of_classes = ours.filter_map(|class| Some(Class::read(class, &ctx.defaults).ok()?.share_with_version()));
    let volumes = ctx.cluster.volumes.store().state();
    let of_volumes = volumes.iter().filter_map(|volume| {
        let volume = volume.read();
        let ours = ctx.is_own(volume);
        Some(volume.record.as_ref().ok().filter(|_| ours)?.share.clone())
    });
    let of_archives = follow::shares(leader).into_iter();
    of_classes.chain(of_volumes).chain(of_archives).collect()
}
