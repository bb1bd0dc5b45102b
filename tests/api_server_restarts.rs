//! The API server is killed and restarted while claims are created.
//!
//! This is a separate binary with its own test bed, since all other tests need a running API server.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{Event, Namespace, PersistentVolume, PersistentVolumeClaim, ResourceQuota};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[path = "support/api_server.rs"]
mod api_server;
#[path = "support/bed.rs"]
#[allow(dead_code)]
mod bed;
#[path = "support/wait.rs"]
mod wait;

use crate::api_server::{ApiServer, run};
use crate::bed::Bed;
use crate::wait::{eventually, eventually_within};

const CLAIMS: usize = 90;
const RESTARTS: usize = 3;
/// Time limit for all claims together: one claim may be affected by all restarts.
const PATIENCE: Duration = Duration::from_mins(3);
/// Texts of libraries that must not occur in Bindery's messages.
const LIBRARIES: [&str; 8] = [
    "client error",
    "ServiceError",
    "HyperError",
    "ApiError",
    "os error",
    "tcp connect",
    "connection error",
    "error trying",
];

fn from<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).expect("an object")
}

fn claim(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "storageClassName": "bindery",
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    })
}

/// Creates a claim, with retries while the API server is down. Returns Bindery's message if it refuses the claim.
async fn create(claims: &Api<PersistentVolumeClaim>, name: &str) -> Option<String> {
    let claim: PersistentVolumeClaim = from(claim(name));
    eventually(&format!("claim {name} is created"), async || {
        match claims.create(&PostParams::default(), &claim).await {
            Ok(_) => Some(None),
            Err(kube::Error::Api(status)) if status.code == 409 => Some(None),
            Err(kube::Error::Api(status)) if status.message.contains("denied the request") => {
                Some(Some(status.message))
            }
            // The API server is down, or cannot reach etcd or the webhook yet.
            Err(_) => None,
        }
    })
    .await
}

async fn namespace(client: &Client, name: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = from(json!({"metadata": {"name": name}}));
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .expect("a namespace");
}

/// Waits until this number of claims is bound.
async fn until_bound(claims: &Api<PersistentVolumeClaim>, number: usize) {
    eventually_within(PATIENCE, &format!("{number} claims are bound"), async || {
        let all = claims.list(&ListParams::default()).await.ok()?;
        let is_bound = |claim: &&PersistentVolumeClaim| {
            claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
        };
        (all.items.iter().filter(is_bound).count() == number).then_some(())
    })
    .await;
}

#[tokio::test]
async fn claims_are_not_refused_and_get_bound_while_the_api_server_restarts() {
    let client = Bed::get().admin().await;
    let mut api_server = ApiServer::of_the_bed("apiserver");
    namespace(&client, "burst").await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "burst");
    for restart in 0..RESTARTS {
        let names: Vec<_> = (0..CLAIMS / RESTARTS)
            .map(|number| format!("claim-{restart}-{number}"))
            .collect();
        let burst = join_all(names.iter().map(|name| create(&claims, name)));
        let killed = async {
            // The API server dies in the middle of the burst, when some claims have volumes.
            eventually("the burst has begun", async || {
                let there = claims.list(&ListParams::default()).await.ok()?.items.len();
                (there > restart * names.len() + 3).then_some(())
            })
            .await;
            api_server.restart(Signal::KILL).await;
        };
        let (refused, ()) = tokio::join!(burst, killed);
        let refused: Vec<_> = refused.into_iter().flatten().collect();
        assert_eq!(
            refused,
            Vec::<String>::new(),
            "Bindery refused claims for a fault that passes"
        );
    }
    until_bound(&claims, CLAIMS / RESTARTS * RESTARTS).await;

    let events: Api<Event> = Api::all(client.clone());
    let mut texts: Vec<String> = Vec::new();
    for event in events.list(&ListParams::default()).await.expect("Events") {
        let ours = event
            .reporting_component
            .as_deref()
            .is_some_and(|by| by.contains("bindery"));
        texts.extend(event.message.filter(|_| ours));
    }
    let log = std::fs::read_to_string(run("bindery.log")).expect("Bindery's log");
    texts.extend(
        log.lines()
            .filter(|line| line.contains(" bindery::"))
            .map(str::to_owned),
    );
    let of_libraries: Vec<_> = texts
        .iter()
        .filter(|text| LIBRARIES.iter().any(|words| text.contains(words)))
        .collect();
    assert_eq!(of_libraries, Vec::<&String>::new(), "texts of libraries");

    assert_a_missing_permission_is_named(&client).await;
    assert_a_claim_waits_until_an_earlier_volume_can_be_fenced(&client).await;
}

/// Returns the role of Bindery without these verbs on PersistentVolumes.
fn without(role: &ClusterRole, verbs: &[&str]) -> Value {
    let mut rules = json!(role.rules);
    for rule in rules.as_array_mut().expect("rules") {
        if rule["resources"] == json!(["persistentvolumes"]) {
            let all = rule["verbs"].as_array_mut().expect("verbs");
            all.retain(|verb| !verbs.iter().any(|without| verb == without));
        }
    }
    rules
}

