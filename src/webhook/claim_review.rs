//! The review of a new claim: reads the objects that the decision needs, decides, and carries out the decision.

use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use serde_json::Value;
use tokio::time::timeout_at;
use uuid::Uuid;

use super::review::Answer;
use crate::cluster::api_error::ApiFault;
use crate::model::choices::Provision;
use crate::model::claim::{Claim, Name};
use crate::model::names::annotation::STORAGE_PROVISIONER;
use crate::model::namespace::Namespace;
use crate::model::volume::NewVolume;
use crate::policy::class::Defaults;
use crate::policy::csi;
use crate::policy::decide::{Decision, Facts, Pass, Verdict, decide};
use crate::provision::{Deadlines, Error, Provisioner};

/// An answer, and the outcome that the metrics count for it.
pub type Reply = (Answer, &'static str);

/// What a decision is based on, besides the claim and its volume.
struct Basis {
    class: Option<StorageClass>,
    namespace: Namespace,
    /// Whether the API server was asked, and not the cache, which may be behind.
    is_current: bool,
}

/// The basis of a decision has changed, so the review must be decided again.
struct Outdated;

/// The review of a claim that is created.
pub struct Review<'a> {
    /// Creates the volume.
    pub provisioner: &'a Provisioner,
    /// The server and the share of classes that do not set them.
    pub defaults: &'a Defaults,
    /// The claim as the API server has sent it.
    pub object: &'a Value,
    /// Whether nothing may be changed.
    pub dry_run: bool,
    /// Who creates the claim.
    pub user: &'a UserInfo,
    /// The claim.
    pub claim: Claim,
    /// The ends of the time for the review.
    pub deadlines: Deadlines,
    /// The warnings for the user.
    pub warnings: &'a mut Vec<String>,
}

