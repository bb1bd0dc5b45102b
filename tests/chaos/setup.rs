//! The classes that claims choose from, and the webhooks that ask two replicas.

use anyhow::{Context, Result};
use bindery::model::names;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The user whose requests the second replica sees.
pub const SECOND_USER: &str = "second";

/// Where directories go, and what becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A directory of the volume's own name, deleted.
    OwnDelete,
    /// The same, archived.
    OwnArchive,
    /// The same, kept without a volume.
    OwnRetain,
    /// The same, kept with its volume (`reclaimPolicy: Retain`).
    OwnKept,
    /// A directory named after the claim, deleted.
    LayoutDelete,
    /// The same, archived.
    LayoutArchive,
    /// The same, left for the next claim of that name.
    LayoutRetain,
    /// A directory named after the claim, deleted; the class names the NFS server by another address.
    AliasDelete,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::OwnDelete,
        Self::OwnArchive,
        Self::OwnRetain,
        Self::OwnKept,
        Self::LayoutDelete,
        Self::LayoutArchive,
        Self::LayoutRetain,
        Self::AliasDelete,
    ];

    /// The name of the `StorageClass`, and the start of its directories' names where those are the volumes' own.
    pub fn name(self) -> &'static str {
        match self {
            Self::OwnDelete => "own-delete",
            Self::OwnArchive => "own-archive",
            Self::OwnRetain => "own-retain",
            Self::OwnKept => "own-kept",
            Self::LayoutDelete => "layout-delete",
            Self::LayoutArchive => "layout-archive",
            Self::LayoutRetain => "layout-retain",
            Self::AliasDelete => "alias-delete",
        }
    }

    /// The class of that name.
    pub fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Whether all these classes share one layout: a directory is then named after the claim.
    pub fn is_layout(self) -> bool {
        matches!(
            self,
            Self::LayoutDelete | Self::LayoutArchive | Self::LayoutRetain | Self::AliasDelete
        )
    }

    /// What becomes of its directories.
    pub fn fate(self) -> Fate {
        match self {
            Self::OwnDelete | Self::LayoutDelete | Self::AliasDelete => Fate::Deleted,
            Self::OwnArchive | Self::LayoutArchive => Fate::Archived,
            Self::OwnRetain | Self::LayoutRetain | Self::OwnKept => Fate::Kept,
        }
    }

    /// `alias` is the NFS server's other address.
    fn object(self, alias: &str) -> Value {
        let own = format!(
            "{}.${{pvc.metadata.namespace}}-${{pvc.metadata.name}}-${{pv.metadata.name}}",
            self.name()
        );
        let layout = "${pvc.metadata.namespace}/${pvc.metadata.name}".to_owned();
        let on_delete = match self.fate() {
            Fate::Deleted => "delete",
            Fate::Archived => "archive",
            Fate::Kept => "retain",
        };
        let mut class = json!({
            "metadata": {"name": self.name()},
            "provisioner": names::PROVISIONER,
            "reclaimPolicy": if self == Self::OwnKept { "Retain" } else { "Delete" },
            "parameters": {"subDir": if self.is_layout() { layout } else { own }, "onDelete": on_delete},
        });
        if self == Self::AliasDelete {
            class["parameters"]["server"] = json!(alias);
        }
        class
    }
}

/// What becomes of a directory when its claim is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is gone, too.
    Deleted,
    /// It is an archive.
    Archived,
    /// It stays.
    Kept,
}

/// Creates the classes, and lets the API server ask each replica about the requests of its own users. `alias` is the NFS
/// server's other address.
pub async fn set(client: &Client, webhooks: [&str; 2], alias: &str) -> Result<()> {
    let classes: Api<StorageClass> = Api::all(client.clone());
    for class in Class::ALL {
        classes
            .create(&PostParams::default(), &object(class.object(alias))?)
            .await
            .with_context(|| format!("class {}", class.name()))?;
    }
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let shipped = configurations
        .get("bindery")
        .await
        .context("the shipped webhook configuration")?;
    let shipped = json!(shipped.webhooks.context("webhooks")?[0]);
    let asks = |name: &str, url: &str, is: &str| {
        let mut webhook = shipped.clone();
        webhook["name"] = json!(name);
        webhook["clientConfig"] = json!({"url": url});
        webhook["matchConditions"] = json!([{
            "name": "whose",
            "expression": format!("request.userInfo.username {is} '{SECOND_USER}'"),
        }]);
        webhook
    };
    let both = json!({"webhooks": [
        asks("first.bindery.dev", webhooks[0], "!="),
        asks("second.bindery.dev", webhooks[1], "=="),
    ]});
    configurations
        .patch("bindery", &PatchParams::default(), &Patch::Merge(both))
        .await
        .context("webhooks")?;
    Ok(())
}

/// JSON as an object of the API.
pub fn object<T: DeserializeOwned>(value: Value) -> Result<T> {
    Ok(serde_json::from_value(value)?)
}
