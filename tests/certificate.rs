//! The webhook's certificate and its secret path: created, shared, renewed and replaced without a failed review.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bindery::certificate::{CertifiedKey, certificate};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::caller::{Caller, Identity};
use crate::support::scene::Scene;
use crate::support::wait::eventually;

async fn secrets() -> Api<Secret> {
    Api::namespaced(Bed::get().admin().await, "bindery")
}

async fn secret(bindery: &Bindery) -> Option<Secret> {
    secrets().await.get_opt(&bindery.name).await.expect("an answer")
}

fn text(secret: &Secret, key: &str) -> String {
    String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap()
}

/// Returns CA and URL in the webhook configuration.
async fn registered(bindery: &Bindery) -> (String, String) {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(Bed::get().admin().await);
    let configuration = configurations.get(&bindery.name).await.unwrap();
    let client = configuration.webhooks.unwrap().remove(0).client_config;
    let ca = client.ca_bundle.map_or_else(Vec::new, |ca| ca.0);
    (String::from_utf8(ca).unwrap(), client.url.unwrap())
}

/// Creates claims as this user, and also sends reviews over new connections, until `stop` is set. Each must be served.
async fn load(bindery: &Bindery, scene: &Scene, user: &str, stop: &AtomicBool) -> usize {
    let mut served = 0;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(Bed::get().admin_as(user).await, &scene.name);
    while !stop.load(Ordering::Relaxed) {
        let claim = serde_json::from_value(scene.claim(&format!("{user}-{served}"))).unwrap();
        let claim = claims.create(&PostParams::default(), &claim).await.unwrap();
        assert!(
            claim.spec.unwrap().volume_name.is_some(),
            "claim {served} was not served"
        );
        let (ca, url) = registered(bindery).await;
        assert_eq!(
            Caller::trusting(&ca).get(&url).await.unwrap(),
            405,
            "path and certificate are valid"
        );
        served += 1;
    }
    served
}

#[tokio::test]
async fn an_expiring_certificate_is_renewed_under_load_without_a_failed_review() {
    let bindery = Bindery::start(&["--certificate-lifetime=20s"]).await;
    let second = bindery.replica().await;
    bindery.split_reviews_with(&second, "second").await;
    let scene = Scene::of(&bindery.provisioner).await;
    let stop = Arc::new(AtomicBool::new(false));
    let first = secret(&bindery).await.unwrap();
    let renewals = async {
        let mut last = first.clone();
        for _ in 0..2 {
            last = eventually("the certificate has changed", async || {
                let now = secret(&bindery).await.unwrap();
                (text(&now, "tls.crt") != text(&last, "tls.crt")).then_some(now)
            })
            .await;
        }
        eventually("the webhook configuration has the new path", async || {
            registered(&bindery)
                .await
                .1
                .ends_with(&text(&last, "token"))
                .then_some(())
        })
        .await;
        stop.store(true, Ordering::Relaxed);
        last
    };
    let (last, served, by_second) = tokio::join!(
        renewals,
        load(&bindery, &scene, "first", &stop),
        load(&bindery, &scene, "second", &stop)
    );
    assert!(served > 10 && by_second > 10, "{served} {by_second}");
    assert!(
        !text(&last, "ca.crt").contains(text(&first, "ca.crt").trim()),
        "after two renewals the first CA is not trusted"
    );
    let url = format!("{}/{}", bindery.webhook, text(&first, "token"));
    let caller = Caller::trusting(&text(&last, "ca.crt"));
    assert_eq!(
        caller.get(&url).await.unwrap(),
        404,
        "after two renewals the first path is not valid"
    );
    bindery.unregister().await;
}