impl Review<'_> {
    /// Decides with the class and the namespace in the cache, and carries the decision out. If the API server has others,
    /// decides again with these.
    pub async fn reply(&mut self) -> Reply {
        if let Ok(reply) = Box::pin(self.reply_based_on(false)).await {
            return reply;
        }
        let current = Box::pin(self.reply_based_on(true)).await;
        // What was read from the API server is not compared again, so it is never outdated.
        current.unwrap_or((Answer::Allow, "unknown"))
    }

    /// Returns the answer to the review. `is_current` says whether class and namespace are read from the API server, and not
    /// from the cache.
    async fn reply_based_on(&mut self, is_current: bool) -> Result<Reply, Outdated> {
        let class = match self.in_time(self.class(is_current)).await {
            Ok(class) => class,
            Err(fault) => {
                // Only Bindery provides volumes from its archives.
                if let Some(refused) = self.archive_not_read(&fault) {
                    return Ok(refused);
                }
                // The class may be of another provisioner, so the claim must not be refused.
                if let Err(error) = self.fence_earlier(None).await {
                    tracing::warn!("{error}");
                }
                return Ok(self.class_not_read(&fault));
            }
        };
        let mut basis = Basis {
            class,
            namespace: Namespace::default(),
            is_current,
        };
        let verdict = match self.in_time(self.decide(&mut basis)).await {
            Ok(verdict) => verdict,
            Err(fault) => return Ok(self.volume_or_namespace_not_read(basis.class.as_ref(), &fault).await),
        };
        self.warnings.clone_from(&verdict.warnings);
        let is_final = matches!(
            verdict.decision,
            Decision::Deny(_) | Decision::Pass(Pass::NamespaceDisabled)
        );
        // For a claim that gets a volume, this is done at the same time as the NFS server is asked.
        if (is_final || verdict.unused.is_some())
            && matches!(Box::pin(self.confirm(&basis)).await, Err(Error::Outdated))
        {
            return Err(Outdated);
        }
        if self.dry_run {
            return Ok(match verdict.decision {
                Decision::Deny(message) => deny(message),
                Decision::Provision(new) => {
                    self.warn_of_archive(&new);
                    (Answer::Allow, "dry-run")
                }
                Decision::Pass(_) => (Answer::Allow, "dry-run"),
            });
        }
        Box::pin(self.carry_out(verdict, &basis)).await
    }

    /// Carries out a decision.
    async fn carry_out(&mut self, verdict: Verdict, basis: &Basis) -> Result<Reply, Outdated> {
        if let Some(unused) = &verdict.unused
            && let Err(error) = self.provisioner.discard(unused, self.deadlines.end).await
        {
            return Ok(deny(format!(
                "the claim was changed after PersistentVolume {} was made for it, and must not be bound to that \
                 volume: {error}. Create the claim again in a minute",
                unused.name
            )));
        }
        Ok(match verdict.decision {
            Decision::Pass(reason) => {
                tracing::debug!(?reason, "passed");
                let answer = match verdict.unused {
                    Some(_) => Answer::without_volume(self.object),
                    None => Answer::Allow,
                };
                // Kubernetes must not bind the claim to a volume that was created when the claim was different.
                if reason.is_left_to_kubernetes() {
                    self.after_fencing(None, |_| (answer, "pass")).await
                } else {
                    (answer, "pass")
                }
            }
            Decision::Deny(message) => deny(message),
            Decision::Provision(new) => match new.provision {
                Provision::OnCreate => self.provision(&new, basis).await?,
                Provision::AfterCreate => self.preview(&new, basis).await?,
            },
        })
    }

    /// Compares class and namespace with the API server, if they are from the cache.
    async fn confirm(&self, basis: &Basis) -> Result<(), Error> {
        let Some(class) = basis.class.as_ref().filter(|_| !basis.is_current) else {
            return Ok(());
        };
        let (name, cluster) = (class.name_any(), &self.provisioner.cluster);
        let namespace = cluster.namespace_now(&self.claim.namespace);
        let read = Box::pin(async { tokio::try_join!(cluster.class_now(&name), namespace) });
        let purpose = || format!("read StorageClass {name} and namespace {}", self.claim.namespace);
        let (now, namespace) = self.in_time(read).await.map_err(|fault| Error::Api(purpose(), fault))?;
        let is_same = now.is_some_and(|now| now.metadata.resource_version == class.metadata.resource_version);
        if is_same && namespace == basis.namespace {
            Ok(())
        } else {
            Err(Error::Outdated)
        }
    }

    /// Waits for a request to the API server that the decision needs, at most until the deadline of the work.
    async fn in_time<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, ApiFault> {
        match timeout_at(self.deadlines.work, call).await {
            Ok(answer) => answer.map_err(|error| {
                tracing::debug!(%error, "a request to the API server failed, so the review cannot be decided");
                error.into()
            }),
            Err(_) => Err(ApiFault::timeout()),
        }
    }

    async fn class(&self, is_current: bool) -> kube::Result<Option<StorageClass>> {
        match &self.claim.class {
            Some(name) if is_current => self.provisioner.cluster.class_now(name).await,
            Some(name) => self.provisioner.cluster.class(name).await,
            None => Ok(None),
        }
    }

    fn is_ours(&self, class: Option<&StorageClass>) -> bool {
        class.is_some_and(|class| class.provisioner == self.provisioner.installation.provisioner)
    }

    /// Reads what else the decision needs, and decides.
    async fn decide(&self, basis: &mut Basis) -> kube::Result<Verdict> {
        let Provisioner {
            cluster, installation, ..
        } = self.provisioner;
        let ours = self.is_ours(basis.class.as_ref());
        // A claim of another provisioner may name a volume that Bindery created in an earlier review of the same
        // request. The name of such a volume begins with `pvc-`. Volumes with other names are not read.
        let volume = match &self.claim.volume_name {
            Some(name) if ours || name.starts_with("pvc-") => cluster.volume(name).await?,
            _ => None,
        };
        if !ours && volume.is_none() {
            return Ok(Verdict {
                decision: Decision::Pass(Pass::OtherClass),
                unused: None,
                warnings: Vec::new(),
                based_on: None,
            });
        }
        basis.namespace = if basis.is_current {
            cluster.namespace_now(&self.claim.namespace).await?
        } else {
            cluster.namespace(&self.claim.namespace).await?
        };
        let facts = self
            .provisioner
            .restore_facts(&self.claim, &basis.namespace, Some(self.user));
        let restore = match Box::pin(facts).await {
            Ok(restore) => restore,
            Err(error) => {
                tracing::debug!(%error, "could not read the archives, or the rights of the user");
                let refusal = self.archive_refusal(&error.into());
                return Ok(Verdict {
                    decision: Decision::Deny(refusal.unwrap_or_default()),
                    unused: None,
                    warnings: Vec::new(),
                    based_on: None,
                });
            }
        };
        Ok(decide(&Facts {
            claim: &self.claim,
            class: basis.class.as_ref(),
            namespace: &basis.namespace,
            volume: volume.as_ref(),
            candidates: &cluster.candidates(&self.claim, installation),
            csi_drivers: &cluster
                .installed(basis.class.as_ref().map_or(&[][..], csi::drivers))
                .await?,
            classes: &cluster.classes.store().state(),
            defaults: self.defaults,
            installation,
            restore: restore.as_ref(),
            seed: Uuid::new_v4(),
        }))
    }

    /// Returns the answer if the class could not be read. The claim is admitted, because the class may be of another
    /// provisioner. This is rare: only a class that was just created is missing in the cache.
    fn class_not_read(&mut self, fault: &ApiFault) -> Reply {
        let class = self.claim.class.as_deref().unwrap_or_default();
        tracing::warn!("StorageClass {class} could not be read, so the claim is admitted unchanged: {fault}");
        self.warnings.push(format!(
            "Bindery could not read StorageClass {class}: {fault}; the claim is admitted unchanged. If Bindery serves \
             this class, it provisions the volume later"
        ));
        (Answer::Allow, "unknown")
    }

    /// Returns the answer if the claim's volume or namespace could not be read.
    ///
    /// If the claim names a volume from an earlier review of the same request, the claim is refused. The claim may have
    /// changed since that review, and then the settings of the volume are wrong.
    async fn volume_or_namespace_not_read(&mut self, class: Option<&StorageClass>, fault: &ApiFault) -> Reply {
        if self.is_ours(class)
            && let Some(refused) = self.archive_not_read(fault)
        {
            return refused;
        }
        let named = self.claim.volume_name.as_deref();
        let provisioner = &self.provisioner.installation.provisioner;
        let is_of_earlier_review = self.claim.annotations.get(STORAGE_PROVISIONER) == Some(provisioner);
        if let Some(volume) = named.filter(|_| is_of_earlier_review) {
            return deny(format!(
                "Bindery could not read PersistentVolume {volume}, which the claim names, or the namespace of the \
                 claim: {fault}; create the claim again"
            ));
        }
        if !self.is_ours(class) {
            let volume = named.unwrap_or_default();
            tracing::warn!(
                "a claim of another provisioner is admitted unchanged; its volume {volume} could not be read: {fault}"
            );
            return (Answer::Allow, "unknown");
        }
        let why = format!("Bindery could not read namespace {}: {fault}", self.claim.namespace);
        match named {
            Some(volume) => {
                self.warnings.push(format!(
                    "Bindery could not read PersistentVolume {volume}, which the claim names, or namespace {}: {fault}; \
                     the claim is admitted unchanged",
                    self.claim.namespace
                ));
                (Answer::Allow, "unknown")
            }
            None if fault.may_pass() => self.after_fencing(None, |review| review.queue(&why)).await,
            None => deny(why),
        }
    }

    async fn provision(&mut self, new: &NewVolume, basis: &Basis) -> Result<Reply, Outdated> {
        let confirm = Box::pin(self.confirm(basis));
        let done = Box::pin(self.provisioner.provision(new, self.deadlines, confirm)).await;
        Ok(match done {
            Ok(warnings) => {
                self.warn_of_archive(new);
                self.warnings.extend(warnings);
                tracing::info!(volume = new.name, share = %new.share, directory = %new.directory, "provisioned");
                let provisioner = &self.provisioner.installation.provisioner;
                let answer = Answer::with_volume(self.object, &new.claim.1, &new.name, provisioner);
                (answer, "provision")
            }
            Err(Error::Outdated) => return Err(Outdated),
            Err(error) => self.not_provisioned(new, error).await,
        })
    }

    /// Refuses the claim if its volume could not be created now. Otherwise the controller creates the volume when the
    /// claim exists.
    async fn preview(&mut self, new: &NewVolume, basis: &Basis) -> Result<Reply, Outdated> {
        let confirm = Box::pin(self.confirm(basis));
        let done = Box::pin(self.provisioner.preview(new, self.deadlines.work, confirm)).await;
        Ok(match done {
            Ok(()) => {
                self.warn_of_archive(new);
                let later = |review: &mut Self| (Answer::without_volume(review.object), "later");
                self.after_fencing(Some(&new.attempt), later).await
            }
            Err(Error::Outdated) => return Err(Outdated),
            Err(error) => self.not_provisioned(new, error).await,
        })
    }

    /// Returns the answer if the volume or its directory could not be created. The volume of this request is already
    /// fenced or removed.
    async fn not_provisioned(&mut self, new: &NewVolume, error: Error) -> Reply {
        match error {
            Error::ClaimExists => (Answer::Allow, "pass"),
            error if error.can_queue(new.on_failure) => {
                self.after_fencing(Some(&new.attempt), |review| review.queue(&error.to_string()))
                    .await
            }
            error => deny(error.to_string()),
        }
    }

    /// Fences the volumes of earlier requests, and returns this answer. If a volume could not be fenced, refuses the
    /// claim: it could be bound to a volume that was created when the claim was different.
    async fn after_fencing(&mut self, attempt: Option<&str>, answer: impl FnOnce(&mut Self) -> Reply) -> Reply {
        match self.fence_earlier(attempt).await {
            Ok(()) => answer(self),
            Err(error) => deny(format!(
                "an earlier request for a claim of this name left a PersistentVolume, and the claim must not be bound \
                 to it: {error}. Create the claim again in a minute"
            )),
        }
    }

    /// Fences volumes that earlier requests created for a claim of this name, except the volume of this `attempt`. A
    /// claim with `generateName` has no name yet, and no such volumes.
    async fn fence_earlier(&self, attempt: Option<&str>) -> Result<(), Error> {
        match &self.claim.name {
            Name::Given(name) => {
                let fence = self
                    .provisioner
                    .fence_earlier(&self.claim.namespace, name, attempt, self.deadlines.end);
                Box::pin(fence).await
            }
            Name::Generate(_) => Ok(()),
        }
    }

    /// Admits the claim without a volume. The controller provisions it later.
    fn queue(&mut self, why: &str) -> Reply {
        tracing::info!("queued: {why}");
        self.warnings.push(format!(
            "the volume is not provisioned yet; Bindery retries until it is: {why}"
        ));
        (Answer::without_volume(self.object), "queue")
    }
}

/// Refuses the claim with this message.
pub fn deny(message: String) -> Reply {
    tracing::info!("denied: {message}");
    (Answer::Deny(message), "deny")
}
