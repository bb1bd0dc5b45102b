//! Which volumes a change of a claim may matter to.
//!
//! The one that it names. As long as it names none, those that name it: a volume that was fenced is `Released` to the
//! controller manager, which says nothing more of it when the claim goes before the two are bound.

use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::cluster::cache::{CachedClaim, CachedVolume};

/// The volumes that are due when this claim has changed or is gone.
pub fn concerned(claim: &CachedClaim, volumes: &Store<CachedVolume>) -> Vec<ObjectRef<CachedVolume>> {
    if let Some(name) = &claim.volume_name {
        return vec![ObjectRef::new(name)];
    }
    let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
    let volumes = volumes.state_filter(|volume| volume.read().is_for(&namespace, &name));
    volumes.iter().map(|volume| ObjectRef::from(&**volume)).collect()
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
        concerned(&claim, &store)
            .into_iter()
            .map(|volume| volume.name)
            .collect()
    }

    #[test]
    fn a_claim_that_names_a_volume_concerns_that_one() {
        let claim = json!({"metadata": {"namespace": "team-a", "name": "data"}, "spec": {"volumeName": "pvc-c"}});
        assert_eq!(due(claim), ["pvc-c"]);
    }

    #[test]
    fn a_claim_that_names_none_concerns_the_volume_that_names_it() {
        let of = |namespace: &str| json!({"metadata": {"namespace": namespace, "name": "data"}, "spec": {}});
        assert_eq!(due(of("team-a")), ["pvc-a"]);
        assert!(due(of("team-b")).is_empty());
    }
}
