//! `bindery uninstall --keep-data`. Afterwards no object waits for Bindery, and no data is lost.

use std::process::Output;

use serde_json::json;

use super::{check_success, kubectl};
use crate::backup_restore::run;
use crate::support::archives::place;
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, directory, volume_name};
use crate::support::wait::eventually;

/// Runs `bindery uninstall` for the installation of a test, with these additional flags.
fn uninstall(bindery: &Bindery, flags: &[&str]) -> Output {
    let name = &bindery.name;
    std::process::Command::new(env!("CARGO_BIN_EXE_bindery"))
        .args(["uninstall", "--keep-data", "--namespace=bindery"])
        .args([
            format!("--provisioner-name={}", bindery.provisioner),
            format!("--instance={name}"),
        ])
        .args([format!("--webhook-configuration={name}"), format!("--lease={name}")])
        .args(flags)
        .output()
        .unwrap()
}

/// Removes the lines about volumes of other tests from the output, since all tests share one cluster.
pub fn of_this_installation(output: &str) -> String {
    let lines = output
        .lines()
        .filter(|line| !line.contains(": skipped, because this installation did not create it"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Returns a volume's finalizers.
pub fn finalizers(volume: &k8s_openapi::api::core::v1::PersistentVolume) -> Vec<String> {
    volume.metadata.finalizers.clone().unwrap_or_default()
}

#[tokio::test]
async fn uninstall_refuses_while_a_replica_runs_and_names_it() {
    let bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let refused = uninstall(&bindery, &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(refused.stderr).unwrap(),
        format!(
            "bindery uninstall: replica 0 is running. Stop all replicas first: kubectl -n bindery scale deployment/{} \
             --replicas 0\n",
            bindery.name
        )
    );
    let now = scene.volumes().get(volume_name(&volume)).await.unwrap();
    assert!(finalizers(&now).contains(&"bindery.dev/cleanup".to_owned()));
    bindery.unregister().await;
}

#[tokio::test]
async fn uninstall_waits_for_the_lease_of_a_dead_replica_and_a_dry_run_writes_nothing() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    bindery.kill();
    let lease = || {
        kubectl(
            &["get", "lease", &bindery.name, "-n", "bindery", "-o=jsonpath={.spec}"],
            "",
        )
    };
    let before = lease();
    let would = check_success("a dry run", uninstall(&bindery, &["--dry-run"]));
    assert!(
        would.starts_with(&format!(
            "Lease bindery/{}: held by 0. Stop that replica before you uninstall\n",
            bindery.name
        )),
        "{would}"
    );
    assert!(would.ends_with("volumes would be done: 1, skipped: 0\n"), "{would}");
    let now = scene.volumes().get(volume_name(&volume)).await.unwrap();
    assert_eq!((finalizers(&now), lease()), (finalizers(&volume), before.clone()));

    let output = check_success("uninstall", uninstall(&bindery, &[]));
    assert!(
        output.contains("held by 0; checking whether that replica still runs ...\n"),
        "{output}"
    );
    assert!(output.ends_with("volumes done: 1, skipped: 0\n"), "{output}");
    assert_ne!(lease(), before);
    let holder = [
        "get",
        "lease",
        &bindery.name,
        "-n",
        "bindery",
        "-o=jsonpath={.spec.holderIdentity}",
    ];
    assert_eq!(kubectl(&holder, ""), "", "acquired, and released again");
}

#[tokio::test]
async fn after_uninstall_a_namespace_with_archives_can_be_deleted_and_the_data_stays() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    std::fs::write(directory(&volume).join("precious"), "data").unwrap();
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    let archive = scene.until_archived("data").await;
    bindery.kill();
    let would = check_success("a dry run", uninstall(&bindery, &["--dry-run"]));
    let line = |would: &str| format!("archives: finalizer of 1 objects {would}removed; their directories stay\n");
    assert!(would.contains(&line("would be ")), "{would}");
    assert_eq!(
        scene.until_archived("data").await.metadata.finalizers,
        archive.metadata.finalizers
    );
    let output = check_success("uninstall", uninstall(&bindery, &[]));
    assert!(output.contains(&line("")), "{output}");
    assert_eq!(scene.until_archived("data").await.metadata.finalizers, None);
    scene.delete_namespace(&scene.name).await;
    assert!(scene.own_archives().await.is_empty());
    let kept = Bed::get().export.join(place(&archive)).join("precious");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "data");
}

