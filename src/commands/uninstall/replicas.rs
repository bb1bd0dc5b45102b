//! No replica may run while volumes are let go: it would undo that, and go on making new ones.
//!
//! The Lease is what replicas agree by, so it is taken, as a replica would take it, and held until the work is done. Another that
//! is started meanwhile waits for it with all that its loops do.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use uuid::Uuid;

use crate::cluster::lease::{Candidate, Term, holder};

/// The Lease that replicas agree by, as it was found.
pub enum Agreement {
    /// It is there.
    Lease {
        /// Whoever last held it.
        holder: Option<String>,
    },
    /// It is not: no replica ever ran, or those that do agree by another one.
    None,
}

/// Looks for the Lease.
pub async fn agreement(client: &Client, namespace: &str, name: &str) -> Result<Agreement> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let found = leases.get_opt(name).await;
    let found = found.with_context(|| format!("Lease {namespace}/{name}, which tells whether a replica runs"))?;
    Ok(match found {
        Some(lease) => Agreement::Lease {
            holder: holder(&lease).map(str::to_owned),
        },
        None => Agreement::None,
    })
}

/// Does `work` while the Lease is held, once it is sure that no replica holds it. An error, and nothing done, if one does: it
/// says which.
pub async fn without<T, W>(client: Client, namespace: &str, name: &str, work: impl FnOnce(Term) -> W) -> Result<T>
where
    W: Future<Output = Result<T>>,
{
    let identity = format!("bindery-uninstall-{}", Uuid::new_v4());
    let candidate = Candidate::new(client, namespace, name, identity);
    let done = candidate.run_once(work).await;
    match done.with_context(|| format!("Lease {namespace}/{name} could not be taken"))? {
        Ok(done) => done,
        Err(lives) => bail!(
            "replica {lives} runs, and would undo this: scale Bindery's Deployment to 0 first (kubectl -n {namespace} scale \
             deployment/{name} --replicas 0)"
        ),
    }
}
