//! Arbitrary bytes as an admission review, all the way to the answer, but for the effects: [`handler`] in one process, with
//! classes and namespaces that let a claim say as much as it ever can.
//!
//! [`handler`]: bindery::webhook::handler

#![no_main]

use std::sync::LazyLock;

use bindery::model::claim::{Claim, Name};
use bindery::model::names::annotation::STORAGE_PROVISIONER;
use bindery::model::namespace::Namespace;
use bindery::model::volume::{Installation, NewVolume, Origin, Volume};
use bindery::policy::class::Defaults;
use bindery::policy::decide::{Decision, Facts, Verdict, decide};
use bindery::webhook::review::{Answer, Request};
use bindery_fuzz::check;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, from_slice, from_value, json};
use uuid::Uuid;

/// A name that Bindery takes over.
const OLD: &str = "k8s-sigs.io/nfs-subdir-external-provisioner";

struct World {
    installation: Installation,
    classes: Vec<StorageClass>,
    namespaces: Vec<Namespace>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let all = "subDir,pathPattern,onDelete,archiveOnDelete,mountPermissions,uid,gid,existingDirectory,\
               archiveRetention,onStorageFailure,nfsVersion";
    let class_of = |provisioner: &str, more: Value| {
        let mut parameters = json!({"server": "nas1", "share": "/export"});
        parameters
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let class = json!({"metadata": {"name": "scene"}, "provisioner": provisioner, "parameters": parameters});
        from_value(class).unwrap()
    };
    let class = |more: Value| class_of("bindery.dev/nfs", more);
    let namespace = |annotations: Value| Namespace {
        uid: None,
        labels: [("app".to_owned(), "blue".to_owned())].into(),
        annotations: from_value(annotations).unwrap(),
    };
    World {
        installation: Installation {
            provisioner: "bindery.dev/nfs".to_owned(),
            instance: "blue".to_owned(),
        },
        classes: vec![
            class(json!({})),
            class(json!({"claimOverrides": all, "namespaceOverrides": all})),
            class(json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"})),
            class(json!({"pathPattern": "${.PVC.labels.app}/${.PVC.annotations.app}", "claimOverrides": "onDelete"})),
            // One that was written for nfs-subdir-external-provisioner.
            class_of(
                OLD,
                json!({"pathPattern": "/${.PVC.labels.app}/${.PVC.annotations.app}/", "archiveOnDelete": "F", "x": "y"}),
            ),
        ],
        namespaces: vec![
            namespace(json!({})),
            namespace(
                json!({"bindery.dev/sub-dir": "${pvc.metadata.annotations['app']}/${pvc.metadata.labels['app']}"}),
            ),
        ],
    }
});

fuzz_target!(|body: &[u8]| {
    let Ok(request) = Request::read(body) else { return };
    if !request.creates_a_claim() {
        return;
    }
    let Some(claim) = read(&request.object, &request.namespace) else {
        return;
    };
    for class in &WORLD.classes {
        for namespace in &WORLD.namespaces {
            admit(&request, &claim, class, namespace);
        }
    }
});

fn read(object: &Value, namespace: &str) -> Option<Claim> {
    let claim: PersistentVolumeClaim = from_value(object.clone()).ok()?;
    let claim = Claim::read(&claim, namespace);
    // A claim of another class is boring.
    let class = Some("scene".to_owned());
    Some(Claim { class, ..claim })
}

fn ask(claim: &Claim, class: &StorageClass, namespace: &Namespace, volume: Option<&Volume>, seed: u128) -> Verdict {
    decide(&Facts {
        claim,
        class: Some(class),
        namespace,
        volume,
        candidates: &[],
        csi_drivers: &[],
        classes: &[],
        defaults: &Defaults::default(),
        installation: &installation(class),
        restore: None,
        seed: Uuid::from_u128(seed),
    })
}

