//! Who may restore: whoever may create the claim and read the archive.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::{archived, claim_of, directory_of, read};
use crate::support::archives::{archives_of, refusal};
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, directory, from};
use crate::support::wait::eventually;

/// Gives a user the right to create claims, and these rights to archives.
async fn grant(scene: &Scene, user: &str, archives: &[Value]) -> Client {
    let mut rules = vec![json!({
        "apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["create", "get", "patch"],
    })];
    rules.extend_from_slice(archives);
    let role: Role = from(json!({"metadata": {"name": user}, "rules": rules}));
    let binding: RoleBinding = from(json!({
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    }));
    let (all_roles, all_bindings) = (
        Api::<Role>::namespaced(scene.client.clone(), &scene.name),
        Api::<RoleBinding>::namespaced(scene.client.clone(), &scene.name),
    );
    all_roles.create(&PostParams::default(), &role).await.unwrap();
    all_bindings.create(&PostParams::default(), &binding).await.unwrap();
    let client = Bed::get().user(user).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &scene.name);
    eventually("the user may read claims", async || claims.get_opt("none").await.ok()).await;
    client
}

fn may(verbs: &[&str], names: &[&str]) -> Value {
    json!({"apiGroups": ["bindery.dev"], "resources": ["archives"], "verbs": verbs, "resourceNames": names})
}

async fn create(client: &Client, scene: &Scene, claim: Value) -> kube::Result<PersistentVolumeClaim> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &scene.name);
    claims.create(&PostParams::default(), &from(claim)).await
}

fn lacks(scene: &Scene, user: &str, archive: &str) -> String {
    format!(
        "admission webhook \"claims.bindery.dev\" denied the request: namespace {} has no Archive {archive}, and no archive \
         of a claim {archive}, that user {user} may read: the right to get archives.bindery.dev in this namespace is \
         missing; ask an administrator of the namespace for it",
        scene.name
    )
}

#[tokio::test]
async fn a_user_without_the_right_learns_nothing_and_gets_nothing() {
    let scene = Scene::new().await;
    let archive = archived(&scene, "data").await;
    let name = archive.name_any();
    let user = format!("creator-{}", scene.name);
    let client = grant(&scene, &user, &[]).await;
    for asked in [&*name, "data", "nothing"] {
        let message = refusal(create(&client, &scene, claim_of(&scene, "again", asked)).await);
        assert_eq!(message, lacks(&scene, &user, asked));
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &scene.name);
        let message = refusal(claims.create(&dry, &from(claim_of(&scene, "again", asked))).await);
        assert_eq!(message, lacks(&scene, &user, asked));
    }
    assert_eq!(read(&directory_of(&archive)).as_deref(), Some("data"));
    assert!(scene.own_volumes().await.is_empty());
}

#[tokio::test]
async fn a_user_who_may_read_one_archive_gets_this_one_and_no_list() {
    let scene = Scene::new().await;
    let (archive, other) = (archived(&scene, "data").await, archived(&scene, "other").await);
    let name = archive.name_any();
    let user = format!("reader-{}", scene.name);
    let client = grant(&scene, &user, &[may(&["get"], &[&name, "nothing", "data"])]).await;
    let archives = archives_of(&client, &scene.name);
    refusal(archives.list(&ListParams::default()).await.map(drop));
    let message = refusal(create(&client, &scene, claim_of(&scene, "again", "other")).await);
    assert_eq!(message, lacks(&scene, &user, "other"));
    let message = refusal(create(&client, &scene, claim_of(&scene, "again", "nothing")).await);
    assert_eq!(
        message,
        format!(
            "admission webhook \"claims.bindery.dev\" denied the request: namespace {} has no Archive nothing, and no \
             archive of a claim nothing",
            scene.name
        )
    );
    assert_eq!(read(&directory_of(&other)).as_deref(), Some("other"));
    // By its own name, or by that of its claim, if the user may read archives of both names.
    create(&client, &scene, claim_of(&scene, "again", "data"))
        .await
        .unwrap();
    let (_, volume) = scene.until_bound("again").await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
}

