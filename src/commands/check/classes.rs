//! Checks whether the API server asks Bindery about claims, and what Bindery answers.
//!
//! It creates claims as dry runs, so every step of a real request is checked: Service, network policy, certificate,
//! webhook configuration and StorageClass. With `failurePolicy: Ignore` a claim is also admitted if Bindery was not
//! asked. So the first claim of each class is one that only Bindery refuses (`volumeMode: Block`).

use std::io::Write;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use serde_json::json;

use crate::cli::{self, Output};
use crate::commands::connect::connect;
use crate::commands::serialize;
use crate::model::names;
use crate::model::names::annotation;
use crate::policy::annotations::enabled;

/// The last line of a report without a problem.
const NOT_SERVERS: &str = "NFS servers were not asked: `bindery check --server HOST --share PATH` does that\n";

/// The result of a check.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Whether claims of every class would be admitted.
    usable: bool,
    /// Why no class was checked.
    problem: Option<String>,
    classes: Vec<Checked>,
}

/// The result for one class.
#[derive(Debug, Serialize)]
struct Checked {
    class: String,
    /// Why claims would not be admitted, or would be admitted without Bindery.
    problem: Option<String>,
}

impl Report {
    fn without_classes(problem: String) -> Self {
        Self {
            problem: Some(problem),
            ..Self::default()
        }
    }

    /// Returns the report for people.
    fn text(&self) -> String {
        let line = |checked: &Checked| {
            let result = checked.problem.as_deref().unwrap_or("ok");
            format!("class {}: {result}\n", checked.class)
        };
        let problem = self.problem.iter().map(|problem| format!("{problem}\n"));
        let lines = problem.chain(self.classes.iter().map(line));
        lines.chain(self.usable.then(|| NOT_SERVERS.to_owned())).collect()
    }
}

/// Checks classes, and prints the report. Returns whether claims of every class would be admitted.
pub async fn check(flags: cli::Check) -> Result<bool> {
    let output = flags.server.output;
    let report = report(flags).await?;
    let text = match output {
        Output::Json => serialize::json(&report)?,
        Output::Yaml => serialize::yaml(&report)?,
        Output::Text => report.text(),
    };
    // This fails if the program at the other end has closed the pipe.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(report.usable)
}

async fn report(flags: cli::Check) -> Result<Report> {
    let cli::Check {
        mut classes,
        namespace,
        provisioner_name,
        cluster,
        server: _,
    } = flags;
    let client = connect(cluster).await?;
    let storage_classes: Api<StorageClass> = Api::all(client.clone());
    if classes.is_empty() {
        let all = storage_classes.list(&ListParams::default()).await;
        let all = all.context("the StorageClasses could not be listed")?.into_iter();
        let ours = all.filter(|class| class.provisioner == provisioner_name);
        classes = ours.filter_map(|class| class.metadata.name).collect();
    }
    if classes.is_empty() {
        return Ok(Report::without_classes(format!(
            "no StorageClass has the provisioner {provisioner_name}; create one, or name another provisioner with \
             --provisioner-name"
        )));
    }
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    if let Some(why) = namespace_not_served(&client, &namespace).await? {
        return Ok(Report::without_classes(why));
    }
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, &namespace);
    let mut checked = Vec::new();
    for class in classes {
        let result = match class_not_served(&storage_classes, &class, &provisioner_name).await? {
            Some(why) => Err(why),
            None => check_class(&claims, &class).await?,
        };
        checked.push(Checked {
            class,
            problem: result.err(),
        });
    }
    Ok(Report {
        usable: checked.iter().all(|checked| checked.problem.is_none()),
        problem: None,
        classes: checked,
    })
}

/// Returns the reason if Bindery does not serve a class. If the user may not read the class, the dry run decides.
async fn class_not_served(classes: &Api<StorageClass>, class: &str, provisioner: &str) -> Result<Option<String>> {
    Ok(match classes.get_opt(class).await {
        Ok(None) => Some("this StorageClass does not exist".to_owned()),
        Ok(Some(found)) if found.provisioner != provisioner => Some(format!(
            "its provisioner is {}, not {provisioner}, so Bindery does not serve it; name another StorageClass, or another \
             provisioner with --provisioner-name",
            found.provisioner
        )),
        Ok(Some(_)) => None,
        Err(error) if is_forbidden(&error) => None,
        Err(error) => return Err(error).context("the StorageClass could not be read"),
    })
}

/// Returns the reason if Bindery does not serve a namespace.
async fn namespace_not_served(client: &Client, name: &str) -> Result<Option<String>> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    Ok(match namespaces.get_opt(name).await {
        Ok(None) => Some(format!(
            "namespace {name} does not exist; name another with --namespace"
        )),
        Ok(Some(found)) if enabled(found.annotations()) == Ok(false) => Some(format!(
            "namespace {name} has the annotation {}: \"false\", so Bindery serves no claims there; name another with \
             --namespace",
            annotation::ENABLED
        )),
        Ok(Some(_)) => None,
        Err(error) if is_forbidden(&error) => None,
        Err(error) => return Err(error).context("the namespace could not be read"),
    })
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

const NOT_ASKED: &str = "the API server admits claims without asking Bindery. Possible causes: no pod of Bindery is \
                         ready; a network policy or a firewall blocks the API server; the webhook configuration is \
                         missing or excludes this namespace. The log of the API server names the cause: search for \
                         \"failed calling webhook\"";

/// What happened to a dry-run claim.
enum Answer {
    Admitted,
    /// Refused by Bindery, with this message.
    Refused(String),
    /// Refused by something else, with this message.
    Failed(String),
}

/// Checks whether the API server asks Bindery about claims of a class, and whether Bindery admits them. The inner error
/// says what is wrong.
async fn check_class(claims: &Api<PersistentVolumeClaim>, class: &str) -> Result<Result<(), String>> {
    match create(claims, class, "Block").await? {
        Answer::Admitted => return Ok(Err(NOT_ASKED.to_owned())),
        Answer::Failed(why) => return Ok(Err(format!("the check failed: {why}"))),
        Answer::Refused(_) => {}
    }
    Ok(match create(claims, class, "Filesystem").await? {
        Answer::Admitted => Ok(()),
        Answer::Refused(why) | Answer::Failed(why) => Err(format!("a claim would be refused: {why}")),
    })
}

/// Creates a claim as a dry run.
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
        // The API server adds this prefix to the message of a webhook.
        Err(kube::Error::Api(status)) => {
            let prefix = format!("admission webhook \"{}\" denied the request: ", names::WEBHOOK);
            Ok(match status.message.split_once(&prefix) {
                Some((_, why)) => Answer::Refused(why.to_owned()),
                None => Answer::Failed(status.message.clone()),
            })
        }
        Err(error) => Err(error).context("the claim could not be created as a dry run"),
    }
}
