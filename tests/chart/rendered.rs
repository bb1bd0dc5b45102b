//! The chart and the kustomizations render the same objects, which a cluster accepts.

use bindery::cli::{Cli, Command};
use bindery::ops::listen::Listen;
use clap::Parser;
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::{CHART, EVERY_VALUE, helm, helm_ok, is_hook, kubectl, objects, rendered};
use crate::support::bed::Bed;

/// The files of one installation: values for the chart, and the folder for kustomize.
const PAIRS: [(&[&str], &str); 5] = [
    (&[], "base"),
    (
        &[concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/chart/values-dev.yaml")],
        "overlays/dev",
    ),
    (
        &[concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/chart/values-ha.yaml")],
        "overlays/ha",
    ),
    (
        &[concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/deploy/chart/values-host-network.yaml"
        )],
        "overlays/host-network",
    ),
    (
        &[concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/deploy/chart/values-openshift.yaml"
        )],
        "overlays/openshift",
    ),
];

fn kustomized(folder: &str) -> String {
    kubectl(
        &["kustomize", &format!("{}/deploy/{folder}", env!("CARGO_MANIFEST_DIR"))],
        "",
    )
}

/// Returns the object without the labels and annotations of Helm.
fn without_helm(object: &Value) -> Value {
    let labels =
        json!({"helm.sh/chart": null, "app.kubernetes.io/managed-by": null, "app.kubernetes.io/version": null});
    let mut plain = object.clone();
    json_patch::merge(&mut plain, &json!({"metadata": {"labels": labels}}));
    if let Some(annotations) = plain
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove("helm.sh/resource-policy");
        if annotations.is_empty() {
            plain["metadata"].as_object_mut().unwrap().remove("annotations");
        }
    }
    plain
}

