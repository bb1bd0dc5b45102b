//! Reads the objects of archives.

use std::cmp::Reverse;

use anyhow::{Context, Result, bail};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::cluster::api_error::{ApiFault, Kind};
use crate::model::archive::Archive;
use crate::model::names;

/// Returns the objects of archives in a namespace, or in all namespaces.
pub async fn list(client: &Client, namespace: Option<&str>) -> Result<Vec<Archive>> {
    let (api, of): (Api<Archive>, _) = match namespace {
        Some(name) => (Api::namespaced(client.clone(), name), format!("of namespace {name}")),
        None => (Api::all(client.clone()), "of all namespaces".to_owned()),
    };
    match api.list(&ListParams::default()).await {
        Ok(found) => Ok(found.items),
        Err(error) if ApiFault::from(&error).kind == Kind::NotFound => bail!(
            "the cluster does not have the definition {}, so archives have no objects; an administrator can install it with \
             the chart, or with deploy/base/archives-definition.yaml",
            names::ARCHIVES
        ),
        Err(error) => Err(error).with_context(|| format!("the archives {of} could not be listed")),
    }
}

/// Sorts archives by namespace and claim; of one claim, the newest is first.
pub fn sort(archives: &mut [Archive]) {
    archives.sort_by_cached_key(|archive| {
        (
            archive.namespace(),
            archive.spec.claim_namespace.clone(),
            archive.spec.claim_name.clone(),
            Reverse(archive.spec.archived_at.0),
            archive.name_any(),
        )
    });
}
