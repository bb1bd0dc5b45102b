//! What a volume records about the archive whose directory it gets.

use super::annotations::Annotations;
use crate::model::choices::RestoreAttributes;
use crate::model::data_source::DataSource;
use crate::model::directory::{ArchiveName, Directory, NfsVersion, Share};
use crate::model::identity::Identity;
use crate::model::names::volume_annotation;

/// The archive whose directory a volume gets. The share is that of the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The namespace of its object.
    pub namespace: String,
    /// The name of its object.
    pub name: String,
    /// The name that the claim gives: of this object, or of the claim whose newest archive it is.
    pub named: String,
    /// Its path below the share.
    pub archive: Directory,
    /// The identity of its directory.
    pub identity: Identity,
    /// The NFS version in which the identity was read. Other versions may show another number of the file system.
    pub version: NfsVersion,
    /// The mode and the owner that the directory gets.
    pub attributes: RestoreAttributes,
}

impl Restored {
    /// Reads the annotations of a volume; nothing if it is not from an archive. The error says which annotation is wrong.
    pub(super) fn read(annotations: &Annotations<'_>) -> Result<Option<Self>, String> {
        let Some(object) = annotations.get::<String>(volume_annotation::RESTORED_FROM)? else {
            return Ok(None);
        };
        let (namespace, name) = object.split_once('/').ok_or_else(|| {
            annotations.invalid(
                volume_annotation::RESTORED_FROM,
                &"write namespace and name, with a slash between them",
            )
        })?;
        let path = annotations.require::<String>(volume_annotation::ARCHIVE)?;
        let archive = Directory::recorded(&path).filter(|place| place.archive_times().is_some());
        Ok(Some(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            named: annotations
                .get(volume_annotation::RESTORED_AS)?
                .unwrap_or_else(|| name.to_owned()),
            archive: archive.ok_or_else(|| annotations.invalid(volume_annotation::ARCHIVE, &"it is not an archive"))?,
            identity: annotations.require(volume_annotation::ARCHIVE_ID)?,
            version: annotations.require(volume_annotation::ARCHIVE_NFS_VERSION)?,
            attributes: annotations.require(volume_annotation::RESTORE_ATTRIBUTES)?,
        }))
    }

    /// The annotations with which a volume records this.
    pub(super) fn annotations(&self) -> [(&'static str, String); 6] {
        [
            (volume_annotation::RESTORED_FROM, self.object()),
            (volume_annotation::RESTORED_AS, self.named.clone()),
            (volume_annotation::ARCHIVE, self.archive.to_string()),
            (volume_annotation::ARCHIVE_ID, self.identity.to_string()),
            (volume_annotation::ARCHIVE_NFS_VERSION, self.version.as_str().to_owned()),
            (volume_annotation::RESTORE_ATTRIBUTES, self.attributes.to_string()),
        ]
    }

    /// Whether this archive was chosen for a claim with this data source.
    pub fn is_for(&self, source: &DataSource) -> bool {
        matches!(source, DataSource::Archive(name) if *name == self.named)
    }

    /// The object, as `namespace/name`.
    pub fn object(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The part of the archive's name that identifies it; `None` if it is not an archive of this instance.
    pub fn key(&self, instance: &str) -> Option<&str> {
        let (_, name) = self.archive.split_last();
        Some(ArchiveName::read(name, instance)?.key)
    }

    /// The group that no volume but this one has, as the name of the archive says.
    pub fn own_group(&self) -> Option<u32> {
        Directory::group_of_archive(self.archive.split_last().1)
    }

    /// The share of the volume, accessed in the way in which the identity was read.
    pub fn share(&self, share: &Share) -> Share {
        share.clone().over(self.version)
    }
}
