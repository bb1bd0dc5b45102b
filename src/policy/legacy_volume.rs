//! Takes over volumes of nfs-subdir-external-provisioner, if Bindery uses the provisioner name of that program. Computes the
//! annotations of the volumes.
//!
//! Volume `pvc-1` on `nas1:/export/team-a-data-pvc-1` of a class with `archiveOnDelete: "false"` becomes directory
//! `team-a-data-pvc-1` of share `nas1:/export`, with `onDelete: delete`. A volume that is not clearly a directory below
//! a known share is not taken over, and Bindery does nothing with it.

use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

use super::legacy_class;
use super::taken_over::TakenOver;
use crate::model::directory::{Directory, Share};
use crate::model::invalid::Invalid;
use crate::model::names::{self, annotation, volume_annotation};
use crate::model::on_delete::OnDelete;
use crate::model::retention::Retention;
use crate::model::volume::Installation;
use crate::policy::class::{Class, Defaults};

/// The settings of an administrator for legacy volumes.
#[derive(Clone, Copy, Debug)]
pub struct TakeoverOptions<'a> {
    /// The NFS server and the export of the other program.
    pub defaults: &'a Defaults,
    /// Whether directories of several segments are deleted, too, if their class says so. By default they are archived: the
    /// other program never deleted them, and users may rely on that.
    pub delete_nested: bool,
}

/// A volume of nfs-subdir-external-provisioner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyVolume {
    /// Its class, if it names one.
    pub class: Option<String>,
    /// The NFS server and the path.
    nfs: Option<(String, String)>,
    /// The policy that an administrator wrote on it before the takeover.
    on_delete: Option<String>,
    finalizers: Vec<String>,
}

impl LegacyVolume {
    /// Reads a volume. `None` unless the volume names this provisioner, names no installation of Bindery, and was bound to a
    /// claim. `None` also for a volume that is being deleted: no finalizer can be added to it, and its directory stays.
    pub fn read(volume: &PersistentVolume, installation: &Installation) -> Option<Self> {
        let (meta, spec) = (&volume.metadata, volume.spec.as_ref()?);
        let annotations = volume.annotations();
        let claim = spec.claim_ref.as_ref()?.uid.as_deref()?;
        let old = legacy_class::is_legacy(&installation.provisioner)
            && annotations.get(volume_annotation::PROVISIONED_BY) == Some(&installation.provisioner)
            && !annotations.contains_key(volume_annotation::INSTANCE)
            && meta.deletion_timestamp.is_none()
            && !["", names::UNBOUND_UID].contains(&claim);
        let class = annotations
            .get(annotation::BETA_CLASS)
            .or(spec.storage_class_name.as_ref());
        old.then(|| Self {
            class: class.filter(|class| !class.is_empty()).cloned(),
            nfs: spec.nfs.as_ref().map(|nfs| (nfs.server.clone(), nfs.path.clone())),
            on_delete: annotations.get(volume_annotation::ON_DELETE).cloned(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
        })
    }

    /// Computes the values that are written on the volume. The error says why the volume is not taken over. `class` is the
    /// class that the volume names, if it exists.
    pub fn take_over(
        &self,
        class: Option<&StorageClass>,
        options: TakeoverOptions<'_>,
        installation: &Installation,
    ) -> Result<TakenOver, String> {
        let (server, path) = self.nfs.as_ref().ok_or("it is not an NFS volume")?;
        // A class with this name and another provisioner may exist now.
        let class = class.filter(|class| class.provisioner == installation.provisioner);
        let class = class.map(|class| Class::read(class, options.defaults)).transpose();
        let class = class.map_err(|error| {
            let name = self.class.as_deref().unwrap_or_default();
            format!("its StorageClass {name} is not valid: {error}")
        })?;
        // The flags come first: the other program created all its directories there.
        let flags = options.defaults.server.as_ref().zip(options.defaults.share.as_ref());
        let flags = flags.and_then(|(server, path)| Share::parse(server, path).ok());
        let shares: Vec<Share> = flags
            .into_iter()
            .chain(class.as_ref().map(|class| class.share.clone()))
            .collect();
        let (share, directory) = shares
            .iter()
            .find_map(|share| Some((share, share.below(server, path)?)))
            .ok_or_else(|| {
                let shares: Vec<String> = shares.iter().map(Share::to_string).collect();
                let shares = if shares.is_empty() {
                    "any share".to_owned()
                } else {
                    shares.join(" or ")
                };
                format!(
                    "{server}:{path} is not below {shares}; start Bindery with the --nfs-server and --nfs-share of \
                this volume"
                )
            })?;
        let directory = Directory::parse(directory).map_err(|error| error.to_string())?;
        let settings = class.as_ref().map(|class| class.settings.clone()).unwrap_or_default();
        let nested = directory.segments().nth(1).is_some();
        let on_delete = match (&self.on_delete, settings.on_delete) {
            (Some(written), _) => written
                .parse()
                .map_err(|error| Invalid::value(volume_annotation::ON_DELETE, written, &error).to_string())?,
            (None, Some(OnDelete::Delete)) if nested && !options.delete_nested => OnDelete::Archive,
            (None, Some(on_delete)) => on_delete,
            (None, None) => OnDelete::Archive,
        };
        Ok(TakenOver {
            share: share.clone().over(settings.version.unwrap_or_default()),
            directory,
            on_delete,
            retention: settings.retention.unwrap_or(Retention::Forever),
            finalizers: self.finalizers.clone(),
        })
    }
}

#[cfg(test)]
#[path = "legacy_volume_tests.rs"]
mod tests;
