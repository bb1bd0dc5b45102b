//! Volumes that another program made under our name become ours.
//!
//! Trigger: such a volume, bound or not: so its policy is frozen while its class is there, it is seen where directories
//! overlap, and what cannot be taken over is known on the day of the change. One fenced patch gives it finalizer, policy
//! and label; from then on it goes the way of every volume. The NFS server is not asked. What is refused is left as it
//! is, with an Event, and looked at again when it changes, and now and then, since its class may have been corrected.

use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::cluster::cache::CachedVolume;
use crate::cluster::patch;
use crate::controller::context::{Context, RECHECK};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::names::reason;
use crate::model::volume::Volume;
use crate::policy::legacy_class;
use crate::policy::legacy_volume::{LegacyVolume, Terms};

/// Takes a volume over if it is an old one, and says whether it is. Its own event brings its next step.
pub async fn take_over(leader: &Leader, volume: &CachedVolume) -> Result<bool, Error> {
    let ctx = &leader.ctx;
    if !may_take_over(ctx, volume) {
        return Ok(false);
    }
    // What is kept of it is not all that it says.
    let Some(volume) = ctx.persistent_volumes().get_opt(&volume.name_any()).await? else {
        return Ok(true);
    };
    let Some(old) = LegacyVolume::read(&volume, &ctx.installation) else {
        return Ok(false);
    };
    let class = match &old.class {
        Some(name) => ctx.cluster.class(name).await?,
        None => None,
    };
    let terms = Terms {
        defaults: &ctx.defaults,
        delete_nested: ctx.options.delete_nested,
    };
    let taken = old.take(class.as_ref(), terms, &ctx.installation);
    let taken = taken.map_err(Error::NotTakenOver)?;
    patch::merge(
        &ctx.persistent_volumes(),
        &Volume::read(&volume),
        taken.patch(&ctx.installation),
    )
    .await?;
    tracing::info!(share = %taken.share, directory = %taken.directory, on_delete = %taken.on_delete, "took the volume over");
    ctx.metrics.step("taken over");
    Ok(true)
}

/// Whether it may be an old one.
pub fn may_take_over(ctx: &Context, volume: &CachedVolume) -> bool {
    legacy_class::is_legacy(&ctx.installation.provisioner) && volume.is_provisioned_by(&ctx.installation.provisioner)
}

/// Tells why a volume was refused.
pub fn report_refusal(ctx: &Context, volume: &Volume, why: &str) -> Action {
    let note = format!(
        "Bindery does not take this volume over, and leaves its directory alone when its claim is deleted: {why}"
    );
    let reason = reason::NOT_TAKEN_OVER;
    ctx.events.warn(volume, reason, reason, note);
    Action::requeue(RECHECK)
}
