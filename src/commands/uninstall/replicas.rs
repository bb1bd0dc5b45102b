//! Ensures that no replica does background work during the uninstallation. A replica would set the finalizers again.
//!
//! The command acquires the Lease as a replica would, and holds it until the work is done. A replica that starts in the
//! meantime waits for the Lease.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use uuid::Uuid;

use crate::cluster::lease::{Candidate, Term};

/// Reads the Lease. Returns `None` if it does not exist: no replica ever ran, or the replicas use another Lease.
pub async fn read_lease(client: &Client, namespace: &str, name: &str) -> Result<Option<Lease>> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let found = leases.get_opt(name).await;
    found.with_context(|| format!("Lease {namespace}/{name} could not be read"))
}

/// Waits until no replica holds the Lease, acquires it, and does `work`. If a replica is running, returns an error that
/// names it, and does nothing.
pub async fn while_holding_lease<T, W>(
    client: Client,
    namespace: &str,
    name: &str,
    work: impl FnOnce(Term) -> W,
) -> Result<T>
where
    W: Future<Output = Result<T>>,
{
    let identity = format!("bindery-uninstall-{}", Uuid::new_v4());
    let candidate = Candidate::new(client, namespace, name, identity);
    let done = candidate.run_once(work).await;
    match done.with_context(|| format!("Lease {namespace}/{name} could not be acquired"))? {
        Ok(done) => done,
        Err(replica) => bail!(
            "replica {replica} is running. Stop all replicas first: kubectl -n {namespace} scale deployment/{name} \
             --replicas 0"
        ),
    }
}
