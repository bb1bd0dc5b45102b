//! How long archives are kept: the annotation `bindery.dev/keep-until`, and archives that expire.

use bindery::model::archive::{Archive, ArchivePhase};
use kube::ResourceExt;
use serde_json::json;

use super::{archive_a_claim, content};
use crate::support::archives::{phase, place};
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::Scene;

/// Returns when an archive expires, as its status says.
fn expires(archive: &Archive) -> Option<String> {
    let status = archive.status.as_ref()?;
    status.expires_at.as_ref().map(|time| time.0.to_string())
}

#[tokio::test]
async fn keep_until_changes_the_name_on_the_share_and_the_status() {
    let scene = Scene::with_class(json!({"parameters": {"archiveRetention": "30d"}})).await;
    archive_a_claim(&scene, "data").await;
    let archive = scene.until_archived("data").await;
    let original = place(&archive);
    let (without, _) = original.split_once("-until-").unwrap();

    scene.keep_until(&archive, "forever").await;
    let kept = scene
        .until_archive("it never expires", |archive| expires(archive).is_none())
        .await;
    assert_eq!(place(&kept), without);
    assert_eq!(content(without).as_deref(), Some("data"));
    let message = scene.event(&archive.name_any(), "ExpiryChanged").await;
    let share = format!("{}:{}", Bed::get().server, Bed::get().share);
    assert_eq!(
        message,
        format!("the archive is kept forever, as {without} of share {share}")
    );

    scene.keep_until(&archive, "2999-12-31").await;
    let kept = scene
        .until_archive("it expires at the end of that day", |archive| {
            expires(archive).as_deref() == Some("2999-12-31T23:59:59Z")
        })
        .await;
    assert_eq!(place(&kept), format!("{without}-until-29991231T235959Z"));
    assert_eq!(content(&place(&kept)).as_deref(), Some("data"));
    assert_eq!((content(&original), content(without)), (None, None));
    assert_eq!(kept.spec, archive.spec, "the spec says what it was first");

    scene.delete_archive(&kept).await;
    scene.until_archive_gone(&kept).await;
    assert_eq!(content(&place(&kept)), None);
}

#[tokio::test]
async fn a_keep_until_that_is_not_valid_changes_nothing() {
    let scene = Scene::with_class(json!({"parameters": {"archiveRetention": "30d"}})).await;
    for (claim, until, why) in [
        (
            "data",
            "2999-02-30",
            "write a time such as 2027-01-31T12:00:00Z, a date such as 2027-01-31, or forever",
        ),
        (
            "past",
            "2020-01-31",
            "this time has passed; to remove the data now, delete the Archive",
        ),
    ] {
        archive_a_claim(&scene, claim).await;
        let archive = scene.until_archived(claim).await;
        scene.keep_until(&archive, until).await;
        let message = scene.event(&archive.name_any(), "KeepUntilInvalid").await;
        let expected = format!("annotation bindery.dev/keep-until is {until:?}: {why}. The expiry is not changed");
        assert_eq!(message, expected);
        let now = scene.until_archived(claim).await;
        assert_eq!((place(&now), expires(&now)), (place(&archive), expires(&archive)));
        assert_eq!(content(&place(&now)).as_deref(), Some(claim));
    }
}

/// Gives an archive a name on the share that says that its time has passed. Returns the name without that time.
fn let_expire(archive: &Archive) -> String {
    let (export, before) = (&Bed::get().export, place(archive));
    let (without, _) = before.split_once("-until-").unwrap();
    let passed = format!("{without}-until-20260101T000000Z");
    std::fs::rename(export.join(&before), export.join(passed)).unwrap();
    without.to_owned()
}

#[tokio::test]
async fn an_archive_is_kept_if_it_was_annotated_while_bindery_did_not_run() {
    let mut bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let parameters = json!({"archiveRetention": "1h"});
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
    archive_a_claim(&scene, "data").await;
    archive_a_claim(&scene, "other").await;
    let archive = scene.until_archived("data").await;
    let other = scene.until_archived("other").await;
    bindery.kill();
    let without = let_expire(&archive);
    let_expire(&other);
    scene.keep_until(&archive, "forever").await;
    bindery.run().await;
    scene.until_archive_gone(&other).await;
    let kept = scene
        .until_archive("it never expires", |one| {
            one.spec == archive.spec && place(one) == without
        })
        .await;
    assert_eq!(expires(&kept), None);
    assert_eq!(content(&without).as_deref(), Some("data"));
    bindery.unregister().await;
}

#[tokio::test]
async fn an_annotation_that_was_applied_does_not_undo_a_longer_name() {
    let bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    archive_a_claim(&scene, "data").await;
    let archive = scene.until_archived("data").await;
    scene.keep_until(&archive, "2999-12-31").await;
    let annotated = scene
        .until_archive("the annotation is applied", |archive| {
            archive.keep_until_applied() == Some("2999-12-31") && expires(archive).is_some()
        })
        .await;
    // A person keeps it forever, on the server.
    let (export, before) = (&Bed::get().export, place(&annotated));
    let (without, _) = before.split_once("-until-").unwrap();
    std::fs::rename(export.join(&before), export.join(without)).unwrap();
    let now = scene
        .until_archive("the status follows", |archive| place(archive) == without)
        .await;
    assert_eq!(expires(&now), None);
    // Another value of the annotation counts again.
    scene.keep_until(&archive, "2998-12-31").await;
    scene
        .until_archive("it expires", |archive| {
            expires(archive).as_deref() == Some("2998-12-31T23:59:59Z")
        })
        .await;
    bindery.unregister().await;
}

#[tokio::test]
async fn an_archive_that_expires_takes_its_object_with_it() {
    let bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let parameters = json!({"archiveRetention": "1h"});
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
    archive_a_claim(&scene, "data").await;
    archive_a_claim(&scene, "other").await;
    let archive = scene.until_archived("data").await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5);
    scene.keep_until(&archive, &soon.to_string()).await;
    scene.until_archive_gone(&archive).await;
    let left: Vec<String> = scene.own_directories();
    assert!(left.iter().all(|name| name.contains("-other-")), "{left:?}");
    let other = scene.until_archived("other").await;
    assert_eq!(phase(&other), Some(ArchivePhase::Available));
    bindery.unregister().await;
}
