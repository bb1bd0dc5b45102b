//! The trash is emptied, whatever has become of the volumes that it is from.
//!
//! Trigger: a cleanup or a round of [`super::retention`] that hands an entry over. Each entry has a task of its own, which ends
//! when the entry is gone, or is another's to decide; of each server only some are worked on at once, in turns as long as one
//! call to a server takes, so a large tree holds up no small one. One that fails is tried again, with a growing pause, or
//! when its server answers again.
//!
//! Whose is it? The name says so: this instance's, and which volume object's. As long as that volume waits for its cleanup, the
//! cleanup decides. What is aside when its volume is gone was brought there by a step that came too late, and is kept. What
//! bears the identity of a volume that is there to stay is that volume's, and goes back to it.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{StreamExt, future};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::cluster::cache::CachedVolume;
use crate::controller::Volumes;
use crate::controller::error::Failure;
use crate::model::directory::{Depot, Directory, InTrash, Share};
use crate::model::identity::Identity;
use crate::model::names::{is_object_name, reason};
use crate::model::volume::{Phase, Record};
use crate::ops::metrics::Metrics;
use crate::policy::class::Class;
use crate::storage::{Moved, Tree};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Something in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// On which share.
    pub share: Share,
    /// Where it lies.
    pub place: Directory,
}

/// Takes entries that are to be removed.
#[derive(Clone)]
pub struct Trash(mpsc::UnboundedSender<Entry>);

/// What there is to do with an entry.
enum Verdict {
    /// Nothing: it is gone, or its volume's cleanup decides.
    Leave,
    /// Remove it.
    Remove,
    /// Keep it as an archive without an end.
    Keep(Identity),
}

impl Trash {
    /// The second half is for [`run`].
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Entry>) {
        let (entries, handed_over) = mpsc::unbounded_channel();
        (Self(entries), handed_over)
    }

    /// Hands an entry over. One that is worked on already is not worked on twice.
    pub fn put(&self, entry: Entry) {
        // It fails when the term is over: the next one finds the entry in the trash.
        let _ = self.0.send(entry);
    }
}

/// Empties the trash, for one term. Never ends.
pub async fn run(volumes: &Volumes, mut handed_over: mpsc::UnboundedReceiver<Entry>) {
    let _none_in_the_end = Waiting(&volumes.metrics);
    let mut under_way = FuturesUnordered::new();
    let mut known = HashSet::new();
    loop {
        tokio::select! {
            Some(entry) = handed_over.recv() => {
                if known.insert(entry.clone()) {
                    under_way.push(volumes.empty(entry));
                }
            }
            Some(entry) = under_way.next() => {
                known.remove(&entry);
            }
            else => return,
        }
        volumes.metrics.in_trash(known.len());
    }
}

/// A replica that does not lead knows of nothing in the trash.
struct Waiting<'a>(&'a Metrics);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.in_trash(0);
    }
}

