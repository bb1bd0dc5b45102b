//! What claims are for: as soon as one is bound, its tenant writes a file into its directory, and looks at what else is
//! in there.
//!
//! A tenant works as a pod would. It opens the directory once, and whatever it does then it does to that directory,
//! wherever that is moved meanwhile; and it holds no directory that had left the volume when it was opened.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bindery::model::names::mark;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::time::sleep;

use crate::admin::Kept;
use crate::bed::Bed;
use crate::schedule::Slot;
use crate::setup::{Class, Fate};
use crate::tally::Tally;

const PAUSE: Duration = Duration::from_millis(150);
/// What the name of a tenant's file begins with; the claim's uid follows.
pub const FILE: &str = "of-";

/// A claim that has written its file.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Where the claim was.
    pub slot: Slot,
    /// Its class.
    pub class: Class,
    /// Its volume's name.
    pub volume: String,
    /// Its volume's directory, below the export.
    pub directory: String,
    /// The class that the volume was made for: another than the claim's where the controller manager has bound what was
    /// made for an earlier claim of that name, before Bindery could make the claim's own class count.
    pub made_for: Option<Class>,
    /// The volume was made for another class and had adopted its directory: what lay in it before is not this claim's to
    /// lose, so Bindery leaves it where it is, whatever the claim's class says.
    pub left: bool,
    /// An administrator has seen to it that its data is not deleted.
    pub kept: bool,
    /// A volume made by hand has named its directory: what its cleanup finds there stays.
    pub named: bool,
    /// When it wrote.
    pub since: Instant,
}

impl Tenant {
    /// Whether this is what becomes of its data: what its class says, or that of the claim that its volume was made for.
    pub fn may_be(&self, fate: Fate) -> bool {
        if self.kept {
            return fate != Fate::Deleted;
        }
        self.class.fate() == fate
            || self.made_for.is_some_and(|class| class.fate() == fate)
            || (self.left || self.named) && fate == Fate::Kept
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slot, class) = (&self.slot, self.class.name());
        write!(f, "{}/{} of {class} on {}", slot.namespace, slot.name, self.volume)
    }
}

/// All tenants that there ever were, by their claim's uid.
#[derive(Default)]
pub struct Tenants {
    known: Mutex<BTreeMap<String, Tenant>>,
    waiting: Mutex<HashSet<String>>,
    tried: Mutex<Vec<(Slot, Class, Instant)>>,
    /// What administrators have kept.
    pub kept: Kept,
}

/// A look at a claim that may be ready for its tenant.
enum Look {
    Done,
    NotYet,
}

impl Tenants {
    /// Those who have written.
    pub fn known(&self) -> BTreeMap<String, Tenant> {
        let mut known = lock(&self.known).clone();
        for (uid, tenant) in &mut known {
            tenant.kept = self.kept.keeps(uid);
            tenant.named = self.kept.was_named(&tenant.directory);
        }
        known
    }

    /// A user has begun to create a claim; whether it ever was there may stay unknown.
    pub fn tries(&self, slot: &Slot, class: Class) {
        lock(&self.tried).push((slot.clone(), class, Instant::now()));
    }

    /// Whether somebody tried to create such a claim, after that time if one is given.
    pub fn tried(&self, slot: &Slot, class: Class, after: Option<Instant>) -> bool {
        let is = |(its, of, at): &(Slot, Class, Instant)| {
            (its, *of) == (slot, class) && after.is_none_or(|after| *at > after)
        };
        lock(&self.tried).iter().any(is)
    }

    /// What every tenant's file says.
    pub fn content(uid: &str, tenant: &Tenant) -> String {
        format!(
            "{uid} {}/{} {}\n",
            tenant.slot.namespace,
            tenant.slot.name,
            tenant.class.name()
        )
    }

