//! The leader asks for the space of the shares in use, and records it.

use bindery::model::share_space::ShareSpace;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::DeleteParams;
use rustix::fs::statvfs;
use serde_json::json;

use super::{until_metric, until_no_metric};
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::scene::{Scene, annotation, volume_name};
use crate::support::wait::eventually;

/// Waits until the record of a Bindery has an entry of a share for which this is true.
async fn until_recorded(scene: &Scene, bindery: &Bindery, is_it: impl Fn(&ShareSpace) -> bool) -> ShareSpace {
    let records: Api<ConfigMap> = Api::namespaced(scene.client.clone(), "bindery");
    let name = format!("{}-shares", bindery.name);
    eventually("the share is recorded", async || {
        let record = records.get_opt(&name).await.expect("a ConfigMap")?;
        let text = record.data.expect("data").remove("shares.json").expect("shares");
        let shares: Vec<ShareSpace> = serde_json::from_str(&text).expect("JSON");
        shares.into_iter().find(&is_it)
    })
    .await
}

#[tokio::test]
async fn the_space_of_a_share_is_a_metric_and_is_recorded_while_the_share_is_in_use() {
    let bindery = Bindery::start(&["--space-interval=200ms"]).await;
    let server = Ganesha::start_on_disk();
    let address = server.address().to_string();
    let class = json!({"parameters": {"server": address, "share": "/export"}});
    let scene = Scene::of_with(&bindery.provisioner, class).await;
    let label = format!("{{server=\"{address}\",share=\"/export\"}} ");
    let metric = |name: &str| format!("bindery_share_{name}{label}");
    let disk = statvfs(server.export_dir()).unwrap();
    let size = until_metric(&bindery, &metric("size_bytes")).await;
    assert_eq!(size, disk.f_blocks * disk.f_frsize);
    assert_eq!(until_metric(&bindery, &metric("files")).await, disk.f_files);
    until_metric(&bindery, &metric("available_files")).await;
    let free = until_metric(&bindery, &metric("available_bytes")).await;

    let written = until_recorded(&scene, &bindery, |share| share.server == address).await;
    assert_eq!((written.size, written.share.as_str()), (Some(size), "/export"));
    server.disk().run("head -c 3000000 /dev/zero >\"$DISK/large\"; sync");
    eventually("less is free", async || {
        let now = until_metric(&bindery, &metric("available_bytes")).await;
        (now + 2_900_000 < free).then_some(())
    })
    .await;
    let is_smaller = |share: &ShareSpace| share.server == address && share.available < written.available;
    until_recorded(&scene, &bindery, is_smaller).await;

    let classes: Api<StorageClass> = Api::all(scene.client.clone());
    classes.delete(&scene.name, &DeleteParams::default()).await.unwrap();
    until_no_metric(&bindery, &label).await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_share_whose_server_does_not_answer_has_no_numbers() {
    let bindery = Bindery::start(&["--space-interval=200ms"]).await;
    let class = json!({"parameters": {"server": "127.0.0.1"}});
    let scene = Scene::of_with(&bindery.provisioner, class).await;
    let share = until_recorded(&scene, &bindery, |share| share.server == "127.0.0.1").await;
    assert_eq!((share.size, share.available, share.files), (None, None, None));
    let is_down = |share: &ShareSpace| share.server == "127.0.0.1" && share.down_since.is_some();
    until_recorded(&scene, &bindery, is_down).await;
    // The other share of this Bindery has numbers.
    let bed = format!("bindery_share_size_bytes{{server=\"{}\"", Bed::get().server);
    eventually("the share of the bed has a size", async || {
        bindery.metrics().await.contains(&bed).then_some(())
    })
    .await;
    assert!(!bindery.metrics().await.contains("server=\"127.0.0.1\",share="));
    bindery.unregister().await;
}

#[tokio::test]
async fn the_record_says_at_once_that_a_server_answers_again() {
    // The next round would come after the test.
    let bindery = Bindery::start(&["--space-interval=1h"]).await;
    let mut server = Ganesha::start();
    let address = server.address().to_string();
    let class = json!({"parameters": {"server": address, "share": "/export"}});
    let scene = Scene::of_with(&bindery.provisioner, class).await;
    scene.bound(scene.claim("before")).await;
    server.kill();
    scene.create(scene.claim("waits")).await.unwrap();
    scene.event("waits", "ProvisioningFailed").await;
    let of_server = |share: &ShareSpace| share.server == address;
    let is_down = |share: &ShareSpace| of_server(share) && share.down_since.is_some();
    let share = until_recorded(&scene, &bindery, is_down).await;
    assert_eq!(share.size, None);
    server.restart();
    let is_up = |share: &ShareSpace| of_server(share) && share.down_since.is_none() && share.size.is_some();
    until_recorded(&scene, &bindery, is_up).await;
    // The end of the story of the claim.
    let (_, volume) = scene.until_bound("waits").await;
    let expected = format!(
        "volume {} is provisioned: its directory is {} of share {address}:/export",
        volume_name(&volume),
        annotation(&volume, "sub-dir").unwrap()
    );
    assert_eq!(scene.event("waits", "Provisioned").await, expected);
    bindery.unregister().await;
}

#[tokio::test]
async fn only_the_leader_has_metrics_of_space() {
    let flags = ["--space-interval=200ms", "--usage-interval=200ms"];
    let mut bindery = Bindery::start(&flags).await;
    bindery.until_led().await;
    let scene = Scene::of(&bindery.provisioner).await;
    scene.bound(scene.claim("data")).await;
    let volume = format!("bindery_volume_used_bytes{{namespace=\"{}\"", scene.name);
    let has_both = async |bindery: &Bindery| {
        let text = bindery.metrics().await;
        (text.contains("bindery_share_size_bytes{") && text.contains(&volume)).then_some(())
    };
    eventually("the leader has both", async || has_both(&bindery).await).await;
    let replica = bindery.replica().await;
    let text = replica.metrics().await;
    assert!(
        !text.contains("bindery_share_size_bytes{") && !text.contains("bindery_volume_used_bytes{"),
        "{text}"
    );
    bindery.terminate();
    bindery.until_exit().await;
    eventually("the next leader has both", async || has_both(&replica).await).await;
    bindery.unregister().await;
}
