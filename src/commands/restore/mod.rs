//! `bindery restore`: prints or creates the claim that gets the data of an archive back.

mod create;

use std::io::Write;

use anyhow::{Result, bail};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use self::create::{Answer, create};
use crate::cli::{self, ManifestFormat};
use crate::commands::archives::read;
use crate::commands::connect::connect;
use crate::commands::serialize;
use crate::policy::restore_claim::{Wishes, choose, restore_claim};

/// Runs `bindery restore`. Returns whether the claim was printed or created.
pub async fn restore(flags: cli::Restore) -> Result<bool> {
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
        cluster,
    } = flags;
    let client = connect(cluster).await?;
    let namespace = namespace
        .namespace
        .unwrap_or_else(|| client.default_namespace().to_owned());
    let archives = read::list(&client, Some(&namespace)).await?;
    let Some((chosen, is_claim)) = choose(&archives, &archive) else {
        bail!(
            "in namespace {namespace} there is no archive {archive}, and no archive of a claim of that name; the command \
             archives lists those that there are"
        );
    };
    if is_claim {
        eprintln!("the newest archive of claim {archive} is {}", chosen.name_any());
    }
    let wishes = Wishes {
        name: as_name,
        size,
        class,
        access_modes,
    };
    let claim = match restore_claim(chosen, &wishes, Timestamp::now()) {
        Ok(claim) => claim,
        Err(why) => {
            eprintln!("{why}");
            return Ok(false);
        }
    };
    if !apply {
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
