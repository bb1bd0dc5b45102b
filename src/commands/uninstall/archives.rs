//! Removes Bindery's finalizer from the objects of archives. Otherwise their namespaces could not be deleted any more.

use anyhow::{Context, Result, bail};
use json_patch::Patch as Operations;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::cluster::lease::Term;
use crate::cluster::patch::{self, test};
use crate::model::archive::Archive;
use crate::model::names;
use crate::model::volume::Installation;

/// The number of objects per request.
const PAGE_SIZE: u32 = 500;
/// The number of attempts for one object.
const MAX_ATTEMPTS: usize = 5;

/// The objects of archives of the cluster.
pub struct Archives {
    client: Client,
    installation: Installation,
    dry_run: bool,
}

impl Archives {
    /// Creates it, and reads nothing yet.
    pub fn new(client: Client, installation: Installation, dry_run: bool) -> Self {
        Self {
            client,
            installation,
            dry_run,
        }
    }

    /// Removes the finalizer from each object of this installation. Returns how many had it: none if the
    /// definition of archives is not installed. Stops with an error if the Lease is lost.
    pub async fn release_all(&self, term: Option<&Term>) -> Result<usize> {
        let all: Api<Archive> = Api::all(self.client.clone());
        let mut released = 0;
        let mut page = ListParams::default().limit(PAGE_SIZE);
        loop {
            let found = match all.list(&page).await {
                Err(error) if patch::is_not_found(&error) => return Ok(0),
                found => found.context("the Archives could not be listed")?,
            };
            for archive in found.items.into_iter().filter(|archive| self.is_held(archive)) {
                if term.is_some_and(|term| !term.holds()) {
                    bail!("the Lease was lost, so a replica may run. Stop all replicas and run this command again");
                }
                if !self.dry_run {
                    self.release(archive).await?;
                }
                released += 1;
            }
            match found.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(released),
            }
        }
    }

    fn is_held(&self, archive: &Archive) -> bool {
        let spec = &archive.spec;
        spec.instance == self.installation.instance
            && spec.provisioner == self.installation.provisioner
            && position(archive).is_some()
    }

    async fn release(&self, mut archive: Archive) -> Result<()> {
        let (namespace, name) = (archive.namespace().unwrap_or_default(), archive.name_any());
        let about = || format!("the finalizer of Archive {namespace}/{name} could not be removed");
        let archives: Api<Archive> = Api::namespaced(self.client.clone(), &namespace);
        for _ in 0..MAX_ATTEMPTS {
            let Some(index) = position(&archive) else { return Ok(()) };
            let path = format!("/metadata/finalizers/{index}");
            let removal = vec![
                test("/metadata/uid", json!(archive.uid())),
                test(&path, json!(names::ARCHIVE_FINALIZER)),
                patch::remove(&path),
            ];
            let removal = Patch::Json::<()>(Operations(removal));
            match archives.patch(&name, &PatchParams::default(), &removal).await {
                Ok(_) => return Ok(()),
                Err(error) if patch::is_not_found(&error) => return Ok(()),
                Err(error) if patch::is_precondition_failed(&error) => {}
                Err(error) => return Err(error).with_context(about),
            }
            match archives.get_opt(&name).await.with_context(about)? {
                Some(now) => archive = now,
                None => return Ok(()),
            }
        }
        bail!("{}: another program keeps changing it; run this command again", about())
    }
}

/// Returns the position of Bindery's finalizer.
fn position(archive: &Archive) -> Option<usize> {
    archive
        .finalizers()
        .iter()
        .position(|held| held == names::ARCHIVE_FINALIZER)
}
