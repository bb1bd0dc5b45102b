//! One truth in two forms, and both of them something that a cluster takes.

use bindery::cli::{Cli, Command};
use clap::Parser;
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::{EVERY_VALUE, is_hook, kubectl, objects, rendered};
use crate::support::bed::Bed;

/// The files of one installation: values for the chart, and the folder for kustomize.
const PAIRS: [(&[&str], &str); 3] = [
    (&[], "base"),
    (
        &[concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/chart/values-dev.yaml")],
        "overlays/dev",
    ),
    (
        &[concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/chart/values-ha.yaml")],
        "overlays/ha",
    ),
];

fn kustomized(folder: &str) -> String {
    kubectl(
        &["kustomize", &format!("{}/deploy/{folder}", env!("CARGO_MANIFEST_DIR"))],
        "",
    )
}

/// Without the labels by which helm finds its own.
fn without_helm(object: &Value) -> Value {
    let labels =
        json!({"helm.sh/chart": null, "app.kubernetes.io/managed-by": null, "app.kubernetes.io/version": null});
    let mut plain = object.clone();
    json_patch::merge(&mut plain, &json!({"metadata": {"labels": labels}}));
    plain
}

#[tokio::test]
async fn chart_and_kustomization_render_the_same_objects() {
    for (values, folder) in PAIRS {
        let mut kustomized = objects(&kustomized(folder));
        // Helm makes the namespace itself, or finds it.
        assert!(kustomized.remove("Namespace bindery").is_some());
        let mut chart = rendered(values);
        chart.retain(|_, object| !is_hook(object));
        let names = |objects: &std::collections::BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&chart), names(&kustomized), "{folder}");
        for (name, object) in &chart {
            assert_eq!(without_helm(object), kustomized[name], "{folder}: {name}");
        }
    }
}

#[tokio::test]
async fn the_api_server_takes_every_object_and_knows_every_field() {
    let every: &[&str] = &[EVERY_VALUE];
    for values in PAIRS.map(|(values, _)| values).into_iter().chain([every]) {
        for (name, object) in rendered(values) {
            // A custom resource of Prometheus' operator, which the bed has not.
            if object["kind"] != "ServiceMonitor" {
                let apply = [
                    "apply",
                    "--server-side",
                    "--dry-run=server",
                    "--validate=strict",
                    "--force-conflicts",
                    "-f",
                    "-",
                ];
                assert!(!kubectl(&apply, &object.to_string()).is_empty(), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn every_argument_of_a_rendered_pod_is_one_that_bindery_takes() {
    let serve = |values: &[&str], deployment: &str| {
        let pod = rendered(values)[deployment]["spec"]["template"]["spec"].clone();
        let arguments: Vec<String> = serde_json::from_value(pod["containers"][0]["args"].clone()).unwrap();
        Cli::try_parse_from([&["bindery".to_owned()], &*arguments].concat())
            .unwrap()
            .command
    };
    let Command::Serve(plain) = serve(&[], "Deployment bindery") else {
        panic!("serve")
    };
    let Command::Serve(default) = Cli::parse_from(["bindery", "serve"]).command else {
        panic!("serve")
    };
    assert_eq!(
        format!("{plain:?}"),
        format!("{default:?}").replace("log_format: Text", "log_format: Json")
    );
    let Command::Serve(blue) = serve(&[EVERY_VALUE], "Deployment blue") else {
        panic!("serve")
    };
    assert_eq!(
        (blue.listen.port(), blue.serving_names, blue.lease),
        (10250, vec!["blue.bindery.svc".to_owned()], "blue".to_owned())
    );
    let Command::Check(check) = serve(&[EVERY_VALUE], "Job blue-test") else {
        panic!("check")
    };
    assert_eq!(check.classes, ["everything", "plain"]);
    let Command::Uninstall(uninstall) = serve(&[EVERY_VALUE], "Job blue-uninstall") else {
        panic!("uninstall")
    };
    assert_eq!(
        (uninstall.instance.as_deref(), uninstall.provisioner_name.as_str()),
        (Some("blue"), "example.com/nfs")
    );
}

#[tokio::test]
async fn numbers_and_truths_become_the_texts_that_a_class_wants() {
    let parameters = &rendered(&[EVERY_VALUE])["StorageClass everything"]["parameters"];
    let (uid, archive, version) = (
        &parameters["uid"],
        &parameters["archiveOnDelete"],
        &parameters["nfsVersion"],
    );
    assert_eq!(json!([uid, archive, version]), json!(["1000650000", "true", "3"]));
}

/// The bed has applied deploy/base, with all that is in it.
#[tokio::test]
async fn bindery_s_requests_do_not_queue_behind_those_who_wait_for_it() {
    let bed = Bed::get();
    let admin = bed.admin().await;
    let read = Kubeconfig::read_from(&bed.bindery_kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    let bindery = Client::try_from(config.unwrap()).unwrap();
    let request = http::Request::get("/api/v1/persistentvolumes?limit=1")
        .body(Vec::new().into())
        .unwrap();
    let answer = bindery.send(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let served_by = |header: &str| answer.headers()[header].to_str().unwrap().to_owned();
    let schema = Api::<FlowSchema>::all(admin.clone()).get("bindery").await.unwrap();
    assert_eq!(Some(served_by("x-kubernetes-pf-flowschema-uid")), schema.metadata.uid);
    let level = Api::<PriorityLevelConfiguration>::all(admin)
        .get("workload-high")
        .await
        .unwrap();
    assert_eq!(Some(served_by("x-kubernetes-pf-prioritylevel-uid")), level.metadata.uid);
}
