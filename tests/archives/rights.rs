//! Who may do what with archives. An object that Bindery did not write removes nothing.

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{archive_a_claim, content};
use crate::support::archives::{archives_of, place, refusal};
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, from};
use crate::support::wait::eventually;

fn merge(fields: Value) -> Patch<Value> {
    Patch::Merge(fields)
}

#[tokio::test]
async fn a_viewer_reads_archives_and_an_administrator_deletes_them() {
    let scene = Scene::new().await;
    archive_a_claim(&scene, "data").await;
    let archive = scene.until_archived("data").await;
    let name = archive.name_any();
    let same = PatchParams::default();
    let keep = || merge(json!({"metadata": {"annotations": {"bindery.dev/keep-until": "forever"}}}));
    for role in ["view", "edit", "admin"] {
        let user = format!("{role}-{}", scene.name);
        scene.grant(&user, role).await;
        let archives = archives_of(&Bed::get().user(&user).await, &scene.name);
        eventually("the role has the rights of Bindery's roles", async || {
            archives.get(&name).await.ok()
        })
        .await;
        assert_eq!(archives.list(&ListParams::default()).await.unwrap().items.len(), 1);
        if role == "admin" {
            archives.patch(&name, &same, &keep()).await.unwrap();
            archives.delete(&name, &DeleteParams::default()).await.unwrap();
            continue;
        }
        let message = refusal(archives.patch(&name, &same, &keep()).await);
        assert!(message.contains("cannot patch resource \"archives\""), "{message}");
        let message = refusal(archives.delete(&name, &DeleteParams::default()).await.map(drop));
        assert!(message.contains("cannot delete resource \"archives\""), "{message}");
        assert_eq!(content(&place(&archive)).as_deref(), Some("data"));
    }
    scene.until_archive_gone(&archive).await;
    assert_eq!(content(&place(&archive)), None);
    let outsider = archives_of(&Bed::get().user("outsider").await, &scene.name);
    refusal(outsider.list(&ListParams::default()).await.map(drop));
}

#[tokio::test]
async fn an_annotation_that_bindery_does_not_understand_is_refused() {
    let scene = Scene::new().await;
    archive_a_claim(&scene, "data").await;
    let name = scene.until_archived("data").await.name_any();
    let archives = scene.archives(&scene.name);
    let annotate = async |key: &str, value: &str| {
        let fields = merge(json!({"metadata": {"annotations": {key: value}}}));
        archives.patch(&name, &PatchParams::default(), &fields).await
    };
    for value in ["tomorrow", "30d", "2027", "2027-01-31 soon", ""] {
        let message = refusal(annotate("bindery.dev/keep-until", value).await);
        let expected = format!(
            "denied request: bindery.dev/keep-until is \"{value}\": write a date such as 2027-01-31, a time such as \
             2027-01-31T12:00:00Z, or forever"
        );
        assert!(message.ends_with(&expected), "{message}");
    }
    let message = refusal(annotate("bindery.dev/keep-untill", "forever").await);
    let expected = "denied request: an Archive has no annotation bindery.dev/keep-untill: write bindery.dev/keep-until";
    assert!(message.ends_with(expected), "{message}");
    for value in [
        "2027-01-31",
        "2027-01-31T12:00:00Z",
        "2027-01-31T12:00:00.5+01:00",
        "forever",
    ] {
        annotate("bindery.dev/keep-until", value).await.unwrap();
    }
    annotate("example.com/note", "the last backup").await.unwrap();
}

#[tokio::test]
async fn nobody_but_bindery_creates_or_changes_archives() {
    let scene = Scene::new().await;
    archive_a_claim(&scene, "data").await;
    let archive = scene.until_archived("data").await;
    let name = archive.name_any();
    let user = format!("admin-{}", scene.name);
    scene.grant(&user, "admin").await;
    let tenant = archives_of(&Bed::get().user(&user).await, &scene.name);
    let cluster_admin = scene.archives(&scene.name);
    let same = PatchParams::default();

    let created = scene.forge(&scene.name, &archive, json!({})).await;
    let message = refusal(created);
    assert!(
        message.ends_with("denied request: only Bindery creates Archives; to get data back, see docs/archives.md"),
        "{message}"
    );
    let mut forged = archive.clone();
    forged.metadata = from(json!({"name": "forged"}));
    refusal(tenant.create(&PostParams::default(), &forged).await);
    for changed in [
        cluster_admin
            .patch(&name, &same, &merge(json!({"spec": {"directory": "other"}})))
            .await,
        tenant
            .patch(&name, &same, &merge(json!({"spec": {"directoryId": "0.0:0"}})))
            .await,
    ] {
        let message = refusal(changed);
        assert!(
            message.contains("the spec of an Archive cannot be changed"),
            "{message}"
        );
    }
    let status = merge(json!({"status": {"directory": "other"}}));
    let message = refusal(cluster_admin.patch_status(&name, &same, &status).await);
    assert!(
        message.ends_with("only Bindery writes the status of an Archive"),
        "{message}"
    );
    let no_finalizer = merge(json!({"metadata": {"finalizers": []}}));
    let message = refusal(tenant.patch(&name, &same, &no_finalizer).await);
    assert!(
        message.contains("only Bindery adds or removes the finalizer bindery.dev/archive"),
        "{message}"
    );
    let other_key = merge(json!({"metadata": {"labels": {"bindery.dev/archive-key": "other"}}}));
    let message = refusal(tenant.patch(&name, &same, &other_key).await);
    assert!(
        message.ends_with("only Bindery writes the label bindery.dev/archive-key"),
        "{message}"
    );

    // Labels, annotations and finalizers of others are not concerned.
    let others =
        json!({"labels": {"team": "a"}, "annotations": {"note": "b"}, "finalizers": ["bindery.dev/archive", "a/b"]});
    tenant
        .patch(&name, &same, &merge(json!({"metadata": others})))
        .await
        .unwrap();
    let own = merge(json!({"metadata": {"finalizers": ["bindery.dev/archive"]}}));
    tenant.patch(&name, &same, &own).await.unwrap();
    let now = cluster_admin.get(&name).await.unwrap();
    assert_eq!((&now.spec, place(&now)), (&archive.spec, place(&archive)));

    // Whoever may update archives/finalizers can remove the finalizer. Bindery adds it again.
    cluster_admin.patch(&name, &same, &no_finalizer).await.unwrap();
    eventually("Bindery adds the finalizer again", async || {
        let now = cluster_admin.get(&name).await.unwrap();
        now.finalizers()
            .contains(&"bindery.dev/archive".to_owned())
            .then_some(())
    })
    .await;
    assert_eq!(content(&place(&archive)).as_deref(), Some("data"));
}

