//! Takes over volumes that nfs-subdir-external-provisioner or a program of the same kind has created under this
//! provisioner name.
//!
//! Trigger: such a volume, bound or not. It is taken over before its claim is deleted, for three reasons: its class
//! still exists and has the policy; the search for overlaps finds its directory; and an administrator sees early which
//! volumes cannot be taken over. One patch adds the finalizer, the policy and the label. The NFS server is not asked.
//! If a volume cannot be taken over, it is not changed, and an Event says why. Bindery tries again when the volume
//! changes and every 10 minutes, because its class may have been corrected.

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
use crate::policy::legacy_volume::{LegacyVolume, TakeoverOptions};

/// Takes a volume over if it is a legacy volume. Returns whether it is one. The patch triggers the next reconcile.
pub async fn take_over(leader: &Leader, volume: &CachedVolume) -> Result<bool, Error> {
    let ctx = &leader.ctx;
    if !may_take_over(ctx, volume) {
        return Ok(false);
    }
    // The cache does not keep all fields.
    let Some(volume) = ctx.persistent_volumes().get_opt(&volume.name_any()).await? else {
        return Ok(true);
    };
    let Some(old) = LegacyVolume::read(&volume, &ctx.installation) else {
        return Ok(false);
    };
    let class = ctx.cluster.class(old.class.as_deref().unwrap_or_default()).await?;
    let options = TakeoverOptions {
        defaults: &ctx.defaults,
        delete_nested: ctx.options.delete_nested,
    };
    let taken = old.take_over(class.as_ref(), options, &ctx.installation);
    let taken = taken.map_err(Error::NotTakenOver)?;
    patch::merge(
        &ctx.persistent_volumes(),
        &Volume::read(&volume),
        taken.patch(&ctx.installation),
    )
    .await?;
    tracing::info!(share = %taken.share, directory = %taken.directory, on_delete = %taken.on_delete, "took the volume over");
    ctx.metrics.step("taken_over");
    Ok(true)
}

/// Returns whether a volume may be a legacy volume, according to the cache.
pub fn may_take_over(ctx: &Context, volume: &CachedVolume) -> bool {
    legacy_class::is_legacy(&ctx.installation.provisioner) && volume.is_provisioned_by(&ctx.installation.provisioner)
}

/// Writes an Event that says why a volume cannot be taken over.
pub fn report_refusal(ctx: &Context, volume: &Volume, why: &str) -> Action {
    let note = format!(
        "Bindery does not take this volume over, and does not touch its directory when its claim is deleted: {why}"
    );
    ctx.events.warn(volume, reason::NOT_TAKEN_OVER, note);
    Action::requeue(RECHECK)
}
