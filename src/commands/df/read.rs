//! Reads the objects that `bindery df` shows.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume};
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::items::{Item, ShareItem};
use crate::cluster::api_error::ApiFault;
use crate::cluster::patch::is_not_found;
use crate::model::archive::Archive;
use crate::model::names;

/// The number of objects per request.
const PAGE_SIZE: u32 = 500;

/// Reads objects with the rights of the user. An error is a sentence for the user.
pub struct Reader {
    client: Client,
    /// The namespace of the claims; `None`: all.
    namespace: Option<String>,
}

impl Reader {
    /// Creates a reader, and reads nothing yet.
    pub fn new(client: Client, namespace: Option<String>) -> Self {
        Self { client, namespace }
    }

    /// Returns the volumes of Bindery whose claims are in the namespace.
    pub async fn volumes(&self) -> Result<Vec<Item>, String> {
        let all: Api<PersistentVolume> = Api::all(self.client.clone());
        let volumes = list(&all, |volume| {
            Item::of_volume(volume).filter(|item| self.namespace.as_ref().is_none_or(|name| *name == item.namespace))
        });
        volumes
            .await
            .map_err(|error| not_shown("volumes", "PersistentVolumes could not be listed", &error))
    }

    /// Returns the archives in the namespace: none if their definition is not installed.
    pub async fn archives(&self) -> Result<Vec<Item>, String> {
        let archives: Api<Archive> = match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        match list(&archives, |archive| Some(Item::of_archive(archive))).await {
            Err(error) if is_not_found(&error) => Ok(Vec::new()),
            Err(error) => {
                let which = match &self.namespace {
                    Some(namespace) => format!("the Archives of namespace {namespace} could not be listed"),
                    None => "the Archives of all namespaces could not be listed".to_owned(),
                };
                Err(not_shown("archives", &which, &error))
            }
            Ok(archives) => Ok(archives),
        }
    }

    /// Returns the shares that the leader has recorded.
    pub async fn shares(&self, namespace: &str, name: &str) -> Result<Vec<ShareItem>, String> {
        let records: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let record = match records.get_opt(name).await {
            Ok(Some(record)) => record,
            Ok(None) => {
                return Err(format!(
                    "the shares are not shown: ConfigMap {namespace}/{name} does not exist. Bindery writes it a minute \
                     after its start; if Bindery runs in another namespace, set --bindery-namespace"
                ));
            }
            Err(error) => {
                let which = format!("ConfigMap {namespace}/{name} could not be read");
                return Err(not_shown("shares", &which, &error));
            }
        };
        let text = record.data.as_ref().and_then(|data| data.get(names::SHARES_KEY));
        text.and_then(|text| serde_json::from_str(text).ok()).ok_or_else(|| {
            format!(
                "the shares are not shown: ConfigMap {namespace}/{name} has no valid key {}",
                names::SHARES_KEY
            )
        })
    }
}

fn not_shown(what: &str, problem: &str, error: &kube::Error) -> String {
    format!("the {what} are not shown: {problem}: {}", ApiFault::from_command(error))
}

/// Lists all objects, page by page, and keeps what `take` returns.
async fn list<K, T>(api: &Api<K>, take: impl Fn(&K) -> Option<T>) -> kube::Result<Vec<T>>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut lines = Vec::new();
    let mut page = ListParams::default().limit(PAGE_SIZE);
    loop {
        let found = api.list(&page).await?;
        lines.extend(found.items.iter().filter_map(&take));
        match found.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(lines),
        }
    }
}
