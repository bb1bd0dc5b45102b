//! A StatefulSet whose number of replicas changes.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::node::{IDLE, LATE, Pod, template};
use crate::support::scene::{Scene, from};
use crate::support::wait::eventually_within;

#[tokio::test]
async fn a_stateful_set_scaled_down_and_up_finds_its_data() {
    let scene = Scene::new().await;
    let sets: Api<StatefulSet> = Api::namespaced(scene.client.clone(), &scene.name);
    // Each pod writes its name when it starts.
    let mut spec = template("data", &format!("hostname >>/data/starts; {IDLE}"), json!({}));
    spec.as_object_mut().unwrap().remove("volumes");
    let set: StatefulSet = from(json!({
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "replicas": 3,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": spec},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": scene.claim("data")["spec"]}],
        },
    }));
    sets.create(&PostParams::default(), &set).await.unwrap();
    let until_replicas = async |wanted: i32| {
        eventually_within(LATE, &format!("{wanted} replicas are ready"), async || {
            let status = sets.get("db").await.unwrap().status?;
            let ready = status.ready_replicas.unwrap_or_default();
            (ready == wanted && status.replicas == wanted).then_some(())
        })
        .await;
    };
    let scale = async |replicas: i32| {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        sets.patch("db", &PatchParams::default(), &patch).await.unwrap();
        until_replicas(replicas).await;
    };
    until_replicas(3).await;
    scale(1).await;
    scale(3).await;
    let starts = |replica: i32| Pod::named(&scene, &format!("db-{replica}")).run("cat /data/starts");
    assert_eq!(starts(0), "db-0");
    assert_eq!(starts(1), "db-1\ndb-1");
    assert_eq!(starts(2), "db-2\ndb-2");
    assert_eq!(scene.own_volumes().await.len(), 3);
    scale(0).await;
}
