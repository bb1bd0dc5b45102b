//! Other volumes that name a directory, or one above or in it: nothing is made or moved without a look for them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::Volumes;
use super::failure::Failure;
use crate::cluster::kept::KeptVolume;
use crate::policy::location::{Evidence, Location, Meeting, Relation};
use crate::policy::turn::{Turn, turn};
use crate::storage::Identity;
use crate::volume::{Record, Volume};

/// Who else is in the tree of a volume's directory.
pub(super) enum Overlap {
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
    pub(super) fn end(&self, other: &KeptVolume) -> Vec<ObjectRef<KeptVolume>> {
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
    pub(super) async fn overlaps(&self, volume: &Volume, record: &Record) -> Result<Option<String>, Failure> {
        if !self.cluster.has(&volume.name, &volume.version).await {
            return Err(Failure::Behind);
        }
        let mut location = record.location();
        let kept = self.is_named(volume, &location).await?;
        if kept.is_some() {
            return Ok(kept);
        }
        if location.identity.is_none() {
            let found = self
                .storage
                .look_up(&record.share, &record.directory, Self::soon())
                .await?;
            location.identity = found.map(|found| found.identity);
            let kept = self.is_named(volume, &location).await?;
            if kept.is_some() {
                return Ok(kept);
            }
        }
        self.is_named_elsewhere(volume, &location).await
    }

    /// The same, as far as the records of the volumes tell.
    async fn is_named(&self, volume: &Volume, location: &Location<'_>) -> Result<Option<String>, Failure> {
        let judged = |other: &Volume, meeting| turn(volume, other, meeting, &self.us);
        let mut others = self.cluster.meeting(location, &volume.name);
        others.retain(|(other, meeting)| judged(other.read(), *meeting) != Turn::Go);
        others.sort_by_key(|(other, meeting)| judged(other.read(), *meeting));
        for (other, meeting) in others {
            // What the watch has may be gone, or another state.
            let Some(other) = self.cluster.volume(&other.name_any()).await? else {
                continue;
            };
            match judged(&other, meeting) {
                Turn::Go => {}
                Turn::Keep => return Ok(Some(self.kept_for(&other, meeting))),
                Turn::BacksOut => return Err(Failure::Neighbour(other.name)),
                Turn::Wait => {
                    self.waits.add(&other.name, &volume.name);
                    // Its end may have come before this volume was known to wait.
                    if self.cluster.volume(&other.name).await?.is_some_and(|other| other.held) {
                        return Err(Failure::GoesFirst(other.name));
                    }
                }
            }
        }
        Ok(None)
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
        if other.deleting && other.maker.as_ref() == Some(&*self.us) {
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
    pub(super) async fn neighbour(&self, volume: &Volume, record: &Record) -> Result<Overlap, Failure> {
        let location = record.location();
        let look = self.cluster.neighbour(&location, &volume.name, Some(&volume.version));
        Ok(match look.await? {
            None => Overlap::None,
            Some((other, _)) if other.was_given() || other.maker.is_none() => Overlap::Given(other.name),
            Some((other, _)) => Overlap::Coming(other.name),
        })
    }

    /// A living volume that was given this very directory under other names, as far as the watch knows.
    pub(super) fn holder_of(&self, volume: &Volume, record: &Record, identity: Identity) -> Option<String> {
        let location = Location {
            identity: Some(identity),
            ..record.location()
        };
        let holds = |(other, meeting): (std::sync::Arc<KeptVolume>, Meeting)| {
            let other = other.read();
            let same = meeting.evidence == Evidence::Numbers && !other.deleting && other.was_given();
            same.then(|| other.name.clone())
        };
        self.cluster
            .meeting(&location, &volume.name)
            .into_iter()
            .find_map(holds)
    }
}