async fn set_rules(client: &Client, rules: Value) {
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let patch = Patch::Merge(json!({"rules": rules}));
    let patched = roles.patch("bindery", &PatchParams::default(), &patch).await;
    patched.expect("Bindery's role");
}

/// An earlier request has left a volume for the claim, and Bindery has no right to fence it. This is so for a moment when an
/// API server has just started.
async fn assert_a_claim_waits_until_an_earlier_volume_can_be_fenced(client: &Client) {
    namespace(client, "again").await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "again");
    let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), "again");
    let none = json!({"metadata": {"name": "none"}, "spec": {"hard": {"persistentvolumeclaims": "0"}}});
    quotas
        .create(&PostParams::default(), &from(none))
        .await
        .expect("a quota");
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let earlier = eventually("a request that the quota refuses has left a volume", async || {
        let claim: PersistentVolumeClaim = from(claim("data"));
        let refused = claims.create(&PostParams::default(), &claim).await.err();
        let Some(refused) = refused else {
            claims
                .delete("data", &DeleteParams::default())
                .await
                .expect("the claim is deleted");
            return None;
        };
        assert!(refused.to_string().contains("exceeded quota"), "{refused}");
        let all = volumes.list(&ListParams::default()).await.expect("volumes");
        let is_for_it = |volume: &PersistentVolume| {
            let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
            claim.is_some_and(|claim| claim.namespace.as_deref() == Some("again") && claim.uid.is_none())
        };
        all.items.into_iter().find(is_for_it)?.metadata.name
    })
    .await;
    quotas.delete("none", &DeleteParams::default()).await.expect("no quota");
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    eventually("the quota is no longer in force", async || {
        claims.create(&dry_run, &from(claim("data"))).await.ok()
    })
    .await;

    let roles: Api<ClusterRole> = Api::all(client.clone());
    let role = roles.get("bindery").await.expect("Bindery's role");
    set_rules(client, without(&role, &["create", "patch"])).await;
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let review = json!({"spec": {
        "user": "system:serviceaccount:bindery:bindery",
        "resourceAttributes": {"resource": "persistentvolumes", "verb": "patch"},
    }});
    eventually("Bindery has no right to fence", async || {
        let answer = reviews
            .create(&PostParams::default(), &from(review.clone()))
            .await
            .ok()?;
        (!answer.status?.allowed).then_some(())
    })
    .await;
    let granted = async {
        eventually("the volume could not be fenced", async || {
            let log = std::fs::read_to_string(run("../apiserver/audit.log")).ok()?;
            let is_refused_fence = |event: Value| {
                event["verb"] == "patch"
                    && event["objectRef"]["name"] == *earlier
                    && event["responseStatus"]["code"] == 403
            };
            let mut events = log.lines().filter_map(|line| serde_json::from_str(line).ok());
            events.any(is_refused_fence).then_some(())
        })
        .await;
        set_rules(client, json!(role.rules)).await;
    };
    let (refused, ()) = tokio::join!(create(&claims, "data"), granted);
    assert_eq!(refused, None);
    until_bound(&claims, 1).await;
}

/// Runs after the restarts, since it changes the ClusterRole of the only Bindery in this bed.
async fn assert_a_missing_permission_is_named(client: &Client) {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "burst");
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let role = roles.get("bindery").await.expect("Bindery's role");
    set_rules(client, without(&role, &["create"])).await;
    let mut number = 0;
    let (waiting, message) = eventually("a claim waits for its volume", async || {
        number += 1;
        let name = format!("without-{number}");
        assert_eq!(create(&claims, &name).await, None);
        let claim = claims.get(&name).await.expect("the claim");
        claim.spec?.volume_name.is_none().then_some(())?;
        Some((name.clone(), failure(client, &name).await))
    })
    .await;
    assert!(
        message.starts_with("Bindery could not create PersistentVolume pvc-"),
        "{message}"
    );
    assert!(
        message.ends_with(
            ": Bindery's ServiceAccount lacks the right to create persistentvolumes; if this lasts, an administrator has \
             to apply Bindery's RBAC again (the chart, or deploy/base/rbac.yaml). Bindery retries"
        ),
        "{message}"
    );
    set_rules(client, json!(role.rules)).await;
    eventually(&format!("claim {waiting} is bound"), async || {
        let claim = claims.get(&waiting).await.ok()?;
        (claim.status?.phase? == "Bound").then_some(())
    })
    .await;
}

/// Waits for the Event that says why a claim has no volume yet, and returns its message.
async fn failure(client: &Client, claim: &str) -> String {
    let events: Api<Event> = Api::namespaced(client.clone(), "burst");
    let about = ListParams::default().fields(&format!("involvedObject.name={claim},reason=ProvisioningFailed"));
    eventually(&format!("an Event on claim {claim}"), async || {
        let mut found = events.list(&about).await.ok()?.items;
        found.pop()?.message
    })
    .await
}
