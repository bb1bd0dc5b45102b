//! The lines of `bindery df`: volumes, archives and shares.

use std::cmp::Reverse;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use serde::Serialize;

use crate::cli::df::SortBy;
use crate::commands::archives::print;
use crate::model::archive::{Archive, ArchivePhase};
use crate::model::claim::Bytes;
use crate::model::share_space::ShareSpace;
use crate::model::usage::Usage;
use crate::model::volume::Volume;

/// A volume or an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The namespace of its claim, or of the object of the archive.
    pub namespace: String,
    /// Its claim.
    pub claim: String,
    /// The namespace of the claim, if it is not that of the archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_namespace: Option<String>,
    /// The name of the `PersistentVolume`, or of the archive.
    pub name: String,
    /// Its StorageClass.
    pub class: String,
    /// The NFS server.
    pub server: String,
    /// The export.
    pub share: String,
    /// The path below the share; missing for an archive that was restored.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub directory: String,
    /// The size that the claim has requested, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// The bytes that the files use; missing if they were not measured yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// The number of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// The number of directories that could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<u64>,
    /// The limit of the size on the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// When it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_at: Option<String>,
    /// The phase of an archive. A claim has the directory of one that is `Restored`: it is counted there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<ArchivePhase>,
    /// When an archive is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    #[serde(skip)]
    pub measured: Option<Timestamp>,
}

impl Item {
    /// Returns a volume of Bindery; nothing for other volumes, and for volumes without a claim.
    pub fn of_volume(object: &PersistentVolume) -> Option<Self> {
        let volume = Volume::read(object);
        let record = volume.record.as_ref().ok()?;
        let claim = volume.claim.as_ref()?;
        let item = Self {
            namespace: claim.namespace.clone(),
            claim: claim.name.clone(),
            name: volume.name.clone(),
            class: volume.class.clone(),
            server: record.share.server().to_owned(),
            share: record.share.path().to_owned(),
            directory: record.directory.to_string(),
            capacity: volume.capacity.as_ref().map(bytes),
            ..Self::default()
        };
        volume.maker.as_ref()?;
        Some(item.with(volume.usage))
    }

    /// Returns an archive.
    pub fn of_archive(archive: &Archive) -> Self {
        let spec = &archive.spec;
        let namespace = archive.namespace().unwrap_or_default();
        let expires = archive.expires().filter(|_| !archive.is_restored());
        let item = Self {
            claim: spec.claim_name.clone(),
            claim_namespace: spec.claim_namespace.clone().filter(|of_claim| *of_claim != namespace),
            namespace,
            name: archive.name_any(),
            class: spec.storage_class_name.clone().unwrap_or_default(),
            server: spec.server.clone(),
            share: spec.share.clone(),
            directory: if archive.is_restored() {
                String::new()
            } else {
                archive.current_directory().to_owned()
            },
            capacity: spec.capacity.as_ref().and_then(|size| {
                let quantity = k8s_openapi::apimachinery::pkg::api::resource::Quantity(size.clone());
                Bytes::read(&quantity).as_ref().map(bytes)
            }),
            phase: Some(archive.status.as_ref().map(|status| status.phase).unwrap_or_default()),
            expires_at: expires.map(|time| time.to_string()),
            ..Self::default()
        };
        item.with(print::usage(archive))
    }

    /// Whether a claim has the directory of this archive. Its volume has the same files.
    pub fn is_restored(&self) -> bool {
        self.phase == Some(ArchivePhase::Restored)
    }

    /// Returns the claim; with its namespace if the object is in another one.
    pub fn shown_claim(&self) -> String {
        match &self.claim_namespace {
            Some(namespace) => format!("{namespace}/{}", self.claim),
            None => self.claim.clone(),
        }
    }

    fn with(self, usage: Option<Usage>) -> Self {
        let Some(usage) = usage else { return self };
        Self {
            used: Some(usage.bytes),
            files: Some(usage.files),
            unread: Some(usage.unread).filter(|unread| *unread > 0),
            limit: usage.limit,
            measured_at: Some(usage.measured.to_string()),
            measured: Some(usage.measured),
            ..self
        }
    }
}

fn bytes(size: &Bytes) -> u64 {
    u64::try_from(size.bytes).unwrap_or(u64::MAX)
}

/// A share, as the leader has recorded it.
pub type ShareItem = ShareSpace;

/// Sorts volumes or archives. Lines that are equal in this order are sorted by name.
pub fn sort(items: &mut [Item], by: SortBy) {
    items.sort_by_cached_key(|item| {
        let number = match by {
            SortBy::Used => item.used,
            SortBy::Files => item.files,
            SortBy::Capacity => item.capacity,
            SortBy::Name => None,
            // What was never measured comes first.
            SortBy::Measured => return (Reverse(None), item.measured, name(item)),
        };
        (Reverse(number), None, name(item))
    });
}

fn name(item: &Item) -> (String, String, String) {
    (item.namespace.clone(), item.claim.clone(), item.name.clone())
}

/// Sorts shares.
pub fn sort_shares(shares: &mut [ShareItem], by: SortBy) {
    shares.sort_by_cached_key(|share| {
        let number = match by {
            SortBy::Used => share.used(),
            SortBy::Files => share.used_files(),
            SortBy::Capacity => share.size,
            SortBy::Name | SortBy::Measured => None,
        };
        let measured = (by == SortBy::Measured).then(|| share.measured_at.clone());
        (Reverse(number), measured, share.server.clone(), share.share.clone())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, used: Option<u64>, files: Option<u64>, capacity: u64) -> Item {
        Item {
            namespace: "team-a".to_owned(),
            claim: name.to_owned(),
            used,
            files,
            capacity: Some(capacity),
            measured: used.and_then(|used| Timestamp::from_second(i64::try_from(used).unwrap()).ok()),
            ..Item::default()
        }
    }

    #[test]
    fn the_largest_number_the_oldest_time_and_the_first_name_come_first() {
        let mut items = vec![
            item("d", None, None, 40),
            item("b", Some(2), Some(1), 30),
            item("a", Some(2), Some(5), 10),
            item("c", Some(9), Some(3), 20),
        ];
        for (by, order) in [
            (SortBy::Used, "cabd"),
            (SortBy::Files, "acbd"),
            (SortBy::Capacity, "dbca"),
            (SortBy::Name, "abcd"),
            (SortBy::Measured, "dabc"),
        ] {
            sort(&mut items, by);
            let found: String = items.iter().map(|item| &*item.claim).collect();
            assert_eq!(found, order, "{by:?}");
        }
    }
}
