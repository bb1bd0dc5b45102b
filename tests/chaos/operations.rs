//! The users, who create claims, delete them, create them again, and delete namespaces.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bindery::model::archive::{Archive, ArchivePhase};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use crate::schedule::{Action, Creator, Operation, Slot};
use crate::setup::{Class, object};
use crate::tally::Tally;
use crate::tenants::Tenants;

/// How long a user waits for an answer before the next operation.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// How long a user waits for the end of a deleted claim before creating it again.
const UNTIL_GONE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The users: their clients, and where they record what they do.
#[derive(Clone)]
pub struct Users {
    /// Requests of this client are reviewed by the first replica.
    pub first: Client,
    /// Requests of this client are reviewed by the second replica.
    pub second: Client,
    /// Counts the operations.
    pub tally: Arc<Tally>,
    /// Receives every claim that may be created.
    pub tenants: Arc<Tenants>,
    /// The other address of the NFS server.
    pub alias: String,
}

impl Users {
    /// Carries out all operations. Operations on one claim are carried out one after the other.
    pub async fn work(&self, operations: &[Operation], began: Instant) -> Result<()> {
        let mut of_slots: BTreeMap<Slot, Vec<Operation>> = BTreeMap::new();
        for operation in operations {
            let of_slot = of_slots.entry(operation.slot.clone()).or_default();
            of_slot.push(operation.clone());
        }
        let mut all = JoinSet::new();
        for (slot, operations) in of_slots {
            let users = self.clone();
            all.spawn(async move {
                for operation in operations {
                    sleep_until((began + operation.at).into()).await;
                    if began.elapsed() > operation.at + TIME_LIMIT {
                        users
                            .tally
                            .operation("operations skipped, since the user was still waiting");
                        continue;
                    }
                    let done = timeout(TIME_LIMIT + UNTIL_GONE, users.carry_out(&slot, operation.action)).await;
                    match done {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => match error.downcast_ref() {
                            Some(error) => users.failed(error),
                            None => users
                                .tally
                                .finding(format!("an operation cannot be carried out: {error:#}")),
                        },
                        Err(_) => users.tally.operation("operations that timed out"),
                    }
                }
            });
        }
        while let Some(done) = all.join_next().await {
            done?;
        }
        Ok(())
    }

    async fn carry_out(&self, slot: &Slot, action: Action) -> Result<()> {
        match action {
            Action::Create(class, creator) => Ok(self.create(slot, class, creator, None).await?),
            Action::Delete => Ok(self.delete(slot).await?),
            Action::Again(class, creator) => {
                self.delete(slot).await?;
                self.until_gone(slot).await?;
                self.tally.operation("claims created again under the same name");
                Ok(self.create(slot, class, creator, None).await?)
            }
            Action::Restore(creator) => {
                self.delete(slot).await?;
                self.until_gone(slot).await?;
                self.tally.operation("claims created again that name an archive");
                let archive = self.archive_for(slot).await?;
                Ok(self.create(slot, Class::OwnArchive, creator, Some(&archive)).await?)
            }
            Action::DeleteAndRetain(how) => {
                let done = self.tenants.protected.delete_and_retain(&self.first, slot, how).await?;
                self.count(done, "volumes set to retain during cleanup");
                Ok(())
            }
            Action::CreateStatic(how) => {
                let (protected, alias) = (&self.tenants.protected, &self.alias);
                let done = protected.create_static(&self.first, slot, how, alias).await?;
                self.count(done, "static volumes created for the directory of a claim");
                Ok(())
            }
            Action::DeleteStatic => {
                let done = self.tenants.protected.delete_static(&self.first, slot).await?;
                self.count(done, "static volumes deleted");
                Ok(())
            }
            Action::DeleteNamespace => {
                let namespaces: Api<Namespace> = Api::all(self.first.clone());
                namespaces.delete(&slot.namespace, &DeleteParams::default()).await?;
                self.tally.operation("namespaces deleted");
                Ok(())
            }
        }
    }

