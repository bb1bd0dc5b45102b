//! Reads the objects that a claim depends on. An object that is not needed is not read.

use std::cmp::Reverse;
use std::fmt::Debug;
use std::sync::Arc;

use anyhow::{Error, Result, anyhow, bail};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::cluster::api_error::{ApiFault, Kind};
use crate::cluster::archives::archives_named;
use crate::model::archive::{Archive, restored_volume};
use crate::model::candidate::{Candidate, MatchFields};
use crate::model::choices::CsiDriver;
use crate::model::claim::{Claim, Name};
use crate::model::data_source::DataSource;
use crate::model::names::{AREA, annotation, is_object_name};
use crate::model::namespace;
use crate::model::volume::{Installation, Volume};
use crate::policy::class::Defaults;
use crate::policy::csi;
use crate::policy::decide::Facts;
use crate::policy::explain::{Explanation, ReadFrom, explain};
use crate::policy::restore::{RestoreFacts, User, meant};
use crate::policy::selectors::Selectors;

/// Reads objects from the API server.
pub struct Reader {
    client: Client,
    installation: Installation,
    defaults: Defaults,
    /// The name of the webhook configuration.
    configuration: String,
    /// The selectors of the webhook configuration. They are read once, for the first claim whose class is Bindery's.
    selectors: OnceCell<Option<Selectors>>,
    /// All classes. They are read once.
    classes: OnceCell<Vec<Arc<StorageClass>>>,
    /// All volumes. They are read once, for the first claim that needs a directory.
    volumes: OnceCell<Vec<PersistentVolume>>,
}

impl Reader {
    /// Creates a reader, and reads nothing yet.
    pub fn new(client: Client, installation: Installation, defaults: Defaults, configuration: String) -> Self {
        Self {
            client,
            installation,
            defaults,
            configuration,
            selectors: OnceCell::new(),
            classes: OnceCell::new(),
            volumes: OnceCell::new(),
        }
    }

    /// Explains an existing claim.
    pub async fn explain_existing(&self, namespace: &str, name: &str) -> Result<Explanation> {
        let found = self.namespace(namespace).await?;
        let missing =
            || anyhow!("claim {name} does not exist in namespace {namespace}; to explain a new claim, use --file");
        let claim = self.claim(namespace, name).await?.ok_or_else(missing)?;
        self.explain(&found, Claim::read(&claim, namespace), ReadFrom::Cluster)
            .await
    }

    /// Explains every claim of a namespace.
    pub async fn explain_all(&self, namespace: &str) -> Result<Vec<Explanation>> {
        let found = self.namespace(namespace).await?;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let mut explanations = Vec::new();
        for claim in list(&claims, &format!("the claims of namespace {namespace}")).await? {
            let claim = Claim::read(&claim, namespace);
            explanations.push(self.explain(&found, claim, ReadFrom::Cluster).await?);
        }
        Ok(explanations)
    }

    /// Explains a claim that would be created from a file.
    pub async fn explain_new(&self, namespace: &str, mut claim: PersistentVolumeClaim) -> Result<Explanation> {
        let found = self.namespace(namespace).await?;
        self.complete(&mut claim).await?;
        let claim = Claim::read(&claim, namespace);
        let read_from = match &claim.name {
            Name::Given(name) if self.claim(namespace, name).await?.is_some() => ReadFrom::FileOfExistingClaim,
            Name::Given(_) | Name::Generate(_) => ReadFrom::File,
        };
        self.explain(&found, claim, read_from).await
    }

