//! `kubectl bindery archives`.

use serde_json::{Value, json};

use super::{archive_a_claim, failed};
use crate::support::plugin::{Plugin, run};
use crate::support::scene::Scene;

#[tokio::test]
async fn archives_of_a_namespace_are_listed_in_the_formats_of_kubectl() {
    let parameters = json!({"parameters": {"archiveRetention": "30d"}});
    let (scene, plugin) = (Scene::with_class(parameters).await, Plugin::install());
    let namespace = scene.name.as_str();
    let data = archive_a_claim(&scene, "data").await;
    let other = archive_a_claim(&scene, "other").await;
    let list = |arguments: &[&str]| plugin.bindery(&[&["archives", "-n", namespace], arguments].concat());

    let rows = list(&[]).rows();
    assert_eq!(rows[0], "NAME CLAIM SIZE USED ARCHIVED EXPIRES PHASE");
    let row = |name: &str, claim: &str, line: &str| {
        let (before, after) = line.split_once(" in ").expect("a time");
        assert!(
            before.starts_with(&format!("{name} {claim} 1Gi - ")) && before.ends_with('s'),
            "{line}"
        );
        assert_eq!(after, "29d Available");
    };
    row(&data, "data", &rows[1]);
    row(&other, "other", &rows[2]);
    assert_eq!(rows.len(), 3);
    let by_claim = list(&["other", "--no-headers"]).rows();
    assert_eq!(by_claim.len(), 1, "{by_claim:?}");
    row(&other, "other", &by_claim[0]);
    let archive = scene.until_archived("data").await;
    let share = format!("{}:{}", archive.spec.server, archive.spec.share);
    let wide = list(&[&data, "-o", "wide"]).rows();
    assert_eq!(
        wide[0],
        "NAME CLAIM SIZE USED ARCHIVED EXPIRES PHASE STORAGECLASS SHARE DIRECTORY"
    );
    assert!(
        wide[1].ends_with(&format!(" Available {namespace} {share} {}", archive.spec.directory)),
        "{wide:?}"
    );
    let names = list(&["-o", "name"]).success();
    assert_eq!(
        names,
        format!("archive.bindery.dev/{data}\narchive.bindery.dev/{other}\n")
    );

    let by_kubectl = |arguments: &[&str]| -> Value {
        let get = ["get", "archives", "-n", namespace, "-o", "json"];
        serde_json::from_str(&plugin.kubectl(&[&get[..], arguments].concat()).success()).unwrap()
    };
    let all: Value = serde_json::from_str(&list(&["-o", "json"]).success()).unwrap();
    assert_eq!(all, by_kubectl(&[]));
    let one: Value = serde_saphyr::from_str(&list(&[&data, "-o", "yaml"]).success()).unwrap();
    assert_eq!(one, by_kubectl(&[&data]));
}

#[tokio::test]
async fn all_namespaces_are_listed_with_the_archives_of_deleted_ones() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let name = archive_a_claim(&scene, "data").await;
    let line = |namespace: &str, claim: &str| {
        let rows = plugin.bindery(&["archives", "-A"]).rows();
        assert_eq!(rows[0], "NAMESPACE NAME CLAIM SIZE USED ARCHIVED EXPIRES PHASE");
        let begin = format!("{namespace} {name} {claim} 1Gi - ");
        assert!(
            rows.iter()
                .any(|row| row.starts_with(&begin) && row.ends_with(" never Available")),
            "{begin}: {rows:#?}"
        );
    };
    line(&scene.name, "data");
    scene.delete_namespace(&scene.name).await;
    scene
        .until_archive("the object is in Bindery's namespace", |archive| {
            archive.metadata.namespace.as_deref() == Some("bindery") && archive.status.is_some()
        })
        .await;
    line("bindery", &format!("{}/data", scene.name));
}

#[tokio::test]
async fn what_cannot_be_listed_is_explained() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let namespace = scene.name.as_str();
    assert_eq!(
        plugin.bindery(&["archives", "-n", namespace, "data"]),
        failed(
            2,
            &format!(
                "kubectl bindery archives: in namespace {namespace} there is no archive data, and no archive of a claim of \
                 that name"
            )
        )
    );
    assert_eq!(
        plugin.bindery(&["archives", "-n", namespace, "--as", "outsider"]),
        failed(
            2,
            &format!(
                "kubectl bindery archives: the archives of namespace {namespace} could not be listed: the kubeconfig's user \
                 lacks the right to list archives (403)"
            )
        )
    );
    // A user who may view the namespace may list them.
    let user = format!("viewer-{namespace}");
    scene.grant(&user, "view").await;
    let printed = crate::support::wait::eventually("the user may list archives", async || {
        let printed = plugin.bindery(&["archives", "-n", namespace, "--as", &user, "-o", "name"]);
        (printed.status == Some(0)).then_some(printed)
    })
    .await;
    assert_eq!(printed.success(), "");
}

#[tokio::test]
async fn no_name_is_cut_in_a_narrow_terminal() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let name = archive_a_claim(&scene, "data").await;
    for wide in ["", "-o wide"] {
        let command = format!(
            "stty cols 40; kubectl bindery archives -n {namespace} {wide}; kubectl bindery df archives -n {namespace} {wide}",
            namespace = scene.name
        );
        let printed = run(plugin.command("script").args(["-qec", &command, "/dev/null"]));
        assert_eq!(printed.out.matches(&*name).count(), 2, "{printed:?}");
        assert!(!printed.out.contains('…'), "{printed:?}");
    }
    // A class may be cut, and a table in a pipe is whole.
    let in_terminal = |columns: &str| {
        let command = format!("{columns} kubectl bindery df archives -n {}", scene.name);
        run(plugin.command("script").args(["-qec", &command, "/dev/null"]))
            .out
            .replace('\r', "")
    };
    let whole = plugin.bindery(&["df", "archives", "-n", &scene.name]).success();
    let longest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(whole.contains(&scene.name) && !whole.contains('…'), "{whole}");
    assert_eq!(in_terminal("COLUMNS=500"), whole);
    let cut = in_terminal(&format!("COLUMNS={}", longest(&whole) - 1));
    assert!(
        longest(&cut) < longest(&whole) && cut.contains('…') && cut.contains(&name),
        "{cut}"
    );
}
