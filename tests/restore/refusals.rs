//! Claims that do not get the archive that they name, and why.

use bindery::model::archive::ArchivePhase;
use kube::ResourceExt;
use serde_json::json;

use super::{archived, archived_with, claim_of, directory_of, read, until_phase};
use crate::support::archives::place;
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::Scene;

/// The text before each refusal.
const DENIED: &str = "admission webhook \"claims.bindery.dev\" denied the request: ";

#[tokio::test]
async fn an_unknown_archive_is_refused_with_a_list_of_those_that_are_there() {
    let scene = Scene::with_class(json!({"parameters": {"archiveRetention": "30d"}})).await;
    let namespace = &scene.name;
    let none =
        |name: &str| format!("{DENIED}namespace {namespace} has no Archive {name}, and no archive of a claim {name}");
    let message = scene.refused(claim_of(&scene, "again", "data")).await;
    assert_eq!(
        message,
        format!("{}. There are no archives in namespace {namespace}", none("data"))
    );
    let archive = archived(&scene, "data").await;
    let (name, made) = (archive.name_any(), archive.spec.archived_at.0);
    let until = archive.spec.expires_at.as_ref().unwrap().0;
    let message = scene.refused(claim_of(&scene, "again", "../x")).await;
    assert_eq!(
        message,
        format!(
            "{}. The archives of namespace {namespace}: {name} (claim data, 1Gi, archived at {made}, until {until})",
            none("../x")
        )
    );
    assert!(scene.own_volumes().await.is_empty());
    assert_eq!(read(&directory_of(&archive)).as_deref(), Some("data"));
}

#[tokio::test]
async fn an_archive_of_another_namespace_is_unknown() {
    let (scene, other) = (Scene::new().await, Scene::new().await);
    let archive = archived(&other, "data").await;
    let name = archive.name_any();
    let message = scene.refused(claim_of(&scene, "again", &name)).await;
    assert_eq!(
        message,
        format!(
            "{DENIED}namespace {0} has no Archive {name}, and no archive of a claim {name}. There are no archives in \
             namespace {0}",
            scene.name
        )
    );
    for namespace in [&scene.name, &other.name] {
        let mut claim = claim_of(&scene, "again", &name);
        claim["spec"]["dataSourceRef"]["namespace"] = json!(namespace);
        let message = scene.refused(claim).await;
        assert_eq!(
            message,
            format!(
                "{DENIED}dataSourceRef names Archive {name} with a namespace, which Kubernetes ignores without its feature \
                 gate CrossNamespaceVolumeDataSource, so the volume would be empty: create the claim in the namespace of \
                 the Archive, without dataSourceRef.namespace"
            )
        );
    }
    let mut claim = scene.claim("again");
    claim["spec"]["dataSource"] = json!({"apiGroup": "bindery.dev", "kind": "Archive", "name": name});
    let message = scene.refused(claim).await;
    assert_eq!(
        message,
        format!(
            "{DENIED}Kubernetes ignores a dataSource of kind Archive.bindery.dev, so the volume would be empty: name the \
             object in spec.dataSourceRef"
        )
    );
}

