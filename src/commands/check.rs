//! `bindery check`: whether claims of our classes reach Bindery, and what it says to them.
//!
//! By dry runs through the API server, as a user's request goes, so whatever is wrong on the way shows: the Service, a
//! network policy, the certificate, the configuration of the webhook, the class. A claim that only Bindery refuses tells
//! whether it was asked, for under `failurePolicy: Ignore` a claim that it never heard of is admitted, too.

use std::process::ExitCode;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::cli;
use crate::cluster::api_error::describe_for_command;
use crate::cluster::client::connect;
use crate::model::names;
use crate::model::names::annotation;
use crate::policy::annotations::enabled;

/// Checks the classes, and returns the exit status that [`cli::Command::Check`] promises.
pub async fn check(flags: cli::Check) -> ExitCode {
    match run(flags).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bindery check: {}", describe_for_command(&error));
            ExitCode::from(2)
        }
    }
}

/// Whether claims of every class would be admitted.
async fn run(flags: cli::Check) -> Result<bool> {
    let cli::Check {
        mut classes,
        namespace,
        provisioner_name,
        kubeconfig,
    } = flags;
    let client = connect(kubeconfig).await?;
    let served: Api<StorageClass> = Api::all(client.clone());
    if classes.is_empty() {
        let all = served.list(&ListParams::default()).await;
        let all = all.context("the StorageClasses could not be read")?.into_iter();
        let ours = all.filter(|class| class.provisioner == provisioner_name);
        classes = ours.filter_map(|class| class.metadata.name).collect();
    }
    if classes.is_empty() {
        println!("there is no StorageClass of provisioner {provisioner_name}: nothing is served");
        return Ok(false);
    }
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    if let Some(off) = switched_off(&client, &namespace).await? {
        println!("{off}");
        return Ok(false);
    }
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, &namespace);
    let mut well = true;
    for class in classes {
        let found = match not_ours(&served, &class, &provisioner_name).await? {
            Some(why) => Err(why),
            None => ask(&claims, &class).await?,
        };
        well &= found.is_ok();
        println!("class {class}: {}", found.err().unwrap_or_else(|| "ok".to_owned()));
    }
    Ok(well)
}

/// Why Bindery serves no claim of a class, if that is so: it need not be asked then. Who may not look at it is told what the
/// API server says to a claim.
async fn not_ours(classes: &Api<StorageClass>, class: &str, ours: &str) -> Result<Option<String>> {
    Ok(match classes.get_opt(class).await {
        Ok(None) => Some("there is no StorageClass of that name".to_owned()),
        Ok(Some(found)) if found.provisioner != ours => Some(format!(
            "its provisioner is {}, not {ours}, so its claims are not for this Bindery (--provisioner-name)",
            found.provisioner
        )),
        Ok(Some(_)) => None,
        Err(error) if is_forbidden(&error) => None,
        Err(error) => return Err(error).context("the StorageClass could not be read"),
    })
}

/// Whether claims of a namespace are none of Bindery's.
async fn switched_off(client: &Client, name: &str) -> Result<Option<String>> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    Ok(match namespaces.get_opt(name).await {
        Ok(None) => Some(format!("there is no namespace {name}")),
        Ok(Some(found)) if enabled(&found.metadata.annotations.clone().unwrap_or_default()) == Ok(false) => {
            Some(format!(
                "namespace {name} is annotated {}: \"false\", so Bindery serves no claims there: choose another with --namespace",
                annotation::ENABLED
            ))
        }
        Ok(Some(_)) => None,
        Err(error) if is_forbidden(&error) => None,
        Err(error) => return Err(error).context("the namespace could not be read"),
    })
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

const NOT_ASKED: &str = "the API server admits claims without asking Bindery; its log says why (\"failed calling webhook\"): \
                         no pod is ready, a network policy or a firewall is between them, or the webhook configuration is \
                         missing or leaves this namespace out";

/// What became of a claim.
enum Answer {
    Admitted,
    /// By Bindery, with these words.
    Refused(String),
    /// By something else.
    Failed(String),
}

/// Whether Bindery is asked about claims of a class, and admits them; else what is wrong.
async fn ask(claims: &Api<PersistentVolumeClaim>, class: &str) -> Result<Result<(), String>> {
    match create(claims, class, "Block").await? {
        Answer::Admitted => return Ok(Err(NOT_ASKED.to_owned())),
        Answer::Failed(why) => return Ok(Err(format!("could not be found out: {why}"))),
        Answer::Refused(_) => {}
    }
    Ok(match create(claims, class, "Filesystem").await? {
        Answer::Admitted => Ok(()),
        Answer::Refused(why) | Answer::Failed(why) => Err(format!("a claim would be refused: {why}")),
    })
}

/// What the API server says to a claim of this class and volume mode.
async fn create(claims: &Api<PersistentVolumeClaim>, class: &str, mode: &str) -> Result<Answer> {
    let claim = json!({
        "metadata": {"generateName": "bindery-check-"},
        "spec": {
            "storageClassName": class,
            "volumeMode": mode,
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Mi"}},
        },
    });
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match claims.create(&dry, &serde_json::from_value(claim)?).await {
        Ok(_) => Ok(Answer::Admitted),
        // As the API server passes on a webhook's words.
        Err(kube::Error::Api(status)) => {
            let by_us = format!("admission webhook \"{}\" denied the request: ", names::WEBHOOK);
            Ok(match status.message.split_once(&by_us) {
                Some((_, why)) => Answer::Refused(why.to_owned()),
                None => Answer::Failed(status.message.clone()),
            })
        }
        Err(error) => Err(error).context("the API server could not be asked for a claim"),
    }
}