#[tokio::test]
async fn uninstall_lists_volumes_of_other_origin_with_the_command_that_releases_each() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    // A backup tool would restore the volume in this form.
    let without_ownership = json!({"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": null}}});
    scene.patch_volume(volume_name(&volume), without_ownership).await;
    bindery.kill();
    let output = check_success("uninstall", uninstall(&bindery, &[]));
    assert!(output.ends_with("volumes done: 0, skipped: 0\n"), "{output}");
    let begins = format!(
        "volume {}: skipped, because this installation did not create it (its annotations name no provisioner and instance",
        volume_name(&volume)
    );
    let line = output.lines().find(|line| line.starts_with(&begins)).expect(&output);
    run(line.split_once("keep the directory: ").unwrap().1);
    let now = scene.volumes().get(volume_name(&volume)).await.unwrap();
    assert_eq!(finalizers(&now), ["kubernetes.io/pv-protection"]);
    assert!(directory(&volume).exists());
}

#[tokio::test]
async fn uninstall_without_a_lease_does_nothing_unless_the_flag_is_set() {
    let bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let refused = uninstall(&bindery, &["--lease=other"]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(refused.stderr).unwrap(),
        "bindery uninstall: Lease bindery/other does not exist, but volumes have Bindery's finalizer, so the replicas use \
         another Lease. Name it with --namespace and --lease. If you know that no replica runs, set --without-lease\n"
    );
    let now = scene.volumes().get(volume_name(&volume)).await.unwrap();
    assert_eq!(finalizers(&now), finalizers(&volume));
    let would = ["--lease=other", "--without-lease", "--dry-run"];
    let would = check_success("uninstall", uninstall(&bindery, &would));
    assert!(would.ends_with("volumes would be done: 1, skipped: 0\n"), "{would}");
    bindery.unregister().await;
}

