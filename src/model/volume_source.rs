//! What the nodes mount for a volume: the source of a PersistentVolume. The API server does not allow to change it, so it
//! protects the location of the directory.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, NFSVolumeSource, PersistentVolumeSpec, SecretReference as KubeSecretReference,
};

use super::choices::CsiDriver;
use super::directory::{Directory, Share};
use super::names::volume_attribute;
use super::on_delete::OnDelete;

/// The source of a volume, without the location of its directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VolumeSource {
    /// `spec.nfs`: the kubelet mounts the directory.
    #[default]
    Nfs,
    /// `spec.csi`: a CSI driver mounts the directory.
    Csi(Box<CsiSource>),
}

/// What a CSI driver needs to mount a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsiSource {
    /// The name of the driver.
    pub driver: String,
    /// Its `volumeAttributes`.
    pub attributes: BTreeMap<String, String>,
    /// The Secret that the driver gets when it stages the volume on a node.
    pub node_stage_secret: Option<SecretReference>,
    /// The Secret that the driver gets when it mounts the volume for a pod.
    pub node_publish_secret: Option<SecretReference>,
}

/// A Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The location of a directory, as the source of its volume says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// The NFS server.
    pub server: String,
    /// The absolute path on the server.
    pub path: String,
    /// The source.
    pub source: VolumeSource,
}

/// The location that csi-driver-nfs mounts, as the attributes of a volume say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverLocation {
    /// The NFS server.
    pub server: String,
    /// The export.
    pub share: String,
    /// The directory below the share. Tokens without a known value stay in it.
    pub directory: String,
}

/// The directory of a new volume, and what else its source depends on.
#[derive(Clone, Copy, Debug)]
pub struct NewSource<'a> {
    /// The name of the volume.
    pub volume: &'a str,
    /// The share of the directory.
    pub share: &'a Share,
    /// The directory.
    pub directory: &'a Directory,
    /// What happens to the directory when the claim is gone.
    pub on_delete: OnDelete,
}

impl VolumeSource {
    /// Writes the source into the spec of a new volume.
    pub fn write(&self, new: NewSource<'_>, spec: &mut PersistentVolumeSpec) {
        let (server, path) = (new.share.server().to_owned(), new.share.join(new.directory));
        match self {
            Self::Nfs => {
                spec.nfs = Some(NFSVolumeSource {
                    server,
                    path,
                    read_only: None,
                });
            }
            Self::Csi(csi) => {
                let mut attributes = csi.attributes.clone();
                attributes.insert(volume_attribute::SERVER.to_owned(), server);
                attributes.insert(volume_attribute::PATH.to_owned(), path);
                spec.csi = Some(CSIPersistentVolumeSource {
                    driver: csi.driver.clone(),
                    volume_handle: csi.handle(new),
                    volume_attributes: Some(attributes),
                    node_stage_secret_ref: csi.node_stage_secret.as_ref().map(SecretReference::write),
                    node_publish_secret_ref: csi.node_publish_secret.as_ref().map(SecretReference::write),
                    ..CSIPersistentVolumeSource::default()
                });
            }
        }
    }

    /// The CSI driver; `None` for `spec.nfs`.
    pub fn driver(&self) -> Option<&str> {
        match self {
            Self::Nfs => None,
            Self::Csi(csi) => Some(&csi.driver),
        }
    }

    /// The field of the volume that has the source.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Nfs => "spec.nfs",
            Self::Csi(_) => "spec.csi",
        }
    }
}

impl CsiSource {
    /// The id of the volume for the driver. csi-driver-nfs reads server, share and directory from the id if it is told to
    /// delete the volume. So the id has the form of that driver. If a part contains the separator, the driver would delete
    /// another directory: then, and for other drivers, the id is the name of the volume. For that id it deletes nothing.
    fn handle(&self, new: NewSource<'_>) -> String {
        const SEPARATOR: char = '#';
        let parts = [new.share.server(), new.share.path(), new.directory.as_str()].map(|part| part.trim_matches('/'));
        if self.driver != CsiDriver::Nfs.as_str() || parts.iter().any(|part| part.contains(SEPARATOR)) {
            return new.volume.to_owned();
        }
        let [server, share, directory] = parts;
        let (volume, on_delete) = (new.volume, new.on_delete);
        format!("{server}{SEPARATOR}{share}{SEPARATOR}{directory}{SEPARATOR}{volume}{SEPARATOR}{on_delete}")
    }
}

impl SecretReference {
    fn write(&self) -> KubeSecretReference {
        KubeSecretReference {
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
        }
    }

    fn read(written: &KubeSecretReference) -> Option<Self> {
        Some(Self {
            namespace: written.namespace.clone()?,
            name: written.name.clone()?,
        })
    }
}

