//! An NFS server whose disk hangs: it answers some calls, but all writes wait.

use bindery::model::names;
use futures::future::join_all;
use k8s_openapi::api::core::v1::PersistentVolume;

use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::scene::{Scene, annotation};
use crate::support::wait::eventually;

const CLAIMS: usize = 10;

/// Returns the uid in the volume's `claimRef`.
fn claim_uid(volume: &PersistentVolume) -> Option<&str> {
    volume.spec.as_ref()?.claim_ref.as_ref()?.uid.as_deref()
}

async fn phase(scene: &Scene, claim: &str) -> String {
    let claim = scene.claims().get(claim).await.unwrap();
    claim.status.and_then(|status| status.phase).unwrap_or_default()
}

#[tokio::test]
async fn no_claim_is_bound_before_its_directory_exists_while_the_disk_of_the_server_hangs() {
    let server = Ganesha::start_on_disk();
    let flags = [&*format!("--nfs-server={}", server.address()), "--orphan-grace=4s"];
    let bindery = Bindery::start(&flags).await;
    let scene = Scene::of(&bindery.provisioner).await;
    // A class of the bed's healthy server. When a claim of this class is bound, kube-controller-manager has also processed
    // all claims that were created before it.
    let other = Scene::new().await;
    scene.bound(scene.claim("before")).await;

    server.disk().freeze();
    let names: Vec<String> = (0..CLAIMS).map(|number| format!("data-{number}")).collect();
    join_all(names.iter().map(async |name| {
        let warnings = scene.create_with_warnings(scene.claim(name)).await;
        assert!(
            warnings.len() == 1 && warnings[0].starts_with("the volume is not provisioned yet"),
            "{name}: {warnings:?}"
        );
        // The webhook has answered without a volume, so there must be no volume to which the claim could be bound.
        let of_claim = |volume: &PersistentVolume| {
            let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
            // With the short --orphan-grace, the volume may already be deleted. Kubernetes does not bind such a volume.
            claim.and_then(|claim| claim.name.as_ref()) == Some(name) && volume.metadata.deletion_timestamp.is_none()
        };
        for volume in scene.own_volumes().await.iter().filter(|volume| of_claim(volume)) {
            assert_eq!(
                claim_uid(volume),
                Some(names::UNBOUND_UID),
                "{name} can be bound to {volume:?}"
            );
        }
    }))
    .await;
    // When the controller manager has bound a later claim, it has also looked at these.
    other.bound(other.claim("later")).await;
    for name in &names {
        assert_eq!(phase(&scene, name).await, "Pending", "{name}");
        assert_eq!(scene.claims().get(name).await.unwrap().spec.unwrap().volume_name, None);
    }

    server.disk().thaw();
    for name in &names {
        let (_, volume) = scene.until_bound(name).await;
        let directory = server.export_dir().join(annotation(&volume, "sub-dir").unwrap());
        assert!(directory.is_dir(), "{name}: {directory:?}");
    }
    eventually("one volume is left for each claim", async || {
        (scene.own_volumes().await.len() == CLAIMS + 1).then_some(())
    })
    .await;
    bindery.unregister().await;
}
