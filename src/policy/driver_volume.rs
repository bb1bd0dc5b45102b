//! Takes over volumes of csi-driver-nfs. Computes the annotations of the volumes.
//!
//! The nodes mount such a volume as before. Only its deletion becomes the task of Bindery. The directory is read from the
//! attributes of the volume, which cannot be changed, and the policy from its id: csi-driver-nfs writes
//! `<server>#<share>#<directory>#<volume>#<onDelete>`.

use k8s_openapi::api::core::v1::{CSIPersistentVolumeSource, PersistentVolume};
use kube::ResourceExt;

use super::key::Key;
use super::taken_over::TakenOver;
use crate::model::choices::CsiDriver;
use crate::model::directory::{Directory, NfsVersion, Share};
use crate::model::invalid::Invalid;
use crate::model::names::{self, annotation, volume_annotation};
use crate::model::on_delete::OnDelete;
use crate::model::retention::Retention;
use crate::model::volume_source::DriverLocation;

/// The finalizer of CSI's external-provisioner. Without its controller it would never go.
const PROVISIONER_FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// A volume of csi-driver-nfs that an administrator wants Bindery to take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverVolume {
    location: Option<DriverLocation>,
    /// The policy in its id, or else in its attributes.
    on_delete_of_driver: String,
    /// The policy that an administrator wrote on it before the takeover.
    on_delete: Option<String>,
    nfs_version: Option<String>,
    finalizers: Vec<String>,
}

impl DriverVolume {
    /// Reads a volume. `None` unless csi-driver-nfs created it for a claim. `None` also for a volume that is being deleted:
    /// no finalizer can be added to it. `all` says whether Bindery takes all these volumes over; otherwise only those with
    /// the annotation `bindery.dev/take-over: "true"`.
    pub fn read(volume: &PersistentVolume, all: bool) -> Option<Self> {
        let (meta, spec) = (&volume.metadata, volume.spec.as_ref()?);
        let annotations = volume.annotations();
        let csi = spec.csi.as_ref()?;
        let claim = spec.claim_ref.as_ref()?.uid.as_deref()?;
        let driver = CsiDriver::Nfs.as_str();
        let is_wanted = all || is_asked_for(volume);
        let is_of_driver = csi.driver == driver
            && annotations
                .get(volume_annotation::PROVISIONED_BY)
                .is_some_and(|by| by == driver)
            && !annotations.contains_key(volume_annotation::INSTANCE)
            && meta.deletion_timestamp.is_none()
            && !["", names::UNBOUND_UID].contains(&claim);
        (is_wanted && is_of_driver).then(|| Self {
            location: DriverLocation::read(csi),
            on_delete_of_driver: on_delete(csi),
            on_delete: annotations.get(volume_annotation::ON_DELETE).cloned(),
            nfs_version: annotations.get(volume_annotation::NFS_VERSION).cloned(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
        })
    }

    /// Computes the values that are written on the volume. The error says why the volume is not taken over.
    pub fn take_over(&self) -> Result<TakenOver, String> {
        let location = self
            .location
            .as_ref()
            .ok_or("its attributes do not name a server and a share")?;
        let directory = location.directory.trim_matches('/');
        if directory.is_empty() {
            return Err("it is the whole share, and Bindery manages only directories below a share".to_owned());
        }
        if directory.contains("${") {
            return Err(format!(
                "its attribute subDir {directory:?} has a token whose value is not known"
            ));
        }
        let share = Share::parse(&location.server, &location.share).map_err(|error| error.to_string())?;
        let directory = Directory::parse(directory).map_err(|error| error.to_string())?;
        let version = self.nfs_version.as_deref().map(str::parse::<NfsVersion>).transpose();
        let version = version.map_err(|error| {
            let written = self.nfs_version.as_deref().unwrap_or_default();
            Invalid::value(volume_annotation::NFS_VERSION, written, &error).to_string()
        })?;
        let on_delete = match &self.on_delete {
            Some(written) => written
                .parse()
                .map_err(|error| Invalid::value(volume_annotation::ON_DELETE, written, &error).to_string())?,
            // Without either, the policy is the default of the driver, which a flag of the driver sets.
            None => self.on_delete_of_driver.parse().unwrap_or(OnDelete::Archive),
        };
        let others = self.finalizers.iter().filter(|held| *held != PROVISIONER_FINALIZER);
        Ok(TakenOver {
            share: share.over(version.unwrap_or_default()),
            directory,
            on_delete,
            retention: Retention::Forever,
            finalizers: others.cloned().collect(),
        })
    }
}

/// The policy of the driver, in lower case: the driver ignores case. It writes only `retain` and `archive` into the id of a
/// volume. All parameters of the class are attributes of the volume.
fn on_delete(csi: &CSIPersistentVolumeSource) -> String {
    let of_id = csi.volume_handle.split('#').nth(4).filter(|text| !text.is_empty());
    let attributes = csi.volume_attributes.iter().flatten();
    let mut of_class = attributes.filter(|(name, _)| name.eq_ignore_ascii_case(Key::OnDelete.as_str()));
    let written = of_id.or_else(|| of_class.next().map(|(_, value)| value.as_str()));
    written.unwrap_or_default().to_lowercase()
}

/// Whether an administrator has asked for the takeover of this volume.
pub fn is_asked_for(volume: &PersistentVolume) -> bool {
    let asked = volume.annotations().get(annotation::TAKE_OVER);
    asked.is_some_and(|asked| asked == "true")
}

#[cfg(test)]
#[path = "driver_volume_tests.rs"]
mod tests;
