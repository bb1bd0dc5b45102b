//! The triggers of the reconcile of a volume.

use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use super::{complete_claim, driver_takeover, legacy};
use crate::cluster::cache::{CachedClaim, CachedVolume};
use crate::controller::leader::Leader;
use crate::policy::reconcile::{ClaimState, Plan, plan};

/// Returns whether a volume may need a reconcile, according to the cache. Volumes in use need none, and a cluster may
/// have 10,000 of them.
pub fn is_due(leader: &Leader, cached: &CachedVolume) -> bool {
    let ctx = &leader.ctx;
    let volume = cached.read();
    let is_settled = plan(volume, ClaimState::Unknown, &ctx.installation) == Plan::Leave
        && complete_claim::claim_to_complete(ctx, volume).is_none()
        && !legacy::may_take_over(ctx, cached)
        && !driver_takeover::may_take_over(ctx, cached);
    if is_settled {
        leader.unchanged_since.forget(volume);
    }
    !is_settled
}

/// Returns the volumes to reconcile when this claim has changed or is gone: the volume that the claim names, or, if it
/// names none, the volumes that name the claim. kube-controller-manager sets a fenced volume to `Released`, and does
/// not change the volume again if the claim is deleted before it is bound.
pub fn volumes_of(claim: &CachedClaim, volumes: &Store<CachedVolume>) -> Vec<ObjectRef<CachedVolume>> {
    if let Some(name) = &claim.read().volume_name {
        return vec![ObjectRef::new(name)];
    }
    let (namespace, name) = (&claim.read().namespace, claim.name_any());
    let volumes = volumes.state_filter(|volume| volume.read().is_for(namespace, &name));
    volumes.iter().map(|volume| ObjectRef::from(&**volume)).collect()
}

/// Returns a stream of the failed volumes of a server, each time that the server answers again. A reconcile in progress
/// gets the answer itself, and a reconcile that fails after that has a short pause.
pub fn after_outage(leader: &Arc<Leader>) -> impl Stream<Item = ObjectRef<CachedVolume>> + Send + use<> {
    let leader = Arc::clone(leader);
    leader.ctx.outages.recoveries().flat_map(move |back| {
        let theirs = leader.ctx.cluster.volumes.store().state_filter(|volume| {
            let record = volume.read().record.as_ref();
            leader.backoff.has_failed(&volume.name_any())
                && record.is_ok_and(|record| back.may_concern(record.share.server()))
        });
        stream::iter(theirs.into_iter().map(|volume| ObjectRef::from(&*volume)))
    })
}

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector, watcher};
    use serde_json::{Value, json};

    use super::*;

    fn due(claim: Value) -> Vec<String> {
        let (store, mut writer) = reflector::store();
        for (volume, claim) in [("pvc-a", "data"), ("pvc-b", "other")] {
            let volume = json!({
                "metadata": {"name": volume},
                "spec": {"claimRef": {"namespace": "team-a", "name": claim, "uid": "u-1"}},
            });
            writer.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(volume).unwrap()));
        }
        let claim = serde_json::from_value(claim).unwrap();
        volumes_of(&claim, &store)
            .into_iter()
            .map(|volume| volume.name)
            .collect()
    }

    #[test]
    fn a_claim_that_names_a_volume_triggers_this_volume() {
        let claim = json!({"metadata": {"namespace": "team-a", "name": "data"}, "spec": {"volumeName": "pvc-c"}});
        assert_eq!(due(claim), ["pvc-c"]);
    }

    #[test]
    fn a_claim_that_names_no_volume_triggers_the_volume_that_names_it() {
        let of = |namespace: &str| json!({"metadata": {"namespace": namespace, "name": "data"}, "spec": {}});
        assert_eq!(due(of("team-a")), ["pvc-a"]);
        assert!(due(of("team-b")).is_empty());
    }
}