#[tokio::test]
async fn a_claim_that_cannot_have_the_archive_is_refused_and_the_archive_stays() {
    let bindery = Bindery::start(&["--retention-interval=1h"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let mut large = scene.claim("large");
    large["spec"]["resources"]["requests"]["storage"] = json!("5Gi");
    let archive = archived_with(&scene, large, "large").await;
    let name = archive.name_any();
    let (server, share) = (&Bed::get().server, &Bed::get().share);
    let (deny, elsewhere) = (format!("{}-deny", scene.name), format!("{}-elsewhere", scene.name));
    scene
        .class(&deny, json!({"parameters": {"archiveRestore": "deny"}}))
        .await;
    scene
        .class(&elsewhere, json!({"parameters": {"share": "/squashed"}}))
        .await;
    let class = |class: &str| json!({"storageClassName": class});
    let five = json!({"resources": {"requests": {"storage": "5Gi"}}});
    let table = [
        (
            json!({}),
            format!("Archive {name} needs a claim of at least 5Gi, the size of its volume; this claim asks for 1Gi"),
        ),
        (
            class(&deny),
            format!(
                "StorageClass {deny} does not let claims get archives (archiveRestore: deny); choose another class of share \
                 {server}:{share}"
            ),
        ),
        (
            class(&elsewhere),
            format!(
                "Archive {name} is on share {server}:{share}, and StorageClass {elsewhere} is for share {server}:/squashed; \
                 choose a class of the share of the Archive, with the same spelling of the server"
            ),
        ),
        (
            json!({"selector": {"matchLabels": {"a": "b"}}}),
            format!("the claim names Archive {name} and has a selector for existing volumes; remove spec.selector"),
        ),
        (
            json!({"volumeName": "by-hand"}),
            format!("the claim names Archive {name} and volume by-hand; remove one of the two"),
        ),
    ];
    for (spec, expected) in table {
        let mut claim = claim_of(&scene, "again", &name);
        json_patch::merge(&mut claim["spec"], &spec);
        assert_eq!(scene.refused(claim).await, format!("{DENIED}{expected}"), "{spec}");
    }

    // The object says Available, and its directory is not there.
    let aside = Bed::get().export.join(format!("aside-{}", scene.name));
    std::fs::rename(directory_of(&archive), &aside).unwrap();
    let mut claim = claim_of(&scene, "again", &name);
    json_patch::merge(&mut claim["spec"], &five);
    let message = scene.refused(claim.clone()).await;
    let what = format!("directory {} of Archive {name}", place(&archive));
    assert_eq!(
        message,
        format!(
            "{DENIED}the {what} is not on share {server}:{share}: it was moved or removed, or the server has not mounted its \
             file system; try again in a few minutes, or ask an administrator to look at the server"
        )
    );
    std::fs::create_dir(directory_of(&archive)).unwrap();
    let message = scene.refused(claim.clone()).await;
    assert_eq!(
        message,
        format!(
            "{DENIED}the {what} is not the one that was archived: another directory has its name, or share {server}:{share} \
             shows another file system than before; an administrator must look at the server"
        )
    );
    std::fs::remove_dir(directory_of(&archive)).unwrap();
    std::fs::rename(&aside, directory_of(&archive)).unwrap();
    assert!(scene.own_volumes().await.is_empty());
    let (_, volume) = scene.bound(claim).await;
    assert_eq!(
        read(&crate::support::scene::directory(&volume)).as_deref(),
        Some("large")
    );
    bindery.unregister().await;
}

#[tokio::test]
async fn an_archive_that_has_expired_or_is_being_deleted_is_refused() {
    let bindery = Bindery::start(&["--retention-interval=1h"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let archive = archived(&scene, "data").await;
    let name = archive.name_any();
    scene.keep_until(&archive, "2999-01-01T00:00:00Z").await;
    let kept = scene
        .until_archive("it expires", |one| place(one).ends_with("-until-29990101T000000Z"))
        .await;
    // The time passes: Bindery is not called for that, so the name and the status are changed by hand.
    let expired = place(&kept).replace("29990101", "20260101");
    std::fs::rename(directory_of(&kept), Bed::get().export.join(&expired)).unwrap();
    let status = json!({"status": {"directory": expired, "expiresAt": "2026-01-01T00:00:00Z"}});
    let as_bindery = crate::support::archives::archives_of(&Bed::get().bindery().await, &scene.name);
    bindery.pause();
    let same = kube::api::PatchParams::default();
    as_bindery
        .patch_status(&name, &same, &kube::api::Patch::Merge(status))
        .await
        .unwrap();
    scene.keep_until(&archive, "2026-01-01T00:00:00Z").await;
    // It does not start again, because its first round would remove the archive.
    bindery.resume();
    let message = scene.refused(claim_of(&scene, "again", &name)).await;
    assert_eq!(
        message,
        format!(
            "{DENIED}Archive {name} expired at 2026-01-01T00:00:00Z, and its data is removed soon, if it is still there; to get \
             it, keep it first, which needs the right to change Archives: kubectl annotate archive {name} -n {namespace} --overwrite \
             bindery.dev/keep-until=forever. There are no other archives in namespace {namespace}",
            namespace = scene.name
        )
    );
    bindery.unregister().await;

    let scene = Scene::new().await;
    let archive = archived(&scene, "data").await;
    // A finalizer of somebody else keeps the object.
    let archives = scene.archives(&scene.name);
    let held = json!({"metadata": {"finalizers": ["bindery.dev/archive", "example.com/held"]}});
    archives
        .patch(&archive.name_any(), &same, &kube::api::Patch::Merge(held))
        .await
        .unwrap();
    scene.delete_archive(&archive).await;
    let message = scene.refused(claim_of(&scene, "again", &archive.name_any())).await;
    assert_eq!(
        message,
        format!(
            "{DENIED}Archive {} is being deleted, and its data with it. There are no other archives in namespace {}",
            archive.name_any(),
            scene.name
        )
    );
    let free = json!({"metadata": {"finalizers": null}});
    let free = kube::api::Patch::Merge(free);
    crate::support::wait::eventually("the object is gone", async || {
        let _ = archives.patch(&archive.name_any(), &same, &free).await;
        archives
            .get_opt(&archive.name_any())
            .await
            .unwrap()
            .is_none()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_missing_archive_is_refused() {
    let bindery = Bindery::start(&["--retention-interval=300ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let archive = archived(&scene, "data").await;
    let aside = Bed::get().export.join(format!("aside-{}", scene.name));
    std::fs::rename(directory_of(&archive), &aside).unwrap();
    until_phase(&scene, &archive, ArchivePhase::Missing).await;
    let message = scene.refused(claim_of(&scene, "again", &archive.name_any())).await;
    assert_eq!(
        message,
        format!(
            "{DENIED}the directory of Archive {} is not on its share; an Event of the Archive says more. There are no other \
             archives in namespace {}",
            archive.name_any(),
            scene.name
        )
    );
    std::fs::rename(&aside, directory_of(&archive)).unwrap();
    until_phase(&scene, &archive, ArchivePhase::Available).await;
    let (_, volume) = scene.bound(claim_of(&scene, "again", "data")).await;
    assert_eq!(
        read(&crate::support::scene::directory(&volume)).as_deref(),
        Some("data")
    );
    bindery.unregister().await;
}

#[tokio::test]
async fn a_misspelt_kind_is_refused_at_once_and_gets_no_volume_later() {
    let scene = Scene::with_namespace(json!({"bindery.dev/enabled": "false"})).await;
    let with_kind = |name: &str, kind: &str| {
        let mut claim = claim_of(&scene, name, "data");
        claim["spec"]["dataSourceRef"]["kind"] = json!(kind);
        claim
    };
    let message = |kind: &str| {
        format!(
            "dataSourceRef.kind is {kind}: write kind: Archive, because API group bindery.dev has no other kind that \
             Bindery can restore"
        )
    };
    scene.create(with_kind("waits", "archive")).await.unwrap();
    scene.annotate_namespace(json!({"bindery.dev/enabled": null})).await;
    assert_eq!(scene.event("waits", "ProvisioningRefused").await, message("archive"));
    let refused = scene.refused(with_kind("new", "Archives")).await;
    assert!(refused.ends_with(&message("Archives")), "{refused}");
    assert_eq!(scene.own_volumes().await, []);
}

#[tokio::test]
async fn claims_of_other_provisioners_are_left_alone() {
    let scene = Scene::of("example.com/other").await;
    let created = scene.create(claim_of(&scene, "again", "data")).await.unwrap();
    assert_eq!(created.spec.unwrap().volume_name, None);
}
