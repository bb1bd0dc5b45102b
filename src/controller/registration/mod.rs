//! Keeps Bindery's own webhook configuration right: its CA, its path, and the classes that it asks about ([`wanted`]).
//!
//! Trigger: the configuration appears or changes, a class comes or goes, the certificate or the token is another. It is
//! written by server-side apply, under a field manager of its own: `GitOps` tools, which keep the rest, see nothing of theirs
//! change. A configuration that is missing is waited for: applying it later just works. All replicas do the same.

mod wanted;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::watch;

use self::wanted::Wanted;
use crate::certificate::Credentials;
use crate::cluster::Cluster;
use crate::fence::is_taken;
use crate::ops::admin::Readiness;
use crate::volume::Us;

/// The part of readiness that this loop reports.
pub const PART: &str = "webhook configuration";
/// The field manager.
const MANAGER: &str = "bindery-registration";
const PAUSE: Duration = Duration::from_secs(1);
/// Between two writes: a crowd of new classes is one, and two replicas that do not agree yet are no burden.
const MOMENT: Duration = Duration::from_millis(100);

/// What the loop works with.
pub struct Registration {
    /// The API server, and the classes.
    pub cluster: Cluster,
    /// Whose classes are ours.
    pub us: Arc<Us>,
    /// The configuration's name.
    pub name: String,
    /// CA and token.
    pub credentials: watch::Receiver<Credentials>,
    /// Who hears that it is done.
    pub readiness: Readiness,
}

impl Registration {
    /// Keeps the configuration right. To be called when the watch of classes has its first list. Never ends.
    pub async fn keep(mut self) {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.cluster.client.clone());
        let only = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let changes = watcher(configurations.clone(), only)
            .default_backoff()
            .applied_objects();
        let (mut changes, mut classes) = (std::pin::pin!(changes), std::pin::pin!(self.cluster.classes.events()));
        tracing::info!(
            configuration = self.name,
            "waiting for the webhook configuration, to register in it"
        );
        let mut seen = false;
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(Err(error)) => {
                        tracing::warn!(%error, configuration = self.name, "the watch of the webhook configuration broke; it is taken up again");
                        continue;
                    }
                    _ => seen = true,
                },
                _ = classes.next() => {}
                // Its other end lives as long as the process.
                _ = self.credentials.changed() => {}
            }
            if !seen {
                continue;
            }
            tokio::time::sleep(MOMENT).await;
            while let Err(error) = self.put(&configurations).await {
                if !is_taken(&error) {
                    tracing::warn!(%error, configuration = self.name, "the webhook could not be registered; it is tried again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            self.readiness.reached(PART);
        }
    }

    async fn put(&mut self, configurations: &Api<MutatingWebhookConfiguration>) -> kube::Result<()> {
        let Some(configuration) = configurations.get_opt(&self.name).await? else {
            return Ok(());
        };
        let Some(mut apply) = self.wanted().apply(&configuration) else {
            return Ok(());
        };
        // Nobody has changed it since it was read.
        apply["metadata"]["resourceVersion"] = configuration.resource_version().into();
        let parameters = PatchParams::apply(MANAGER).force();
        configurations
            .patch(&self.name, &parameters, &Patch::Apply(apply))
            .await?;
        tracing::info!(configuration = self.name, "the webhook is registered");
        Ok(())
    }

    fn wanted(&mut self) -> Wanted {
        let credentials = self.credentials.borrow_and_update().clone();
        let classes = self.cluster.classes.store().state();
        let ours = classes.iter().filter(|class| class.provisioner == self.us.provisioner);
        Wanted {
            ca: credentials.trusted,
            token: credentials.tokens.current().to_owned(),
            classes: ours.map(|class| class.name_any()).collect(),
            provisioner: self.us.provisioner.clone(),
        }
    }
}
