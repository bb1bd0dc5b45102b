//! `kubectl bindery restore`: the claim that it prints is one that the API server takes.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{archive_a_claim, failed};
use crate::support::plugin::{Plugin, Printed};
use crate::support::scene::{Scene, directory};

/// The version of the objects of rights.
const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// Returns what `kubectl create` prints for a manifest.
fn create(plugin: &Plugin, arguments: &[&str], manifest: &str) -> Printed {
    let mut command = plugin.command("kubectl");
    command.args(["create", "-f", "-"]).args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[tokio::test]
async fn the_printed_claim_is_valid_and_has_the_settings_of_the_archive() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let namespace = scene.name.as_str();
    let archive = archive_a_claim(&scene, "data").await;
    let restore = |arguments: &[&str]| plugin.bindery(&[&["restore", "-n", namespace], arguments].concat());
    let printed = restore(&[&archive, "--as", "again"]).success();
    let expected = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "again", "namespace": namespace},
        "spec": {
            "storageClassName": namespace,
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
            "dataSourceRef": {"apiGroup": "bindery.dev", "kind": "Archive", "name": archive},
        },
    });
    assert_eq!(serde_saphyr::from_str::<Value>(&printed).unwrap(), expected);
    let created = create(&plugin, &["--dry-run=server", "-o", "json"], &printed);
    assert_eq!(created.status, Some(0), "{created:?}");
    let created: Value = serde_json::from_str(&created.out).unwrap();
    assert_eq!(created["spec"]["dataSourceRef"], expected["spec"]["dataSourceRef"]);
    assert_eq!(created["spec"]["resources"], expected["spec"]["resources"]);

    let other = restore(&[
        "data",
        "--size",
        "2Gi",
        "--class",
        "fast",
        "--access-mode",
        "RWO",
        "--access-mode",
        "ReadOnlyMany",
        "-o",
        "json",
    ]);
    let chosen = format!("the newest archive of claim data is {archive}: archived ");
    assert!(
        other.status == Some(0)
            && other.err.starts_with(&chosen)
            && other.err.contains("s ago, size 1Gi, used space not measured yet\n")
            && other.err.ends_with("Warning: StorageClass fast does not exist; the claim waits until it does; choose another one with --class\n"),
        "{other:?}"
    );
    let other: Value = serde_json::from_str(&other.out).unwrap();
    assert_eq!(other["metadata"]["name"], "data");
    assert_eq!(other["spec"]["storageClassName"], "fast");
    assert_eq!(other["spec"]["accessModes"], json!(["ReadWriteOnce", "ReadOnlyMany"]));
    assert_eq!(other["spec"]["resources"], json!({"requests": {"storage": "2Gi"}}));
}

#[tokio::test]
async fn apply_creates_the_claim_and_the_data_is_back() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let archive = archive_a_claim(&scene, "data").await;
    let restore = |arguments: &[&str]| {
        plugin.bindery(&[&["restore", "-n", &scene.name, &archive, "--as", "again"], arguments].concat())
    };
    let tried = restore(&["--dry-run"]);
    assert_eq!(
        (tried.status, tried.out.as_str()),
        (Some(0), "persistentvolumeclaim/again created (server dry run)\n")
    );
    assert!(scene.claims().get_opt("again").await.unwrap().is_none());
    let created = restore(&["--apply"]);
    assert_eq!(
        (created.status, created.out.as_str()),
        (Some(0), "persistentvolumeclaim/again created\n")
    );
    let claim = json!(scene.claims().get("again").await.unwrap());
    let source = json!({"apiGroup": "bindery.dev", "kind": "Archive", "name": archive});
    assert_eq!(claim["spec"]["dataSourceRef"], source);
    let (_, volume) = scene.until_bound("again").await;
    let restored = std::fs::read_to_string(directory(&volume).join("precious"));
    assert_eq!(restored.unwrap(), "data");
}