#[tokio::test]
async fn server_side_apply_by_a_user_who_may_not_create_claims_moves_nothing() {
    let scene = Scene::new().await;
    let archive = archived(&scene, "data").await;
    let user = format!("outsider-{}", scene.name);
    let client = Bed::get().user(&user).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, &scene.name);
    let apply = PatchParams::apply("test").force();
    let claim = claim_of(&scene, "again", &archive.name_any());
    refusal(claims.patch("again", &apply, &Patch::Apply(&claim)).await);
    assert_eq!(read(&directory_of(&archive)).as_deref(), Some("data"));
    // This one may patch claims, and so reaches the webhook, but may not read archives.
    let user = format!("patcher-{}", scene.name);
    let rights = json!({"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["patch", "get"]});
    let client = grant(&scene, &user, &[rights]).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, &scene.name);
    let message = refusal(claims.patch("again", &apply, &Patch::Apply(&claim)).await);
    assert_eq!(message, lacks(&scene, &user, &archive.name_any()));
    assert_eq!(read(&directory_of(&archive)).as_deref(), Some("data"));
    assert!(scene.own_volumes().await.is_empty());
}

#[tokio::test]
async fn a_user_who_may_not_read_all_names_of_an_archive_does_not_get_it_by_the_name_of_its_claim() {
    let scene = Scene::new().await;
    let archive = archived(&scene, "data").await;
    for (number, name) in [&*archive.name_any(), "data"].into_iter().enumerate() {
        let user = format!("half-{number}-{}", scene.name);
        let client = grant(&scene, &user, &[may(&["get"], &[name])]).await;
        let message = refusal(create(&client, &scene, claim_of(&scene, "again", "data")).await);
        assert_eq!(message, lacks(&scene, &user, "data"));
    }
    assert_eq!(read(&directory_of(&archive)).as_deref(), Some("data"));
}

#[tokio::test]
async fn the_right_is_also_checked_of_claims_that_the_webhook_does_not_see() {
    let mut bindery = Bindery::start(&["--retention-interval=500ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let archive = archived(&scene, "data").await;
    let name = archive.name_any();
    let outsider = format!("creator-{}", scene.name);
    let without = grant(&scene, &outsider, &[]).await;
    let reader = format!("reader-{}", scene.name);
    let with = grant(&scene, &reader, &[may(&["get"], &[&name])]).await;
    let denied = |asked: &str| {
        let why = lacks(&scene, &outsider, asked);
        let (_, why) = why.split_once("denied the request: ").unwrap();
        format!("denied request: {why}")
    };
    let forbidden = async |claim: Value| {
        let asked = claim["spec"]["dataSourceRef"]["name"].as_str().unwrap().to_owned();
        let message = refusal(create(&without, &scene, claim).await);
        assert!(message.contains("bindery-restores"), "{message}");
        assert!(message.ends_with(&denied(&asked)), "{message}");
    };
    // A claim without a class can get one later.
    let mut no_class = claim_of(&scene, "no-class", &name);
    no_class["spec"]["storageClassName"] = json!("");
    forbidden(no_class).await;
    scene.annotate_namespace(json!({"bindery.dev/enabled": "false"})).await;
    forbidden(claim_of(&scene, "disabled", &name)).await;
    scene.annotate_namespace(json!({"bindery.dev/enabled": null})).await;
    bindery.kill();
    for asked in [&*name, "data", "nothing"] {
        forbidden(claim_of(&scene, "again", asked)).await;
    }
    create(&with, &scene, claim_of(&scene, "again", &name)).await.unwrap();
    bindery.run().await;
    let (_, volume) = scene.until_bound("again").await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    bindery.unregister().await;
}

#[tokio::test]
async fn the_role_edit_is_enough() {
    let scene = Scene::new().await;
    archived(&scene, "data").await;
    let user = format!("edit-{}", scene.name);
    scene.grant(&user, "edit").await;
    let client = Bed::get().user(&user).await;
    let archives = archives_of(&client, &scene.name);
    eventually("the role has the rights of Bindery's roles", async || {
        archives.list(&ListParams::default()).await.ok()
    })
    .await;
    create(&client, &scene, claim_of(&scene, "again", "data"))
        .await
        .unwrap();
    let (_, volume) = scene.until_bound("again").await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
}
