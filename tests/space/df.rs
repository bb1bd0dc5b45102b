//! `bindery df` shows what the leader has measured, with the rights of its user.

use std::fs;
use std::process::{Command, Output};

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::until_measured;
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, from, volume_name};
use crate::support::wait::eventually;

/// Runs `bindery df` with this kubeconfig.
fn run(arguments: &[&str], kubeconfig: &std::path::Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bindery"))
        .arg("df")
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .output()
        .expect("bindery runs")
}

/// Runs `bindery df` as the cluster's administrator. Returns what it prints.
fn df(arguments: &[&str]) -> String {
    let output = run(arguments, &Bed::get().kubeconfig);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Returns the lines of a table, as words.
fn lines(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[tokio::test]
async fn df_shows_volumes_archives_and_shares() {
    let flags = [
        "--usage-interval=200ms",
        "--space-interval=200ms",
        "--retention-interval=200ms",
    ];
    let bindery = Bindery::start(&flags).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let record = format!("--shares-record={}-shares", bindery.name);
    for (name, bytes) in [("large", 300_000), ("small", 5000), ("gone", 10)] {
        let (_, volume) = scene.bound(scene.claim(name)).await;
        fs::write(directory(&volume).join("file"), vec![1; bytes]).unwrap();
        until_measured(&scene, &volume, |usage| usage.files == 1 && usage.bytes > 0).await;
    }
    let (large, gone) = (
        scene.claims().get("large").await.unwrap(),
        scene.claims().get("gone").await.unwrap(),
    );
    scene.delete("gone").await;
    let gone = scene
        .volumes()
        .get(&gone.spec.unwrap().volume_name.unwrap())
        .await
        .unwrap();
    scene.until_gone(&gone).await;
    scene.until_archived("gone").await;
    eventually("the archive is measured", async || {
        let found: Value = serde_json::from_str(&df(&["archives", "-n", &scene.name, "-o", "json"])).unwrap();
        found["archives"][0]["used"].as_u64()
    })
    .await;

    // The largest comes first.
    let table = df(&["volumes", "-n", &scene.name]);
    let words = lines(&table);
    assert_eq!(
        words[0],
        ["CLAIM", "CLASS", "CAPACITY", "USED", "USE%", "FILES", "MEASURED"]
    );
    let claims: Vec<&str> = words[1..].iter().map(|line| line[0]).collect();
    assert_eq!(claims, ["large", "small"], "{table}");
    assert_eq!(words[1][1..3], [scene.name.as_str(), "1Gi"], "{table}");
    let table = df(&["volumes", "-A", "--sort", "name", "-o", "wide"]);
    let words = lines(&table);
    assert_eq!(words[0][..2], ["NAMESPACE", "CLAIM"]);
    assert_eq!(words[0][8..], ["LIMIT", "VOLUME", "SHARE", "DIRECTORY"]);
    let own: Vec<&Vec<&str>> = words.iter().filter(|line| line[0] == scene.name).collect();
    let volume = large.spec.unwrap().volume_name.unwrap();
    let volume = scene.volumes().get(&volume).await.unwrap();
    assert!(own[0].contains(&volume_name(&volume)), "{table}");
    assert_eq!(own[0].last(), annotation(&volume, "sub-dir").as_ref(), "{table}");

    let all = df(&["-n", &scene.name, &record]);
    for title in ["VOLUMES:", "ARCHIVES:", "SHARES:"] {
        assert!(all.lines().any(|line| line == title), "{all}");
    }
    let shares: Value = serde_json::from_str(&df(&["shares", &record, "-o", "json"])).unwrap();
    let share = &shares["shares"][0];
    assert_eq!(share["server"], json!(Bed::get().server));
    assert!(share["size"].as_u64() > share["available"].as_u64(), "{share}");

    let sums = df(&["--by", "namespace", "-n", &scene.name, "-o", "yaml", &record]);
    let sums: Value = serde_saphyr::from_str(&sums).unwrap();
    assert_eq!(sums["volumeSums"][0]["name"], json!(scene.name));
    assert_eq!(sums["volumeSums"][0]["count"], json!(2));
    assert_eq!(sums["volumeSums"][0]["capacity"], json!(2_u64 << 30));
    assert_eq!(sums["archiveSums"][0]["files"], json!(1));
    assert!(sums.get("shares").is_none(), "shares have no sums: {sums}");
    let refused = run(&["shares", "--by", "class"], &Bed::get().kubeconfig);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(
        df(&["volumes", "-n", "nowhere"]),
        "There are no volumes in namespace nowhere.\n"
    );
    let table = df(&["volumes", "--by", "class"]);
    let own = lines(&table).into_iter().find(|line| line[0] == scene.name);
    assert_eq!(own.expect("the class")[1..6], ["2", "2", "of", "2", "2Gi"], "{table}");
    bindery.unregister().await;
}

#[tokio::test]
async fn df_shows_what_its_user_may_read_and_names_the_rest() {
    let scene = Scene::new().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(scene.client.clone(), &scene.name);
    let account = from(json!({"metadata": {"name": "viewer"}}));
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let token = eventually("a token", async || {
        let request = from(json!({"spec": {"audiences": []}, "metadata": {}}));
        let made = accounts
            .create_token_request("viewer", &PostParams::default(), &request)
            .await;
        Some(made.ok()?.status?.token)
    })
    .await;
    let kubeconfig = fs::read_to_string(&Bed::get().kubeconfig).unwrap();
    let mut kubeconfig: Value = serde_saphyr::from_str(&kubeconfig).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token});
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), kubeconfig.to_string()).unwrap();

    let output = run(&["-n", &scene.name], file.path());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for what in [
        "the volumes are not shown: ",
        "the archives are not shown: ",
        "the shares are not shown: ",
    ] {
        assert!(errors.contains(what), "{errors}");
    }
    let bindings: Api<RoleBinding> = Api::namespaced(scene.client.clone(), &scene.name);
    let binding = from(json!({
        "metadata": {"name": "viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": scene.name}],
    }));
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    let output = eventually("the user may read archives", async || {
        let output = run(&["-n", &scene.name], file.path());
        (output.status.code() == Some(1)).then_some(output)
    })
    .await;
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("There are no archives in namespace {}.\n", scene.name)
    );
    let errors = String::from_utf8(output.stderr).unwrap();
    let first = errors.lines().next().unwrap();
    assert!(
        first.starts_with("bindery df: the volumes are not shown: PersistentVolumes could not be listed: "),
        "{errors}"
    );
    assert!(
        errors.contains("bindery df: the shares are not shown: ConfigMap bindery/bindery-shares could not be read: ")
    );
}