impl Volumes {
    /// Removes an entry, however often it has to be tried. Returns it when nothing is left to do.
    async fn empty(&self, entry: Entry) -> Entry {
        let mut pause = FIRST_PAUSE;
        loop {
            let pass = self.removals.enter(entry.share.server(), None).await;
            let failure = match self.remove_some(&entry).await {
                Ok(true) | Err(Failure::Stopping) => return entry,
                Ok(false) => {
                    pause = FIRST_PAUSE;
                    continue;
                }
                Err(failure) => failure,
            };
            drop(pass);
            self.not_removed(&entry, &failure, pause);
            let back = self.outages.back();
            let mut back = pin!(back.filter(|word| future::ready(word.may_be(entry.share.server()))));
            // Whichever comes first.
            let _ = timeout(pause, back.next()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One turn: as much as one call to the server can do. Whether nothing is left to do.
    async fn remove_some(&self, entry: &Entry) -> Result<bool, Failure> {
        let Entry { share, place } = entry;
        match self.judge(entry).await? {
            Verdict::Leave => return Ok(true),
            Verdict::Remove => {}
            Verdict::Keep(identity) => return self.keep_aside(entry, identity).await.map(|()| true),
        }
        self.may_act()?;
        if self.storage.remove_tree(share, place, Self::soon()).await? == Tree::Remains {
            return Ok(false);
        }
        tracing::info!(%share, trash = %place, "removed from the trash");
        self.metrics.removed_from_trash();
        Ok(true)
    }

    async fn judge(&self, entry: &Entry) -> Result<Verdict, Failure> {
        let Entry { share, place } = entry;
        let Some(name) = InTrash::read(place.split_last().1, &self.us.instance) else {
            return Ok(Verdict::Leave);
        };
        if self.is_being_cleaned(&name).await? {
            return Ok(Verdict::Leave);
        }
        let Some(found) = self.storage.look_up(share, place, Self::soon()).await? else {
            return Ok(Verdict::Leave);
        };
        if let Some(living) = self.living(share, found.identity).await? {
            // If that volume is being deleted by now, it is looked at again in the next round.
            self.put_back_to(&living.name_any(), share, place).await?;
            return Ok(Verdict::Leave);
        }
        Ok(if name.aside {
            Verdict::Keep(found.identity)
        } else {
            Verdict::Remove
        })
    }

    /// Whether the volume that an entry is from still waits for its cleanup.
    async fn is_being_cleaned(&self, name: &InTrash<'_>) -> Result<bool, Failure> {
        // A name that was cut is not the volume's.
        let cut_name = || {
            let is_it = |volume: &CachedVolume| Some(&*volume.read().uid) == name.uid;
            let found = self.cluster.volumes.store().find(is_it);
            found.map(|volume| volume.name_any())
        };
        let owner = if is_object_name(name.owner) {
            Some(name.owner.to_owned())
        } else {
            cut_name()
        };
        let Some(owner) = owner else { return Ok(false) };
        let volume = self.cluster.volume(&owner).await?;
        Ok(volume.is_some_and(|volume| name.uid.is_none_or(|uid| volume.uid == uid && volume.held)))
    }

    /// A volume of ours that is in use and was given this directory, under whatever name of the server.
    async fn living(&self, share: &Share, identity: Identity) -> Result<Option<Arc<CachedVolume>>, Failure> {
        let mut living = self.cluster.volumes.store().state_filter(|volume| {
            let volume = volume.read();
            let is_given = |record: &Record| record.identity == Some(identity);
            let in_use = !volume.deleting || volume.phase == Phase::Bound;
            volume.maker.as_ref() == Some(&*self.us) && in_use && volume.record.as_ref().is_ok_and(is_given)
        });
        let is_here =
            |volume: &Arc<CachedVolume>| volume.read().record.as_ref().is_ok_and(|record| record.share == *share);
        if let Some(here) = living.iter().position(is_here) {
            return Ok(Some(living.swap_remove(here)));
        }
        if living.is_empty() {
            return Ok(None);
        }
        let view = self.storage.identify(share, Self::soon()).await?.view;
        let is_it = |volume: &Arc<CachedVolume>| {
            volume
                .read()
                .record
                .as_ref()
                .is_ok_and(|record| record.location().view() == view)
        };
        Ok(living.into_iter().find(is_it))
    }

    /// Nobody has said that this may be removed, and its volume is gone.
    async fn keep_aside(&self, entry: &Entry, identity: Identity) -> Result<(), Failure> {
        let Entry { share, place } = entry;
        let archive = Directory::unclaimed(place, jiff::Timestamp::now(), &self.us.instance);
        let archive = Depot::around(place).place(&archive);
        self.may_act()?;
        let moved = self
            .storage
            .rename(share, place, identity, &archive, Self::soon())
            .await?;
        if moved == Moved::Done {
            tracing::warn!(
                %share, from = %place, to = %archive,
                "a directory was moved aside for a volume that is gone by now, and nothing says that it may be removed: it is kept"
            );
            self.metrics.step("put_back");
        }
        Ok(())
    }

    fn not_removed(&self, entry: &Entry, failure: &Failure, pause: Duration) {
        let Entry { share, place } = entry;
        tracing::warn!(%share, trash = %place, ?pause, "could not be removed from the trash; it is tried again: {failure}");
        self.metrics.not_removed_from_trash();
        // A server that gives no answer is told of elsewhere.
        let Failure::Storage(error) = failure else { return };
        if error.unanswered() {
            return;
        }
        let is_of_share = |class: &StorageClass| {
            let read = Class::read(class, &self.defaults).ok();
            class.provisioner == self.us.provisioner && read.is_some_and(|read| read.settled_share() == *share)
        };
        let note = format!("{place} of share {share} cannot be removed, and is tried again now and then: {failure}");
        for class in self.cluster.classes.store().state_filter(is_of_share) {
            self.events
                .warn_object(&*class, reason::TRASH_NOT_EMPTIED, note.clone());
        }
    }
}
