//! The volumes that wait for Bindery, and taking leave of one.

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::ListParams;
use kube::{Api, Client};

use crate::cluster::patch;
use crate::model::claim::Claim;
use crate::model::volume::{Installation, Volume};
use crate::policy::other_installation::Found;
use crate::policy::reconcile::ClaimState;
use crate::policy::uninstall::{UninstallStep, needs_step, uninstall_step};

/// A volume may change while it is written to, by the controller manager say.
const TRIES: usize = 5;
/// A cluster may have more volumes than fit into a Job's memory at once.
const A_PAGE: u32 = 500;

/// The cluster's volumes, and what is to become of ours.
pub struct Volumes {
    client: Client,
    api: Api<PersistentVolume>,
    installation: Installation,
    unfinished: bool,
    dry_run: bool,
}

impl Volumes {
    /// Those of this installation. `unfinished` also gives up what Bindery is at work on.
    pub fn new(client: Client, installation: Installation, unfinished: bool, dry_run: bool) -> Self {
        Self {
            api: Api::all(client.clone()),
            client,
            installation,
            unfinished,
            dry_run,
        }
    }

    /// All volumes of ours that our finalizer holds, and those that it holds and that this installation did not make.
    pub async fn held(&self) -> Result<(Vec<Volume>, Vec<Found>)> {
        let (mut waiting, mut not_ours) = (Vec::new(), Vec::new());
        let mut page = ListParams::default().limit(A_PAGE);
        loop {
            let some = self.api.list(&page).await.context("the volumes could not be read")?;
            let ours = some.items.iter().map(Volume::read);
            waiting.extend(ours.filter(|volume| needs_step(volume, &self.installation)));
            not_ours.extend(
                some.items
                    .iter()
                    .filter_map(|volume| Found::read(volume, &self.installation)),
            );
            match some.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok((waiting, not_ours)),
            }
        }
    }

    /// Does to a volume what is to be done, and says what that was.
    pub async fn take_leave(&self, mut volume: Volume) -> Result<UninstallStep> {
        let about = format!("volume {} could not be let go", volume.name);
        for _ in 0..TRIES {
            let step = self.uninstall_step(&volume).await.with_context(|| about.clone())?;
            if self.dry_run {
                return Ok(step);
            }
            let done = match step {
                UninstallStep::Leave | UninstallStep::LookAtClaim | UninstallStep::Unfinished => return Ok(step),
                UninstallStep::Keep => patch::retain_and_release(&self.api, &volume).await,
                UninstallStep::Delete => self.take_back(&volume).await,
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
        Err(anyhow!("{about}: something else changes it all the time; try again"))
    }

    /// What is to become of a volume, by a live look at its claim where that matters.
    async fn uninstall_step(&self, volume: &Volume) -> kube::Result<UninstallStep> {
        let unseen = uninstall_step(volume, ClaimState::Unknown, &self.installation, self.unfinished);
        let (UninstallStep::LookAtClaim, Some(meant)) = (unseen, &volume.claim) else {
            return Ok(unseen);
        };
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &meant.namespace);
        let claim = claims.get_opt(&meant.name).await?;
        let claim = claim.map(|claim| Claim::read(&claim, &meant.namespace));
        let holder = claim.as_ref().map_or(ClaimState::Gone, ClaimState::Exists);
        Ok(uninstall_step(volume, holder, &self.installation, self.unfinished))
    }

    /// Deletes a volume that no claim has, in the very state that was judged: the controller manager may be binding it. Only
    /// then the finalizer goes.
    async fn take_back(&self, volume: &Volume) -> kube::Result<()> {
        if !volume.deleting {
            patch::delete(&self.api, volume).await?;
        }
        patch::remove_finalizer(&self.api, volume, Vec::new()).await
    }
}