#[tokio::test]
async fn an_object_that_bindery_did_not_write_removes_nothing() {
    // The shipped policy concerns the objects of one provisioner, and this is another one.
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    archive_a_claim(&scene, "data").await;
    archive_a_claim(&scene, "other").await;
    archive_a_claim(&scene, "sole").await;
    let archive = scene.until_archived("data").await;
    let other = scene.until_archived("other").await;
    let (_, in_use) = scene.bound(scene.claim("in-use")).await;
    std::fs::write(directory(&in_use).join("precious"), "in-use").unwrap();
    let live = annotation(&in_use, "sub-dir").unwrap();
    let kept = |why: &str| format!("the object is deleted, and no directory is removed: {why}");
    let not_an_archive = |path: &str| {
        kept(&format!(
            "spec.directory {path:?} is not an archive of the volume that spec names"
        ))
    };
    let table = [
        (
            "live",
            json!({"directory": live, "directoryId": annotation(&in_use, "directory-id")}),
            not_an_archive(live),
        ),
        ("above", json!({"directory": "../../etc"}), not_an_archive("../../etc")),
        (
            "other",
            json!({"directory": other.spec.directory, "directoryId": other.spec.directory_id}),
            not_an_archive(&other.spec.directory),
        ),
        (
            "same",
            json!({"directoryId": "0.0:1"}),
            kept(&format!(
                "Archive {}/{} has the same directory",
                scene.name,
                archive.name_any()
            )),
        ),
    ];
    for (name, spec, expected) in table {
        let changes = json!({"metadata": {"name": name}, "spec": spec});
        let forged = scene.forge(&scene.name, &archive, changes).await.unwrap();
        let deleted = scene.archives(&scene.name).delete(name, &DeleteParams::default()).await;
        deleted.unwrap();
        eventually("the forged object is gone", async || {
            let found = scene.archives(&scene.name).get_opt(name).await.unwrap();
            found.is_none_or(|found| found.uid() != forged.uid()).then_some(())
        })
        .await;
        assert_eq!(scene.event(name, "ArchiveKept").await, expected);
    }
    for (place, claim) in [
        (place(&archive), "data"),
        (place(&other), "other"),
        (live.to_owned(), "in-use"),
    ] {
        assert_eq!(content(&place).as_deref(), Some(claim));
    }
    // The only object of an archive, which names another file of the same file system.
    let sole = scene.until_archived("sole").await;
    let archives = scene.archives(&scene.name);
    bindery.kill();
    scene.delete_archive_object(&sole).await;
    let (file_system, _) = sole.spec.directory_id.rsplit_once(':').unwrap();
    let changes = json!({"metadata": {"name": "sole"}, "spec": {"directoryId": format!("{file_system}:1")}});
    scene.forge(&scene.name, &sole, changes).await.unwrap();
    archives.delete("sole", &DeleteParams::default()).await.unwrap();
    bindery.run().await;
    let share = format!("{}:{}", Bed::get().server, Bed::get().share);
    let expected = kept(&format!(
        "directory {} of share {share} is not the directory that this Archive was written for",
        place(&sole)
    ));
    assert_eq!(scene.event("sole", "ArchiveKept").await, expected);
    assert_eq!(content(&place(&sole)).as_deref(), Some("sole"));
    // A copy in a namespace of somebody else goes at once.
    let theirs = format!("{}-b", scene.name);
    scene.namespace(&theirs, json!({})).await;
    scene.forge(&theirs, &archive, json!({})).await.unwrap();
    eventually("the copy is gone", async || {
        let found = scene.archives(&theirs).list(&ListParams::default()).await.unwrap();
        found.items.is_empty().then_some(())
    })
    .await;
    assert_eq!(scene.until_archived("data").await.namespace(), Some(scene.name.clone()));
    assert_eq!(content(&place(&archive)).as_deref(), Some("data"));
    bindery.unregister().await;
}
