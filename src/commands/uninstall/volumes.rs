//! Finds the volumes with Bindery's finalizer, and removes it.

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::ListParams;
use kube::{Api, Client};

use crate::cluster::patch;
use crate::model::claim::Claim;
use crate::model::volume::{Installation, Volume};
use crate::policy::other_installation::UnmanagedVolume;
use crate::policy::reconcile::ClaimState;
use crate::policy::uninstall::{UninstallStep, needs_step, uninstall_step};

/// The number of attempts for one volume. kube-controller-manager may change the volume at the same time.
const MAX_ATTEMPTS: usize = 5;
/// The number of volumes per request. All volumes of a large cluster do not fit into the memory of a Job.
const PAGE_SIZE: u32 = 500;

/// The PersistentVolumes of the cluster.
pub struct Volumes {
    client: Client,
    api: Api<PersistentVolume>,
    installation: Installation,
    unfinished: bool,
    dry_run: bool,
}

impl Volumes {
    /// Creates it, and reads nothing yet. With `unfinished`, volumes whose cleanup has begun are processed, too.
    pub fn new(client: Client, installation: Installation, unfinished: bool, dry_run: bool) -> Self {
        Self {
            api: Api::all(client.clone()),
            client,
            installation,
            unfinished,
            dry_run,
        }
    }

    /// Returns the volumes of this installation that have the finalizer, and other volumes that have it.
    pub async fn with_finalizer(&self) -> Result<(Vec<Volume>, Vec<UnmanagedVolume>)> {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        let mut page = ListParams::default().limit(PAGE_SIZE);
        loop {
            let found = self
                .api
                .list(&page)
                .await
                .context("the PersistentVolumes could not be listed")?;
            let volumes = found.items.iter().map(Volume::read);
            own.extend(volumes.filter(|volume| needs_step(volume, &self.installation)));
            others.extend(
                found
                    .items
                    .iter()
                    .filter_map(|volume| UnmanagedVolume::read(volume, &self.installation)),
            );
            match found.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok((own, others)),
            }
        }
    }

    /// Processes a volume. Returns what was done.
    pub async fn process(&self, mut volume: Volume) -> Result<UninstallStep> {
        let about = format!("the finalizer of volume {} could not be removed", volume.name);
        for _ in 0..MAX_ATTEMPTS {
            let step = self.uninstall_step(&volume).await.with_context(|| about.clone())?;
            if self.dry_run {
                return Ok(step);
            }
            let done = match step {
                UninstallStep::Leave | UninstallStep::LookUpClaim | UninstallStep::Unfinished => return Ok(step),
                UninstallStep::Keep => patch::retain_and_release(&self.api, &volume).await,
                UninstallStep::Delete => self.delete(&volume).await,
            };
            match done {
                Ok(()) => return Ok(step),
                Err(error) if patch::is_not_found(&error) => return Ok(UninstallStep::Leave),
                Err(error) if patch::is_precondition_failed(&error) => {}
                Err(error) => return Err(error).context(about),
            }
            match self.api.get_opt(&volume.name).await.with_context(|| about.clone())? {
                Some(now) => volume = Volume::read(&now),
                None => return Ok(UninstallStep::Leave),
            }
        }
        Err(anyhow!(
            "{about}: another program keeps changing the volume; run this command again"
        ))
    }

    /// Decides what is done with a volume. Reads its claim if the decision depends on it.
    async fn uninstall_step(&self, volume: &Volume) -> kube::Result<UninstallStep> {
        let step = uninstall_step(volume, ClaimState::Unknown, &self.installation, self.unfinished);
        let (UninstallStep::LookUpClaim, Some(claim_ref)) = (step, &volume.claim) else {
            return Ok(step);
        };
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &claim_ref.namespace);
        let claim = claims.get_opt(&claim_ref.name).await?;
        let claim = claim.map(|claim| Claim::read(&claim, &claim_ref.namespace));
        let state = claim.as_ref().map_or(ClaimState::Gone, ClaimState::Exists);
        Ok(uninstall_step(volume, state, &self.installation, self.unfinished))
    }

    /// Deletes a volume that no claim uses, unless it has changed since it was read: kube-controller-manager may be
    /// binding it. Then removes the finalizer.
    async fn delete(&self, volume: &Volume) -> kube::Result<()> {
        if !volume.deleting {
            patch::delete(&self.api, volume).await?;
        }
        patch::remove_finalizer(&self.api, volume, Vec::new()).await
    }
}
