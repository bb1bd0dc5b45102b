//! The pods of the claims, here called tenants. As soon as a claim is bound, its tenant writes a file into the directory
//! of the claim, and checks the other files in it.
//!
//! A tenant opens the directory once, as a pod does with its mount. After that it uses this directory even if it is moved.
//! It never opens a directory that no longer belongs to the volume.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bindery::model::names::volume_annotation;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::time::sleep;

use crate::admin::Protected;
use crate::bed::Bed;
use crate::schedule::Slot;
use crate::setup::{Class, Outcome};
use crate::tally::Tally;

const PAUSE: Duration = Duration::from_millis(150);
/// The names of the files: this prefix, then the claim's uid.
pub const FILE: &str = "of-";

/// A claim whose pod has written its file.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Tenant {
    /// Namespace and name of the claim.
    pub slot: Slot,
    /// Its class.
    pub class: Class,
    /// Its volume's name.
    pub volume: String,
    /// Its volume's directory, below the export.
    pub directory: String,
    /// The class that the volume was created for. It differs from the claim's class if kube-controller-manager has bound a
    /// volume of an earlier claim of that name.
    pub made_for: Option<Class>,
    /// Whether the volume was created for another class and had adopted its directory. Earlier files in the directory are
    /// not this claim's, so Bindery keeps the directory with every policy of the claim's class.
    pub directory_kept: bool,
    /// Whether the directory was the archive of an earlier claim of this namespace.
    pub restored: bool,
    /// Whether an administrator has protected the claim's data from deletion.
    pub protected: bool,
    /// Whether a static volume has named the directory, so that cleanup keeps it.
    pub directory_named: bool,
    /// The time at which the file was written.
    pub since: Instant,
}

impl Tenant {
    /// Returns whether the claim's data may have this outcome, under the policy of its own class or of the class for
    /// which its volume was created.
    pub fn may_be(&self, outcome: Outcome) -> bool {
        if self.protected {
            return outcome != Outcome::Deleted;
        }
        self.class.outcome() == outcome
            || self.made_for.is_some_and(|class| class.outcome() == outcome)
            || (self.directory_kept || self.directory_named) && outcome == Outcome::Kept
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slot, class) = (&self.slot, self.class.name());
        write!(
            f,
            "claim {}/{} of class {class} with volume {}",
            slot.namespace, slot.name, self.volume
        )
    }
}

/// All tenants of the run, by the uid of their claim.
#[derive(Default)]
pub struct Tenants {
    known: Mutex<BTreeMap<String, Tenant>>,
    waiting: Mutex<HashSet<String>>,
    tried: Mutex<Vec<(Slot, Class, Instant)>>,
    /// The data that administrators have protected.
    pub protected: Protected,
}

/// The result of one attempt to write the file of a claim.
enum Attempt {
    Done,
    NotYet,
}

impl Tenants {
    /// Returns all tenants that have written their file.
    pub fn known(&self) -> BTreeMap<String, Tenant> {
        let mut known = lock(&self.known).clone();
        for (uid, tenant) in &mut known {
            tenant.protected = self.protected.keeps(uid);
            tenant.directory_named = self.protected.was_ever_protected(&tenant.directory);
        }
        known
    }

    /// Records that a user tries to create a claim. The result may stay unknown.
    pub fn record_attempt(&self, slot: &Slot, class: Class) {
        lock(&self.tried).push((slot.clone(), class, Instant::now()));
    }

    /// Returns whether a user tried to create such a claim, after that time if one is given.
    pub fn was_attempted(&self, slot: &Slot, class: Class, after: Option<Instant>) -> bool {
        let is = |(its, of, at): &(Slot, Class, Instant)| {
            (its, *of) == (slot, class) && after.is_none_or(|after| *at > after)
        };
        lock(&self.tried).iter().any(is)
    }

    /// Returns the content of a tenant's file.
    pub fn content(uid: &str, tenant: &Tenant) -> String {
        format!(
            "{uid} {}/{} {}\n",
            tenant.slot.namespace,
            tenant.slot.name,
            tenant.class.name()
        )
    }

