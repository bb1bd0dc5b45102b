//! The data source of a claim: `dataSource` and `dataSourceRef`.

use k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;

use super::names::{ARCHIVE_KIND, GROUP};

/// The API group of `VolumeSnapshot`.
const SNAPSHOTS: &str = "snapshot.storage.k8s.io";

/// The source of the first content of a claim's volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DataSource {
    /// None: the volume is empty at first.
    #[default]
    Empty,
    /// A copy of another claim's volume.
    Claim(String),
    /// A copy of a `VolumeSnapshot`.
    Snapshot(String),
    /// An archive of Bindery, from `dataSourceRef`: its name, or the name of a claim.
    Archive(String),
    /// The same with a namespace. The API server removes it from the claim, even if it is the claim's own namespace, unless
    /// the alpha feature gate `CrossNamespaceVolumeDataSource` is on.
    ArchiveOfNamespace(String),
    /// An object of Bindery's API group of another kind than `Archive`, from `dataSourceRef`. There is no such kind.
    NotAnArchive(String),
    /// An object of this kind, from `dataSourceRef`. A volume populator fills the volume.
    Populator(String),
    /// An object of this kind, from `dataSource`. The API server removes it from the claim, so no populator sees it.
    Removed(String),
    /// An object of this kind in another namespace, from `dataSourceRef`. The API server removes it from the claim,
    /// unless the alpha feature gate `CrossNamespaceVolumeDataSource` is on.
    OtherNamespace(String),
}

impl DataSource {
    /// Reads the source of a claim.
    pub fn read(claim: &PersistentVolumeClaimSpec) -> Self {
        let kind_of = |group: Option<&str>, kind: &str| match group.unwrap_or_default() {
            "" => kind.to_owned(),
            group => format!("{kind}.{group}"),
        };
        let copy_of = |group: Option<&str>, kind: &str, name: &str| match (group.unwrap_or_default(), kind) {
            ("", "PersistentVolumeClaim") => Some(Self::Claim(name.to_owned())),
            (SNAPSHOTS, "VolumeSnapshot") => Some(Self::Snapshot(name.to_owned())),
            _ => None,
        };
        if let Some(source) = &claim.data_source_ref {
            let group = source.api_group.as_deref();
            let is_archive = (group, &*source.kind) == (Some(GROUP), ARCHIVE_KIND);
            if group == Some(GROUP) && !is_archive {
                return Self::NotAnArchive(source.kind.clone());
            }
            if source
                .namespace
                .as_deref()
                .is_some_and(|namespace| !namespace.is_empty())
            {
                return if is_archive {
                    Self::ArchiveOfNamespace(source.name.clone())
                } else {
                    Self::OtherNamespace(kind_of(group, &source.kind))
                };
            }
            if is_archive {
                return Self::Archive(source.name.clone());
            }
            let copy = copy_of(group, &source.kind, &source.name);
            copy.unwrap_or_else(|| Self::Populator(kind_of(group, &source.kind)))
        } else if let Some(source) = &claim.data_source {
            let group = source.api_group.as_deref();
            let copy = copy_of(group, &source.kind, &source.name);
            copy.unwrap_or_else(|| Self::Removed(kind_of(group, &source.kind)))
        } else {
            Self::Empty
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(spec: Value) -> DataSource {
        DataSource::read(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn the_kind_and_the_field_decide() {
        let claim = json!({"kind": "PersistentVolumeClaim", "name": "other"});
        let snapshot = json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "monday"});
        let image = json!({"apiGroup": "example.com", "kind": "Image", "name": "linux"});
        for field in ["dataSource", "dataSourceRef"] {
            assert_eq!(read(json!({field: claim})), DataSource::Claim("other".to_owned()));
            assert_eq!(
                read(json!({field: snapshot})),
                DataSource::Snapshot("monday".to_owned())
            );
        }
        let kind = "Image.example.com".to_owned();
        assert_eq!(
            read(json!({"dataSourceRef": image})),
            DataSource::Populator(kind.clone())
        );
        assert_eq!(read(json!({"dataSource": image})), DataSource::Removed(kind.clone()));
        let mut elsewhere = image;
        elsewhere["namespace"] = json!("team-b");
        assert_eq!(
            read(json!({"dataSourceRef": elsewhere})),
            DataSource::OtherNamespace(kind)
        );
        assert_eq!(read(json!({})), DataSource::Empty);
    }

    #[test]
    fn an_archive_is_named_in_data_source_ref() {
        let archive = json!({"apiGroup": "bindery.dev", "kind": "Archive", "name": "data"});
        assert_eq!(
            read(json!({"dataSourceRef": archive, "dataSource": archive})),
            DataSource::Archive("data".to_owned())
        );
        for namespace in [Value::Null, json!("team-b")] {
            let mut misspelt = archive.clone();
            (misspelt["kind"], misspelt["namespace"]) = (json!("Archives"), namespace);
            assert_eq!(
                read(json!({"dataSourceRef": misspelt})),
                DataSource::NotAnArchive("Archives".to_owned())
            );
        }
        // The API server would remove it.
        assert_eq!(
            read(json!({"dataSource": archive})),
            DataSource::Removed("Archive.bindery.dev".to_owned())
        );
        let mut of_namespace = archive;
        of_namespace["namespace"] = json!("team-b");
        assert_eq!(
            read(json!({"dataSourceRef": of_namespace})),
            DataSource::ArchiveOfNamespace("data".to_owned())
        );
        of_namespace["apiGroup"] = json!("example.com");
        of_namespace["namespace"] = json!("");
        assert_eq!(
            read(json!({"dataSourceRef": of_namespace})),
            DataSource::Populator("Archive.example.com".to_owned())
        );
    }
}