/// A volume without a uid in its `claimRef` would be bound to any claim of that name. A volume with the sentinel uid
/// would keep its name, and so its directory, for ever.
#[cfg(feature = "failpoints")]
#[tokio::test]
async fn uninstall_deletes_unused_volumes_and_a_later_claim_of_that_name_is_served() {
    let mut bindery = Bindery::start(&[]).await;
    let parameters = json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"});
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
    // The claim of the interrupted review must not be created.
    bindery.set_failure_policy_fail().await;
    for uid in [serde_json::Value::Null, json!(bindery::model::names::UNBOUND_UID)] {
        bindery.kill();
        let dry = kube::api::PostParams {
            dry_run: true,
            ..kube::api::PostParams::default()
        };
        eventually("claims are refused while no webhook answers", async || {
            let claim = crate::support::scene::from(scene.claim("data"));
            scene.claims().create(&dry, &claim).await.err()
        })
        .await;
        bindery.run_until_crash(bindery::failpoints::Point::VolumeCreated).await;
        assert!(scene.create(scene.claim("data")).await.is_err());
        bindery.until_exit().await;
        let never = scene.own_volumes().await.remove(0);
        scene
            .patch_volume(volume_name(&never), json!({"spec": {"claimRef": {"uid": uid}}}))
            .await;

        let output = check_success("uninstall", uninstall(&bindery, &["--webhook-configuration=another"]));
        let message = format!(
            "volume {}: deleted, because no claim ever used it; an empty directory may remain at ",
            volume_name(&never)
        );
        assert!(output.contains(&message), "{output}");
        scene.until_gone(&never).await;

        bindery.run().await;
        let (_, volume) = scene.bound(scene.claim("data")).await;
        assert_eq!(volume_name(&volume), volume_name(&never), "by the same directory");
        assert!(directory(&volume).is_dir());
        scene.delete("data").await;
        scene.until_gone(&volume).await;
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn uninstall_leaves_a_started_cleanup_to_bindery_or_abandons_it_on_request() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, begun) = scene.bound(scene.claim("begun")).await;
    let (_, kept) = scene.bound(scene.claim("kept")).await;
    let (_, in_use) = scene.bound(scene.claim("in-use")).await;
    bindery.terminate();
    assert!(bindery.until_exit().await.success());
    scene.delete("begun").await;
    scene.until_released(&begun).await;
    // The claim of the second volume still exists, so its cleanup has not begun.
    for deleted in [&begun, &in_use] {
        kubectl(&["delete", "pv", volume_name(deleted), "--wait=false"], "");
    }

    let first = uninstall(&bindery, &[]);
    let output = String::from_utf8(first.stdout).unwrap();
    assert_eq!(first.status.code(), Some(1), "{output}");
    assert!(
        output.contains(&format!("webhook configuration {}: deleted\n", bindery.name)),
        "{output}"
    );
    assert!(output.contains(&format!(
        "volume {}: skipped, because its cleanup has begun; its data is at ",
        volume_name(&begun)
    )));
    assert!(
        output.ends_with(
            "volumes done: 2, skipped: 1\nStart Bindery again until the skipped volumes are gone, or remove their finalizer \
             with --unfinished and keep what is left of their data\n"
        ),
        "{output}"
    );
    for volume in [&kept, &in_use] {
        let now = scene.volumes().get(volume_name(volume)).await.unwrap();
        let reclaim = now.spec.as_ref().unwrap().persistent_volume_reclaim_policy.as_deref();
        assert_eq!(
            (reclaim, finalizers(&now)),
            (Some("Retain"), vec!["kubernetes.io/pv-protection".to_owned()])
        );
    }

    let again = check_success("again", uninstall(&bindery, &["--unfinished"]));
    assert!(again.ends_with("volumes done: 1, skipped: 0\n"), "{again}");
    scene.until_gone(&begun).await;
    assert!(directory(&begun).is_dir() && directory(&kept).is_dir());
    let nothing = check_success("once more", uninstall(&bindery, &[]));
    assert!(nothing.ends_with("volumes done: 0, skipped: 0\n"), "{nothing}");
}

#[tokio::test]
async fn uninstall_changes_no_volume_and_no_webhook_of_another_installation() {
    let mut bindery = Bindery::start(&[]).await;
    let others = Scene::new().await;
    let (_, volume) = others.bound(others.claim("data")).await;
    bindery.terminate();
    assert!(bindery.until_exit().await.success());
    let webhook = json!({"webhooks": [{"name": "claims.bindery.dev"}, {"name": "other.example.com"}]});
    kubectl(
        &[
            "patch",
            "mutatingwebhookconfiguration",
            &bindery.name,
            "--patch",
            &with_other(&webhook),
        ],
        "",
    );
    let output = check_success("uninstall", uninstall(&bindery, &[]));
    assert_eq!(
        of_this_installation(&output),
        format!(
            "webhook configuration {}: skipped, because its webhook other.example.com is not Bindery's\nvolumes done: 0, \
             skipped: 0\n",
            bindery.name
        )
    );
    let now = others.volumes().get(volume_name(&volume)).await.unwrap();
    assert_eq!(finalizers(&now), finalizers(&volume));
    eventually("the bed's Bindery serves as before", async || {
        others
            .create(others.claim("more"))
            .await
            .unwrap()
            .spec?
            .volume_name
            .map(drop)
    })
    .await;
    bindery.unregister().await;
}

/// A second webhook, which is asked about nothing.
fn with_other(webhooks: &serde_json::Value) -> String {
    let mut patch = webhooks.clone();
    let other = &mut patch["webhooks"][1];
    other["clientConfig"] = json!({"url": "https://127.0.0.1:1/"});
    other["sideEffects"] = json!("None");
    other["admissionReviewVersions"] = json!(["v1"]);
    patch.to_string()
}
