//! Tells about volumes with our finalizer that this installation did not make, and does nothing else with them.
//!
//! Trigger: such a volume is seen. One that names no installation is told at once, for nobody will ever act on it; where it names
//! no provisioner either, its class decides which installation tells. One that another installation of the same provisioner made
//! is told when it is on its way out and has not changed for a while: that installation may be alive in this cluster, and then
//! acts by itself. Volumes of other provisioners are theirs to tell.

use kube::runtime::controller::Action;

use crate::controller::context::RECHECK;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::names::reason;
use crate::model::volume::{Phase, Volume};
use crate::policy::other_installation::{Found, NotOurs};

pub async fn report(leader: &Leader, volume: &Volume, why: NotOurs) -> Result<Action, Error> {
    let ctx = &leader.ctx;
    if why == NotOurs::OtherInstance
        && let Some(left) = leader.unchanged_since.remaining(volume, ctx.options.orphan_grace)
    {
        return Ok(Action::requeue(left));
    }
    let live = ctx.persistent_volumes().get_opt(&volume.name).await?;
    let Some(found) = live.and_then(|live| Found::read(&live, &ctx.installation)) else {
        return Ok(Action::await_change());
    };
    let class = match &found.class {
        Some(class) => ctx.cluster.class(class).await?,
        None => None,
    };
    if class.is_none_or(|class| class.provisioner == ctx.installation.provisioner) {
        let about = reason::NOT_MANAGED;
        ctx.events
            .warn(volume, about, about, found.note(why, &ctx.installation));
    }
    if volume.deleting || volume.phase == Phase::Released {
        // An Event is gone after an hour, and the volume may wait for longer.
        return Ok(Action::requeue(RECHECK));
    }
    Ok(Action::await_change())
}