    /// Watches claims and gives each its tenant. Never ends.
    pub async fn live(self: Arc<Self>, client: Client, tally: Arc<Tally>) -> Result<()> {
        let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
        let changes = watcher(claims, watcher::Config::default())
            .default_backoff()
            .applied_objects();
        let mut changes = std::pin::pin!(changes);
        while let Some(change) = changes.next().await {
            // The API server is away now and then.
            let Ok(claim) = change else { continue };
            let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
            let name = format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any());
            if phase == Some("Lost") {
                tally.finding(format!("claim {name} was Lost"));
            }
            let uid = claim.uid().unwrap_or_default();
            let bound = phase == Some("Bound") && claim.metadata.deletion_timestamp.is_none();
            if !bound || !claim_class(&claim) || !lock(&self.waiting).insert(uid.clone()) {
                continue;
            }
            let (tenants, client, tally) = (Arc::clone(&self), client.clone(), Arc::clone(&tally));
            tokio::spawn(async move {
                while !matches!(tenants.move_in(&client, &claim, &tally).await, Ok(Look::Done)) {
                    sleep(PAUSE).await;
                }
                lock(&tenants.waiting).remove(&uid);
            });
        }
        Ok(())
    }

    async fn move_in(&self, client: &Client, claim: &PersistentVolumeClaim, tally: &Tally) -> Result<Look> {
        let uid = claim.uid().unwrap_or_default();
        if lock(&self.known).contains_key(&uid) {
            return Ok(Look::Done);
        }
        let namespace = claim.namespace().unwrap_or_default();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        let now = claims.get_opt(&claim.name_any()).await?;
        let Some(now) = now.filter(|now| now.uid() == claim.uid() && now.metadata.deletion_timestamp.is_none()) else {
            return Ok(Look::Done);
        };
        let name = now
            .spec
            .and_then(|spec| spec.volume_name)
            .context("bound without a volume")?;
        let Some(volume) = volumes.get_opt(&name).await? else {
            return Ok(Look::NotYet);
        };
        if !is_of(&volume, &uid) {
            return Ok(Look::NotYet);
        }
        // The kubelet tries again, too.
        let Ok(directory) = File::open(place(&volume)?) else {
            return Ok(Look::NotYet);
        };
        // As long as the volume is the claim's, so is what is at its place.
        let after = volumes.get_opt(&name).await?;
        if after.is_none_or(|after| after.uid() != volume.uid() || !is_of(&after, &uid)) {
            return Ok(Look::NotYet);
        }
        let said = |key| volume.annotations().get(key).map(String::as_str);
        let adopted = said(mark::DIRECTORY) == Some("adopted");
        let class = class_of(claim).context("a class of ours")?;
        let made_for = volume
            .spec
            .as_ref()
            .and_then(|spec| Class::called(spec.storage_class_name.as_ref()?));
        let tenant = Tenant {
            slot: Slot {
                namespace,
                name: claim.name_any(),
            },
            class,
            made_for,
            // Bindery may have been here already, and have written the claim's own class on the volume.
            left: adopted && (made_for != Some(class) || said(mark::ON_DELETE) == Some("retain")),
            directory: said(mark::SUB_DIR).unwrap_or_default().to_owned(),
            volume: name,
            kept: false,
            named: false,
            since: Instant::now(),
        };
        if tenant.made_for != Some(tenant.class) {
            tally.operation("claims that Kubernetes bound to a volume of another class, seen so");
        }
        let held = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        for other in files(&held)?.into_iter().filter(|other| *other != uid) {
            self.judge(&tenant, &other, adopted, tally);
        }
        std::fs::write(held.join(format!("{FILE}{uid}")), Self::content(&uid, &tenant))?;
        lock(&self.known).insert(uid, tenant);
        tally.operation("claims that wrote a file");
        Ok(Look::Done)
    }

    /// A fresh directory holds somebody else's file: right only if policy left it there for the next claim of that name.
    fn judge(&self, tenant: &Tenant, other: &str, adopted: bool, tally: &Tally) {
        let of = self.known().remove(other);
        let left = |of: &Tenant| of.may_be(Fate::Kept) && of.slot == tenant.slot;
        if adopted && of.as_ref().is_some_and(left) {
            tally.operation("directories adopted with what was left in them");
        } else {
            tally.finding(format!(
                "{tenant} (adopted: {adopted}) sees the file of claim {other}, {of:?}"
            ));
        }
    }
}

/// The uids of the claims whose files are in a directory; any other name as it is.
pub fn files(directory: &Path) -> Result<Vec<String>> {
    let mut uids = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        uids.push(name.strip_prefix(FILE).map(str::to_owned).unwrap_or(name));
    }
    Ok(uids)
}

/// A volume's directory, on this machine.
pub fn place(volume: &PersistentVolume) -> Result<PathBuf> {
    let sub_dir = volume.annotations().get(mark::SUB_DIR);
    Ok(Bed::get().export.join(sub_dir.context("a volume without a directory")?))
}

/// A claim's class, if it is one of the run's.
pub fn class_of(claim: &PersistentVolumeClaim) -> Option<Class> {
    Class::called(claim.spec.as_ref()?.storage_class_name.as_ref()?)
}

fn claim_class(claim: &PersistentVolumeClaim) -> bool {
    class_of(claim).is_some()
}

/// Whether a volume is this claim's, and stays so for now.
fn is_of(volume: &PersistentVolume, uid: &str) -> bool {
    let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let bound = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    bound && volume.metadata.deletion_timestamp.is_none() && claim.and_then(|claim| claim.uid.as_deref()) == Some(uid)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