#[tokio::test]
async fn a_deleted_secret_is_recreated_without_a_failed_review() {
    let bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let before = secret(&bindery).await.unwrap();
    let stop = AtomicBool::new(false);
    let deletion = async {
        secrets()
            .await
            .delete(&bindery.name, &DeleteParams::default())
            .await
            .unwrap();
        let again = eventually("the Secret exists again", async || secret(&bindery).await).await;
        assert_eq!(again.data, before.data);
        assert_ne!(again.metadata.uid, before.metadata.uid);
        // Continue for a while after that.
        for number in 0..5 {
            scene.bound(scene.claim(&format!("last-{number}"))).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let ((), served) = tokio::join!(deletion, load(&bindery, &scene, "first", &stop));
    assert!(served > 1, "{served}");
    bindery.unregister().await;
}

#[tokio::test]
async fn a_corrupt_secret_is_replaced_and_the_webhook_configuration_is_updated() {
    let bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let before = text(&secret(&bindery).await.unwrap(), "token");
    let corrupt = Patch::Merge(json!({"stringData": {"tls.key": "not a key"}}));
    let parameters = PatchParams::default();
    secrets()
        .await
        .patch(&bindery.name, &parameters, &corrupt)
        .await
        .unwrap();
    eventually("the webhook configuration has another path", async || {
        (!registered(&bindery).await.1.ends_with(&before)).then_some(())
    })
    .await;
    scene.bound(scene.claim("data")).await;
    bindery.unregister().await;
}

#[tokio::test]
async fn two_replicas_that_start_at_once_agree_on_one_certificate() {
    let mut first = Bindery::start(&[]).await;
    let mut second = first.replica().await;
    first.kill();
    second.kill();
    secrets()
        .await
        .delete(&first.name, &DeleteParams::default())
        .await
        .unwrap();
    tokio::join!(first.run(), second.run());
    let secret = secret(&first).await.unwrap();
    for replica in [&first, &second] {
        let url = format!("{}/{}", replica.webhook, text(&secret, "token"));
        assert_eq!(Caller::trusting(&text(&secret, "ca.crt")).get(&url).await.unwrap(), 405);
    }
    first.unregister().await;
}

/// Files as the kubelet mounts a Secret: symlinks through `..data`, which is replaced atomically.
struct MountedSecret(tempfile::TempDir);

impl MountedSecret {
    fn new() -> Self {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for file in ["ca.crt", "tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(file), dir.path().join(file)).unwrap();
        }
        Self(dir)
    }

    fn swap(&self, ca: &str, chain: &str, key: &str) {
        let version = format!("..{}", uuid::Uuid::new_v4());
        let folder = self.0.path().join(&version);
        std::fs::create_dir(&folder).unwrap();
        for (file, text) in [("ca.crt", ca), ("tls.crt", chain), ("tls.key", key)] {
            std::fs::write(folder.join(file), text).unwrap();
        }
        let link = self.0.path().join("..data_tmp");
        std::os::unix::fs::symlink(version, &link).unwrap();
        std::fs::rename(link, self.0.path().join("..data")).unwrap();
    }

    fn flag(&self, flag: &str, file: &str) -> String {
        format!("--{flag}={}", self.0.path().join(file).display())
    }
}

fn new_certificate() -> (String, CertifiedKey) {
    certificate(
        &["127.0.0.1".to_owned()],
        SignedDuration::from_hours(1),
        Timestamp::now(),
    )
    .unwrap()
}

#[tokio::test]
async fn a_certificate_from_files_is_served_and_reloaded_when_the_files_change() {
    let files = MountedSecret::new();
    let (ca, first) = new_certificate();
    files.swap(&ca, &first.chain, &first.key);
    let flags = [
        files.flag("tls-cert", "tls.crt"),
        files.flag("tls-key", "tls.key"),
        files.flag("tls-ca", "ca.crt"),
    ];
    let bindery = Bindery::start(&flags.each_ref().map(String::as_str)).await;
    assert_eq!(registered(&bindery).await.0.trim(), ca.trim());

    let (next_ca, next) = new_certificate();
    files.swap(&next_ca, &next.chain, &first.key);
    bindery.until_log("do not match").await;
    let (_, url) = registered(&bindery).await;
    assert_eq!(
        Caller::trusting(&ca).get(&url).await.unwrap(),
        405,
        "the previous certificate is still served"
    );

    files.swap(&next_ca, &next.chain, &next.key);
    eventually("the new certificate is served", async || {
        (Caller::trusting(&next_ca).get(&url).await.ok()? == 405).then_some(())
    })
    .await;
    let scene = Scene::of(&bindery.provisioner).await;
    scene.bound(scene.claim("data")).await;
    bindery.unregister().await;
}

#[tokio::test]
async fn with_a_client_ca_only_the_api_servers_certificate_is_accepted() {
    let files = MountedSecret::new();
    let bed = Bed::get();
    let read = |name: &str| std::fs::read_to_string(bed.client_certificates.join(name)).unwrap();
    files.swap(&read("client-ca.crt"), "", "");
    let flags = [files.flag("client-ca", "ca.crt"), "--client-name=apiserver".to_owned()];
    // The API server reaches the webhook, so its certificate is accepted.
    let bindery = Bindery::start(&flags.each_ref().map(String::as_str)).await;
    let scene = Scene::of(&bindery.provisioner).await;
    scene.bound(scene.claim("data")).await;

    let (ca, url) = registered(&bindery).await;
    let as_name = |name: &str| Identity {
        certificate: bed.client_certificates.join(format!("client-{name}.crt")),
        key: bed.client_certificates.join(format!("client-{name}.key")),
    };
    let caller = || Caller::trusting(&ca);
    assert!(caller().get(&url).await.is_err(), "without a certificate");
    assert!(
        caller().with_certificate(as_name("somebody")).get(&url).await.is_err(),
        "another name, the same CA"
    );
    assert_eq!(
        caller().with_certificate(as_name("apiserver")).get(&url).await.unwrap(),
        405
    );
    bindery.unregister().await;
}

/// Runs a command that must succeed, and returns its standard output.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn cert_manager_objects_match_its_schemas_and_the_files_match_its_secret() {
    let kubectl = || Command::new(std::env::var("KUBECTL").unwrap());
    let definitions = std::env::var("DEFINITIONS").unwrap();
    run(kubectl().args(["apply", "--server-side", "-f", &definitions]));
    // kubectl wait fails while a definition that was just created has no conditions yet.
    eventually("the definitions are established", async || {
        let mut wait = kubectl();
        wait.args(["wait", "--for=condition=Established", "-f", &definitions]);
        wait.status().unwrap().success().then_some(())
    })
    .await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/cert-manager");
    let applied = run(kubectl().args([
        "apply",
        "--dry-run=server",
        "--validate=strict",
        "-o",
        "json",
        "-k",
        folder,
    ]));
    let applied: Value = serde_json::from_str(&applied).unwrap();
    let of_kind = |kind: &str| {
        let items = applied["items"].as_array().unwrap().iter();
        items.filter(|item| item["kind"] == kind).collect::<Vec<_>>()
    };
    assert_eq!((of_kind("Issuer").len(), of_kind("Certificate").len()), (2, 2));
    let pod = &of_kind("Deployment")[0]["spec"]["template"]["spec"];
    let secret = &pod["volumes"][0]["secret"]["secretName"];
    assert!(
        of_kind("Certificate")
            .iter()
            .any(|certificate| certificate["spec"]["secretName"] == *secret)
    );
    let place = pod["containers"][0]["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let args = pod["containers"][0]["args"].to_string();
    for flag in ["--tls-cert", "--tls-key", "--tls-ca"] {
        assert!(args.contains(&format!("\"{flag}={place}/")), "{args}");
    }
}