/// Who serves a class.
fn installation(class: &StorageClass) -> Installation {
    let provisioner = class.provisioner.clone();
    Installation {
        provisioner,
        ..WORLD.installation.clone()
    }
}

fn admit(request: &Request, claim: &Claim, class: &StorageClass, namespace: &Namespace) {
    let verdict = ask(claim, class, namespace, None, 1);
    assert_eq!(verdict.unused, None);
    let answer = match verdict.decision {
        Decision::Pass(_) => Answer::Allow,
        Decision::Deny(message) => {
            assert!(!message.is_empty());
            Answer::Deny(message)
        }
        Decision::Provision(new) => {
            assert_sound(claim, &new);
            let answer = Answer::with_volume(
                &request.object,
                &new.claim.1,
                &new.name,
                &installation(class).provisioner,
            );
            let changed = changed(&request.object, &answer);
            assert_used_again(&changed, claim, &new, class, namespace);
            answer
        }
    };
    let review = answer.review(&request.uid, &verdict.warnings).to_string();
    let review: Value = from_slice(review.as_bytes()).unwrap();
    assert_eq!(review["response"]["uid"], request.uid);
    let denied = matches!(answer, Answer::Deny(_));
    assert_eq!(review["response"]["allowed"], !denied);
}

/// Nothing is made that the API server would not take, or that leads out of the share.
fn assert_sound(claim: &Claim, new: &NewVolume) {
    check(&new.directory);
    assert!(!claim.is_malformed(), "{claim:?}");
    for name in [&new.claim.0, &new.claim.1, &new.name] {
        let (first, last) = (name.chars().next(), name.chars().last());
        assert!(name.len() <= 253, "{name}");
        assert!(
            name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.')),
            "{name}"
        );
        assert!(
            [first, last]
                .iter()
                .all(|end| end.is_some_and(|c| c.is_ascii_alphanumeric())),
            "{name}"
        );
    }
    assert!(new.capacity.bytes > 0 && !new.access_modes.is_empty(), "{new:?}");
    assert!(
        new.attributes.mode.is_none_or(|mode| (1..=0o7777).contains(&mode)),
        "{new:?}"
    );
}

/// The claim as the API server changes it.
fn changed(object: &Value, answer: &Answer) -> Value {
    let review = answer.review("", &[]);
    let patch: ByteString = from_value(review["response"]["patch"].clone()).unwrap();
    let patch: json_patch::Patch = from_slice(&patch.0).unwrap();
    let mut changed = object.clone();
    json_patch::patch(&mut changed, &patch).unwrap();
    changed
}

/// What was written is read back, and a second call for the claim, as the first one changed it, takes the same volume.
fn assert_used_again(changed: &Value, claim: &Claim, new: &NewVolume, class: &StorageClass, namespace: &Namespace) {
    let again = read(changed, &claim.namespace).unwrap();
    let served_by = (STORAGE_PROVISIONER.to_owned(), installation(class).provisioner);
    let expected = Claim {
        name: Name::Given(new.claim.1.clone()),
        volume_name: Some(new.name.clone()),
        annotations: claim.annotations.clone().into_iter().chain([served_by]).collect(),
        ..claim.clone()
    };
    assert_eq!(again, expected);
    let volume = json!(new.build(Origin::New, &installation(class)));
    let volume = Volume::read(&from_value(volume).unwrap());
    let record = volume.record.as_ref().unwrap();
    assert_eq!((&record.share, &record.directory), (&new.share, &new.directory));
    assert_eq!((record.on_delete, record.retention), (new.on_delete, new.retention));
    assert_eq!(record.attributes, new.attributes);
    let verdict = ask(&again, class, namespace, Some(&volume), 2);
    assert_eq!(verdict.unused, None);
    let attempt = Uuid::from_u128(2).to_string();
    let expected = NewVolume { attempt, ..new.clone() };
    assert_eq!(verdict.decision, Decision::Provision(Box::new(expected)));
}
