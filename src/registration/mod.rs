//! Keeps Bindery's own webhook configuration right: its CA, its path, and which classes' claims it asks about ([`desired`]).
//!
//! Trigger: the configuration appears or changes, a class comes or goes, the certificate or the token is another. It is
//! written by server-side apply, under a field manager of its own: `GitOps` tools, which keep the rest, see nothing of theirs
//! change. A configuration that is missing is waited for: applying it later just works. All replicas do the same.

mod condition;
mod desired;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::desired::Desired;
use crate::certificate::Credentials;
use crate::cluster::Cluster;
use crate::cluster::api_error::ApiFault;
use crate::cluster::patch::is_conflict;
use crate::model::volume::Installation;
use crate::ops::admin::Readiness;
use crate::policy::selectors::Selectors;

/// The part of readiness that this loop reports.
pub const PART: &str = "webhook configuration";
/// The field manager.
const FIELD_MANAGER: &str = "bindery-registration";
const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// Before a write: a crowd of new classes is one.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// The longest pause before what somebody else has overwritten is written again. A replica of another version or with other
/// flags may know better, and the two must not be a burden to the API server.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// So many changes of classes are one.
const MAX_BATCH: usize = 1_000;

/// What the loop works with.
pub struct Registration {
    /// The API server, and the classes.
    pub cluster: Cluster,
    /// Whose classes are ours.
    pub installation: Arc<Installation>,
    /// The configuration's name.
    pub name: String,
    /// CA and token.
    pub credentials: watch::Receiver<Credentials>,
    /// Hears which CAs stand there.
    pub registered: watch::Sender<String>,
    /// Hears which claims the configuration exempts, as soon as that is known.
    pub selectors: watch::Sender<Option<Selectors>>,
    /// Who hears that it is done.
    pub readiness: Readiness,
}

impl Registration {
    /// Keeps the configuration right. To be called when the watch of classes has its first list. Never ends.
    pub async fn run(mut self) {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.cluster.client.clone());
        let only = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let changes = watcher(configurations.clone(), only).default_backoff();
        let (mut changes, mut classes) = (
            std::pin::pin!(changes),
            std::pin::pin!(self.cluster.classes.events().ready_chunks(MAX_BATCH)),
        );
        tracing::info!(
            configuration = self.name,
            "waiting for the webhook configuration, to register in it"
        );
        let mut seen = false;
        let mut last = LastWrite::default();
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(Err(error)) => {
                        let fault = ApiFault::from(&error);
                        tracing::warn!(configuration = self.name, "the watch of the webhook configuration broke, and is begun again: {fault}");
                        continue;
                    }
                    Some(Ok(event)) => seen |= self.observe(&event),
                    // The watch never ends.
                    None => return,
                },
                _ = classes.next() => {}
                heard = self.credentials.changed() => if heard.is_err() {
                    // The keeper is gone: the process is ending.
                    return;
                }
            }
            if !seen {
                continue;
            }
            sleep(DEBOUNCE).await;
            loop {
                match self.apply(&configurations, &mut last).await {
                    Ok(true) => break self.readiness.set_ready(PART),
                    Ok(false) => break,
                    Err(error) if is_conflict(&error) => {}
                    Err(error) => {
                        let fault = ApiFault::from(&error);
                        tracing::warn!(
                            configuration = self.name,
                            "the webhook could not be registered; it is tried again: {fault}"
                        );
                        sleep(RETRY_PERIOD).await;
                    }
                }
            }
        }
    }

    /// Tells what the configuration exempts. Returns whether there is one. While there is none, what the last one said
    /// holds: it may be about to be created anew.
    fn observe(&self, event: &Event<MutatingWebhookConfiguration>) -> bool {
        let (said, there) = match event {
            Event::Apply(configuration) | Event::InitApply(configuration) => (Selectors::read(configuration), true),
            Event::InitDone if self.selectors.borrow().is_none() => (Some(Selectors::default()), false),
            Event::InitDone | Event::Init | Event::Delete(_) => (None, false),
        };
        if said.is_some() {
            self.selectors.send_if_modified(|known| {
                let changed = *known != said;
                *known = said;
                changed
            });
        }
        there
    }

    /// Whether there is a configuration, which then holds what is desired.
    async fn apply(
        &mut self,
        configurations: &Api<MutatingWebhookConfiguration>,
        last: &mut LastWrite,
    ) -> kube::Result<bool> {
        let Some(mut configuration) = configurations.get_opt(&self.name).await? else {
            return Ok(false);
        };
        let desired = self.desired();
        if let Some(mut apply) = desired.apply(&configuration) {
            sleep(last.pause(&desired)).await;
            // Nobody has changed it since it was read.
            apply["metadata"]["resourceVersion"] = configuration.resource_version().into();
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            configuration = configurations
                .patch(&self.name, &parameters, &Patch::Apply(apply))
                .await?;
            *last = last.written(desired);
            tracing::info!(configuration = self.name, "the webhook is registered");
        }
        self.registered.send_if_modified(|stands| {
            let now = desired::registered_ca(&configuration);
            let changed = *stands != now;
            *stands = now;
            changed
        });
        Ok(configuration.webhooks.is_some_and(|webhooks| !webhooks.is_empty()))
    }

    fn desired(&mut self) -> Desired {
        let credentials = self.credentials.borrow_and_update().clone();
        let classes = self.cluster.classes.store().state();
        let (ours, others): (Vec<_>, Vec<_>) = classes
            .iter()
            .partition(|class| class.provisioner == self.installation.provisioner);
        let names = |classes: Vec<&Arc<StorageClass>>| classes.into_iter().map(|class| class.name_any()).collect();
        Desired {
            ca: credentials.trusted,
            token: credentials.tokens.current().to_owned(),
            ours: names(ours),
            others: names(others),
            provisioner: self.installation.provisioner.clone(),
        }
    }
}

