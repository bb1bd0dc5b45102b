//! Watches the definition of archives.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use crate::cluster::watch_object;
use crate::controller::leader::Leader;
use crate::model::names;

/// Whether the definition is installed; `None` until that is known.
pub struct Definition(watch::Receiver<Option<bool>>);

impl Definition {
    /// Prepares the watch. The future that is returned runs it, and never ends.
    pub fn watch(leader: &Arc<Leader>) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, installed) = watch::channel(None);
        let leader = Arc::clone(leader);
        let definitions: Api<CustomResourceDefinition> = Api::all(leader.ctx.cluster.client.clone());
        let run = async move {
            let mut events = std::pin::pin!(watch_object(definitions, names::ARCHIVES));
            let mut listed = false;
            while let Some(event) = events.next().await {
                let installed = match event {
                    Event::Init => {
                        listed = false;
                        continue;
                    }
                    Event::InitApply(definition) => {
                        listed = is_served(&definition);
                        continue;
                    }
                    Event::InitDone => listed,
                    Event::Apply(definition) => is_served(&definition),
                    Event::Delete(_) => false,
                };
                if !installed {
                    leader.archives.report_absence(&format!(
                        "the definition {} is not installed. Everything else works. To have them, install it: see \
                         docs/archives.md",
                        names::ARCHIVES
                    ));
                }
                leader.archives.set_installed(installed);
                sender.send_replace(Some(installed));
            }
        };
        (Self(installed), run)
    }

    /// Waits until the definition is installed.
    pub async fn until_installed(&self) {
        self.wait_for(true).await;
    }

    /// Waits until the definition is not installed.
    pub async fn until_gone(&self) {
        self.wait_for(false).await;
    }

    async fn wait_for(&self, wanted: bool) {
        let mut state = self.0.clone();
        if state.wait_for(|installed| *installed == Some(wanted)).await.is_err() {
            // The watch has ended, because the term ends.
            std::future::pending::<()>().await;
        }
    }
}

/// Returns whether the API server serves the objects. It also does that while the definition is being deleted, until all
/// objects are gone.
fn is_served(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition.status.iter().filter_map(|status| status.conditions.as_ref());
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Established" && condition.status == "True")
}
