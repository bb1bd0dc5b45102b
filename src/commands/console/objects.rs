//! The objects of the cluster from which the page is made.

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::storage::v1::StorageClass;

use crate::model::archive::Archive;

/// Objects of one kind, or a sentence that says why they could not be read.
pub type Readable<T> = Result<T, String>;

/// What was read for one view of the page.
pub struct Objects {
    /// The API server, and its version.
    pub cluster: String,
    /// The only namespace that was read; `None`: all.
    pub namespace: Option<String>,
    /// Why only one namespace was read, if the user has not asked for it.
    pub why_one_namespace: Option<String>,
    /// The `provisioner` of Bindery's classes.
    pub provisioner: String,
    /// All claims.
    pub claims: Readable<Vec<PersistentVolumeClaim>>,
    /// All volumes.
    pub volumes: Readable<Vec<PersistentVolume>>,
    /// All classes.
    pub classes: Readable<Vec<StorageClass>>,
    /// All archives.
    pub archives: Readable<Vec<Archive>>,
    /// The Events of Bindery, and those about claims.
    pub events: Readable<Vec<Event>>,
    /// The space of the shares, if Bindery has measured it.
    pub shares: Readable<Option<ConfigMap>>,
}