#[tokio::test]
async fn chart_and_kustomization_render_the_same_objects() {
    for (values, folder) in PAIRS {
        let mut kustomized = objects(&kustomized(folder));
        // Helm creates the namespace.
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
async fn the_api_server_accepts_every_object_and_field() {
    let every: &[&str] = &[EVERY_VALUE];
    for values in PAIRS.map(|(values, _)| values).into_iter().chain([every]) {
        for (name, mut object) in rendered(values) {
            // The Service of the bed is of another type, without a cluster IP.
            if object["kind"] == "Service" {
                object["metadata"]["name"] = json!("not-there");
            }
            // The bed does not have the custom resources of the Prometheus operator and of cert-manager.
            if !["ServiceMonitor", "PrometheusRule", "Certificate", "Issuer"]
                .iter()
                .any(|kind| object["kind"] == *kind)
            {
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
async fn bindery_accepts_every_argument_of_a_rendered_pod() {
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
        (blue.listen, blue.admin_listen, blue.serving_names, blue.lease),
        (
            Listen::AllAddresses(10250),
            Listen::AllAddresses(18080),
            vec!["blue.bindery.svc".to_owned()],
            "blue".to_owned()
        )
    );
    let Command::Check(check) = serve(&[EVERY_VALUE], "Job blue-test") else {
        panic!("check")
    };
    assert_eq!(check.classes, ["everything", "plain"]);
    assert_eq!(
        (check.namespace.as_deref(), check.provisioner_name.as_str()),
        (Some("default"), "example.com/nfs")
    );
    let Command::Uninstall(uninstall) = serve(&[EVERY_VALUE], "Job blue-uninstall") else {
        panic!("uninstall")
    };
    assert_eq!(
        (uninstall.instance.as_deref(), uninstall.provisioner_name.as_str()),
        (Some("blue"), "example.com/nfs")
    );
    assert!(uninstall.unfinished && !uninstall.without_lease);
}

#[tokio::test]
async fn numbers_and_booleans_become_strings_in_a_class() {
    let parameters = &rendered(&[EVERY_VALUE])["StorageClass everything"]["parameters"];
    let (uid, archive, version) = (
        &parameters["uid"],
        &parameters["archiveOnDelete"],
        &parameters["nfsVersion"],
    );
    assert_eq!(json!([uid, archive, version]), json!(["1000650000", "true", "3"]));
}

#[tokio::test]
async fn with_cert_manager_the_pod_serves_the_requested_certificate() {
    let values = |issuer: Value| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let values = json!({"certManager": {"enabled": true, "issuerRef": issuer}});
        std::fs::write(file.path(), values.to_string()).unwrap();
        rendered(&[file.path().to_str().unwrap()])
    };
    let own = values(json!({}));
    let certificate = &own["Certificate bindery"]["spec"];
    assert_eq!(certificate["dnsNames"], json!(["bindery.bindery.svc"]));
    assert_eq!(
        certificate["issuerRef"],
        json!({"kind": "Issuer", "name": "bindery-ca"})
    );
    assert_eq!(
        own["Issuer bindery-ca"]["spec"]["ca"]["secretName"],
        own["Certificate bindery-ca"]["spec"]["secretName"]
    );
    let pod = &own["Deployment bindery"]["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["secret"]["secretName"], certificate["secretName"]);
    let flags = [
        "tls-cert=/etc/bindery/tls/tls.crt",
        "tls-key=/etc/bindery/tls/tls.key",
        "tls-ca=/etc/bindery/tls/ca.crt",
    ];
    let arguments = pod["containers"][0]["args"].as_array().unwrap();
    assert!(
        flags.iter().all(|flag| arguments.contains(&json!(format!("--{flag}")))),
        "{arguments:?}"
    );

    let company = values(json!({"kind": "ClusterIssuer", "name": "company"}));
    assert_eq!(company["Certificate bindery"]["spec"]["issuerRef"]["name"], "company");
    assert!(!company.contains_key("Issuer bindery-ca"));
}

#[tokio::test]
async fn certificates_match_the_schemas_of_cert_manager() {
    let definitions = std::env::var("DEFINITIONS").unwrap();
    kubectl(&["apply", "--server-side", "-f", &definitions], "");
    kubectl(&["wait", "--for=condition=Established", "-f", &definitions], "");
    for own in [
        &["certManager.enabled=true"][..],
        &["certManager.enabled=true", "certManager.issuerRef.name=company"],
    ] {
        let set: Vec<String> = own.iter().map(|value| format!("--set={value}")).collect();
        let mut arguments = vec!["template", "bindery", CHART, "--namespace=bindery"];
        arguments.extend(set.iter().map(String::as_str));
        let mut all = objects(&helm_ok(&arguments));
        all.retain(|_, object| object["apiVersion"] == "cert-manager.io/v1");
        assert_eq!(all.len(), if own.len() == 1 { 4 } else { 1 });
        for object in all.values() {
            let apply = [
                "apply",
                "--server-side",
                "--dry-run=server",
                "--validate=strict",
                "-f",
                "-",
            ];
            kubectl(&apply, &object.to_string());
        }
    }
}

#[tokio::test]
async fn every_release_name_gives_valid_object_names_or_an_error() {
    let named = |release: &str| helm(&["template", release, CHART, "--namespace=bindery"]);
    let dotted = objects(&super::check_success("a dot", named("storage.blue")));
    assert!(dotted.contains_key("Service storage-blue-bindery"));
    let number = String::from_utf8(named("1st").stderr).unwrap();
    let message = "the name of a Service must begin with a letter, and 1st-bindery does not: use another release name, or \
                   set fullnameOverride";
    assert!(number.contains(message), "{number}");
    // Without quotes, YAML would read these as a boolean and a number.
    let odd = [
        "template",
        "bindery",
        CHART,
        "--set-json",
        r#"fullnameOverride="on""#,
        "--set-json",
        r#"classes=[{"name": "1e3"}]"#,
    ];
    let odd = objects(&helm_ok(&odd));
    assert!(odd.contains_key("StorageClass 1e3") && odd.contains_key("Deployment on"));
}

#[tokio::test]
async fn pod_settings_for_a_mounted_share_replace_the_defaults() {
    let pod = &rendered(&[EVERY_VALUE])["Deployment blue"]["spec"]["template"]["spec"];
    let context = &pod["securityContext"];
    assert_eq!(
        json!([context["runAsUser"], context["runAsNonRoot"], context["runAsGroup"]]),
        json!([0, false, 65532])
    );
    let context = &pod["containers"][0]["securityContext"];
    assert_eq!(
        context["capabilities"]["add"],
        json!(["CHOWN", "FOWNER", "DAC_OVERRIDE"])
    );
    assert_eq!(context["readOnlyRootFilesystem"], true);
}

/// The SCC `restricted-v2` of `OpenShift` refuses a pod that names a user outside the range of its project.
#[tokio::test]
async fn a_platform_can_choose_the_user_of_every_pod() {
    let values = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/chart/values-openshift.yaml");
    let mut objects = rendered(&[values]);
    let letting_go = [
        "template",
        "bindery",
        CHART,
        "--values",
        values,
        "--set=uninstall.letGo=true",
    ];
    objects.extend(super::objects(&helm_ok(&letting_go)));
    let mut pods = 0;
    for (name, object) in objects
        .iter()
        .filter(|(_, object)| !object["spec"]["template"]["spec"].is_null())
    {
        let pod = &object["spec"]["template"]["spec"];
        let container = &pod["containers"][0]["securityContext"];
        for context in [&pod["securityContext"], container] {
            let user = ["runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"];
            assert!(
                user.iter().all(|field| context.get(field).is_none()),
                "{name}: {context}"
            );
        }
        // What else that SCC requires.
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
            "{name}"
        );
        assert_eq!(
            json!([container["allowPrivilegeEscalation"], container["capabilities"]["drop"]]),
            json!([false, ["ALL"]]),
            "{name}"
        );
        pods += 1;
    }
    // The Deployment, and the Jobs of `helm test` and `helm uninstall`.
    assert_eq!(pods, 3);
    let other = helm_ok(&["template", "bindery", CHART, "--set=runAsUser=1000650000"]);
    let other = &super::objects(&other)["Deployment bindery"]["spec"]["template"]["spec"]["securityContext"];
    assert_eq!(
        json!([other["runAsUser"], other["runAsGroup"]]),
        json!([1_000_650_000, 1_000_650_000])
    );
}

#[tokio::test]
async fn a_host_network_pod_can_use_reserved_source_ports_without_a_sysctl() {
    let values = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/chart/values-host-network.yaml");
    let deployment = &rendered(&[values])["Deployment bindery"]["spec"];
    let pod = &deployment["template"]["spec"];
    assert_eq!(
        json!([
            pod["hostNetwork"],
            pod["dnsPolicy"],
            deployment["strategy"]["rollingUpdate"]
        ]),
        json!([true, "ClusterFirstWithHostNet", {"maxSurge": 0, "maxUnavailable": 1}])
    );
    // The kubelet rejects a host network pod that sets a network sysctl.
    assert_eq!(pod["securityContext"]["sysctls"], json!(null));
    let capabilities = &pod["containers"][0]["securityContext"]["capabilities"];
    assert_eq!(
        json!([pod["securityContext"]["runAsUser"], capabilities]),
        json!([0, {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}])
    );
    let ports = &pod["containers"][0]["ports"];
    assert_eq!(
        json!([ports[0]["containerPort"], ports[1]["containerPort"]]),
        json!([18443, 18080])
    );
    let unreserved = helm_ok(&[
        "template",
        "bindery",
        CHART,
        "--set=hostNetwork=true,reservedSourcePorts=false",
    ]);
    let pod = &objects(&unreserved)["Deployment bindery"]["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(
        pod["containers"][0]["securityContext"]["capabilities"],
        json!({"drop": ["ALL"]})
    );
}

#[tokio::test]
async fn equal_webhook_and_admin_ports_are_refused() {
    let same = helm(&["template", "bindery", CHART, "--set=webhook.port=9000,admin.port=9000"]);
    let output = String::from_utf8(same.stderr).unwrap();
    assert!(
        output.contains("webhook.port and admin.port are both 9000: choose two different ports"),
        "{output}"
    );
}

/// The bed has applied deploy/base, which contains the `FlowSchema`.
#[tokio::test]
async fn requests_of_bindery_do_not_queue_behind_its_callers() {
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