    async fn explain(
        &self,
        namespace: &namespace::Namespace,
        claim: Claim,
        read_from: ReadFrom,
    ) -> Result<Explanation> {
        let classes = self.classes().await?;
        let class = classes
            .iter()
            .find(|class| class.metadata.name == claim.class)
            .map(Arc::as_ref);
        let all_volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let volume = match &claim.volume_name {
            Some(name) => get(&all_volumes, name, &format!("volume {name}")).await?,
            None => None,
        };
        let volume = volume.as_ref().map(Volume::read);
        let ours = class.is_some_and(|class| class.provisioner == self.installation.provisioner);
        let volumes = if ours && claim.volume_name.is_none() {
            let read = || list(&all_volumes, "the PersistentVolumes");
            self.volumes.get_or_try_init(read).await?.as_slice()
        } else {
            &[]
        };
        let candidate = |object: &PersistentVolume| {
            let (volume, match_fields) = (Volume::read(object), MatchFields::read(object));
            Candidate::of(&volume, match_fields.as_ref(), &claim, &self.installation)
        };
        let candidates: Vec<_> = volumes.iter().filter_map(candidate).collect();
        let of_bindery = |volume: &&PersistentVolume| volume.labels().contains_key(AREA);
        let others: Vec<_> = volumes.iter().filter(of_bindery).map(Volume::read).collect();
        let restore = if ours {
            self.restore_facts(&claim, namespace).await?
        } else {
            None
        };
        let (csi_drivers, unknown_drivers) = self.csi_drivers(class).await?;
        let facts = Facts {
            claim: &claim,
            class,
            namespace,
            volume: volume.as_ref(),
            candidates: &candidates,
            csi_drivers: &csi_drivers,
            classes,
            defaults: &self.defaults,
            installation: &self.installation,
            restore: restore.as_ref(),
            seed: Uuid::nil(),
        };
        let mut explanation = explain(&facts, read_from, &others);
        if ours {
            explanation.warnings.extend(unknown_drivers);
            let selectors = self.selectors.get_or_try_init(|| self.read_selectors()).await?;
            let exempts = |selectors: &Selectors| selectors.exempts(&namespace.labels, &claim.labels);
            match selectors.as_ref().map(exempts) {
                Some(Some(exempt)) => explanation.exempt(exempt, &self.configuration),
                Some(None) => {}
                None => explanation.warnings.push(format!(
                    "could not check whether MutatingWebhookConfiguration {} exempts this claim: the kubeconfig's user \
                     lacks the right to get it",
                    self.configuration
                )),
            }
        }
        Ok(explanation)
    }

