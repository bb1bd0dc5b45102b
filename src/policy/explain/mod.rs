//! Explains what happens to a claim, and why.
//!
//! [`explain`] calls [`decide`] and adds the object that set each value. For a claim that has a volume, it shows the values
//! on the volume, and the values that a new claim would get where they differ. It does not ask the NFS server.

mod outcome;
mod placeholders;
mod rows;

use serde::Serialize;

pub use self::outcome::Outcome;
use self::outcome::outcome;
use self::placeholders::{NO_UUID, SERVER, SHARE, is_known, location, shown_name, with_placeholders};
pub use self::rows::{NewValue, Row};
use super::class::{Class, Defaults};
use super::decide::{Decision, Facts, decide};
use super::key::Key;
use super::restore;
use super::selectors::Exempt;
use crate::model::archive::Archive;
use crate::model::claim::Claim;
use crate::model::data_source::DataSource;
use crate::model::directory::Directory;
use crate::model::volume::{Record, Volume};

/// Where the claim was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// In a file.
    File,
    /// In a file, and a claim with this name exists in the cluster.
    FileOfExistingClaim,
    /// In the cluster.
    Cluster,
}

/// An explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Namespace and name.
    pub claim: String,
    /// Its class.
    pub class: Option<String>,
    /// What happens to it.
    pub outcome: Outcome,
    /// The settings by key; empty if no policy applies or if it is not valid.
    pub policy: Vec<Row>,
    /// Server, share and directory.
    pub directory: Option<String>,
    /// The archive whose directory the claim's volume has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
    /// Warnings for the user of the claim.
    pub warnings: Vec<String>,
}

/// Explains a claim. `others` are the volumes of the cluster that may overlap; `seed` in `facts` is ignored.
pub fn explain(facts: &Facts<'_>, read_from: ReadFrom, others: &[Volume]) -> Explanation {
    let exists = read_from == ReadFrom::Cluster;
    let volume_name = facts.claim.volume_name.as_deref().filter(|_| exists);
    // For a claim that has its volume, the decision about a new claim is explained. The API server ignores a uid in a file.
    let claim = facts.claim.clone();
    let as_new = Claim {
        volume_name: claim.volume_name.filter(|_| !exists),
        uid: if exists && volume_name.is_none() {
            claim.uid
        } else {
            String::new()
        },
        ..claim
    };
    // A server or a share that is not known must be that of the archive that the claim names.
    let archive = archive_of(facts).map(|archive| &archive.spec);
    let or = |given: &Option<String>, of_archive: Option<&String>, placeholder: &str| {
        given
            .clone()
            .or_else(|| of_archive.cloned())
            .or_else(|| Some(placeholder.to_owned()))
    };
    let defaults = Defaults {
        server: or(&facts.defaults.server, archive.map(|spec| &spec.server), SERVER),
        share: or(&facts.defaults.share, archive.map(|spec| &spec.share), SHARE),
    };
    let others = if volume_name.is_some() { &[] } else { others };
    let new_facts = Facts {
        claim: &as_new,
        volume: match volume_name {
            Some(_) => None,
            // A claim that waits for its volume gets the volume that an earlier attempt created.
            None if exists => others
                .iter()
                .find(|volume| volume.is_unclaimed_of(facts.installation, &as_new)),
            None => facts.volume,
        },
        defaults: &defaults,
        // The volume name is derived from the uid of an existing claim.
        seed: as_new.uid.parse().unwrap_or(NO_UUID),
        ..*facts
    };
    let verdict = decide(&new_facts);
    let new = match &verdict.decision {
        Decision::Provision(new) => Some(new.as_ref()),
        Decision::Pass(_) | Decision::Deny(_) => None,
    };
    let mut explanation = Explanation {
        claim: format!("{}/{}", as_new.namespace, shown_name(&as_new)),
        class: as_new.class.clone(),
        outcome: outcome(&new_facts, &verdict, others),
        policy: verdict
            .based_on
            .iter()
            .flat_map(|(class, policy)| rows::of_new_claim(class, policy, facts.defaults))
            .collect(),
        directory: new.map(|new| with_placeholders(&as_new, new, &location(&new.share, &new.directory))),
        restored_from: None,
        warnings: verdict.warnings,
    };
    if volume_name.is_none()
        && let Some(restored) = new.and_then(|new| new.restored.as_ref())
    {
        explanation.warnings.push(format!(
            "it gets Archive {}: directory {} of the share is moved to the directory above",
            restored.name, restored.archive
        ));
        let is_set =
            |class: &Class, key, default: &Option<String>| class.settings.written.contains(&key) || default.is_some();
        if verdict.based_on.as_ref().is_some_and(|(class, _)| {
            !is_set(class, Key::Server, &facts.defaults.server) || !is_set(class, Key::Share, &facts.defaults.share)
        }) {
            explanation.warnings.push(format!(
                "could not check whether StorageClass {} is for the share of Archive {}: give the --nfs-server and \
                 --nfs-share that bindery serve has",
                as_new.class.as_deref().unwrap_or_default(),
                restored.name
            ));
        }
    }
    if let Some(name) = volume_name {
        explanation.describe_volume(name, facts, new.map(|new| &new.directory));
    } else if read_from == ReadFrom::FileOfExistingClaim {
        let why = "a claim of this name already exists and keeps its volume; to see it, give the name of the claim \
        instead of a file. This is what a new claim would get";
        explanation.outcome = Outcome::NotServed { why: why.to_owned() };
    } else if exists && let Outcome::Provisioned { volume } = &explanation.outcome {
        explanation.outcome = if facts.class.is_some_and(|class| facts.claim.waits_for_its_pod(class)) {
            let why = "its StorageClass has volumeBindingMode WaitForFirstConsumer: it gets its volume when a pod that uses \
                       it is scheduled";
            Outcome::NotServed { why: why.to_owned() }
        } else {
            let volume = volume.clone();
            Outcome::NoVolumeYet { volume }
        };
    }
    if volume_name.is_none() && new.is_some_and(|new| !is_known(&new.share) && !new.directory.cannot_overlap(&new.name))
    {
        let warning = "could not check whether another volume uses this directory: give the --nfs-server and \
        --nfs-share that bindery serve has";
        explanation.warnings.push(warning.to_owned());
    }
    explanation
}

