//! `kubectl bindery`: the plugin of kubectl, run by a real kubectl.

mod archives;
mod completion;
mod restore;

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::plugin::{Plugin, Printed};
use crate::support::scene::{Scene, directory, volume_name};

/// Creates a claim with one file, deletes it, and waits until its archive has an object. Returns the name of the object.
async fn archive_a_claim(scene: &Scene, name: &str) -> String {
    let (_, volume) = scene.bound(scene.claim(name)).await;
    std::fs::write(directory(&volume).join("precious"), name).unwrap();
    scene.delete(name).await;
    scene.until_gone(&volume).await;
    scene.until_archived(name).await.metadata.name.unwrap()
}

/// Returns what a command prints that fails with this exit status and this message.
fn failed(status: i32, message: &str) -> Printed {
    Printed {
        status: Some(status),
        out: String::new(),
        err: format!("{message}\n"),
    }
}

#[tokio::test]
async fn kubectl_runs_the_commands_of_bindery() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let listed = plugin.kubectl(&["plugin", "list"]).out;
    assert!(listed.contains("/kubectl-bindery\n"), "{listed}");
    let explained = plugin.bindery(&["explain", "-n", &scene.name]);
    assert_eq!(explained.status, Some(0), "{explained:?}");
    assert!(explained.out.contains(volume_name(&volume)), "{explained:?}");
    let checked = plugin.bindery(&["check", &scene.name, "-n", &scene.name]).success();
    let servers = "NFS servers were not asked: `bindery check --server HOST --share PATH` does that";
    assert_eq!(checked, format!("class {}: ok\n{servers}\n", scene.name));
    let checked = plugin.bindery(&["check", &scene.name, "missing", "-n", &scene.name, "-o", "json"]);
    let classes = json!([
        {"class": scene.name, "problem": null},
        {"class": "missing", "problem": "this StorageClass does not exist"},
    ]);
    assert_eq!(checked.status, Some(1), "{checked:?}");
    assert_eq!(
        serde_json::from_str::<Value>(&checked.out).unwrap(),
        json!({"usable": false, "problem": null, "classes": classes})
    );
    let yaml = plugin
        .bindery(&["explain", "-n", &scene.name, "data", "-o", "yaml"])
        .success();
    let explained: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(explained[0]["claim"], json!(format!("{}/data", scene.name)));
}

#[test]
fn the_help_has_the_words_of_kubectl_and_examples() {
    let plugin = Plugin::install();
    let help = plugin.bindery(&["--help"]).success();
    assert!(help.contains("Usage: kubectl bindery <COMMAND>"), "{help}");
    assert!(!help.contains("\n  serve"), "{help}");
    assert!(
        help.starts_with("Shows what the claims of Bindery, the Kubernetes NFS provisioner, get"),
        "{help}"
    );
    for command in [
        "explain",
        "check",
        "archives",
        "restore",
        "console",
        "df",
        "uninstall",
        "completion",
        "man",
    ] {
        let help = plugin.bindery(&[command, "--help"]).success();
        assert!(help.contains(&format!("Usage: kubectl bindery {command}")), "{help}");
        assert!(
            help.contains("Examples:\n") && help.contains("kubectl bindery "),
            "{help}"
        );
    }
    for arguments in [&["serve"][..], &["serve", "--listen=127.0.0.1:0"], &["serve", "--help"]] {
        assert_eq!(
            plugin.bindery(arguments),
            failed(
                2,
                "kubectl bindery has no command serve: the provisioner runs in the pods of Bindery; kubectl bindery --help \
                 lists the commands"
            )
        );
    }
    let version = plugin.bindery(&["--version"]).success();
    assert_eq!(version, format!("kubectl-bindery {}\n", env!("CARGO_PKG_VERSION")));
    let wrong = plugin.bindery(&["archive"]);
    assert_eq!((wrong.status, wrong.out.as_str()), (Some(2), ""));
    assert!(
        wrong.err.contains("a similar subcommand exists: 'archives'"),
        "{}",
        wrong.err
    );
}

#[test]
fn a_cluster_that_cannot_be_used_is_explained() {
    let plugin = Plugin::install();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    drop(silent);
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": format!("https://127.0.0.1:{port}")}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "team-a"}}],
        "users": [{"name": "me", "user": {}}],
    });
    let file = plugin.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(
        plugin.bindery(&["archives", "--kubeconfig", file]),
        failed(
            2,
            "kubectl bindery archives: the archives of namespace team-a could not be listed: the API server could not be \
             reached (connection refused)"
        )
    );
    assert_eq!(
        plugin.bindery(&["restore", "data", "--kubeconfig", file, "--context", "there"]),
        failed(
            2,
            "kubectl bindery restore: --context there: the kubeconfig has no context of that name; it has here"
        )
    );
    assert_eq!(
        plugin.bindery(&["explain", "--kubeconfig", "/nowhere"]),
        failed(
            2,
            "kubectl bindery explain: --kubeconfig /nowhere: it is missing, cannot be read, or is not a kubeconfig"
        )
    );
    assert_eq!(
        plugin.bindery(&["archives", "--kubeconfig", file, "--user", "eve"]),
        failed(
            2,
            "kubectl bindery archives: --user eve: the kubeconfig has no user of that name; it has me"
        )
    );
}

#[tokio::test]
async fn a_context_chooses_cluster_and_namespace() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let text = std::fs::read_to_string(&Bed::get().kubeconfig).unwrap();
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
    let (cluster, user) = (
        kubeconfig["clusters"][0]["name"].clone(),
        kubeconfig["users"][0]["name"].clone(),
    );
    let context = json!({"name": "there", "context": {"cluster": cluster, "user": user, "namespace": scene.name}});
    kubeconfig["contexts"].as_array_mut().unwrap().push(context);
    let file = plugin.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    let printed = plugin.bindery(&["archives", "--kubeconfig", file.to_str().unwrap(), "--context", "there"]);
    let expected = format!("there are no archives in namespace {}\n", scene.name);
    assert_eq!(
        (printed.status, printed.out.as_str(), printed.err),
        (Some(0), "", expected)
    );
}

#[test]
fn the_manual_page_has_every_command() {
    let plugin = Plugin::install();
    let page = plugin.bindery(&["man"]).success();
    assert!(
        page.contains("kubectl\\-bindery \\- Shows what the claims of Bindery"),
        "{page}"
    );
    for section in ["KUBECTL BINDERY ARCHIVES", "KUBECTL BINDERY CONSOLE"] {
        assert!(
            page.lines()
                .any(|line| line == format!(".SH \"{section}\"") || line == format!(".SH {section}")),
            "{page}"
        );
    }
}
