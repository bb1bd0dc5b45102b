//! Other volumes that name a directory, or one above or in it: nothing is made or moved without a look for them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::move_aside::Spot;
use crate::cluster::cache::CachedVolume;
use crate::controller::Volumes;
use crate::controller::error::Failure;
use crate::model::identity::Identity;
use crate::model::location::{Evidence, Location, Meeting, Relation};
use crate::model::volume::{Phase, Record, Volume};
use crate::policy::reconcile::Plan;
use crate::policy::shared_directory::{Turn, turn};

/// Who else is in the tree of a volume's directory.
pub(in crate::controller) enum Overlap {
    /// Nobody.
    None,
    /// This volume, whose directory may hold data.
    Given(String),
    /// This volume, which is just being made and will back out.
    Coming(String),
}

/// Which volumes wait until the cleanup of another one is over.
#[derive(Default)]
pub struct Waits(Mutex<HashMap<String, BTreeSet<String>>>);

impl Waits {
    fn add(&self, other: &str, waiting: &str) {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.entry(other.to_owned()).or_default().insert(waiting.to_owned());
    }

    /// Those that have waited for this volume. They look again, and wait again if they must.
    pub(in crate::controller) fn end(&self, other: &CachedVolume) -> Vec<ObjectRef<CachedVolume>> {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = waits.remove(&other.name_any()).unwrap_or_default();
        waiting.iter().map(|name| ObjectRef::new(name)).collect()
    }
}

impl Volumes {
    /// Why the directory of a volume that is to be cleaned up is kept: a volume names it, too, or one above or in it. Whoever
    /// asks has written the deletion mark first, and looks then.
    ///
    /// Fails where another volume goes first, or is just being made and backs out.
    pub(in crate::controller) async fn overlaps(
        &self,
        volume: &Volume,
        record: &Record,
    ) -> Result<Option<String>, Failure> {
        if !self.cluster.wait_for_version(&volume.name, &volume.version).await {
            return Err(Failure::Behind);
        }
        let mut location = record.location();
        let kept = self.is_named(volume, &location).await?;
        if kept.is_some() {
            return Ok(kept);
        }
        if location.identity.is_none() {
            location.identity = match self.find(volume, record).await? {
                Spot::AtPath(identity) | Spot::Moved(identity, _) => Some(identity),
                Spot::Missing | Spot::Another => None,
            };
            let kept = self.is_named(volume, &location).await?;
            if kept.is_some() {
                return Ok(kept);
            }
        }
        self.is_named_elsewhere(volume, &location).await
    }

    /// Fails where another volume must go before one that keeps its directory. The NFS server is not asked.
    pub(in crate::controller) async fn wait_for_turn(&self, volume: &Volume, record: &Record) -> Result<(), Failure> {
        if !self.cluster.wait_for_version(&volume.name, &volume.version).await {
            return Err(Failure::Behind);
        }
        for (turn, other, _) in self.turns(volume, &record.location()).await? {
            if turn == Turn::Wait {
                self.wait_for(volume, &other).await?;
            }
        }
        Ok(())
    }

    /// The same, as far as the records of the volumes tell.
    async fn is_named(&self, volume: &Volume, location: &Location<'_>) -> Result<Option<String>, Failure> {
        for (turn, other, meeting) in self.turns(volume, location).await? {
            match turn {
                Turn::Go => {}
                Turn::Keep => return Ok(Some(self.kept_for(&other, meeting))),
                Turn::BacksOut => return Err(Failure::Neighbour(other.name)),
                Turn::Wait => self.wait_for(volume, &other).await?,
            }
        }
        Ok(None)
    }

    /// What other volumes mean for one that is to be cleaned up, by a live look at each.
    async fn turns(&self, volume: &Volume, location: &Location<'_>) -> Result<Vec<(Turn, Volume, Meeting)>, Failure> {
        let mut turns = Vec::new();
        for (other, meeting) in self.cluster.cached_overlaps(location, &volume.name) {
            if turn(volume, other.read(), meeting, true, &self.us) == Turn::Go {
                continue;
            }
            // What the watch has may be gone, or another state.
            let Some(other) = self.cluster.volume(&other.name_any()).await? else {
                continue;
            };
            let in_use = other.deleting && self.plan(&other).await?.0 == Plan::Leave;
            turns.push((turn(volume, &other, meeting, in_use, &self.us), other, meeting));
        }
        turns.sort_by_key(|(turn, ..)| *turn);
        Ok(turns)
    }

    async fn wait_for(&self, volume: &Volume, other: &Volume) -> Result<(), Failure> {
        self.waits.add(&other.name, &volume.name);
        // Its end may have come before this volume was known to wait.
        match self.cluster.volume(&other.name).await? {
            Some(other) if other.held => Err(Failure::GoesFirst(other.name)),
            _ => Ok(()),
        }
    }

    fn kept_for(&self, other: &Volume, meeting: Meeting) -> String {
        let made = if other.maker.is_none() {
            ", which Bindery did not make,"
        } else {
            ""
        };
        let name = &other.name;
        let mut sentence = match meeting.relation {
            Relation::Same => format!("volume {name}{made} names it, too"),
            Relation::Inside | Relation::Above => format!("the directory of volume {name}{made} is above or in it"),
        };
        let is_same = meeting.relation == Relation::Same;
        if is_same && other.deleting && other.maker.as_ref() == Some(&*self.us) {
            sentence.push_str(", and is cleaned up after this one");
        }
        if let (Some(why), Ok(record)) = (meeting.why(), &other.record) {
            sentence = format!(
                "{sentence}, as directory {} of share {}: {why}",
                record.directory, record.share
            );
        }
        sentence
    }

    /// Whoever asks has written first (a new volume, a deletion mark), and looks then.
    pub(in crate::controller) async fn neighbour(&self, volume: &Volume, record: &Record) -> Result<Overlap, Failure> {
        let location = record.location();
        let look = self.cluster.overlap(&location, &volume.name, Some(&volume.version));
        Ok(match look.await? {
            None => Overlap::None,
            Some((other, _)) if other.was_given() || other.maker.is_none() => Overlap::Given(other.name),
            Some((other, _)) => Overlap::Coming(other.name),
        })
    }

    /// Whether another volume has, or may have, the directory that was found at the path of this one.
    pub(in crate::controller) async fn has_another_volume(
        &self,
        volume: &Volume,
        record: &Record,
        identity: Identity,
    ) -> Result<bool, Failure> {
        if self.holder_of(volume, record, identity).is_some() {
            return Ok(true);
        }
        let location = Location {
            identity: Some(identity),
            ..record.location()
        };
        Ok(self.is_named_elsewhere(volume, &location).await?.is_some())
    }

    /// A volume in use that was given this very directory under other names, as far as the watch knows.
    pub(in crate::controller) fn holder_of(
        &self,
        volume: &Volume,
        record: &Record,
        identity: Identity,
    ) -> Option<String> {
        let location = Location {
            identity: Some(identity),
            ..record.location()
        };
        let holds = |(other, meeting): (std::sync::Arc<CachedVolume>, Meeting)| {
            let other = other.read();
            let in_use = !other.deleting || other.phase == Phase::Bound;
            let same = meeting.evidence == Evidence::Numbers && in_use && other.was_given();
            same.then(|| other.name.clone())
        };
        self.cluster
            .cached_overlaps(&location, &volume.name)
            .into_iter()
            .find_map(holds)
    }
}