    /// Returns the name of the oldest archive of the namespace. Without one, the claim names its own newest archive.
    async fn archive_for(&self, slot: &Slot) -> kube::Result<String> {
        let archives: Api<Archive> = Api::namespaced(self.first.clone(), &slot.namespace);
        let found = archives.list(&ListParams::default()).await?.items;
        let can_be_restored = |archive: &&Archive| {
            let status = archive.status.as_ref();
            status.is_some_and(|status| status.phase == ArchivePhase::Available) && archive.spec.server != self.alias
        };
        let oldest = found
            .iter()
            .filter(can_be_restored)
            .min_by_key(|one| one.spec.archived_at.0);
        Ok(oldest.map_or_else(|| slot.name.clone(), ResourceExt::name_any))
    }

    /// Creates a claim. `archive` is the archive that it gets, or the claim whose newest one it gets.
    async fn create(&self, slot: &Slot, class: Class, creator: Creator, archive: Option<&str>) -> kube::Result<()> {
        let once = self.try_to_create(slot, class, creator, archive).await;
        let created = match once {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let namespaces: Api<Namespace> = Api::all(self.first.clone());
                let namespace = json!({"metadata": {"name": slot.namespace}});
                if let Ok(namespace) = object(namespace) {
                    namespaces.create(&PostParams::default(), &namespace).await?;
                }
                self.try_to_create(slot, class, creator, archive).await?
            }
            once => once?,
        };
        let served = created.spec.is_some_and(|spec| spec.volume_name.is_some());
        self.tally.operation(if served {
            "claims created with a volume"
        } else {
            "claims created without a volume, to be provisioned later"
        });
        Ok(())
    }

    async fn try_to_create(
        &self,
        slot: &Slot,
        class: Class,
        creator: Creator,
        archive: Option<&str>,
    ) -> kube::Result<PersistentVolumeClaim> {
        let mut claim = claim(slot, class);
        if let Some(archive) = archive {
            claim["spec"]["dataSourceRef"] = json!({"apiGroup": "bindery.dev", "kind": "Archive", "name": archive});
        }
        self.tenants.record_attempt(slot, class);
        match creator {
            Creator::First => self.post(&self.first, slot, &claim).await,
            Creator::Second => self.post(&self.second, slot, &claim).await,
            Creator::Both => {
                self.tally.operation("claims applied by two users at the same time");
                let (first, second) = tokio::join!(
                    apply(&self.first, slot, "first", &claim),
                    apply(&self.second, slot, "second", &claim)
                );
                first.or(second)
            }
        }
    }

    async fn post(&self, client: &Client, slot: &Slot, claim: &Value) -> kube::Result<PersistentVolumeClaim> {
        let claim = serde_json::from_value(claim.clone()).map_err(kube::Error::SerdeError)?;
        claims(client, slot).create(&PostParams::default(), &claim).await
    }

    async fn delete(&self, slot: &Slot) -> kube::Result<()> {
        match claims(&self.first, slot)
            .delete(&slot.name, &DeleteParams::default())
            .await
        {
            Ok(_) => self.tally.operation("claims deleted"),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn until_gone(&self, slot: &Slot) -> kube::Result<()> {
        let began = Instant::now();
        while began.elapsed() < UNTIL_GONE && claims(&self.first, slot).get_metadata_opt(&slot.name).await?.is_some() {
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    fn count(&self, done: bool, what: &'static str) {
        if done {
            self.tally.operation(what);
        }
    }

    fn failed(&self, error: &kube::Error) {
        match error {
            kube::Error::Api(status) if status.message.contains("bindery.dev") => {
                self.tally.operation("claims refused by Bindery");
                self.tally.refusal(&status.message);
            }
            kube::Error::Api(_) => self.tally.operation("operations rejected by the API server"),
            _ => self.tally.operation("operations that could not reach the API server"),
        }
    }
}

/// Returns the API for the claims in the namespace of a slot.
pub fn claims(client: &Client, slot: &Slot) -> Api<PersistentVolumeClaim> {
    Api::namespaced(client.clone(), &slot.namespace)
}

fn claim(slot: &Slot, class: Class) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": slot.name, "namespace": slot.namespace},
        "spec": {
            "storageClassName": class.name(),
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    })
}

async fn apply(client: &Client, slot: &Slot, manager: &str, claim: &Value) -> kube::Result<PersistentVolumeClaim> {
    let parameters = PatchParams::apply(manager).force();
    claims(client, slot)
        .patch(&slot.name, &parameters, &Patch::Apply(claim))
        .await
}
