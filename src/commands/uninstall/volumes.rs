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

/// How often a volume is tried. kube-controller-manager may change it at the same time.
const MAX_ATTEMPTS: usize = 5;
/// Volumes per request: a cluster may have more than fit into the memory of a Job.
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
    /// Prepares for this installation. With `unfinished`, volumes whose cleanup has begun are processed, too.
    pub fn new(client: Client, installation: Installation, unfinished: bool, dry_run: bool) -> Self {
        Self {
            api: Api::all(client.clone()),
            client,
            installation,
            unfinished,
            dry_run,
        }
    }

    /// Returns the volumes of this installation that have the finalizer, and those with the finalizer that it did not
    /// create.
    pub async fn with_finalizer(&self) -> Result<(Vec<Volume>, Vec<UnmanagedVolume>)> {
        let (mut waiting, mut not_ours) = (Vec::new(), Vec::new());
        let mut page = ListParams::default().limit(PAGE_SIZE);
        loop {
            let some = self
                .api
                .list(&page)
                .await
                .context("the PersistentVolumes could not be listed")?;
            let ours = some.items.iter().map(Volume::read);
            waiting.extend(ours.filter(|volume| needs_step(volume, &self.installation)));
            not_ours.extend(
                some.items
                    .iter()
                    .filter_map(|volume| UnmanagedVolume::read(volume, &self.installation)),
            );
            match some.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok((waiting, not_ours)),
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

    /// Decides what is done with a volume. Reads its claim if that matters.
    async fn uninstall_step(&self, volume: &Volume) -> kube::Result<UninstallStep> {
        let unseen = uninstall_step(volume, ClaimState::Unknown, &self.installation, self.unfinished);
        let (UninstallStep::LookUpClaim, Some(meant)) = (unseen, &volume.claim) else {
            return Ok(unseen);
        };
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &meant.namespace);
        let claim = claims.get_opt(&meant.name).await?;
        let claim = claim.map(|claim| Claim::read(&claim, &meant.namespace));
        let holder = claim.as_ref().map_or(ClaimState::Gone, ClaimState::Exists);
        Ok(uninstall_step(volume, holder, &self.installation, self.unfinished))
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
