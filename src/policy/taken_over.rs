//! A volume of another program that Bindery takes over.

use serde_json::{Value, json};

use crate::model::directory::{Directory, Share};
use crate::model::names::{self, volume_annotation};
use crate::model::on_delete::OnDelete;
use crate::model::retention::Retention;
use crate::model::volume::{Installation, area};
use crate::policy::effective::MODE;

/// The values that are written on the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// Its share.
    pub share: Share,
    /// Its path below the share.
    pub directory: Directory,
    /// What happens to it when the claim is gone.
    pub on_delete: OnDelete,
    /// How long it is kept after it was archived.
    pub retention: Retention,
    /// Its finalizers.
    pub finalizers: Vec<String>,
}

impl TakenOver {
    /// The merge patch (RFC 7396) that takes the volume over. It marks the directory as adopted and the volume as ready, so
    /// Bindery does not change the mode of the directory, and does not remove it as unused.
    pub fn patch(&self, installation: &Installation) -> Value {
        let ours = [names::FINALIZER.to_owned()];
        let others = self.finalizers.iter().filter(|held| *held != names::FINALIZER);
        let finalizers: Vec<&String> = others.chain(&ours).collect();
        json!({"metadata": {
            "finalizers": finalizers,
            "labels": {names::AREA: area(&self.share, &self.directory)},
            "annotations": {
                volume_annotation::PROVISIONED_BY: installation.provisioner,
                volume_annotation::INSTANCE: installation.instance,
                volume_annotation::SHARE: self.share.path(),
                volume_annotation::SUB_DIR: self.directory.as_str(),
                volume_annotation::DIRECTORY: "adopted",
                volume_annotation::ON_DELETE: self.on_delete.as_str(),
                volume_annotation::MOUNT_PERMISSIONS: format!("{MODE:04o}"),
                volume_annotation::ARCHIVE_RETENTION: self.retention.to_string(),
                volume_annotation::NFS_VERSION: self.share.version().as_str(),
                volume_annotation::READY: "true",
            },
        }})
    }
}
