//! `bindery restore`: prints or creates the claim that gets the data of an archive back.

mod create;
mod find;
mod notice;

use std::io::Write;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use self::create::{Answer, create};
use self::find::{Found, Place, find};
use self::notice::notice;
use crate::cli::program::Program;
use crate::cli::{self, ManifestFormat};
use crate::cluster::patch::is_not_found;
use crate::commands::connect::connect;
use crate::commands::serialize;
use crate::model::archive::Archive;
use crate::policy::restore_claim::{Wishes, restore_claim};

/// Runs `bindery restore`. Returns whether the claim was printed or created.
pub async fn restore(flags: cli::Restore, program: Program) -> Result<bool> {
    let cli::Restore {
        archive,
        as_name,
        namespace,
        size,
        class,
        access_modes,
        apply,
        dry_run,
        output,
        bindery_namespace,
        cluster,
    } = flags;
    let client = connect(cluster).await?;
    let namespace = namespace
        .namespace
        .unwrap_or_else(|| client.default_namespace().to_owned());
    let place = Place {
        namespace: &namespace,
        of_bindery: &bindery_namespace,
        program: program.words(),
    };
    let Found { archive: chosen, all } = find(&client, &place, &archive).await?;
    if let Some(all) = all {
        let command = format!("{} restore -n {namespace}", program.words());
        eprint!("{}", notice(&chosen, &all, &command, Timestamp::now()));
    }
    let wishes = Wishes {
        name: as_name,
        size,
        class,
        access_modes,
    };
    let claim = match restore_claim(&chosen, &wishes, Timestamp::now()) {
        Ok(claim) => claim,
        Err(why) => {
            eprintln!("{why}");
            return Ok(false);
        }
    };
    for warning in warnings(&client, &chosen, &claim).await {
        eprintln!("Warning: {warning}");
    }
    if !apply && !dry_run {
        print(&text(&claim, output.unwrap_or(ManifestFormat::Yaml))?);
        return Ok(true);
    }
    match create(&client, &claim, dry_run).await? {
        Answer::Created { claim, warnings } => {
            for warning in warnings {
                eprintln!("Warning: {warning}");
            }
            let how = if dry_run { " (server dry run)" } else { "" };
            print(&match output {
                Some(format) => text(&claim, format)?,
                None => format!("{} created{how}\n", name(&claim)),
            });
            Ok(true)
        }
        Answer::Refused(why) => {
            eprintln!("{why}");
            Ok(false)
        }
    }
}

/// Returns what the user may not expect of this claim.
async fn warnings(client: &Client, archive: &Archive, claim: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let namespace = archive.namespace().unwrap_or_default();
    let of_claim = archive.spec.claim_namespace.as_ref();
    if let Some(deleted) = of_claim.filter(|of_claim| **of_claim != namespace) {
        warnings.push(format!(
            "archive {} is of a claim of the deleted namespace {deleted}; its new claim is created in namespace {namespace}, \
             and pods of other namespaces cannot use it",
            archive.name_any()
        ));
    }
    let class = claim["spec"]["storageClassName"].as_str().unwrap_or_default();
    let classes: Api<StorageClass> = Api::all(client.clone());
    // A user who may not read classes gets no warning.
    if let Err(error) = classes.get_metadata(class).await
        && is_not_found(&error)
    {
        warnings.push(format!(
            "StorageClass {class} does not exist; the claim waits until it does; choose another one with --class"
        ));
    }
    warnings
}

fn text(claim: &Value, format: ManifestFormat) -> Result<String> {
    match format {
        ManifestFormat::Json => serialize::json(claim),
        ManifestFormat::Yaml => serialize::yaml(claim),
        ManifestFormat::Name => Ok(name(claim) + "\n"),
    }
}

fn name(claim: &Value) -> String {
    let name = claim["metadata"]["name"].as_str().unwrap_or_default();
    format!("persistentvolumeclaim/{name}")
}

fn print(text: &str) {
    // This fails if the program at the other end has closed the pipe.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
