//! Bindery dies at each crash point of a restore, and is started again. The claim has the data, or the archive is as before.

use bindery::failpoints::Point;
use bindery::model::archive::{Archive, ArchivePhase};
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{archived, claim_of, directory_of, read, until_phase, until_put_back};
use crate::support::archives::place;
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, directory, volume_name};
use crate::support::wait::eventually;

/// The points between the first effect of a review and its answer.
const OF_THE_REVIEW: [Point; 4] = [
    Point::VolumeCreated,
    Point::RestoreMarked,
    Point::RestoreMoved,
    Point::DirectoryMade,
];

async fn start() -> (Bindery, Scene) {
    let bindery = Bindery::start(&["--deadline=2s", "--orphan-grace=4s", "--retention-interval=1s"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    (bindery, scene)
}

/// Checks that the claim has the data, and that nothing else has changed.
async fn until_restored(scene: &Scene, archive: &Archive, claim: &str) {
    let (_, volume) = scene.until_bound(claim).await;
    assert_eq!(
        read(&directory(&volume)).as_ref(),
        Some(&archive.spec.claim_name),
        "{claim}"
    );
    until_phase(scene, archive, ArchivePhase::Restored).await;
    assert!(!directory_of(archive).exists(), "{claim}");
    eventually("there is one volume", async || {
        (scene.own_volumes().await.len() == 1).then_some(())
    })
    .await;
    scene.delete(claim).await;
    scene.until_gone(&volume).await;
    let again = scene.until_archived(claim).await;
    assert_eq!(
        read(&directory_of(&again)).as_ref(),
        Some(&archive.spec.claim_name),
        "{claim}"
    );
}

#[tokio::test]
async fn a_claim_gets_its_archive_after_a_crash_at_every_point() {
    let (mut bindery, scene) = start().await;
    for point in OF_THE_REVIEW.into_iter().chain([Point::AnswerSent, Point::UidSet]) {
        let archive = archived(&scene, &format!("data-{point}")).await;
        bindery.kill();
        bindery.run_until_crash(point).await;
        let claim = format!("again-{point}");
        scene
            .create(claim_of(&scene, &claim, &archive.name_any()))
            .await
            .unwrap();
        bindery.until_exit().await;
        bindery.run().await;
        until_restored(&scene, &archive, &claim).await;
        println!("{point}: as if it had not died");
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn a_claim_of_the_controller_gets_its_archive_after_a_crash_at_every_point() {
    let (mut bindery, scene) = start().await;
    for point in OF_THE_REVIEW.into_iter().chain([Point::VolumeAssigned, Point::UidSet]) {
        let archive = archived(&scene, &format!("data-{point}")).await;
        bindery.kill();
        let claim = format!("again-{point}");
        scene
            .create(claim_of(&scene, &claim, &archive.name_any()))
            .await
            .unwrap();
        bindery.run_until_crash(point).await;
        bindery.until_exit().await;
        bindery.run().await;
        until_restored(&scene, &archive, &claim).await;
        println!("{point}: as if it had not died");
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn a_claim_that_is_refused_leaves_its_archive_after_a_crash_at_every_point_of_the_review() {
    let (mut bindery, scene) = start().await;
    for point in OF_THE_REVIEW {
        let archive = archived(&scene, &format!("data-{point}")).await;
        scene.set_quota("persistentvolumeclaims", "0").await;
        bindery.kill();
        bindery.run_until_crash(point).await;
        let claim = format!("again-{point}");
        scene.refused(claim_of(&scene, &claim, &archive.name_any())).await;
        bindery.until_exit().await;
        bindery.run().await;
        until_no_volume(&scene).await;
        until_put_back(&scene, &archive, &archive.spec.claim_name).await;
        scene.remove_quota().await;
        println!("{point}: as if it had not died");
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn an_archive_is_put_back_after_a_crash_at_every_point() {
    let (mut bindery, scene) = start().await;
    for point in [Point::RestoreUndone, Point::DirectoryDone, Point::FinalizerRemoved] {
        let archive = archived(&scene, &format!("data-{point}")).await;
        scene.set_quota("persistentvolumeclaims", "0").await;
        scene
            .refused(claim_of(&scene, &format!("again-{point}"), &archive.name_any()))
            .await;
        bindery.kill();
        bindery.run_until_crash(point).await;
        bindery.until_exit().await;
        bindery.run().await;
        until_no_volume(&scene).await;
        until_put_back(&scene, &archive, &archive.spec.claim_name).await;
        scene.remove_quota().await;
        println!("{point}: as if it had not died");
    }
    bindery.unregister().await;
}

async fn until_no_volume(scene: &Scene) {
    eventually("no volume is left", async || {
        scene.own_volumes().await.is_empty().then_some(())
    })
    .await;
}

/// Renames an archive as a change of its expiry does, and returns its new path below the share.
fn rename_on_share(archive: &Archive) -> String {
    let renamed = format!("{}-until-29991231T235959Z", place(archive));
    std::fs::rename(directory_of(archive), Bed::get().export.join(&renamed)).unwrap();
    renamed
}

#[tokio::test]
async fn a_claim_gets_an_archive_that_was_renamed_while_its_restore_was_interrupted() {
    let (mut bindery, scene) = start().await;
    let archive = archived(&scene, "data").await;
    bindery.kill();
    bindery.run_until_crash(Point::RestoreMarked).await;
    scene
        .create(claim_of(&scene, "again", &archive.name_any()))
        .await
        .unwrap();
    bindery.until_exit().await;
    rename_on_share(&archive);
    bindery.run().await;
    until_restored(&scene, &archive, "again").await;
    bindery.unregister().await;
}

#[tokio::test]
async fn an_archive_that_was_renamed_while_its_restore_was_interrupted_is_not_missing() {
    let (mut bindery, scene) = start().await;
    let archive = archived(&scene, "data").await;
    scene.set_quota("persistentvolumeclaims", "0").await;
    bindery.kill();
    bindery.run_until_crash(Point::RestoreMarked).await;
    scene.refused(claim_of(&scene, "again", &archive.name_any())).await;
    bindery.until_exit().await;
    let [volume] = &scene.own_volumes().await[..] else {
        panic!("one volume")
    };
    let renamed = rename_on_share(&archive);
    bindery.run().await;
    scene.until_gone(volume).await;
    let now = until_phase(&scene, &archive, ArchivePhase::Available).await;
    assert_eq!(place(&now), renamed);
    let text = std::fs::read_to_string(Bed::get().export.join(&renamed).join("precious"));
    assert_eq!(text.unwrap(), "data");
    // Bindery writes its Events in order: this one comes after those of the cleanup.
    scene.keep_until(&now, "2999-12-30").await;
    scene.event(&now.name_any(), "ExpiryChanged").await;
    let events: Api<Event> = Api::all(scene.client.clone());
    let about = ListParams::default().fields(&format!("involvedObject.name={}", volume_name(volume)));
    assert_eq!(events.list(&about).await.unwrap().items, []);
    bindery.unregister().await;
}

/// The object of the archive follows the share only in the next round.
#[tokio::test]
async fn an_archive_that_was_renamed_on_the_share_keeps_that_name_if_no_claim_gets_it() {
    let bindery = Bindery::start(&["--orphan-grace=5s"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let archive = archived(&scene, "data").await;
    scene.set_quota("persistentvolumeclaims", "0").await;
    let renamed = rename_on_share(&archive);
    for _ in 0..2 {
        scene.refused(claim_of(&scene, "again", &archive.name_any())).await;
    }
    let [volume] = &scene.own_volumes().await[..] else {
        panic!("one volume")
    };
    scene.until_gone(volume).await;
    let text = std::fs::read_to_string(Bed::get().export.join(&renamed).join("precious"));
    assert_eq!(text.unwrap(), "data");
    let now = until_phase(&scene, &archive, ArchivePhase::Available).await;
    assert_eq!(place(&now), renamed);
    bindery.unregister().await;
}

#[tokio::test]
async fn an_archive_that_expires_while_its_restore_is_interrupted_is_given_to_the_claim() {
    let (mut bindery, scene) = start().await;
    let brief = format!("{}-brief", scene.name);
    let parameters = json!({"archiveRetention": "6s"});
    scene.class(&brief, json!({"parameters": parameters})).await;
    bindery.kill();
    bindery.run_until_crash(Point::RestoreMarked).await;
    let mut claim = scene.claim("data");
    claim["spec"]["storageClassName"] = json!(brief);
    let archive = super::archived_with(&scene, claim, "data").await;
    scene
        .create(claim_of(&scene, "again", &archive.name_any()))
        .await
        .unwrap();
    bindery.until_exit().await;
    let expires = archive.spec.expires_at.as_ref().unwrap().0;
    eventually("the archive has expired", async || {
        (jiff::Timestamp::now() > expires).then_some(())
    })
    .await;
    assert_eq!(read(&directory_of(&archive)).as_deref(), Some("data"));
    bindery.run().await;
    until_restored(&scene, &archive, "again").await;
    bindery.unregister().await;
}
