//! Archives whose claim is not created: the directory becomes the archive again, under the name that it had.

use bindery::model::archive::ArchivePhase;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use super::servers::{archived_at, at, on};
use super::{archived, claim_of, directory_of, read, until_phase, until_put_back};
use crate::support::archives::place;
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::other_webhook::OtherWebhook;
use crate::support::relay::Relay;
use crate::support::scene::{Scene, annotation, directory, volume_name};
use crate::support::wait::eventually;

#[tokio::test]
async fn a_claim_that_a_quota_refuses_leaves_the_archive_as_it_was() {
    let bindery = Bindery::start(&["--orphan-grace=4s", "--retention-interval=300ms"]).await;
    let parameters = json!({"archiveRetention": "1h"});
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
    let archive = archived(&scene, "data").await;
    let name = archive.name_any();
    scene.set_quota("persistentvolumeclaims", "0").await;
    let message = scene.refused(claim_of(&scene, "again", &name)).await;
    assert!(message.contains("exceeded quota"), "{message}");
    let restoring = until_phase(&scene, &archive, ArchivePhase::Restoring).await;
    let message = super::restored_condition(&restoring).1;
    assert!(
        message.starts_with("the directory is being given to claim again (PersistentVolume pvc-"),
        "{message}"
    );
    // The same claim is created again, and uses the volume of the first request; another one must wait.
    let message = scene.refused(claim_of(&scene, "other", &name)).await;
    assert!(
        message.contains(&format!(
            "Archive {name} is being restored to claim {}/again",
            scene.name
        )),
        "{message}"
    );
    let message = scene.refused(claim_of(&scene, "again", "data")).await;
    assert!(message.contains("exceeded quota"), "{message}");
    until_put_back(&scene, &archive, "data").await;
    assert!(place(&archive).contains("-until-"), "with its expiry");
    eventually("no volume is left", async || {
        scene.own_volumes().await.is_empty().then_some(())
    })
    .await;
    scene.create_without_quota(claim_of(&scene, "other", &name)).await;
    let (_, volume) = scene.until_bound("other").await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    bindery.unregister().await;
}

