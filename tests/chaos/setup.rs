//! The StorageClasses of the claims, and the webhook configuration with two replicas.

use anyhow::{Context, Result};
use bindery::model::names;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The user whose requests the second replica reviews.
pub const SECOND_USER: &str = "second";

/// A StorageClass: the directory template and the policy after deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The directory is named after the volume, and deleted.
    OwnDelete,
    /// The same, archived.
    OwnArchive,
    /// The same, kept without a volume (`onDelete: retain`).
    OwnRetain,
    /// The same, kept with its volume (`reclaimPolicy: Retain`).
    OwnKept,
    /// The directory is named after the claim, and deleted.
    LayoutDelete,
    /// The same, archived.
    LayoutArchive,
    /// The same, kept for the next claim of that name.
    LayoutRetain,
    /// The directory is named after the claim, and deleted. The class names the NFS server by another address.
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

    /// Returns the name of the `StorageClass`. Directories that are named after the volume begin with it.
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

    /// Returns the class with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Returns whether directories are named after the claim. All these classes share one template.
    pub fn is_named_after_claim(self) -> bool {
        matches!(
            self,
            Self::LayoutDelete | Self::LayoutArchive | Self::LayoutRetain | Self::AliasDelete
        )
    }

    /// Returns what happens to its directories after the claim is deleted.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::OwnDelete | Self::LayoutDelete | Self::AliasDelete => Outcome::Deleted,
            Self::OwnArchive | Self::LayoutArchive => Outcome::Archived,
            Self::OwnRetain | Self::LayoutRetain | Self::OwnKept => Outcome::Kept,
        }
    }

    /// `alias` is the other address of the NFS server.
    fn object(self, alias: &str) -> Value {
        let own = format!(
            "{}.${{pvc.metadata.namespace}}-${{pvc.metadata.name}}-${{pv.metadata.name}}",
            self.name()
        );
        let layout = "${pvc.metadata.namespace}/${pvc.metadata.name}".to_owned();
        let on_delete = match self.outcome() {
            Outcome::Deleted => "delete",
            Outcome::Archived => "archive",
            Outcome::Kept => "retain",
        };
        let mut class = json!({
            "metadata": {"name": self.name()},
            "provisioner": names::PROVISIONER,
            "reclaimPolicy": if self == Self::OwnKept { "Retain" } else { "Delete" },
            "parameters": {"subDir": if self.is_named_after_claim() { layout } else { own }, "onDelete": on_delete},
        });
        if self == Self::AliasDelete {
            class["parameters"]["server"] = json!(alias);
        }
        class
    }
}

/// What happens to a directory after its claim is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is removed.
    Deleted,
    /// It becomes an archive.
    Archived,
    /// It is kept.
    Kept,
}

/// Creates the classes, and configures the webhook so that each replica reviews the requests of its own user. `alias` is the
/// other address of the NFS server.
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
