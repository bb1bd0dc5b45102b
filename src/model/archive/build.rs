//! Builds the object of an archive.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::{Archive, ArchiveSpec};
use crate::model::directory::{ArchiveName, Directory, Share};
use crate::model::identity::Identity;
use crate::model::names;
use crate::model::volume::{Installation, Record, Volume};

/// The namespace in which the object of an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl ArchiveSpec {
    /// Describes the archive of a volume. `home` is the namespace of its claim, if that still exists. `None` if the place
    /// is not an archive of this volume.
    pub fn of_volume(
        volume: &Volume,
        record: &Record,
        installation: &Installation,
        identity: Identity,
        place: &Directory,
        home: Option<&Home>,
    ) -> Option<Self> {
        let name = ArchiveName::read(place.split_last().1, &installation.instance)?;
        if !name.is_of(&installation.instance, &volume.name) {
            return None;
        }
        let claim = volume.claim.as_ref();
        let known = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Some(Self {
            claim_name: claim
                .and_then(|claim| known(&claim.name))
                .unwrap_or_else(|| name.flat.to_owned()),
            claim_namespace: claim.and_then(|claim| known(&claim.namespace)),
            claim_uid: claim.and_then(|claim| claim.uid.clone()),
            namespace_uid: home.map(|home| home.uid.clone()).or(volume.namespace_uid.clone()),
            volume_name: Some(volume.name.clone()),
            volume_uid: Some(volume.uid.clone()),
            storage_class_name: known(&volume.class),
            original_directory: Some(record.directory.to_string()),
            share_id: record.share_id.map(|id| id.to_string()),
            capacity: volume.capacity.as_ref().map(|capacity| capacity.written.clone()),
            access_modes: volume.access_modes.clone(),
            ..Self::of_name(&record.share, installation, identity, place, &name)
        })
    }

    /// Describes an archive of which only the name is known.
    pub fn of_name(
        share: &Share,
        installation: &Installation,
        identity: Identity,
        place: &Directory,
        name: &ArchiveName<'_>,
    ) -> Self {
        Self {
            claim_name: name.flat.to_owned(),
            claim_namespace: None,
            claim_uid: None,
            namespace_uid: None,
            volume_name: None,
            volume_uid: None,
            storage_class_name: None,
            server: share.server().to_owned(),
            share: share.path().to_owned(),
            nfs_version: share.version().as_str().to_owned(),
            directory: place.to_string(),
            original_directory: None,
            directory_id: identity.to_string(),
            share_id: None,
            capacity: None,
            access_modes: Vec::new(),
            gid: name.own_group,
            archived_at: Time(name.made),
            expires_at: name.until.map(Time),
            provisioner: installation.provisioner.clone(),
            instance: installation.instance.clone(),
        }
    }

    /// The part of the archive's name on the share that identifies it; `None` if the directory is not an archive of the
    /// instance that it names.
    pub fn key(&self) -> Option<&str> {
        let name = self.directory.rsplit('/').next()?;
        Some(ArchiveName::read(name, &self.instance)?.key)
    }

    /// The text from which the letters at the end of the object's name are made: the volume's uid, or the key.
    pub fn seed(&self) -> &str {
        let key = || self.key().unwrap_or(&self.directory);
        self.volume_uid.as_deref().unwrap_or_else(key)
    }

    /// Builds the object with this name.
    pub fn build(&self, namespace: &str, name: &str) -> Archive {
        let mut archive = Archive::new(name, self.clone());
        archive.metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels(self)),
            finalizers: Some(vec![names::ARCHIVE_FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        };
        archive
    }
}

/// The labels of the object. A value that a label cannot have is left out.
pub fn labels(spec: &ArchiveSpec) -> BTreeMap<String, String> {
    let claim = spec.claim_uid.as_ref().map(|_| &*spec.claim_name);
    let all = [
        (names::ARCHIVE_KEY, spec.key()),
        (names::CLAIM_NAMESPACE, spec.claim_namespace.as_deref()),
        (names::CLAIM, claim),
        (names::CLASS, spec.storage_class_name.as_deref()),
    ];
    let valid = all
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.filter(|value| names::is_label_value(value))?)));
    valid.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
