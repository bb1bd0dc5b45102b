//! Of a volume: all that Bindery says there, and of others' where their directories are.

use k8s_openapi::api::core::v1::{NFSVolumeSource, PersistentVolume};

use super::Facts;
use crate::names::{self, mark};
use crate::policy::directory::{Share, same_tree, segments};
use crate::volume::Volume;

/// What is used of a volume.
#[derive(Clone, Debug)]
pub struct VolumeFacts {
    volume: Volume,
    /// Where its directory is, if the record does not tell.
    nfs: Option<Box<NFSVolumeSource>>,
    /// Who made it, if that is no installation of Bindery.
    stranger: Option<Box<str>>,
    /// Some installation of Bindery has marked it.
    marked: bool,
}

impl Facts for VolumeFacts {
    type Of = PersistentVolume;

    fn take(object: PersistentVolume) -> Self {
        let mut volume = Volume::read(&object);
        volume.access_modes.shrink_to_fit();
        let meta = object.metadata;
        let maker = meta
            .annotations
            .and_then(|mut marks| marks.remove(mark::PROVISIONED_BY));
        let nfs = object.spec.and_then(|spec| spec.nfs);
        Self {
            nfs: nfs.filter(|_| volume.record.is_err()).map(Box::new),
            stranger: maker.filter(|_| volume.maker.is_none()).map(String::into_boxed_str),
            marked: meta.labels.is_some_and(|labels| labels.contains_key(names::AREA)),
            volume,
        }
    }
}

impl VolumeFacts {
    /// What the volume says.
    pub fn read(&self) -> &Volume {
        &self.volume
    }

    /// The NFS server that it is on, as the volume writes it.
    pub fn server(&self) -> Option<&str> {
        let nfs = self.nfs.as_ref().map(|nfs| nfs.server.as_str());
        nfs.or(self.volume.record.as_ref().map(|record| record.share.server()).ok())
    }

    /// Whether another program of this name made it.
    pub fn is_made_by(&self, stranger: &str) -> bool {
        self.stranger.as_deref() == Some(stranger)
    }

    /// Whether its directory is this one of a share's server, or lies above or in it; `path` is the whole one.
    pub fn is_in_tree_of(&self, share: &Share, path: &str) -> bool {
        match (&self.volume.record, &self.nfs) {
            (Ok(record), _) => {
                let own = record.share.segments().chain(record.directory.segments());
                same_tree(own, segments(path)) && record.share.server() == share.server()
            }
            (Err(_), Some(nfs)) if !same_tree(segments(&nfs.path), segments(path)) => false,
            (Err(_), Some(nfs)) if self.marked => share.is_on(&nfs.server),
            // Say one of nfs-subdir-external-provisioner that is not taken over yet. One that is the share itself would be
            // above all others: it never was a directory of its own.
            (Err(_), Some(nfs)) => {
                (self.stranger.is_some() || self.volume.maker.is_some())
                    && share.below(&nfs.server, &nfs.path).is_some()
            }
            (Err(_), None) => false,
        }
    }
}
