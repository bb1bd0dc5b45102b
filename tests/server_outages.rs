//! A server that hangs or is down delays only its own claims, and only until it answers.

use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::scene::{Scene, annotation};
use crate::support::wait::eventually;

/// Number of waiting claims: more than Bindery provisions at the same time.
const CLAIMS: usize = 30;
/// Longer than the pause after a probe, far below the longest pause between two attempts.
const SOON: Duration = Duration::from_secs(20);

/// Returns a scene whose class names this server.
async fn on(bindery: &Bindery, server: &Ganesha, on_delete: &str) -> Scene {
    let parameters = json!({"server": server.address().to_string(), "onDelete": on_delete});
    Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await
}

fn numbered(scene: &Scene, number: usize) -> Value {
    scene.claim(&format!("data-{number:02}"))
}

/// Creates many claims that are admitted without a volume.
async fn queued(scene: &Scene) {
    let creates = (0..CLAIMS).map(|number| scene.create_with_warnings(numbered(scene, number)));
    for warnings in join_all(creates).await {
        assert!(
            warnings[0].starts_with("the volume is not provisioned yet"),
            "{warnings:?}"
        );
    }
}

async fn all_bound(scene: &Scene) -> Vec<(PersistentVolumeClaim, PersistentVolume)> {
    let mut bound = Vec::new();
    for number in 0..CLAIMS {
        bound.push(scene.until_bound(&format!("data-{number:02}")).await);
    }
    bound
}

#[tokio::test]
async fn claims_of_a_healthy_server_are_provisioned_while_another_server_hangs() {
    let (frozen, healthy) = (Ganesha::start(), Ganesha::start());
    let bindery = Bindery::start(&["--deadline=2s", "--orphan-grace=4s"]).await;
    let hangs = on(&bindery, &frozen, "delete").await;
    let works = on(&bindery, &healthy, "delete").await;
    let (_, old) = hangs.bound(hangs.claim("old")).await;
    frozen.freeze();
    hangs.delete("old").await;
    // The claims are served before Bindery has detected that the other server hangs, and also after that.
    let ((), ()) = tokio::join!(queued(&hangs), async {
        for turn in 0..5 {
            works.bound(works.claim(&format!("early-{turn}"))).await;
        }
    });
    bindery.until_down(&frozen.address().to_string()).await;
    let mut volumes = Vec::new();
    for turn in 0..5 {
        volumes.push(works.bound(works.claim(&format!("late-{turn}"))).await.1);
    }
    for (turn, volume) in volumes.iter().enumerate() {
        works.delete(&format!("late-{turn}")).await;
        works.until_gone(volume).await;
        assert!(
            !healthy
                .export_dir()
                .join(annotation(volume, "sub-dir").unwrap())
                .exists()
        );
    }
    // A claim that is created now does not wait for a deadline.
    let began = Instant::now();
    let warnings = hangs.create_with_warnings(hangs.claim("later")).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(
        warnings[0].contains("so nothing is sent to it until it does"),
        "{warnings:?}"
    );

    frozen.thaw();
    let thawed = Instant::now();
    all_bound(&hangs).await;
    hangs.until_bound("later").await;
    hangs.until_gone(&old).await;
    assert!(thawed.elapsed() < SOON, "{:?}", thawed.elapsed());
    bindery.unregister().await;
}

#[tokio::test]
async fn claims_that_wait_for_a_server_get_their_volumes_oldest_first() {
    let mut server = Ganesha::start();
    let bindery = Bindery::start(&[]).await;
    let scene = on(&bindery, &server, "delete").await;
    server.kill();
    scene.create(scene.claim("finds-it-out")).await.unwrap();
    bindery.until_down(&server.address().to_string()).await;
    for number in 0..CLAIMS {
        let claim = scene.create(numbered(&scene, number)).await.unwrap();
        let created = claim.creation_timestamp().unwrap().0;
        // Creation times in Kubernetes are whole seconds. Each third of the claims is created in a second of its own.
        if (number + 1) % (CLAIMS / 3) == 0 {
            let next = async || (jiff::Timestamp::now().as_second() > created.as_second()).then_some(());
            eventually("the next second", next).await;
        }
    }
    // Bindery has tried each claim once, and now waits for the server only.
    for number in 0..CLAIMS {
        scene.event(&format!("data-{number:02}"), "ProvisioningFailed").await;
    }
    server.restart();
    let mut bound = all_bound(&scene).await;
    bound.sort_by_key(|(_, volume)| created_at(&server, volume));
    // Claims are provisioned in parallel, so their order is not exact. The test compares the mean positions of the oldest
    // and of the youngest third. Without any order, they usually differ by 4.
    let place = |numbers: std::ops::Range<usize>| -> usize {
        let theirs = numbers.map(|number| format!("data-{number:02}"));
        let places = theirs.map(|name| bound.iter().position(|(claim, _)| claim.name_any() == name).unwrap());
        places.sum::<usize>() / (CLAIMS / 3)
    };
    let (oldest, youngest) = (place(0..CLAIMS / 3), place(CLAIMS - CLAIMS / 3..CLAIMS));
    assert!(oldest + 8 < youngest, "mean places {oldest} and {youngest} of {CLAIMS}");
    bindery.unregister().await;
}

/// Returns the creation time of a volume's directory.
fn created_at(server: &Ganesha, volume: &PersistentVolume) -> std::time::SystemTime {
    let directory = server.export_dir().join(annotation(volume, "sub-dir").unwrap());
    let is = std::fs::metadata(directory).expect("the volume's directory");
    is.created().expect("a file system that knows")
}

#[tokio::test]
async fn volumes_are_cleaned_up_when_their_server_answers_again() {
    let mut server = Ganesha::start();
    let bindery = Bindery::start(&[]).await;
    let scene = on(&bindery, &server, "delete").await;
    join_all((0..CLAIMS).map(|number| scene.create(numbered(&scene, number)))).await;
    let bound = all_bound(&scene).await;
    server.kill();
    join_all((0..CLAIMS).map(|number| {
        let name = format!("data-{number:02}");
        let scene = &scene;
        async move { scene.delete(&name).await }
    }))
    .await;
    let last = &bound[CLAIMS - 1].1;
    scene.event(&last.name_any(), "CleanupFailed").await;
    bindery.until_down(&server.address().to_string()).await;
    server.restart();
    let back = Instant::now();
    for (_, volume) in &bound {
        scene.until_gone(volume).await;
    }
    assert!(back.elapsed() < SOON, "{:?}", back.elapsed());
    bindery.unregister().await;
}

#[tokio::test]
async fn metrics_report_a_server_as_down_until_it_answers() {
    let mut server = Ganesha::start();
    let address = server.address().to_string();
    let bindery = Bindery::start(&[]).await;
    let scene = on(&bindery, &server, "delete").await;
    server.kill();
    scene.create(scene.claim("data")).await.unwrap();
    bindery.until_down(&address).await;
    server.restart();
    eventually("the metrics no longer name the server", async || {
        (!bindery.metrics().await.contains(&address)).then_some(())
    })
    .await;
    scene.until_bound("data").await;
    bindery.unregister().await;
}
