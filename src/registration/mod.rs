//! Keeps the webhook configuration up to date: its CA, its path, and the condition about the class ([`desired`]).
//!
//! It acts when the configuration or a StorageClass changes, and when the certificate or the token changes. It uses
//! server-side apply with its own field manager, so `GitOps` tools that manage the rest see no difference. If the
//! configuration does not exist, it waits for it. All replicas do this.

mod condition;
mod desired;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::Event;
use kube::{Api, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::desired::Desired;
use crate::certificate::Credentials;
use crate::cluster::api_error::ApiFault;
use crate::cluster::patch::is_conflict;
use crate::cluster::{Cluster, watch_object};
use crate::model::volume::Installation;
use crate::ops::admin::Readiness;
use crate::policy::selectors::Selectors;

/// The name of this part in `/readyz`.
pub const PART: &str = "webhook configuration";
/// The field manager.
const FIELD_MANAGER: &str = "bindery-registration";
/// The pause after an error.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// The pause before a write, so that many new classes are one write.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// The longest pause before the same values are written again because another program overwrote them. That may be a
/// replica with other flags, and the two must not load the API server.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// The most changes of classes that are handled at once.
const MAX_BATCH: usize = 1_000;

/// Keeps the webhook configuration up to date.
pub struct Registration {
    /// Access to the API server and to the cached classes.
    pub cluster: Cluster,
    /// The installation, whose classes are served.
    pub installation: Arc<Installation>,
    /// The name of the webhook configuration.
    pub name: String,
    /// The CA and the token.
    pub credentials: watch::Receiver<Credentials>,
    /// Publishes the CAs in the configuration.
    pub registered: watch::Sender<String>,
    /// Publishes the selectors of the configuration, as soon as they are known.
    pub selectors: watch::Sender<Option<Selectors>>,
    /// Is set when the webhook is registered.
    pub readiness: Readiness,
}

impl Registration {
    /// Runs the registration. The cache of classes must be filled. Never ends.
    pub async fn run(mut self) {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.cluster.client.clone());
        let mut changes = pin!(watch_object(configurations.clone(), &self.name));
        let mut classes = pin!(self.cluster.classes.events().ready_chunks(MAX_BATCH));
        tracing::info!(configuration = self.name, "waiting for the webhook configuration");
        let mut seen = false;
        let mut last = LastWrite::default();
        loop {
            tokio::select! {
                Some(event) = changes.next() => seen |= self.observe(&event),
                _ = classes.next() => {}
                result = self.credentials.changed() => if result.is_err() {
                    // The certificate manager has ended, so the process is stopping.
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
                            "the webhook configuration could not be updated; Bindery retries in {RETRY_PERIOD:?}: {fault}"
                        );
                        sleep(RETRY_PERIOD).await;
                    }
                }
            }
        }
    }

    /// Publishes the selectors of the configuration. Returns whether it exists. After a deletion the last selectors
    /// stay valid, because the configuration may soon be created again.
    fn observe(&self, event: &Event<MutatingWebhookConfiguration>) -> bool {
        let (reported, there) = match event {
            Event::Apply(configuration) | Event::InitApply(configuration) => (Selectors::read(configuration), true),
            Event::InitDone if self.selectors.borrow().is_none() => (Some(Selectors::default()), false),
            Event::InitDone | Event::Init | Event::Delete(_) => (None, false),
        };
        if reported.is_some() {
            publish(&self.selectors, reported);
        }
        there
    }

    /// Updates the configuration. Returns whether it exists and has webhooks.
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
            // The write fails if the configuration has changed since it was read.
            apply["metadata"]["resourceVersion"] = configuration.resource_version().into();
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            configuration = configurations
                .patch(&self.name, &parameters, &Patch::Apply(apply))
                .await?;
            *last = last.written(desired);
            tracing::info!(configuration = self.name, "updated the webhook configuration");
        }
        publish(&self.registered, desired::registered_ca(&configuration));
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

/// The last write, and how often the same values were written in a row because another program overwrote them.
#[derive(Default)]
struct LastWrite {
    last: Option<(Desired, Instant)>,
    overwritten: u32,
}

impl LastWrite {
    /// Returns the pause before a write.
    fn pause(&self, desired: &Desired) -> Duration {
        if !self.is_repeated_by(desired) {
            return Duration::ZERO;
        }
        (DEBOUNCE * 2_u32.saturating_pow(self.overwritten)).min(MAX_PAUSE)
    }

    /// Records a write.
    fn written(&self, desired: Desired) -> Self {
        let again = self.is_repeated_by(&desired);
        Self {
            overwritten: if again { self.overwritten.saturating_add(1) } else { 0 },
            last: Some((desired, Instant::now())),
        }
    }

    /// Returns whether the last write was of the same values, and not long ago.
    fn is_repeated_by(&self, desired: &Desired) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|(last, at)| last == desired && at.elapsed() <= 2 * MAX_PAUSE)
    }
}

/// Publishes a value if it has changed.
fn publish<T: PartialEq>(to: &watch::Sender<T>, value: T) {
    to.send_if_modified(|known| {
        let changed = *known != value;
        *known = value;
        changed
    });
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn values_that_are_overwritten_again_and_again_are_written_less_and_less_often() {
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
        assert_eq!(last.pause(&desired("a")), Duration::ZERO, "after a time without writes");
    }
}
