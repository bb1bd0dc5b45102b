//! Claims that wait for their archive, and classes that limit the size of directories.

use bindery::model::archive::ArchivePhase;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;

use super::servers::{archived_at, at, on};
use super::{archived, claim_of, directory_of, read, until_phase};
use crate::layouts::DENIED;
use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::scene::{Scene, directory};
use crate::support::wait::eventually;

#[tokio::test]
async fn an_archive_does_not_expire_while_a_claim_waits_for_it() {
    let mut server = Ganesha::start();
    let bindery = Bindery::start(&["--deadline=2s", "--retention-interval=500ms"]).await;
    let scene = on(&bindery, &server, &json!({"archiveRetention": "8s"})).await;
    let archive = archived_at(&scene, &server.export_dir()).await;
    server.kill();
    scene
        .create(claim_of(&scene, "again", &archive.name_any()))
        .await
        .unwrap();
    let expires = archive.spec.expires_at.as_ref().unwrap().0;
    eventually("the archive has expired", async || {
        (Timestamp::now() > expires).then_some(())
    })
    .await;
    server.restart();
    let (_, volume) = scene.until_bound("again").await;
    assert_eq!(read(&at(&server.export_dir(), &volume)).as_deref(), Some("data"));
    bindery.unregister().await;
}

#[tokio::test]
async fn a_claim_whose_class_needs_a_limit_of_the_size_gets_no_archive_without_one() {
    let scene = Scene::new().await;
    let archive = archived(&scene, "data").await;
    for size_limit in ["set", "require"] {
        let class = format!("{}-{size_limit}", scene.name);
        scene
            .class(&class, json!({"parameters": {"sizeLimit": size_limit}}))
            .await;
        let mut claim = claim_of(&scene, "again", &archive.name_any());
        claim["spec"]["storageClassName"] = json!(class);
        let refused = scene.refused(claim).await;
        assert!(
            refused.starts_with(DENIED) && refused.contains("sizeLimit"),
            "{refused}"
        );
        until_phase(&scene, &archive, ArchivePhase::Available).await;
        eventually("the archive is back", async || {
            (read(&directory_of(&archive)).as_deref() == Some("data")).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_claim_gets_its_archive_although_kubernetes_binds_the_other_claims() {
    let bindery = Bindery::start(&["--binder=off"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let archive = archived(&scene, "data").await;
    let (_, volume) = scene.bound(claim_of(&scene, "again", &archive.name_any())).await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    bindery.unregister().await;
}
