//! The leader measures volumes and archives, and keeps the results on their objects.

use std::fs;

use bindery::model::usage::Usage;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;

use super::{until_measured, until_metric, until_no_metric};
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, volume_name};
use crate::support::wait::eventually;

#[tokio::test]
async fn a_volume_is_measured_again_and_again_and_its_metrics_end_with_it() {
    let bindery = Bindery::start(&["--usage-interval=200ms"]).await;
    let class = json!({"parameters": {"onDelete": "delete"}});
    let scene = Scene::of_with(&bindery.provisioner, class).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let empty = until_measured(&scene, &volume, |_| true).await;
    assert_eq!((empty.bytes, empty.files, empty.unread, empty.limit), (0, 0, 0, None));

    let place = directory(&volume);
    fs::create_dir(place.join("in")).unwrap();
    fs::write(place.join("in/file"), vec![1; 100_000]).unwrap();
    fs::hard_link(place.join("in/file"), place.join("again")).unwrap();
    let used = until_measured(&scene, &volume, |usage| usage.files == 2 && usage.bytes > 100_000).await;
    assert!(used.bytes < 200_000, "{used:?}");

    let label = format!(
        "{{namespace=\"{0}\",persistentvolumeclaim=\"data\",storageclass=\"{0}\"}} ",
        scene.name
    );
    let metric = |name: &str| format!("bindery_volume_{name}{label}");
    eventually("the metrics have the measurement", async || {
        (until_metric(&bindery, &metric("used_bytes")).await == used.bytes).then_some(())
    })
    .await;
    assert_eq!(until_metric(&bindery, &metric("files")).await, 2);
    assert_eq!(until_metric(&bindery, &metric("capacity_bytes")).await, 1 << 30);
    assert_eq!(until_metric(&bindery, &metric("unread_directories")).await, 0);
    let measured = until_metric(&bindery, &metric("measured_timestamp_seconds")).await;
    assert!(Timestamp::now().as_second().abs_diff(i64::try_from(measured).unwrap()) < 600);
    assert!(!bindery.metrics().await.contains(&metric("limit_bytes")));

    scene.delete("data").await;
    scene.until_gone(&volume).await;
    until_no_metric(&bindery, &label).await;
    bindery.unregister().await;
}

#[tokio::test]
async fn an_archive_is_measured_and_counts_in_the_sum_of_its_namespace_and_class() {
    let bindery = Bindery::start(&["--usage-interval=200ms", "--retention-interval=200ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    for name in ["one", "two"] {
        let (_, volume) = scene.bound(scene.claim(name)).await;
        fs::write(directory(&volume).join("file"), vec![1; 50_000]).unwrap();
        scene.delete(name).await;
        scene.until_gone(&volume).await;
    }
    for name in ["one", "two"] {
        let archive = scene.until_archived(name).await;
        eventually("the archive is measured", async || {
            let archive = scene.archives(&scene.name).get(&archive.name_any()).await.ok()?;
            let usage: Usage = archive.annotations().get("bindery.dev/usage")?.parse().unwrap();
            (usage.files == 1 && usage.bytes > 50_000).then_some(())
        })
        .await;
    }
    let label = format!("{{namespace=\"{0}\",storageclass=\"{0}\"}} ", scene.name);
    eventually("both archives are in the sum", async || {
        (until_metric(&bindery, &format!("bindery_archive_files{label}")).await == 2).then_some(())
    })
    .await;
    assert!(until_metric(&bindery, &format!("bindery_archive_used_bytes{label}")).await > 100_000);
    for archive in scene.own_archives().await {
        scene.delete_archive(&archive).await;
    }
    until_no_metric(&bindery, &label).await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_restarted_leader_continues_with_the_oldest_measurement() {
    let mut bindery = Bindery::start(&["--usage-interval=1h"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, old) = scene.bound(scene.claim("old")).await;
    let (_, new) = scene.bound(scene.claim("new")).await;
    for volume in [&old, &new] {
        fs::write(directory(volume).join("file"), "x").unwrap();
    }
    bindery.kill();
    let recorded = |measured: Timestamp| {
        let usage = Usage {
            bytes: 7,
            files: 7,
            unread: 0,
            limit: None,
            measured,
        };
        json!({"metadata": {"annotations": {"bindery.dev/usage": usage.to_string()}}})
    };
    scene
        .patch_volume(volume_name(&old), recorded(Timestamp::UNIX_EPOCH))
        .await;
    scene.patch_volume(volume_name(&new), recorded(Timestamp::now())).await;
    bindery.run().await;
    until_measured(&scene, &old, |usage| usage.files == 1).await;
    // The other one is not due yet. Its result of the earlier leader is shown.
    let line = format!(
        "bindery_volume_files{{namespace=\"{0}\",persistentvolumeclaim=\"new\",storageclass=\"{0}\"}} ",
        scene.name
    );
    assert_eq!(until_metric(&bindery, &line).await, 7);
    let now = scene.volumes().get(volume_name(&new)).await.unwrap();
    let usage: Usage = annotation(&now, "usage").unwrap().parse().unwrap();
    assert_eq!(usage.files, 7);
    bindery.unregister().await;
}

#[tokio::test]
async fn a_large_tree_is_measured_in_turns_with_the_others_of_its_server() {
    let bindery = Bindery::start(&["--usage-interval=2s", "--usage-rate=20"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, large) = scene.bound(scene.claim("large")).await;
    let (_, small) = scene.bound(scene.claim("small")).await;
    let directories = 300;
    for number in 0..directories {
        fs::create_dir(directory(&large).join(number.to_string())).unwrap();
    }
    // At two calls for each directory, the large one takes more than 30 s.
    for files in 1..=3 {
        fs::write(directory(&small).join(files.to_string()), "x").unwrap();
        until_measured(&scene, &small, |usage| usage.files == files).await;
        let now = scene.volumes().get(volume_name(&large)).await.unwrap();
        let usage: Option<Usage> = annotation(&now, "usage").map(|usage| usage.parse().unwrap());
        assert!(
            usage.is_none_or(|usage| usage.files < directories),
            "after {files} measurements of the small one: {usage:?}"
        );
    }
    until_measured(&scene, &large, |usage| usage.files == directories).await;
    bindery.unregister().await;
}

#[tokio::test]
async fn zero_turns_the_measurements_off() {
    let flags = ["--usage-interval=0s", "--space-interval=0s"];
    let bindery = Bindery::start(&flags).await;
    bindery.until_led().await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    let text = bindery.metrics().await;
    for name in ["bindery_share_", "bindery_volume_capacity", "bindery_volume_used"] {
        assert!(!text.lines().any(|line| line.starts_with(name)), "{text}");
    }
    bindery.unregister().await;
}