#[tokio::test]
async fn an_empty_archive_is_put_back_and_not_removed() {
    let bindery = Bindery::start(&["--orphan-grace=4s"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let archive = archived(&scene, "data").await;
    std::fs::remove_file(directory_of(&archive).join("precious")).unwrap();
    scene.set_quota("persistentvolumeclaims", "0").await;
    scene.refused(claim_of(&scene, "again", "data")).await;
    until_phase(&scene, &archive, ArchivePhase::Restoring).await;
    until_phase(&scene, &archive, ArchivePhase::Available).await;
    assert!(directory_of(&archive).exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn a_later_webhook_that_changes_the_class_leaves_the_archive() {
    let bindery = Bindery::start(&["--orphan-grace=4s"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let other = Scene::of("example.com/other").await;
    let archive = archived(&scene, "data").await;
    let to = other.name.clone();
    let webhook = OtherWebhook::after_bindery(&scene.name, move |review| {
        let object = &review["request"]["object"];
        let is_it = object["metadata"]["name"] == json!("again") && object["spec"]["storageClassName"] != json!(to);
        is_it.then(|| json!([{"op": "replace", "path": "/spec/storageClassName", "value": to}]))
    })
    .await;
    let claim = scene.create(claim_of(&scene, "again", "data")).await.unwrap();
    assert_eq!(claim.spec.unwrap().volume_name, None);
    eventually("no volume is left", async || {
        scene.own_volumes().await.is_empty().then_some(())
    })
    .await;
    until_put_back(&scene, &archive, "data").await;
    webhook.unregister().await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_later_webhook_that_changes_a_label_does_not_restore_twice() {
    let scene = Scene::new().await;
    archived(&scene, "data").await;
    let webhook = OtherWebhook::after_bindery(&scene.name, |review| {
        let labelled = review["request"]["object"]["metadata"]["labels"].is_object();
        (!labelled).then(|| json!([{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}]))
    })
    .await;
    let (_, volume) = scene.bound(claim_of(&scene, "again", "data")).await;
    assert!(annotation(&volume, "touched").is_some(), "Bindery was not asked again");
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    assert_eq!(scene.own_volumes().await.len(), 1);
    webhook.unregister().await;
}

/// Returns a claim of no class of Bindery, without a data source.
fn claim_of_no_class(scene: &Scene, name: &str) -> serde_json::Value {
    let mut claim = scene.claim(name);
    claim["spec"]["storageClassName"] = json!("");
    claim
}

#[tokio::test]
async fn a_refused_restore_gives_the_data_to_no_other_claim_of_that_name() {
    let bindery = Bindery::start(&["--orphan-grace=4s"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    for names_it in [false, true] {
        let archive = archived(&scene, &format!("data-{names_it}")).await;
        let name = format!("again-{names_it}");
        scene.set_quota("persistentvolumeclaims", "0").await;
        scene.refused(claim_of(&scene, &name, &archive.name_any())).await;
        let volume = scene.own_volumes().await.remove(0);
        let mut other = claim_of_no_class(&scene, &name);
        if names_it {
            other["spec"]["volumeName"] = json!(volume_name(&volume));
        }
        scene.create_without_quota(other).await;
        until_put_back(&scene, &archive, &archive.spec.claim_name).await;
        scene.until_gone(&volume).await;
        let now = scene.claims().get(&name).await.unwrap();
        assert_eq!(now.status.unwrap().phase.as_deref(), Some("Pending"));
        if names_it {
            let message = scene.event(&name, "ClaimChanged").await;
            assert!(message.contains("its class is \"\""), "{message}");
        }
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn a_claim_that_names_the_volume_of_another_restore_does_not_get_it() {
    let mut bindery = Bindery::start(&["--orphan-grace=4s"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let archive = archived(&scene, "data").await;
    let other = archived(&scene, "other").await;
    scene.set_quota("persistentvolumeclaims", "0").await;
    scene.refused(claim_of(&scene, "again", "data")).await;
    let volume = scene.own_volumes().await.remove(0);
    // The webhook does not see this claim. It names another Archive, which its user may read.
    bindery.kill();
    let mut claim = claim_of(&scene, "again", &other.name_any());
    claim["spec"]["volumeName"] = json!(volume_name(&volume));
    scene.create_without_quota(claim).await;
    bindery.run().await;
    until_put_back(&scene, &archive, "data").await;
    scene.until_gone(&volume).await;
    let message = scene.event("again", "ClaimChanged").await;
    let expected = format!(
        "it names Archive {}, and the volume was made for a claim that names data",
        other.name_any()
    );
    assert!(message.contains(&expected), "{message}");
    assert_eq!(read(&directory_of(&other)).as_deref(), Some("other"));

    // The webhook sees this one: it gets a volume of its own.
    scene.set_quota("persistentvolumeclaims", "0").await;
    scene.refused(claim_of(&scene, "third", "data")).await;
    let volume = scene.own_volumes().await.remove(0);
    let mut claim = scene.claim("third");
    claim["spec"]["volumeName"] = json!(volume_name(&volume));
    scene.create_without_quota(claim).await;
    let (_, own) = scene.until_bound("third").await;
    assert_ne!(volume_name(&own), volume_name(&volume));
    assert_eq!(read(&directory(&own)), None);
    until_phase(&scene, &archive, ArchivePhase::Available).await;
    assert_eq!(read(&directory_of(&archive)).as_deref(), Some("data"));
    bindery.unregister().await;
}

#[tokio::test]
async fn an_archive_that_is_being_restored_is_neither_removed_nor_renamed() {
    let bindery = Bindery::start(&["--orphan-grace=6s", "--retention-interval=200ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (kept, deleted) = (archived(&scene, "kept").await, archived(&scene, "deleted").await);
    scene.set_quota("persistentvolumeclaims", "0").await;
    for archive in [&kept, &deleted] {
        let name = &archive.spec.claim_name;
        scene.refused(claim_of(&scene, name, &archive.name_any())).await;
        until_phase(&scene, archive, ArchivePhase::Restoring).await;
    }
    scene.keep_until(&kept, "2999-12-31").await;
    scene.delete_archive(&deleted).await;
    // The claim of the second archive is created, and gets the data: deleting the Archive has no effect on it.
    let again = claim_of(&scene, "deleted", &deleted.name_any());
    scene.create_without_quota(again).await;
    let (_, volume) = scene.until_bound("deleted").await;
    scene.until_archive_gone(&deleted).await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("deleted"));
    // That of the first one is not: then the annotation takes effect.
    let renamed = format!("{}-until-29991231T235959Z", place(&kept));
    scene
        .until_archive("it has the new expiry", |one| {
            one.uid() == kept.uid() && place(one) == renamed
        })
        .await;
    assert_eq!(read(&Bed::get().export.join(renamed)).as_deref(), Some("kept"));
    bindery.unregister().await;
}

#[tokio::test]
async fn an_archive_that_was_deleted_while_it_was_being_restored_goes_when_no_claim_gets_it() {
    let bindery = Bindery::start(&["--orphan-grace=4s"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let archive = archived(&scene, "data").await;
    scene.set_quota("persistentvolumeclaims", "0").await;
    scene.refused(claim_of(&scene, "again", "data")).await;
    until_phase(&scene, &archive, ArchivePhase::Restoring).await;
    scene.delete_archive(&archive).await;
    scene.until_archive_gone(&archive).await;
    eventually("the data is gone, as its user has asked", async || {
        scene.own_directories().is_empty().then_some(())
    })
    .await;
    bindery.unregister().await;
}

#[tokio::test]
async fn the_object_of_a_restored_archive_goes_with_its_volume_or_after_a_day() {
    let bindery = Bindery::start(&["--retention-interval=300ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (first, second) = (archived(&scene, "first").await, archived(&scene, "second").await);
    for archive in [&first, &second] {
        let name = &archive.spec.claim_name;
        scene.bound(claim_of(&scene, name, &archive.name_any())).await;
        until_phase(&scene, archive, ArchivePhase::Restored).await;
    }
    let (_, volume) = scene.until_bound("first").await;
    scene.delete("first").await;
    scene.until_gone(&volume).await;
    let key = first.spec.key().unwrap();
    eventually("only the new archive of the first claim has an object", async || {
        let all = scene.own_archives().await;
        let of_first: Vec<_> = all.iter().filter(|one| one.spec.claim_name == "first").collect();
        (of_first.len() == 1 && of_first[0].spec.key() != Some(key)).then_some(())
    })
    .await;
    let now = until_phase(&scene, &second, ArchivePhase::Restored).await;
    let mut conditions = json!(now.status.unwrap().conditions);
    let yesterday = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() - 86_400).unwrap();
    conditions[0]["lastTransitionTime"] = json!(yesterday.to_string());
    let status = kube::api::Patch::Merge(json!({"status": {"conditions": conditions}}));
    let as_bindery = crate::support::archives::archives_of(&Bed::get().bindery().await, &scene.name);
    as_bindery
        .patch_status(&second.name_any(), &kube::api::PatchParams::default(), &status)
        .await
        .unwrap();
    scene.until_archive_gone(&second).await;
    let (_, volume) = scene.until_bound("second").await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("second"));
    bindery.unregister().await;
}

#[tokio::test]
async fn an_object_whose_directory_a_claim_has_is_not_an_archive() {
    let bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let archive = archived(&scene, "data").await;
    let (_, volume) = scene.bound(claim_of(&scene, "again", "data")).await;
    let restored = until_phase(&scene, &archive, ArchivePhase::Restored).await;
    scene.delete_archive(&restored).await;
    scene.until_archive_gone(&archive).await;
    // A backup tool creates the object again.
    let recreated = scene.forge(&scene.name, &archive, json!({})).await.unwrap();
    let message = scene.refused(claim_of(&scene, "third", &recreated.name_any())).await;
    assert!(
        message.contains(&format!("was restored to claim {}/again", scene.name)),
        "{message}"
    );
    until_phase(&scene, &recreated, ArchivePhase::Restored).await;
    scene.delete_archive(&recreated).await;
    scene.until_archive_gone(&archive).await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    bindery.unregister().await;
}

#[tokio::test]
async fn an_archive_that_two_objects_name_is_given_to_no_claim() {
    let bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let archive = archived(&scene, "data").await;
    let other = Scene::of(&bindery.provisioner).await;
    let to = json!({"spec": {"claimNamespace": other.name, "namespaceUid": other.namespace_uid().await}});
    let copy = scene.forge(&other.name, &archive, to).await.unwrap();
    for (scene, this) in [(&scene, &archive), (&other, &copy)] {
        let message = scene.refused(claim_of(scene, "again", &this.name_any())).await;
        let expected = format!(
            "Archive {} and another Archive name the same directory of share {}:{}, so it is not known whose data it is; an \
             administrator must delete the wrong one, which removes no data while there are two: kubectl get archives -A -l \
             bindery.dev/archive-key={}",
            this.name_any(),
            Bed::get().server,
            Bed::get().share,
            archive.spec.key().unwrap()
        );
        assert!(message.contains(&expected), "{message}");
        assert!(scene.own_volumes().await.is_empty());
    }
    other.delete_archive(&copy).await;
    let message = other.event(&copy.name_any(), "ArchiveKept").await;
    assert!(message.contains("has the same directory"), "{message}");
    let (_, volume) = scene.bound(claim_of(&scene, "again", "data")).await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    bindery.unregister().await;
}

/// Of one NFS version, the same numbers show that another volume has the directory. The archive was made with the other one.
#[tokio::test]
async fn a_directory_that_another_volume_has_is_not_put_back_to_an_archive_of_another_nfs_version() {
    let server = Ganesha::start_v3();
    let alias = Relay::to(&server);
    let bindery = Bindery::start(&["--orphan-grace=5s"]).await;
    let scene = on(&bindery, &server, &json!({})).await;
    let archive = archived_at(&scene, &server.export_dir()).await;
    let v4 = format!("{}-v4", scene.name);
    let parameters = json!({"server": server.address().to_string(), "nfsVersion": "4"});
    scene.class(&v4, json!({"parameters": parameters})).await;
    scene.set_quota("persistentvolumeclaims", "0").await;
    let mut claim = claim_of(&scene, "again", &archive.name_any());
    claim["spec"]["storageClassName"] = json!(v4);
    scene.refused(claim).await;
    let name = bindery::model::archive::restored_volume(archive.spec.key().unwrap());
    let volume = scene.volumes().get(&name).await.unwrap();
    let path = at(&server.export_dir(), &volume);
    assert_eq!(read(&path).as_deref(), Some("data"));
    let by_hand = format!("{}-by-hand", scene.name);
    let export = format!("/export/{}", annotation(&volume, "sub-dir").unwrap());
    scene
        .volumes_create(json!({
            "metadata": {"name": by_hand},
            "spec": {
                // Without a class, Kubernetes might bind it to a claim of another test.
                "storageClassName": by_hand,
                "accessModes": ["ReadWriteMany"],
                "capacity": {"storage": "1Gi"},
                "nfs": {"server": alias.address().to_string(), "path": export},
            },
        }))
        .await;
    scene.until_gone(&volume).await;
    assert_eq!(read(&path).as_deref(), Some("data"), "the other volume has it");
    scene
        .volumes()
        .delete(&by_hand, &DeleteParams::default())
        .await
        .unwrap();
    bindery.unregister().await;
}