#[tokio::test]
async fn a_claim_that_cannot_be_created_is_explained() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let namespace = scene.name.as_str();
    let archive = archive_a_claim(&scene, "data").await;
    scene.bound(scene.claim("taken")).await;
    let restore = |arguments: &[&str]| plugin.bindery(&[&["restore", "-n", namespace], arguments].concat());
    assert_eq!(
        restore(&["nothing"]),
        failed(
            2,
            &format!(
                "kubectl bindery restore: in namespace {namespace} there is no archive nothing, and no archive of a claim of \
                 that name; list them: kubectl bindery archives -n {namespace}"
            )
        )
    );
    assert_eq!(
        restore(&[&archive, "--size", "100Mi"]),
        failed(
            1,
            &format!("size 100Mi is less than 1Gi, the size of archive {archive}; set 1Gi or more")
        )
    );
    assert_eq!(
        restore(&[&archive, "--as", "taken", "--apply"]),
        failed(
            1,
            &format!("claim taken exists already in namespace {namespace}; choose another name with --as")
        )
    );
    assert_eq!(
        restore(&[&archive, "--as", "quota", "--apply", "--as-user", "outsider"]),
        failed(
            2,
            &format!(
                "kubectl bindery restore: archive {archive} of namespace {namespace} could not be read: the kubeconfig's user \
                 lacks the right to get archives (403)"
            )
        )
    );
    assert_eq!(
        restore(&[&archive, "--class", ""]),
        failed(
            1,
            "\"\" is not the name of a StorageClass; write lower-case letters, digits, `-` and `.`"
        )
    );
    assert_eq!(
        plugin.bindery(&["restore", "-n", "nowhere", "data"]),
        failed(2, "kubectl bindery restore: namespace nowhere does not exist")
    );
    // A viewer may read the archive and may not create a claim.
    let user = format!("viewer-{namespace}");
    scene.grant(&user, "view").await;
    let right = format!(
        "kubectl bindery restore: claim again could not be created in namespace {namespace}: the kubeconfig's user lacks the \
         right to create persistentvolumeclaims (403)"
    );
    crate::support::wait::eventually("the viewer reads the archive and creates no claim", async || {
        let printed = restore(&[&archive, "--as", "again", "--apply", "--as-user", &user]);
        (printed == failed(2, &right)).then_some(())
    })
    .await;
    // Another admission plugin refuses it.
    scene.set_quota("persistentvolumeclaims", "1").await;
    let printed = restore(&[&archive, "--as", "again", "--apply"]);
    let begin =
        "the API server refused claim again: persistentvolumeclaims \"again\" is forbidden: exceeded quota: limit";
    assert!(
        printed.status == Some(1) && printed.err.starts_with(begin),
        "{printed:?}"
    );
}

#[tokio::test]
async fn the_right_to_get_one_archive_is_enough_to_restore_it_by_its_name() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let archive = archive_a_claim(&scene, "data").await;
    let user = format!("getter-{}", scene.name);
    let rule = json!([{"apiGroups": ["bindery.dev"], "resources": ["archives"], "verbs": ["get"], "resourceNames": [archive]}]);
    let granted = json!({
        "apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": RBAC, "kind": "Role", "metadata": {"name": "getter"}, "rules": rule},
            {
                "apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": "getter"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "getter"},
                "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
            },
        ],
    });
    create(&plugin, &["-n", &scene.name], &granted.to_string());
    let restore = |name: &str| plugin.bindery(&["restore", "-n", &scene.name, name, "--as-user", &user, "-o", "name"]);
    crate::support::wait::eventually("the user may get the archive", async || {
        let printed = restore(&archive);
        (printed.status == Some(0) && printed.out == "persistentvolumeclaim/data\n").then_some(())
    })
    .await;
    let printed = restore("data");
    assert!(
        printed.status == Some(2) && printed.err.ends_with("lacks the right to get archives (403)\n"),
        "{printed:?}"
    );
}

