//! Archives as objects of the API.
//!
//! An [`Archive`] says what a directory was before it was archived (`spec`), and where it is now (`status`). The archive
//! itself is a directory on a share, and its name there counts: it contains the installation, the volume, the time, and
//! the time until which it is kept. Only Bindery writes these objects.

mod build;
mod name;
mod read;
mod status;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use self::build::{Home, labels};
pub use self::name::{object_name, restored_volume};
pub use self::read::ArchiveRecord;
pub use self::status::seconds;

/// The type of the condition that says whether the directory was found.
pub const FOUND: &str = "DirectoryFound";
/// The reason in that condition if the directory is being moved to the trash.
pub const REMOVING: &str = "Removing";
/// The type of the condition that says whether a claim has the directory.
pub const RESTORED: &str = "Restored";

/// What an archived directory was. It never changes.
// Several columns have one type.
#[allow(clippy::duplicated_attributes)]
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "bindery.dev",
    version = "v1alpha1",
    kind = "Archive",
    plural = "archives",
    shortname = "arch",
    namespaced,
    status = "ArchiveStatus",
    derive = "PartialEq",
    doc = "The archived directory of a claim that was deleted. Only Bindery writes it. Deleting it removes the data.",
    printcolumn(
        name = "Claim",
        type_ = "string",
        json_path = ".spec.claimName",
        description = "The claim whose directory it was."
    ),
    printcolumn(
        name = "Size",
        type_ = "string",
        json_path = ".spec.capacity",
        description = "The size that the claim had requested."
    ),
    printcolumn(
        name = "Archived",
        type_ = "date",
        json_path = ".spec.archivedAt",
        description = "How long ago the directory was archived."
    ),
    printcolumn(
        name = "Expires",
        type_ = "string",
        json_path = ".status.expiresAt",
        description = "When the data is removed. Empty: never."
    ),
    printcolumn(
        name = "Phase",
        type_ = "string",
        json_path = ".status.phase",
        description = "Whether the data can be used."
    ),
    printcolumn(
        name = "Directory",
        type_ = "string",
        json_path = ".status.directory",
        priority = 1,
        description = "The path of the archive below the share."
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "the spec of an Archive cannot be changed"}]))]
pub struct ArchiveSpec {
    /// The name of the claim. If claimUid is missing, it is only what the name of the archive says.
    pub claim_name: String,
    /// The namespace of the claim. Missing if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_namespace: Option<String>,
    /// The uid of the claim. Missing if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_uid: Option<String>,
    /// The uid of the namespace of the claim. A namespace that is created again under the same name has another uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_uid: Option<String>,
    /// The name of the `PersistentVolume`. Missing if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_name: Option<String>,
    /// The uid of the `PersistentVolume`. Missing if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_uid: Option<String>,
    /// The StorageClass of the claim. Missing if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// The NFS server.
    pub server: String,
    /// The export of the server.
    pub share: String,
    /// The NFS version that Bindery uses for the share.
    pub nfs_version: String,
    /// The path of the archive below the share when it was made. If the expiry is changed, `status.directory` differs.
    pub directory: String,
    /// The path below the share that the volume had. Missing if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_directory: Option<String>,
    /// The identity of the directory on the server. Bindery changes or removes no directory with another identity.
    pub directory_id: String,
    /// The identity of the share when the volume was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_id: Option<String>,
    /// The size of the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<String>,
    /// The access modes of the volume.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access_modes: Vec<String>,
    /// The group that only this volume had. Missing if it had none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "group")]
    pub gid: Option<u32>,
    /// When the directory was archived.
    #[schemars(schema_with = "date_time")]
    pub archived_at: Time,
    /// When the archive was to be removed, as it was decided when it was made. Missing: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub expires_at: Option<Time>,
    /// The provisioner of the installation that made the archive.
    pub provisioner: String,
    /// The id of the installation that made the archive.
    pub instance: String,
}

/// Where the archive is now.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveStatus {
    /// Whether the data can be used.
    #[serde(default)]
    pub phase: ArchivePhase,
    /// The path of the archive below the share.
    #[serde(default)]
    pub directory: String,
    /// When the archive will be removed. Missing: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub expires_at: Option<Time>,
    /// The claim to which the archive is given, or was given last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<ArchiveRestoration>,
    /// Why the archive is in its phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// The claim to which an archive is given. If the claim does not get it, the directory becomes the archive again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveRestoration {
    /// The name of the claim, in the namespace of the archive.
    pub claim_name: String,
    /// The name of its `PersistentVolume`.
    pub volume_name: String,
    /// The path of that volume below the share.
    pub directory: String,
}

/// The phase of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum ArchivePhase {
    /// The directory is on the share.
    #[default]
    Available,
    /// The directory is being given to a new claim.
    Restoring,
    /// A claim has the directory.
    Restored,
    /// The directory is not on the share. The object is deleted after a day.
    Missing,
}

impl ArchivePhase {
    /// All phases.
    pub const ALL: [Self; 4] = [Self::Available, Self::Restoring, Self::Restored, Self::Missing];

    /// The name of the phase.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Restoring => "Restoring",
            Self::Restored => "Restored",
            Self::Missing => "Missing",
        }
    }
}

fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// kubectl warns about the format `uint32`.
fn group(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX})
}

fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {"type": "string"},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "observedGeneration": {"type": "integer", "format": "int64"},
                "reason": {"type": "string"},
                "message": {"type": "string"},
            },
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

#[cfg(test)]
mod tests;