/// What was written last, and how often in a row it was the same: then somebody has overwritten it each time.
#[derive(Default)]
struct LastWrite {
    desired: Option<Desired>,
    overwritten: u32,
    at: Option<Instant>,
}

impl LastWrite {
    /// Before this is written.
    fn pause(&self, desired: &Desired) -> Duration {
        let calm = self.at.is_none_or(|at| at.elapsed() > 2 * MAX_PAUSE);
        if calm || self.desired.as_ref() != Some(desired) {
            return Duration::ZERO;
        }
        (DEBOUNCE * 2_u32.saturating_pow(self.overwritten)).min(MAX_PAUSE)
    }

    /// After it.
    fn written(&self, desired: Desired) -> Self {
        let calm = self.at.is_none_or(|at| at.elapsed() > 2 * MAX_PAUSE);
        let again = !calm && self.desired.as_ref() == Some(&desired);
        Self {
            overwritten: if again { self.overwritten.saturating_add(1) } else { 0 },
            desired: Some(desired),
            at: Some(Instant::now()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_overwritten_again_and_again_writes_ever_less_often() {
        let desired = |token: &str| Desired {
            ca: None,
            token: token.to_owned(),
            ours: std::collections::BTreeSet::new(),
            others: std::collections::BTreeSet::new(),
            provisioner: "bindery.dev/nfs".to_owned(),
        };
        let mut last = LastWrite::default();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            pauses.push(last.pause(&desired("a")));
            last = last.written(desired("a"));
        }
        assert_eq!(pauses[..3], [Duration::ZERO, DEBOUNCE, 2 * DEBOUNCE]);
        assert_eq!(pauses[11], MAX_PAUSE);
        assert_eq!(last.pause(&desired("b")), Duration::ZERO, "something new");
        advance(3 * MAX_PAUSE).await;
        assert_eq!(last.pause(&desired("a")), Duration::ZERO, "after a time of calm");
    }
}
