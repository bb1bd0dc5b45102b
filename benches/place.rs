//! The namespace of a measurement, its classes and claims.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::TIME_LIMIT;
use crate::bed::{Bed, is_class_reviewed};
use crate::started::PAUSE;

/// A namespace in which an administrator creates and deletes claims. API Priority and Fairness does not limit the
/// administrator.
pub struct Place {
    /// The client of the administrator.
    pub client: Client,
    /// Name of the namespace, and prefix of the names of its classes.
    pub name: &'static str,
}

impl Place {
    /// Creates the namespace.
    pub async fn new(client: &Client, name: &'static str) -> Result<Self> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = object(json!({"metadata": {"name": name}}))?;
        namespaces.create(&PostParams::default(), &namespace).await?;
        Ok(Self {
            client: client.clone(),
            name,
        })
    }

    /// Creates a class of this provisioner, and returns its name.
    pub async fn class(&self, suffix: &str, provisioner: &str, parameters: Value) -> Result<String> {
        let name = format!("{}-{suffix}", self.name);
        let class = json!({"metadata": {"name": name}, "provisioner": provisioner, "parameters": parameters});
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        classes.create(&PostParams::default(), &object(class)?).await?;
        while provisioner == Bed::get().provisioner && !is_class_reviewed(&self.client, &name).await {
            sleep(PAUSE).await;
        }
        Ok(name)
    }

    /// Returns the API of its claims.
    pub fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), self.name)
    }

    /// Creates a claim. Returns how long that took, and the volume that it got in the request.
    pub async fn create(&self, name: &str, class: &str) -> Result<(Duration, Option<String>)> {
        self.create_from(name, class, json!(null)).await
    }

    /// Creates a claim of this name that gets the newest archive of a claim of this name.
    pub async fn restore(&self, name: &str, class: &str) -> Result<(Duration, Option<String>)> {
        let source = json!({"apiGroup": "bindery.dev", "kind": "Archive", "name": name});
        self.create_from(name, class, source).await
    }

    async fn create_from(&self, name: &str, class: &str, source: Value) -> Result<(Duration, Option<String>)> {
        let claim = object(json!({
            "metadata": {"name": name},
            "spec": {
                "storageClassName": class,
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Gi"}},
                "dataSourceRef": source,
            },
        }))?;
        let claims = self.claims();
        let began = Instant::now();
        let created: PersistentVolumeClaim = claims
            .create(&PostParams::default(), &claim)
            .await
            .with_context(|| format!("claim {name}"))?;
        Ok((began.elapsed(), created.spec.and_then(|spec| spec.volume_name)))
    }

    /// Waits until a claim is bound.
    pub async fn bound(&self, name: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            let claim = self.claims().get(name).await?;
            if claim.status.and_then(|status| status.phase).as_deref() == Some("Bound") {
                return Ok(());
            }
            ensure!(began.elapsed() < TIME_LIMIT, "claim {name} is not bound");
            sleep(PAUSE).await;
        }
    }

    /// Deletes a claim.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.claims()
            .delete(name, &DeleteParams::default())
            .await
            .with_context(|| format!("claim {name}"))?;
        Ok(())
    }

    /// Opens the connections to the API server that so many parallel requests need.
    pub async fn warm_up(&self, at_a_time: usize) -> Result<()> {
        let claims = self.claims();
        let looks = stream::iter(0..at_a_time * 4)
            .map(|_| claims.get_opt("nothing"))
            .buffer_unordered(at_a_time);
        let found: Vec<_> = looks.try_collect().await?;
        ensure!(found.iter().all(Option::is_none), "a claim is there that nobody made");
        Ok(())
    }
}

/// JSON as an object of the API.
pub fn object<T: DeserializeOwned>(json: Value) -> Result<T> {
    Ok(serde_json::from_value(json)?)
}
