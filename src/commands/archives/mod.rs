//! `bindery archives`: lists the objects of archives.

pub mod print;
pub mod read;

use std::io::Write;

use anyhow::{Result, bail};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;

use crate::cli::{self, TableFormat};
use crate::commands::connect::connect;
use crate::commands::serialize;
use crate::commands::table::fitted;
use crate::model::archive::Archive;

/// Runs `bindery archives`. Returns `true`.
pub async fn archives(flags: cli::Archives) -> Result<bool> {
    let cli::Archives {
        name,
        namespace,
        all_namespaces,
        output,
        no_headers,
        cluster,
    } = flags;
    let client = connect(cluster).await?;
    let namespace = namespace
        .namespace
        .unwrap_or_else(|| client.default_namespace().to_owned());
    let namespace = (!all_namespaces).then_some(namespace.as_str());
    let mut found = read::list(&client, namespace).await?;
    let place = namespace.map_or_else(
        || "in the cluster".to_owned(),
        |namespace| format!("in namespace {namespace}"),
    );
    let mut is_object = false;
    if let Some(name) = &name {
        is_object = found.iter().any(|archive| archive.name_any() == *name);
        found.retain(|archive| {
            if is_object {
                archive.name_any() == *name
            } else {
                archive.spec.claim_name == *name
            }
        });
        if found.is_empty() {
            bail!("{place} there is no archive {name}, and no archive of a claim of that name");
        }
    }
    read::sort(&mut found);
    let text = match output {
        Some(TableFormat::Json) => serialize::json(&object(found, is_object))?,
        Some(TableFormat::Yaml) => serialize::yaml(&object(found, is_object))?,
        Some(TableFormat::Name) => print::names(&found),
        None | Some(TableFormat::Wide) if found.is_empty() => {
            eprintln!("there are no archives {place}");
            return Ok(true);
        }
        None | Some(TableFormat::Wide) => {
            let wide = output.is_some();
            let mut lines = print::table(&found, all_namespaces, wide, Timestamp::now());
            if no_headers {
                lines.remove(0);
            }
            fitted(&lines, None)
        }
    };
    // This fails if the program at the other end has closed the pipe.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(true)
}

/// Returns the object that kubectl would print: one archive that was named, or a list.
fn object(mut found: Vec<Archive>, is_object: bool) -> serde_json::Value {
    for archive in &mut found {
        archive.metadata.managed_fields = None;
    }
    if is_object && found.len() == 1 {
        return json!(found.remove(0));
    }
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": found})
}
