//! Takes over volumes of csi-driver-nfs.
//!
//! Trigger: such a volume with the annotation `bindery.dev/take-over: "true"`, or every such volume with
//! `--takeover nfs.csi.k8s.io`. One patch adds the finalizer, the policy and the label, and makes Bindery the provisioner of
//! the volume. The NFS server is not asked, and the nodes mount the volume as before. While the controller of the driver
//! runs, the volume is not changed, because both programs might delete its directory.

use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::cluster::cache::CachedVolume;
use crate::cluster::patch;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::choices::CsiDriver;
use crate::model::names::reason;
use crate::model::volume::Volume;
use crate::policy::driver_volume::DriverVolume;

/// The longest pause before it is looked again whether the controller of the driver runs.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Takes a volume over if it is a volume of the driver. Returns when to look again; `None` for other volumes.
pub async fn take_over(leader: &Leader, volume: &CachedVolume) -> Result<Option<Action>, Error> {
    let ctx = &leader.ctx;
    if !may_take_over(ctx, volume) {
        return Ok(None);
    }
    // This comes before any other request, because thousands of volumes may wait here.
    if let Some(running) = leader.other_controller.running(&ctx.cluster.client).await? {
        let note = format!(
            "Bindery does not take this volume over while the controller of csi-driver-nfs runs, because both might delete \
             its directory (Lease {}/nfs-csi-k8s-io is held): scale that Deployment to 0 replicas; the nodes do not need it",
            running.namespace
        );
        ctx.events.warn(volume.read(), reason::NOT_TAKEN_OVER, note);
        return Ok(Some(Action::requeue(running.look_again.min(LONGEST_PAUSE))));
    }
    // The cache does not keep all fields.
    let Some(volume) = ctx.persistent_volumes().get_opt(&volume.name_any()).await? else {
        return Ok(Some(Action::await_change()));
    };
    let Some(old) = DriverVolume::read(&volume, ctx.options.take_over_driver) else {
        return Ok(None);
    };
    let taken = old.take_over().map_err(Error::NotTakenOver)?;
    let volume = Volume::read(&volume);
    leader.may_act()?;
    patch::merge(&ctx.persistent_volumes(), &volume, taken.patch(&ctx.installation)).await?;
    tracing::info!(share = %taken.share, directory = %taken.directory, on_delete = %taken.on_delete, "took the volume over");
    ctx.metrics.step("taken_over");
    Ok(Some(Action::await_change()))
}

/// Returns whether a volume may be one that is taken over, according to the cache.
pub fn may_take_over(ctx: &Context, volume: &CachedVolume) -> bool {
    let is_wanted = ctx.options.take_over_driver || volume.asks_for_takeover();
    is_wanted && !volume.read().deleting && volume.is_provisioned_by(CsiDriver::Nfs.as_str())
}
