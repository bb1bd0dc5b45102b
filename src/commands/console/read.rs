//! Reads the objects that the page shows, with the rights of the user.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::objects::{Objects, Readable};
use crate::cluster::api_error::describe_for_command;
use crate::commands::archives::read as archives;
use crate::model::names::{CONTROLLER, SHARES};

/// Reads the objects.
pub struct Reader {
    /// The client of the user.
    pub client: Client,
    /// The namespace of the user's context.
    pub default_namespace: String,
    /// The namespace that the user has asked for.
    pub namespace: Option<String>,
    /// The namespace of Bindery.
    pub bindery_namespace: String,
    /// The `provisioner` of Bindery's classes.
    pub provisioner: String,
    /// The API server, and its version.
    pub cluster: String,
}

impl Reader {
    /// Reads all objects. What cannot be read is replaced by a sentence.
    pub async fn read(&self) -> Objects {
        let (mut namespace, mut why_one_namespace) = (self.namespace.clone(), None);
        let mut claims = self.claims(namespace.as_deref()).await;
        if let (Err(why), None) = (&claims, &namespace) {
            // Most users may read only their own namespace.
            let own = self.claims(Some(&self.default_namespace)).await;
            if own.is_ok() {
                why_one_namespace = Some(format!(
                    "Only namespace {} is shown: {why}. Choose another one with --namespace.",
                    self.default_namespace
                ));
                namespace = Some(self.default_namespace.clone());
                claims = own;
            }
        }
        let all = Events::default();
        let (volumes, classes, found, of_claims, of_bindery, shares) = futures::join!(
            list(
                Api::<PersistentVolume>::all(self.client.clone()),
                "PersistentVolumes",
                any()
            ),
            list(Api::<StorageClass>::all(self.client.clone()), "StorageClasses", any()),
            archives::list(&self.client, namespace.as_deref()),
            self.events(namespace.as_deref(), all.of_claims),
            self.events(namespace.as_deref(), all.of_bindery),
            self.shares(),
        );
        let events = of_claims.and_then(|mut events| {
            events.extend(of_bindery?);
            Ok(events)
        });
        Objects {
            cluster: self.cluster.clone(),
            namespace,
            why_one_namespace,
            provisioner: self.provisioner.clone(),
            claims,
            volumes,
            classes,
            archives: found.map_err(|error| describe_for_command(&error)),
            events,
            shares,
        }
    }

    async fn claims(&self, namespace: Option<&str>) -> Readable<Vec<PersistentVolumeClaim>> {
        list(self.api(namespace), "claims", any()).await
    }

    async fn events(&self, namespace: Option<&str>, fields: String) -> Readable<Vec<Event>> {
        list(self.api(namespace), "Events", any().fields(&fields)).await
    }

    async fn shares(&self) -> Readable<Option<ConfigMap>> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.bindery_namespace);
        let what = || format!("ConfigMap {SHARES} of namespace {}", self.bindery_namespace);
        maps.get_opt(SHARES).await.map_err(|error| unreadable(&what(), error))
    }

    fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match namespace {
            Some(name) => Api::namespaced(self.client.clone(), name),
            None => Api::all(self.client.clone()),
        }
    }
}

/// The fields that select the Events.
struct Events {
    of_claims: String,
    of_bindery: String,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            of_claims: "regarding.kind=PersistentVolumeClaim".to_owned(),
            of_bindery: format!("reportingController={CONTROLLER},regarding.kind!=PersistentVolumeClaim"),
        }
    }
}

/// Accepts an answer from the cache of the API server, which costs it little.
fn any() -> ListParams {
    ListParams::default().match_any()
}

async fn list<K: Clone + Debug + DeserializeOwned>(api: Api<K>, what: &str, which: ListParams) -> Readable<Vec<K>> {
    let found = api.list(&which).await.map_err(|error| unreadable(what, error))?;
    Ok(found.items)
}

fn unreadable(what: &str, error: kube::Error) -> String {
    describe_for_command(&anyhow::Error::from(error).context(format!("{what} could not be read")))
}