impl DriverLocation {
    /// Reads the location. `None` for another driver.
    pub fn read(csi: &CSIPersistentVolumeSource) -> Option<Self> {
        let attributes = csi
            .volume_attributes
            .as_ref()
            .filter(|_| csi.driver == CsiDriver::Nfs.as_str())?;
        // The driver ignores the case of keys.
        let get = |key: &str| {
            let mut found = attributes.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
            found.next().map(|(_, value)| value.clone())
        };
        let mut directory = get("subdir").unwrap_or_default();
        for (token, key) in [
            ("${pvc.metadata.namespace}", "csi.storage.k8s.io/pvc/namespace"),
            ("${pvc.metadata.name}", "csi.storage.k8s.io/pvc/name"),
            ("${pv.metadata.name}", "csi.storage.k8s.io/pv/name"),
        ] {
            if let Some(value) = get(key) {
                directory = directory.replace(token, &value);
            }
        }
        Some(Self {
            server: get("server")?,
            share: get("share")?,
            directory,
        })
    }

    /// The server and the absolute path, if the directory is below the share.
    fn path(&self) -> Option<(String, String)> {
        let share = Share::parse(&self.server, &self.share).ok()?;
        let directory = Directory::parse(self.directory.trim_matches('/')).ok()?;
        Some((self.server.clone(), share.join(&directory)))
    }
}

impl SourceLocation {
    /// Reads the location. `None` for a source that Bindery does not write.
    pub fn read(spec: &PersistentVolumeSpec) -> Option<Self> {
        if let Some(nfs) = &spec.nfs {
            return Some(Self {
                server: nfs.server.clone(),
                path: nfs.path.clone(),
                source: VolumeSource::Nfs,
            });
        }
        let csi = spec.csi.as_ref()?;
        let mut attributes = csi.volume_attributes.clone()?;
        let own = attributes
            .remove(volume_attribute::SERVER)
            .zip(attributes.remove(volume_attribute::PATH));
        // A volume of csi-driver-nfs that Bindery has taken over has only the attributes of the driver.
        let (server, path) = own.or_else(|| DriverLocation::read(csi)?.path())?;
        Some(Self {
            server,
            path,
            source: VolumeSource::Csi(Box::new(CsiSource {
                driver: csi.driver.clone(),
                attributes,
                node_stage_secret: csi.node_stage_secret_ref.as_ref().and_then(SecretReference::read),
                node_publish_secret: csi.node_publish_secret_ref.as_ref().and_then(SecretReference::read),
            })),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(driver: &str) -> VolumeSource {
        VolumeSource::Csi(Box::new(CsiSource {
            driver: driver.to_owned(),
            attributes: [("share".to_owned(), "/export".to_owned())].into(),
            node_stage_secret: Some(SecretReference {
                namespace: "ceph".to_owned(),
                name: "nodes".to_owned(),
            }),
            node_publish_secret: None,
        }))
    }

    fn written(source: &VolumeSource, directory: &str) -> PersistentVolumeSpec {
        let mut spec = PersistentVolumeSpec::default();
        let new = NewSource {
            volume: "pvc-1",
            share: &Share::parse("nas1", "/export/volumes").unwrap(),
            directory: &Directory::parse(directory).unwrap(),
            on_delete: OnDelete::Archive,
        };
        source.write(new, &mut spec);
        spec
    }

    #[test]
    fn every_source_that_is_written_is_read_back() {
        for source in [
            VolumeSource::Nfs,
            source("nfs.csi.k8s.io"),
            source("cephfs.csi.ceph.com"),
        ] {
            let read = SourceLocation::read(&written(&source, "team-a/data")).unwrap();
            assert_eq!((&*read.server, &*read.path), ("nas1", "/export/volumes/team-a/data"));
            assert_eq!(read.source, source);
        }
    }

    #[test]
    fn the_id_has_the_form_of_csi_driver_nfs_for_that_driver_only() {
        let handle = |driver, directory| written(&source(driver), directory).csi.unwrap().volume_handle;
        assert_eq!(
            handle("nfs.csi.k8s.io", "team-a/data"),
            "nas1#export/volumes#team-a/data#pvc-1#archive"
        );
        assert_eq!(
            handle("nfs.csi.k8s.io", "a#b"),
            "pvc-1",
            "the driver would delete directory a"
        );
        assert_eq!(handle("cephfs.csi.ceph.com", "team-a/data"), "pvc-1");
    }

    #[test]
    fn a_csi_volume_without_the_attributes_of_bindery_has_no_location() {
        let mut spec = written(&source("nfs.csi.k8s.io"), "data");
        let attributes = spec.csi.as_mut().unwrap().volume_attributes.as_mut().unwrap();
        attributes.remove(volume_attribute::PATH);
        assert_eq!(SourceLocation::read(&spec), None);
    }
}