#[tokio::test]
async fn the_name_of_a_claim_shows_the_older_archives_with_their_commands() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let namespace = scene.name.as_str();
    archive_a_claim(&scene, "data").await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    std::fs::write(directory(&volume).join("little"), "x").unwrap();
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    // Both may have been archived in one second: then the list says which one counts as the newest.
    let (newest, older) = crate::support::wait::eventually("the second archive has an object", async || {
        let names = plugin
            .bindery(&["archives", "-n", namespace, "data", "-o", "name"])
            .success();
        let mut names = names
            .lines()
            .map(|name| name.trim_start_matches("archive.bindery.dev/").to_owned());
        names.next().zip(names.next())
    })
    .await;
    let printed = plugin.bindery(&["restore", "-n", namespace, "data", "--dry-run"]);
    let rows: Vec<String> = printed.err.lines().map(str::to_owned).collect();
    assert_eq!(printed.status, Some(0), "{printed:?}");
    assert!(
        rows[0].starts_with(&format!("the newest archive of claim data is {newest}: ")),
        "{rows:?}"
    );
    assert_eq!(rows[1], "older archives of claim data, each with the command for it:");
    let command = format!("kubectl bindery restore -n {namespace} {older}");
    assert!(rows[2].trim_start().starts_with(&command), "{rows:?}");

    // One that was restored names its claim, is not offered, and counts with its volume.
    let create = ["restore", "-n", namespace, &newest, "--as", "again", "--apply"];
    assert_eq!(plugin.bindery(&create).out, "persistentvolumeclaim/again created\n");
    let (_, volume) = scene.until_bound("again").await;
    let said = format!(
        "archive {newest} cannot be restored: it was restored to claim again (PersistentVolume {}), which has its directory\n",
        volume.metadata.name.as_deref().unwrap()
    );
    crate::support::wait::eventually("the archive is Restored", async || {
        (plugin.bindery(&["restore", "-n", namespace, &newest]).err == said).then_some(())
    })
    .await;
    let words = plugin
        .kubectl(&["__complete", "bindery", "restore", "-n", namespace, ""])
        .out;
    assert!(words.contains(&older) && !words.contains(&newest), "{words}");
    let wide = plugin
        .bindery(&["archives", "-n", namespace, &newest, "-o", "wide"])
        .rows();
    assert!(wide[1].ends_with(" -") && wide[1].contains(" - Restored "), "{wide:?}");
    let sums = plugin
        .bindery(&["df", "archives", "--by", "namespace", "-n", namespace])
        .rows();
    assert_eq!(sums[1], format!("{namespace} 1 0 of 1 1Gi - -"), "{sums:?}");
}

#[tokio::test]
async fn an_archive_of_a_deleted_namespace_is_found_in_binderys_own() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let namespace = scene.name.as_str();
    let archive = archive_a_claim(&scene, "data").await;
    scene.delete_namespace(namespace).await;
    scene
        .until_archive("the object is in Bindery's namespace", |archive| {
            archive.metadata.namespace.as_deref() == Some("bindery") && archive.status.is_some()
        })
        .await;
    let printed = plugin.bindery(&["restore", "-n", namespace, "data"]);
    let begin = format!(
        "kubectl bindery restore: namespace {namespace} does not exist; an archive of the deleted namespace {namespace} is in \
         namespace bindery: {archive} (claim data, archived "
    );
    assert!(
        printed.status == Some(2) && printed.err.starts_with(&begin),
        "{printed:?}"
    );
    let printed = plugin.bindery(&["restore", "-n", "bindery", &archive]);
    let warning = format!(
        "Warning: archive {archive} is of a claim of the deleted namespace {namespace}; its new claim is created in namespace \
         bindery, and pods of other namespaces cannot use it\n"
    );
    assert!(
        printed.status == Some(0) && printed.err.starts_with(&warning),
        "{printed:?}"
    );
    // Both commands show it in one way.
    let claim = format!("{namespace}/data");
    let of_df = plugin.bindery(&["df", "archives", "-A"]).rows();
    let begin = format!("bindery {archive} {claim} ");
    assert!(of_df.iter().any(|row| row.starts_with(&begin)), "{of_df:?}");
    let listed = plugin.bindery(&["archives", "-A"]).rows();
    assert!(listed.iter().any(|row| row.starts_with(&begin)), "{listed:?}");
}
