//! Chooses the group of a volume whose class has `gid: auto`: a group that no other volume and no archive uses.
//!
//! Two calls, on two replicas, may choose the same group at the same time. Each writes its volume first, and then looks
//! at all volumes that were written before. So at least one of the two sees the other volume, and chooses again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Error, Provisioner, Written};
use crate::cluster::api_error::{ApiFault, Kind};
use crate::cluster::patch;
use crate::model::directory::Directory;
use crate::model::volume::NewVolume;
use crate::policy::groups::none_free;
use crate::storage::{Found, trash_roots};

/// The maximum pause before another group is chosen. The pause is random, so that two calls do not choose the same
/// group again.
const LONGEST_PAUSE: Duration = Duration::from_millis(60);

impl Provisioner {
    /// Sets the group of a volume whose class has `gid: auto`. The group of an earlier call's volume, or of a directory
    /// that exists, is kept if it is in the range and not used.
    pub(super) async fn choose_group(
        &self,
        new: &mut NewVolume,
        found: Option<Found>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let Some(range) = new.group_range else { return Ok(()) };
        // The volumes are read before the archives. So a directory that is archived in the meantime is seen at least
        // once.
        let mut used = self.groups_of_others(new);
        let archives = self.metrics.wait("nfs", self.groups_of_archives(new, deadline));
        used.extend(archives.await?);
        let earlier = self.cluster.volumes.get(&ObjectRef::new(&new.name));
        let earlier = earlier.and_then(|volume| volume.read().gid);
        let known = [earlier, found.and_then(|found| found.gid)].into_iter().flatten();
        let mut kept = known.filter(|&gid| range.contains(gid) && !used.contains(&gid));
        let gid = kept.next().or_else(|| range.choose(&used, Uuid::new_v4()));
        new.attributes.gid = Some(gid.ok_or_else(|| Error::NoGroup(none_free(&new.class, range)))?);
        Ok(())
    }

    /// Checks, after the volume was written, that no other volume has its group. Otherwise chooses another group,
    /// writes it to the volume, and checks again.
    pub(super) async fn ensure_unique_group(
        &self,
        new: &mut NewVolume,
        written: &mut Written,
        deadline: Instant,
    ) -> Result<(), Error> {
        let Some(range) = new.group_range else { return Ok(()) };
        let purpose = || format!("choose a group for PersistentVolume {}", new.name);
        loop {
            if !self.cluster.wait_for_version(&new.name, &written.version).await {
                return Err(Error::Api(purpose(), ApiFault::timeout()));
            }
            let is_taken = |used: &BTreeSet<u32>| new.attributes.gid.is_none_or(|gid| used.contains(&gid));
            if !is_taken(&self.groups_of_others(new)) {
                return Ok(());
            }
            sleep(LONGEST_PAUSE * u32::from(Uuid::new_v4().as_bytes()[0]) / 255).await;
            let mut used = self.groups_of_others(new);
            if !is_taken(&used) {
                return Ok(());
            }
            let archives = self.metrics.wait("nfs", self.groups_of_archives(new, deadline));
            used.extend(archives.await?);
            let Some(gid) = range.choose(&used, Uuid::new_v4()) else {
                // The last free group: one of the two gets it when the volume of the other one is gone.
                let why = "another claim has chosen the last free group of the class at the same time";
                return Err(Error::Releasing(why.to_owned()));
            };
            new.attributes.gid = Some(gid);
            written.version = self.write_group(new, deadline).await?;
        }
    }

    /// Writes the group to the volume, and returns the new version.
    async fn write_group(&self, new: &NewVolume, deadline: Instant) -> Result<String, Error> {
        let purpose = || format!("write the group to PersistentVolume {}", new.name);
        loop {
            let volume = self.volume(new, deadline).await?;
            let Some(volume) = volume.filter(|volume| volume.attempt.as_ref() == Some(&new.attempt)) else {
                let why = "another call for this claim has changed its volume in the meantime";
                return Err(Error::Releasing(why.to_owned()));
            };
            let annotations: BTreeMap<_, _> = new.group_annotations().into();
            let fields = json!({"metadata": {"annotations": annotations}});
            let volumes = self.volumes();
            let merge = patch::merge(&volumes, &volume, fields);
            match self.api_call(purpose(), deadline, merge).await {
                Err(error) if error.api() == Some(Kind::Conflict) => sleep(super::PAUSE).await,
                written => return written,
            }
        }
    }

    /// Returns the groups of all other volumes in the watch cache, also of volumes that Bindery did not create.
    fn groups_of_others(&self, new: &NewVolume) -> BTreeSet<u32> {
        let volumes = self.cluster.volumes.store().state();
        let others = volumes.iter().filter(|volume| volume.name_any() != new.name);
        others.filter_map(|volume| volume.read().gid).collect()
    }

    /// Returns the groups of the archives of the share.
    async fn groups_of_archives(&self, new: &NewVolume, deadline: Instant) -> Result<Vec<u32>, Error> {
        let (storage, share) = (&*self.storage, &new.share);
        let mut groups = Vec::new();
        for root in trash_roots(storage, share, &self.installation.instance, || deadline).await? {
            let names = storage.list(share, root.directory(), deadline).await?;
            groups.extend(names.iter().filter_map(|name| Directory::group_of_archive(name)));
        }
        Ok(groups)
    }
}
