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
use crate::model::directory::{Directory, Share};
use crate::model::volume::{NewVolume, Record, Volume, group_annotations};
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
        let used = self.used_groups(&new.name, &new.share, deadline).await?;
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
        loop {
            if !self.cluster.wait_for_version(&new.name, &written.version).await {
                let purpose = format!("compare the group of PersistentVolume {} with others", new.name);
                return Err(Error::Api(purpose, ApiFault::timeout()));
            }
            let gid = new.attributes.gid;
            let is_taken = || gid.is_none_or(|gid| self.groups_of_others(&new.name).contains(&gid));
            if !is_taken() {
                return Ok(());
            }
            sleep(LONGEST_PAUSE * u32::from(Uuid::new_v4().as_bytes()[0]) / 255).await;
            if !is_taken() {
                return Ok(());
            }
            let used = self.used_groups(&new.name, &new.share, deadline).await?;
            let Some(gid) = range.choose(&used, Uuid::new_v4()) else {
                // The last free group: one of the two gets it when the volume of the other one is gone.
                let why = "another claim has chosen the last free group of the class at the same time";
                return Err(Error::Releasing(why.to_owned()));
            };
            new.attributes.gid = Some(gid);
            written.version = loop {
                let volume = self.volume(new, deadline).await?;
                let Some(volume) = volume.filter(|volume| volume.attempt.as_ref() == Some(&new.attempt)) else {
                    let why = "another call for this claim has changed its volume in the meantime";
                    return Err(Error::Releasing(why.to_owned()));
                };
                match self.write_group(&volume, gid, deadline).await {
                    Err(error) if error.api() == Some(Kind::Conflict) => sleep(super::PAUSE).await,
                    version => break version?,
                }
            };
        }
    }

    /// Gives another group to a volume that is not ready, if a volume in use has the same group. A process that died right
    /// after it created the volume has not checked that. Returns whether the group was changed.
    pub async fn replace_shared_group(
        &self,
        volume: &Volume,
        record: &Record,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let Some(range) = record.group_range.filter(|_| !volume.ready) else {
            return Ok(false);
        };
        let shares_group = |other: &Volume| other.name != volume.name && other.ready && other.gid == volume.gid;
        let volumes = self.cluster.volumes.store().state();
        if !volumes.iter().any(|other| shares_group(other.read())) {
            return Ok(false);
        }
        let used = self.used_groups(&volume.name, &record.share, deadline).await?;
        let gid = range.choose(&used, Uuid::new_v4());
        let gid = gid.ok_or_else(|| Error::NoGroup(none_free(&volume.class, range)))?;
        self.write_group(volume, gid, deadline).await?;
        Ok(true)
    }

    /// Writes the group to a volume that has not changed since it was read. Returns the new version.
    async fn write_group(&self, volume: &Volume, gid: u32, deadline: Instant) -> Result<String, Error> {
        let annotations = BTreeMap::from(group_annotations(Some(gid)));
        let fields = json!({"metadata": {"annotations": annotations}});
        let volumes = self.volumes();
        let merge = patch::merge(&volumes, volume, fields);
        let purpose = format!("write the group to PersistentVolume {}", volume.name);
        self.api_call(purpose, deadline, merge).await
    }

    /// Returns the groups of all volumes except this one, and of the archives of the share.
    async fn used_groups(&self, name: &str, share: &Share, deadline: Instant) -> Result<BTreeSet<u32>, Error> {
        // The volumes are read before the archives. So a directory that is archived in the meantime is seen at least
        // once.
        let mut used = self.groups_of_others(name);
        let storage = &*self.storage;
        let archives = async {
            for root in trash_roots(storage, share, &self.installation.instance, || deadline).await? {
                let names = storage.list(share, root.directory(), deadline).await?;
                used.extend(names.iter().filter_map(|name| Directory::group_of_archive(name)));
            }
            Ok(())
        };
        self.metrics.wait("nfs", archives).await.map_err(Error::Storage)?;
        Ok(used)
    }

    /// Returns the groups of all volumes in the watch cache except this one, also of volumes that Bindery did not create.
    fn groups_of_others(&self, name: &str) -> BTreeSet<u32> {
        let volumes = self.cluster.volumes.store().state();
        let others = volumes.iter().filter(|volume| volume.name_any() != name);
        others.filter_map(|volume| volume.read().gid).collect()
    }
}
