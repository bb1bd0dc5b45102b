//! Whether a replica still runs: one that does holds the Lease, or takes it before its duration is over.

use std::pin::pin;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::time::timeout;

use crate::controller::lease::{DURATION, holder};

/// Returns when it is sure that no replica runs the loops. The error names one that does.
pub async fn none_runs(client: Client, namespace: &str, name: &str) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(client, namespace);
    let about = || format!("Lease {namespace}/{name}, which tells whether a replica runs");
    let Some(found) = leases.get_opt(name).await.with_context(about)? else {
        println!("Lease {namespace}/{name}: not there, so no replica runs (if Bindery ran elsewhere, say --namespace)");
        return Ok(());
    };
    let Some(holder_before) = holder(&found) else {
        return Ok(());
    };
    println!("Lease {namespace}/{name}: held by {holder_before}; waiting whether that one still lives ...");
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let changes = watcher(leases, only).default_backoff().applied_objects();
    let mut changes = pin!(changes.filter_map(async |change| {
        change
            .ok()
            .filter(|now| now.metadata.resource_version != found.metadata.resource_version)
    }));
    match timeout(DURATION, changes.next()).await {
        Ok(Some(now)) if holder(&now).is_some() => bail!(
            "replica {} runs, and would undo this: scale Bindery's Deployment to 0 first (kubectl -n {namespace} scale \
             deployment/{name} --replicas 0)",
            holder(&now).unwrap_or_default()
        ),
        // Let go, or not renewed for so long that another would have taken it.
        Ok(_) | Err(_) => Ok(()),
    }
}
