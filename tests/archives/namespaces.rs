//! The namespace of an archive: that of its claim, or Bindery's own.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{archive_a_claim, content};
use crate::support::archives::place;
use crate::support::bed::Bed;
use crate::support::scene::{Scene, directory, from};

#[tokio::test]
async fn an_archive_of_a_namespace_that_is_deleted_moves_and_keeps_its_data() {
    let scene = Scene::with_class(json!({"parameters": {"archiveRetention": "30d"}})).await;
    archive_a_claim(&scene, "data").await;
    let before = scene.until_archived("data").await;
    scene.keep_until(&before, "forever").await;
    let before = scene
        .until_archive("it never expires", |archive| !place(archive).contains("-until-"))
        .await;
    // The claim is deleted with its namespace.
    let (_, in_use) = scene.bound(scene.claim("in-use")).await;
    std::fs::write(directory(&in_use).join("precious"), "in-use").unwrap();

    scene.delete_namespace(&scene.name).await;
    scene.until_gone(&in_use).await;
    for claim in ["data", "in-use"] {
        let archive = scene
            .until_archive("it is in Bindery's namespace", |archive| {
                archive.spec.claim_name == claim
                    && archive.namespace().as_deref() == Some("bindery")
                    && archive.status.is_some()
            })
            .await;
        assert_eq!(archive.labels()["bindery.dev/claim-namespace"], scene.name);
        assert_eq!(archive.labels()["bindery.dev/claim"], claim);
        assert_eq!(content(&place(&archive)).as_deref(), Some(claim));
        if claim == "data" {
            assert_eq!((&archive.spec, archive.name_any()), (&before.spec, before.name_any()));
            assert_eq!(archive.annotations()["bindery.dev/keep-until"], "forever");
            let message = scene_event(&archive.name_any(), "ArchiveMoved").await;
            let expected = format!(
                "moved from namespace {}, which is being deleted or is not the namespace of the claim; the directory is \
                 kept",
                scene.name
            );
            assert_eq!(message, expected);
        }
    }

    // A namespace that is created again under the same name is another one.
    scene.namespace(&scene.name, json!({})).await;
    archive_a_claim(&scene, "later").await;
    let later = scene.until_archived("later").await;
    assert_eq!(later.namespace(), Some(scene.name.clone()));
    let here = scene.archives(&scene.name).list(&ListParams::default()).await.unwrap();
    assert_eq!(here.items.len(), 1, "its users see nothing of the old namespace");
}

/// Waits for an Event with this reason on an object in Bindery's namespace.
async fn scene_event(object: &str, reason: &str) -> String {
    let scene = Scene {
        client: Bed::get().admin().await,
        name: "bindery".to_owned(),
        provisioner: String::new(),
    };
    scene.event(object, reason).await
}

#[tokio::test]
async fn the_archive_of_a_claim_of_an_earlier_namespace_is_in_binderys_namespace() {
    let scene = Scene::new().await;
    let namespace = format!("{}-a", scene.name);
    scene.namespace(&namespace, json!({})).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(scene.client.clone(), &namespace);
    let mut claim = scene.claim("data");
    claim["metadata"]["namespace"] = json!(namespace);
    claims.create(&PostParams::default(), &from(claim)).await.unwrap();
    let volume = crate::support::wait::eventually("the claim is bound", async || {
        let claim = claims.get("data").await.unwrap();
        let is_bound = claim.status?.phase? == "Bound";
        scene
            .volumes()
            .get(&claim.spec?.volume_name?)
            .await
            .ok()
            .filter(|_| is_bound)
    })
    .await;
    std::fs::write(directory(&volume).join("precious"), "data").unwrap();
    // As if the namespace had been deleted and created again before the cleanup.
    let earlier = json!({"metadata": {"annotations": {"bindery.dev/namespace-uid": "earlier"}}});
    let name = volume.name_any();
    scene.patch_volume(&name, earlier).await;
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    scene.until_gone(&volume).await;
    let archive = scene.until_archived("data").await;
    assert_eq!(archive.namespace().as_deref(), Some("bindery"));
    assert_eq!(content(&place(&archive)).as_deref(), Some("data"));
}
