//! Finds the archive that a name means.

use std::cmp::Reverse;

use anyhow::{Context, Error, Result, anyhow};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::cluster::api_error::{ApiFault, Kind};
use crate::cluster::patch::is_not_found;
use crate::commands::age;
use crate::commands::archives::read;
use crate::model::archive::Archive;
use crate::model::names::{self, is_object_name};
use crate::policy::restore_claim::choose;

/// The most archives that a message lists.
const MAX_LISTED: usize = 10;

/// Where an archive is looked for.
pub struct Place<'a> {
    /// The namespace of the archive.
    pub namespace: &'a str,
    /// The namespace of Bindery.
    pub of_bindery: &'a str,
    /// The words that call the program.
    pub program: &'a str,
}

/// The archive that a name means.
pub struct Found {
    /// The archive.
    pub archive: Archive,
    /// All archives of the namespace, if the name is that of a claim.
    pub all: Option<Vec<Archive>>,
}

/// Returns the archive of this name, else the newest one of the claim of this name. The first needs only the right to get
/// archives.
pub async fn find(client: &Client, place: &Place<'_>, name: &str) -> Result<Found> {
    let namespace = place.namespace;
    let archives: Api<Archive> = Api::namespaced(client.clone(), namespace);
    let mut forbidden = None;
    if is_object_name(name) {
        match archives.get(name).await {
            Ok(archive) => return Ok(Found { archive, all: None }),
            Err(error) if is_not_found(&error) => {}
            Err(error) => {
                let may_list = ApiFault::from(&error).kind == Kind::Forbidden;
                let error =
                    Error::new(error).context(format!("archive {name} of namespace {namespace} could not be read"));
                if !may_list {
                    return Err(error);
                }
                forbidden = Some(error);
            }
        }
    }
    let all = match read::list(client, Some(namespace)).await {
        Ok(all) => all,
        Err(error) => return Err(forbidden.unwrap_or(error)),
    };
    match choose(&all, name) {
        Some((archive, is_claim)) => Ok(Found {
            archive: archive.clone(),
            all: is_claim.then_some(all),
        }),
        None => Err(nothing(client, place, name).await),
    }
}

/// Returns the error of a name that means no archive: what there is instead, as far as the user may read it.
async fn nothing(client: &Client, place: &Place<'_>, name: &str) -> Error {
    let Place {
        namespace,
        of_bindery,
        program,
    } = *place;
    let exists = namespace_exists(client, namespace).await;
    let none = if exists == Some(false) {
        format!("namespace {namespace} does not exist")
    } else {
        format!("in namespace {namespace} there is no archive {name}, and no archive of a claim of that name")
    };
    let moved = moved(client, place, name).await.unwrap_or_default();
    match (moved.as_slice(), exists) {
        ([], Some(false)) => anyhow!("{none}"),
        ([], _) => anyhow!("{none}; list them: {program} archives -n {namespace}"),
        (moved, _) => {
            let listed = list(moved, Timestamp::now());
            let are = if moved.len() == 1 { "an archive" } else { "archives" };
            let is = if moved.len() == 1 { "is" } else { "are" };
            anyhow!(
                "{none}; {are} of the deleted namespace {namespace} {is} in namespace {of_bindery}: {listed}. An administrator \
                 can get the files back: see \"Move files by hand\" in docs/archives.md"
            )
        }
    }
}

/// Returns whether a namespace exists; nothing if the user may not read that.
async fn namespace_exists(client: &Client, name: &str) -> Option<bool> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    match namespaces.get_metadata(name).await {
        Ok(_) => Some(true),
        Err(error) => is_not_found(&error).then_some(false),
    }
}

/// Returns the archives of a namespace that was deleted, the newest first.
async fn moved(client: &Client, place: &Place<'_>, name: &str) -> Result<Vec<Archive>> {
    if place.of_bindery == place.namespace {
        return Ok(Vec::new());
    }
    let archives: Api<Archive> = Api::namespaced(client.clone(), place.of_bindery);
    let of_namespace = ListParams::default().labels(&format!("{}={}", names::CLAIM_NAMESPACE, place.namespace));
    let found = archives.list(&of_namespace).await.context("not read")?.items;
    let is_meant = |archive: &Archive| archive.name_any() == name || archive.spec.claim_name == name;
    let mut moved: Vec<Archive> = found.into_iter().filter(is_meant).collect();
    moved.sort_by_key(|archive| Reverse(archive.spec.archived_at.0));
    Ok(moved)
}

fn list(archives: &[Archive], now: Timestamp) -> String {
    let one = |archive: &Archive| {
        let ago = age::since(archive.spec.archived_at.0, now);
        format!(
            "{} (claim {}, archived {ago} ago)",
            archive.name_any(),
            archive.spec.claim_name
        )
    };
    let mut texts: Vec<_> = archives.iter().take(MAX_LISTED).map(one).collect();
    if let Some(more @ 1..) = archives.len().checked_sub(MAX_LISTED) {
        texts.push(format!("and {more} more"));
    }
    texts.join(", ")
}
