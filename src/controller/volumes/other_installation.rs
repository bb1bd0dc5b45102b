//! Reports volumes that have Bindery's finalizer and that this installation did not create. Does not change them.
//!
//! Trigger: such a volume. If it names no installation, it is reported at once, because no installation will clean it
//! up. If it names no provisioner either, the installation of its class reports it. If another installation of the same
//! provisioner created it, it is reported when it is being deleted and has not changed for the time of --orphan-grace:
//! that installation may run in this cluster, and then cleans it up. Volumes of other provisioners are not reported.

use kube::runtime::controller::Action;

use crate::controller::context::RECHECK;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::names::reason;
use crate::model::volume::{Phase, Volume};
use crate::policy::other_installation::{NotOurs, UnmanagedVolume};

/// Writes an Event about a volume that this installation did not create, if the volume is to be reported now.
pub async fn report(leader: &Leader, volume: &Volume, why: NotOurs) -> Result<Action, Error> {
    let ctx = &leader.ctx;
    if why == NotOurs::OtherInstance
        && let Some(remaining) = leader.unchanged_since.remaining(volume, ctx.options.orphan_grace)
    {
        return Ok(Action::requeue(remaining));
    }
    let live = ctx.persistent_volumes().get_opt(&volume.name).await?;
    let Some(found) = live.and_then(|live| UnmanagedVolume::read(&live, &ctx.installation)) else {
        return Ok(Action::await_change());
    };
    let class = ctx.cluster.class(found.class.as_deref().unwrap_or_default()).await?;
    if class.is_none_or(|class| class.provisioner == ctx.installation.provisioner) {
        let note = found.note(why, &ctx.installation);
        ctx.events.warn(volume, reason::NOT_MANAGED, note);
    }
    if volume.deleting || volume.phase == Phase::Released {
        // The API server deletes an Event after one hour by default, and the volume may wait longer.
        return Ok(Action::requeue(RECHECK));
    }
    Ok(Action::await_change())
}