/// The archive that a claim names.
fn archive_of<'a>(facts: &Facts<'a>) -> Option<&'a Archive> {
    let DataSource::Archive(name) = &facts.claim.data_source else {
        return None;
    };
    let known = facts.restore?;
    let of = (facts.claim.namespace.as_str(), facts.namespace.uid.as_deref());
    restore::meant(
        name,
        of,
        &known.own_namespace,
        facts.installation,
        known.archives.as_deref()?,
    )
}

/// The volume that a claim in the cluster names, and its record. The error says why the claim cannot have this volume.
fn volume_of<'a>(name: &str, facts: &Facts<'a>) -> Result<(&'a Volume, &'a Record), String> {
    let provisioner = &facts.installation.provisioner;
    let missing = || format!("it names volume {name}, which does not exist");
    let volume = facts.volume.ok_or_else(missing)?;
    if volume.maker.as_ref().map(|maker| &maker.provisioner) != Some(provisioner) {
        return Err(format!("its volume {name} was not created by {provisioner}"));
    }
    if let Some(of) = &volume.claim
        && !volume.is_for(&facts.claim.namespace, &shown_name(facts.claim))
    {
        return Err(format!(
            "it names volume {name}, which claim {}/{} uses",
            of.namespace, of.name
        ));
    }
    match &volume.record {
        Ok(record) => Ok((volume, record)),
        Err(error) => Err(format!("its volume {name} cannot be used: {error}")),
    }
}

impl Explanation {
    /// Replaces the explanation by that of the claim's volume. `new` is the directory that a new claim would get.
    fn describe_volume(&mut self, name: &str, facts: &Facts<'_>, new: Option<&Directory>) {
        let (volume, record) = match volume_of(name, facts) {
            Ok(found) => found,
            Err(why) => return self.set_not_served(why),
        };
        let mut new_rows = std::mem::take(&mut self.policy);
        // Only one claim gets an archive, so there is no new claim to compare with.
        let names_archive = matches!(facts.claim.data_source, DataSource::Archive(_));
        if names_archive {
            new_rows.clear();
        }
        self.restored_from = record.restored.as_ref().map(|archive| match &archive.namespace {
            namespace if *namespace == facts.claim.namespace => format!("Archive {}", archive.name),
            namespace => format!("Archive {} of namespace {namespace}", archive.name),
        });
        let new_directory = new.map(|new| new.as_str().replace(&format!("pvc-{NO_UUID}"), name));
        let same_directory = new_directory.as_deref() == Some(record.directory.as_str());
        self.policy = rows::of_volume(volume, record, &new_rows, same_directory);
        self.directory = Some(location(&record.share, &record.directory));
        self.outcome = Outcome::HasVolume {
            volume: name.to_owned(),
            new_claim: match &self.outcome {
                _ if names_archive => None,
                Outcome::Refused { why } => Some(format!("refused: {why}")),
                Outcome::NotServed { why } => Some(format!("not served: {why}")),
                _ => None,
            },
        };
    }

    /// Sets the outcome `NotServed`, in which no setting applies.
    fn set_not_served(&mut self, why: String) {
        self.outcome = Outcome::NotServed { why };
        self.policy.clear();
        self.warnings.clear();
        self.directory = None;
    }

    /// Adds that the webhook configuration exempts the claim. A claim that has its volume keeps it.
    pub fn exempt(&mut self, exempt: Exempt, configuration: &str) {
        let (selector, what) = match exempt {
            Exempt::Namespace => ("namespaceSelector", "the claim's namespace"),
            Exempt::Object => ("objectSelector", "the claim"),
        };
        let why = format!("the {selector} of MutatingWebhookConfiguration {configuration} does not select {what}");
        match &mut self.outcome {
            Outcome::NotServed { .. } => {}
            Outcome::HasVolume { .. } if self.restored_from.is_some() => {}
            Outcome::HasVolume { new_claim, .. } => *new_claim = Some(format!("not served: {why}")),
            _ => self.set_not_served(why),
        }
    }
}

#[cfg(test)]
mod tests;