    /// Returns those of the CSI drivers that a class may need that the cluster has. If the user may not read them, all count
    /// as installed, and a warning says so.
    async fn csi_drivers(&self, class: Option<&StorageClass>) -> Result<(Vec<CsiDriver>, Option<String>)> {
        let objects: Api<CSIDriver> = Api::all(self.client.clone());
        let drivers = class.map_or(&[][..], csi::drivers);
        let mut installed = Vec::new();
        for &driver in drivers {
            match objects.get_opt(driver.as_str()).await {
                Ok(found) => installed.extend(found.map(|_| driver)),
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    let warning = format!(
                        "could not check whether CSIDriver {driver} is installed: the kubeconfig's user lacks the right to \
                         get it (get csidrivers.storage.k8s.io); it is taken to be installed"
                    );
                    return Ok((drivers.to_vec(), Some(warning)));
                }
                Err(error) => return Err(read_error(&format!("CSIDriver {driver}"), error)),
            }
        }
        Ok((installed, None))
    }

    /// Reads the archives that a claim may name. What this user may not read is reported as an error.
    async fn restore_facts(&self, claim: &Claim, namespace: &namespace::Namespace) -> Result<Option<RestoreFacts>> {
        let DataSource::Archive(name) = &claim.data_source else {
            return Ok(None);
        };
        let objects: Api<Archive> = Api::namespaced(self.client.clone(), &claim.namespace);
        let archives = archives_named(&objects, name).await;
        let archives =
            archives.map_err(|error| read_error(&format!("the archives of namespace {}", claim.namespace), error))?;
        let of = (claim.namespace.as_str(), namespace.uid.as_deref());
        let found = archives.as_deref().unwrap_or_default();
        // Bindery's own namespace is not known here.
        let meant = meant(name, of, "", &self.installation, found);
        let volume = match meant.and_then(|archive| archive.spec.key()) {
            Some(key) => {
                let volume = restored_volume(key);
                let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
                get(&volumes, &volume, &format!("volume {volume}")).await?
            }
            None => None,
        };
        Ok(Some(RestoreFacts {
            volume: volume.as_ref().map(Volume::read),
            // They may be in namespaces that this user may not read.
            same: Vec::new(),
            user: Some(User {
                name: String::new(),
                may_get: true,
                may_list: true,
            }),
            own_namespace: String::new(),
            now: Timestamp::now(),
            archives,
        }))
    }

    async fn classes(&self) -> Result<&[Arc<StorageClass>]> {
        let read = async || {
            let classes = list(&Api::<StorageClass>::all(self.client.clone()), "the StorageClasses").await?;
            Ok::<_, Error>(classes.into_iter().map(Arc::new).collect())
        };
        Ok(self.classes.get_or_try_init(read).await?.as_slice())
    }

    /// Sets the default StorageClass in a claim that names none, as the API server would.
    async fn complete(&self, claim: &mut PersistentVolumeClaim) -> Result<()> {
        let is_beta = claim.annotations().contains_key(annotation::BETA_CLASS);
        let Some(spec) = &mut claim.spec else { return Ok(()) };
        if spec.storage_class_name.is_some() || is_beta {
            return Ok(());
        }
        let is_default = |class: &&Arc<StorageClass>| {
            let marked = class.annotations().get(annotation::DEFAULT_CLASS);
            marked.is_some_and(|marked| marked == "true")
        };
        // The API server takes the newest default class. Of several from the same second it takes the first by name.
        let order = |class: &&Arc<StorageClass>| (Reverse(class.creation_timestamp()), class.name_any());
        let class = self.classes().await?.iter().filter(is_default).min_by_key(order);
        spec.storage_class_name = class.map(|class| class.name_any());
        Ok(())
    }

    async fn namespace(&self, name: &str) -> Result<namespace::Namespace> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let Some(found) = get(&namespaces, name, &format!("namespace {name}")).await? else {
            bail!("namespace {name} does not exist");
        };
        Ok(namespace::Namespace {
            uid: found.metadata.uid,
            labels: found.metadata.labels.unwrap_or_default(),
            annotations: found.metadata.annotations.unwrap_or_default(),
        })
    }

    async fn claim(&self, namespace: &str, name: &str) -> Result<Option<PersistentVolumeClaim>> {
        let claims = Api::namespaced(self.client.clone(), namespace);
        get(&claims, name, &format!("claim {name} of namespace {namespace}")).await
    }

    /// Reads the selectors. Without a webhook configuration there are none. Returns `None` if the user may not read it.
    async fn read_selectors(&self) -> Result<Option<Selectors>> {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        match configurations.get_opt(&self.configuration).await {
            Ok(found) => Ok(Some(found.as_ref().and_then(Selectors::read).unwrap_or_default())),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
            Err(error) => {
                let what = format!("MutatingWebhookConfiguration {}", self.configuration);
                Err(read_error(&what, error))
            }
        }
    }
}

/// Reads an object. Returns `None` if it does not exist. `what` describes it in an error.
async fn get<K: Clone + Debug + DeserializeOwned>(objects: &Api<K>, name: &str, what: &str) -> Result<Option<K>> {
    if !is_object_name(name) {
        return Ok(None);
    }
    objects.get_opt(name).await.map_err(|error| read_error(what, error))
}

async fn list<K: Clone + Debug + DeserializeOwned>(objects: &Api<K>, what: &str) -> Result<Vec<K>> {
    let all = objects.list(&ListParams::default()).await;
    Ok(all.map_err(|error| read_error(what, error))?.items)
}

fn read_error(what: &str, error: kube::Error) -> Error {
    if ApiFault::from(&error).kind == Kind::Forbidden {
        return anyhow!(
            "{what} could not be read: the kubeconfig's user lacks the right; use a kubeconfig whose user may get \
             and list claims, volumes, StorageClasses and namespaces"
        );
    }
    Error::from(error).context(format!("{what} could not be read"))
}
