//! `bindery explain`: reads the objects that a claim depends on, and prints what happens to the claim and why.
//!
//! It changes nothing. [`crate::policy::explain`] makes the explanation. This module reads the objects and prints it.

mod manifest;
mod print;
mod reader;

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use self::reader::Reader;
use crate::cli::{self, Output};
use crate::cluster::client::installation;
use crate::commands::connect::connect;
use crate::commands::serialize;
use crate::config::check_defaults;
use crate::policy::explain::{Explanation, Outcome};

/// Runs `bindery explain`. Returns whether no claim would be refused.
pub async fn explain(flags: cli::Explain) -> Result<bool> {
    let cli::Explain {
        claim,
        file,
        namespace,
        output,
        webhook_configuration,
        installation: shared,
        cluster,
    } = flags;
    let defaults = check_defaults(&shared)?;
    // The file is read first, so that its mistakes are reported even if the cluster cannot be reached.
    let new_claims = file.as_deref().map(read).transpose()?;
    let client = connect(cluster).await?;
    let installation = installation(shared.provisioner_name, shared.instance, &client).await?;
    let or_default = |namespace: Option<String>| namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let reader = Reader::new(client.clone(), installation, defaults, webhook_configuration);
    let mut explanations = Vec::new();
    let mut brief = false;
    match (new_claims, claim) {
        (Some(new_claims), _) => {
            for claim in new_claims {
                let namespace = or_default(namespace_of(namespace.clone(), &claim)?);
                explanations.push(reader.explain_new(&namespace, claim).await?);
            }
        }
        (None, Some(name)) => explanations.push(reader.explain_existing(&or_default(namespace), &name).await?),
        (None, None) => {
            explanations = reader.explain_all(&or_default(namespace)).await?;
            brief = true;
        }
    }
    let text = match output {
        Output::Json => serialize::json(&explanations)?,
        Output::Yaml => serialize::yaml(&explanations)?,
        Output::Text if brief => print::list(&explanations),
        Output::Text => {
            let texts: Vec<_> = explanations.iter().map(print::full).collect();
            texts.join("\n")
        }
    };
    // This fails if the program at the other end has closed the pipe.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let refused = |explanation: &Explanation| matches!(explanation.outcome, Outcome::Refused { .. });
    Ok(!explanations.iter().any(refused))
}

/// Reads the claims in a file.
fn read(file: &Path) -> Result<Vec<PersistentVolumeClaim>> {
    let mut text = String::new();
    let (name, read) = if file == Path::new("-") {
        let read = std::io::stdin().lock().read_to_string(&mut text);
        ("standard input".to_owned(), read.map(drop))
    } else {
        let read = std::fs::read_to_string(file).map(|read| text = read);
        (file.display().to_string(), read)
    };
    read.with_context(|| name.clone())?;
    let claims = manifest::claims(&text).with_context(|| name.clone())?;
    if claims.is_empty() {
        bail!("{name}: there is no PersistentVolumeClaim in it");
    }
    Ok(claims)
}

/// Returns the namespace that the flag or the file names.
fn namespace_of(flag: Option<String>, claim: &PersistentVolumeClaim) -> Result<Option<String>> {
    let file = claim.metadata.namespace.clone();
    match (&flag, &file) {
        (Some(flag), Some(file)) if flag != file => {
            bail!("the file names namespace {file}, and --namespace names {flag}; remove one of them")
        }
        _ => Ok(flag.or(file)),
    }
}