    /// Watches claims and starts a tenant for each bound one. Never returns.
    pub async fn run(self: Arc<Self>, client: Client, tally: Arc<Tally>) -> Result<()> {
        let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
        let changes = watcher(claims, watcher::Config::default())
            .default_backoff()
            .applied_objects();
        let mut changes = std::pin::pin!(changes);
        while let Some(change) = changes.next().await {
            // The API server is down at times.
            let Ok(claim) = change else { continue };
            let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
            let name = format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any());
            if phase == Some("Lost") {
                tally.finding(format!("claim {name} was in phase Lost"));
            }
            let uid = claim.uid().unwrap_or_default();
            let bound = phase == Some("Bound") && claim.metadata.deletion_timestamp.is_none();
            if !bound || !claim_class(&claim) || !lock(&self.waiting).insert(uid.clone()) {
                continue;
            }
            let (tenants, client, tally) = (Arc::clone(&self), client.clone(), Arc::clone(&tally));
            tokio::spawn(async move {
                while !matches!(tenants.write_file(&client, &claim, &tally).await, Ok(Attempt::Done)) {
                    sleep(PAUSE).await;
                }
                lock(&tenants.waiting).remove(&uid);
            });
        }
        Ok(())
    }

    async fn write_file(&self, client: &Client, claim: &PersistentVolumeClaim, tally: &Tally) -> Result<Attempt> {
        let uid = claim.uid().unwrap_or_default();
        if lock(&self.known).contains_key(&uid) {
            return Ok(Attempt::Done);
        }
        let namespace = claim.namespace().unwrap_or_default();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        let now = claims.get_opt(&claim.name_any()).await?;
        let Some(now) = now.filter(|now| now.uid() == claim.uid() && now.metadata.deletion_timestamp.is_none()) else {
            return Ok(Attempt::Done);
        };
        let name = now
            .spec
            .and_then(|spec| spec.volume_name)
            .context("bound without a volume")?;
        let Some(volume) = volumes.get_opt(&name).await? else {
            return Ok(Attempt::NotYet);
        };
        if !is_of(&volume, &uid) {
            return Ok(Attempt::NotYet);
        }
        // If this fails, it is tried again, as the kubelet does.
        let Ok(directory) = File::open(place(&volume)?) else {
            return Ok(Attempt::NotYet);
        };
        // The volume is checked again: the opened directory is the claim's only if the volume still is.
        let after = volumes.get_opt(&name).await?;
        if after.is_none_or(|after| after.uid() != volume.uid() || !is_of(&after, &uid)) {
            return Ok(Attempt::NotYet);
        }
        let annotation = |key| volume.annotations().get(key).map(String::as_str);
        let adopted = annotation(volume_annotation::DIRECTORY) == Some("adopted");
        let class = class_of(claim).context("a class of ours")?;
        let made_for = volume
            .spec
            .as_ref()
            .and_then(|spec| Class::by_name(spec.storage_class_name.as_ref()?));
        let tenant = Tenant {
            slot: Slot {
                namespace,
                name: claim.name_any(),
            },
            class,
            made_for,
            // Bindery may already have recorded the claim's own class on the volume.
            directory_kept: adopted
                && (made_for != Some(class) || annotation(volume_annotation::ON_DELETE) == Some("retain")),
            directory: annotation(volume_annotation::SUB_DIR).unwrap_or_default().to_owned(),
            volume: name,
            restored: annotation(volume_annotation::RESTORED_FROM).is_some(),
            protected: false,
            directory_named: false,
            since: Instant::now(),
        };
        if tenant.made_for != Some(tenant.class) {
            tally.operation("claims that Kubernetes bound to a volume of another class");
        }
        let held = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        if tenant.restored {
            tally.operation("claims whose pod found the files of an archive");
        }
        for other in files(&held)?.into_iter().filter(|other| *other != uid) {
            self.check_other_file(&tenant, &other, adopted, tally);
        }
        std::fs::write(held.join(format!("{FILE}{uid}")), Self::content(&uid, &tenant))?;
        lock(&self.known).insert(uid, tenant);
        tally.operation("claims whose pod wrote a file");
        Ok(Attempt::Done)
    }

    /// Checks another claim's file in the directory. It is correct only if a policy kept the directory for the next claim
    /// of the same name.
    fn check_other_file(&self, tenant: &Tenant, other: &str, adopted: bool, tally: &Tally) {
        let of = self.known().remove(other);
        let left = |of: &Tenant| of.may_be(Outcome::Kept) && of.slot == tenant.slot;
        // The file of an archive must have the content that its pod has written. An empty archive has none.
        if tenant.restored && of.is_some() {
            tally.operation("files of archives that were restored");
        } else if adopted && of.as_ref().is_some_and(left) {
            tally.operation("directories adopted with files of an earlier claim");
        } else {
            tally.finding(format!(
                "{tenant} (adopted: {adopted}) contains the file of another claim {other}, {of:?}"
            ));
        }
    }
}

/// Returns the uids of the claims whose files are in a directory, and all other names unchanged.
pub fn files(directory: &Path) -> Result<Vec<String>> {
    let mut uids = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        uids.push(name.strip_prefix(FILE).map(str::to_owned).unwrap_or(name));
    }
    Ok(uids)
}

/// Returns the local path of a volume's directory.
pub fn place(volume: &PersistentVolume) -> Result<PathBuf> {
    let sub_dir = volume.annotations().get(volume_annotation::SUB_DIR);
    Ok(Bed::get().export.join(sub_dir.context("a volume without a directory")?))
}

/// Returns a claim's class, if it is one of this program's classes.
pub fn class_of(claim: &PersistentVolumeClaim) -> Option<Class> {
    Class::by_name(claim.spec.as_ref()?.storage_class_name.as_ref()?)
}

fn claim_class(claim: &PersistentVolumeClaim) -> bool {
    class_of(claim).is_some()
}

/// Returns whether a volume is bound to this claim and not being deleted.
fn is_of(volume: &PersistentVolume, uid: &str) -> bool {
    let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let bound = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    bound && volume.metadata.deletion_timestamp.is_none() && claim.and_then(|claim| claim.uid.as_deref()) == Some(uid)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
