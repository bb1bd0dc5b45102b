//! The invariants that must hold some time after the last fault.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bindery::model::archive::{Archive, ArchivePhase};
use bindery::model::names::{self, volume_annotation};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::admin::Protected;
use crate::bed::Bed;
use crate::schedule::Slot;
use crate::setup::{Class, Outcome};
use crate::tenants::{Tenant, Tenants, class_of, files, place};

const TRASH: &str = ".bindery-trash";
const OWN: &str = ".bindery-";
const ARCHIVED: &str = "archived-";

/// The state of cluster and export at one time.
struct State<'a> {
    /// The claims by uid.
    claims: BTreeMap<String, PersistentVolumeClaim>,
    /// The volumes by name.
    volumes: BTreeMap<String, PersistentVolume>,
    /// The directories of the static volumes that exist.
    of_static_volumes: BTreeSet<String>,
    tenants: BTreeMap<String, Tenant>,
    all: &'a Tenants,
    /// Every directory of a volume and every archive in the export, with the uids of the claims whose files are in it.
    directories: BTreeMap<String, Vec<String>>,
    trash: Vec<String>,
    archives: Vec<Archive>,
    violations: Vec<String>,
}

/// Returns all violations of the invariants.
pub async fn violations(client: &Client, tenants: &Tenants) -> Result<Vec<String>> {
    let mut state = State::read(client, tenants).await?;
    state.claims_have_their_volumes();
    state.volumes_have_their_claims();
    state.directories_have_a_reason();
    state.data_is_where_it_belongs();
    Ok(state.violations)
}

impl<'a> State<'a> {
    async fn read(client: &Client, tenants: &'a Tenants) -> Result<Self> {
        let all = ListParams::default();
        let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
        let claims = claims.list(&all).await?.items;
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        let volumes = volumes.list(&all).await?.items.into_iter();
        let (static_volumes, volumes): (Vec<_>, Vec<_>) =
            volumes.partition(|volume| Protected::is_static(&volume.name_any()));
        let of_static_volumes = static_volumes
            .iter()
            .filter_map(|volume| tenants.protected.directory_of(&volume.name_any()));
        let archives: Api<Archive> = Api::all(client.clone());
        let archives = archives.list(&all).await?.items;
        let mut state = Self {
            claims: claims
                .into_iter()
                .map(|claim| (claim.uid().unwrap_or_default(), claim))
                .collect(),
            volumes: volumes.into_iter().map(|volume| (volume.name_any(), volume)).collect(),
            of_static_volumes: of_static_volumes.collect(),
            tenants: tenants.known(),
            all: tenants,
            directories: BTreeMap::new(),
            trash: Vec::new(),
            archives,
            violations: Vec::new(),
        };
        state.read_export()?;
        Ok(state)
    }

    fn read_export(&mut self) -> Result<()> {
        let export = &Bed::get().export;
        for name in entries(export)? {
            let path = export.join(&name);
            if name == TRASH {
                self.trash = entries(&path)?;
            } else if name.starts_with(OWN) {
                self.violations.push(format!("{name} is left in the export"));
            } else if name.starts_with(ARCHIVED) || Class::ALL.iter().any(|class| name.starts_with(class.name())) {
                self.directories.insert(name, files(&path)?);
            } else {
                // This is the folder of a namespace, of classes whose directories are named after the claim.
                for below in entries(&path)? {
                    self.directories
                        .insert(format!("{name}/{below}"), files(&path.join(&below))?);
                }
            }
        }
        Ok(())
    }

    fn claims_have_their_volumes(&mut self) {
        let mut violations = Vec::new();
        for (uid, claim) in &self.claims {
            if let Err(error) = self.claim_is_served(uid, claim) {
                let name = format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any());
                violations.push(format!("claim {name} ({uid}): {error:#}"));
            }
        }
        self.violations.extend(violations);
    }

    fn claim_is_served(&self, uid: &str, claim: &PersistentVolumeClaim) -> Result<()> {
        anyhow::ensure!(claim.metadata.deletion_timestamp.is_none(), "is still being deleted");
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
        if phase == Some("Pending") && (self.directory_is_taken(claim) || self.has_no_archive(claim)) {
            return Ok(());
        }
        anyhow::ensure!(phase == Some("Bound"), "its phase is {phase:?}, its volume {name:?}");
        let volume = self.volumes.get(name.context("names no volume")?);
        let volume = volume.with_context(|| format!("its volume {name:?} does not exist"))?;
        anyhow::ensure!(
            claim_uid(volume) == Some(uid),
            "its volume {name:?} belongs to claim uid {:?}",
            claim_uid(volume)
        );
        let ready = volume.annotations().get(volume_annotation::READY).map(String::as_str);
        anyhow::ensure!(ready == Some("true"), "its volume {name:?} is not ready");
        let place = place(volume)?;
        anyhow::ensure!(place.is_dir(), "its directory {} does not exist", place.display());
        let tenant = self.tenants.get(uid).context("its pod has not written its file")?;
        let file = place.join(format!("{}{uid}", crate::tenants::FILE));
        let content =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read its file {}", file.display()))?;
        anyhow::ensure!(
            content == Tenants::content(uid, tenant),
            "its file contains {content:?}"
        );
        Ok(())
    }

    /// Returns whether the claim names an archive that it cannot get: there is none, or the newest one is on the server by its
    /// other address.
    fn has_no_archive(&self, claim: &PersistentVolumeClaim) -> bool {
        let source = claim.spec.as_ref().and_then(|spec| spec.data_source_ref.as_ref());
        let Some(source) = source else { return false };
        let is_meant = |archive: &&Archive| {
            let is_available = archive
                .status
                .as_ref()
                .is_some_and(|status| status.phase == ArchivePhase::Available);
            is_available
                && archive.namespace() == claim.namespace()
                && (archive.spec.claim_name == source.name || archive.name_any() == source.name)
        };
        let newest = self
            .archives
            .iter()
            .filter(is_meant)
            .max_by_key(|archive| archive.spec.archived_at.0);
        newest.is_none_or(|archive| archive.spec.server != Bed::get().server)
    }

    /// Returns whether a claim got the directory with this file back from its archive.
    fn is_restored(&self, tenant: &Tenant, places: &[&str]) -> bool {
        let [place] = places else { return false };
        let inside = self.directories.get(*place).map_or(&[][..], Vec::as_slice);
        let of_others = inside.iter().filter_map(|uid| self.tenants.get(uid));
        of_others
            .into_iter()
            .any(|other| other.restored && other.slot.namespace == tenant.slot.namespace)
            || self.volumes.values().any(|volume| {
                // Its pod has not written its file.
                volume.annotations().contains_key(volume_annotation::RESTORED_FROM)
                    && self::place(volume).is_ok_and(|path| path == Bed::get().export.join(place))
            })
    }

    /// Returns whether Bindery must refuse the claim, because another volume has its directory: a static volume; or a volume
    /// that Kubernetes has bound to an earlier claim of that name, and that its class or an administrator retains.
    fn directory_is_taken(&self, claim: &PersistentVolumeClaim) -> bool {
        let directory = format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any());
        let stays = |volume: &PersistentVolume| {
            let class = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
            class == Some(Class::OwnKept.name())
                && volume.annotations().get(volume_annotation::SUB_DIR) == Some(&directory)
        };
        class_of(claim).is_some_and(Class::is_named_after_claim)
            && (self.of_static_volumes.contains(&directory) || self.volumes.values().any(stays))
    }

    fn volumes_have_their_claims(&mut self) {
        for (name, volume) in &self.volumes {
            let ours = volume
                .annotations()
                .get(volume_annotation::PROVISIONED_BY)
                .map(String::as_str)
                == Some(names::PROVISIONER);
            let uid = claim_uid(volume);
            let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
            let held = uid
                .and_then(|uid| self.claims.get(uid))
                .is_some_and(|claim| claim.spec.as_ref().and_then(|spec| spec.volume_name.as_ref()) == Some(name));
            let class = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
            let kept = class.and_then(Class::by_name) == Some(Class::OwnKept) && phase == Some("Released");
            let deleting = volume.metadata.deletion_timestamp.is_some();
            if !ours || deleting || !(held || kept) {
                let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
                let claim = claim.map(|claim| (claim.namespace.clone(), claim.name.clone()));
                self.violations.push(format!(
                    "volume {name} in phase {phase:?} (made by Bindery: {ours}, being deleted: {deleting}) is for claim \
                     {claim:?} {uid:?}, which does not use it"
                ));
            }
            // A retained volume whose claim was deleted early may never have had a directory.
            let given = volume.annotations().contains_key(volume_annotation::READY);
            if (given || !kept) && !place(volume).is_ok_and(|place| place.is_dir()) {
                self.violations.push(format!("volume {name} has no directory"));
            }
        }
    }

    fn directories_have_a_reason(&mut self) {
        let of_volumes: BTreeSet<PathBuf> = self.volumes.values().filter_map(|volume| place(volume).ok()).collect();
        for left in &self.trash {
            self.violations.push(format!("{left} is left in the trash"));
        }
        for (directory, inside) in &self.directories {
            let has_volume = of_volumes.contains(&Bed::get().export.join(directory));
            let may_stay = directory.starts_with(ARCHIVED) || self.all.protected.was_ever_protected(directory);
            if !has_volume && !may_stay && !self.is_kept_by_policy(directory, inside) {
                self.violations
                    .push(format!("directory {directory} has no volume; files in it: {inside:?}"));
            }
        }
    }

    /// Returns whether a policy keeps this directory without a volume. An empty one belonged to a claim that was
    /// deleted before its pod had written anything.
    fn is_kept_by_policy(&self, directory: &str, inside: &[String]) -> bool {
        let left = |uid: &String| self.tenants.get(uid).is_some_and(|tenant| tenant.may_be(Outcome::Kept));
        let empty = match directory.split_once('/') {
            None => directory.starts_with(Class::OwnRetain.name()),
            Some((namespace, name)) => {
                let slot = Slot {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                };
                self.all.was_attempted(&slot, Class::LayoutRetain, None)
            }
        };
        if inside.is_empty() {
            empty
        } else {
            inside.iter().all(left)
        }
    }

    /// Checks that every file of a pod is only in the place that the policy of its claim requires.
    fn data_is_where_it_belongs(&mut self) {
        let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (directory, inside) in &self.directories {
            for uid in inside {
                found.entry(uid).or_default().push(directory);
            }
        }
        let mut violations = Vec::new();
        for (uid, tenant) in &self.tenants {
            let places = found.remove(uid.as_str()).unwrap_or_default();
            if !self.claims.contains_key(uid) && !self.is_in_the_right_place(uid, tenant, &places) {
                violations.push(format!(
                    "the file of the deleted claim {uid} is at {places:?}: {tenant}"
                ));
            }
        }
        for (uid, places) in found {
            violations.push(format!("{places:?} contains the file {uid}, which no pod has written"));
        }
        for (directory, inside) in &self.directories {
            let mixed = |uid: &&String| self.tenants.get(*uid).is_some_and(|of| !of.may_be(Outcome::Kept));
            let whose: Vec<_> = inside.iter().filter(mixed).collect();
            let is_restored = whose
                .iter()
                .any(|uid| self.tenants.get(uid.as_str()).is_some_and(|of| of.restored));
            if whose.len() > 1 && !is_restored {
                violations.push(format!("{directory} contains data of several claims: {whose:?}"));
            }
        }
        self.violations.extend(violations);
    }

    fn is_in_the_right_place(&self, uid: &str, tenant: &Tenant, places: &[&str]) -> bool {
        if self.is_restored(tenant, places) {
            return true;
        }
        if let Some(directory) = self.all.protected.protected_directory(uid) {
            return *places == [directory.as_str()];
        }
        let archived = places.iter().all(|place| place.starts_with(ARCHIVED));
        let once = places.len() == 1;
        // The directory was kept. The next claim of that name adopted it, and the policy of that claim applied to all files
        // in it. The class may be another one than that of the layout: Kubernetes binds by the names in the claimRef.
        let deletes = |class| self.all.was_attempted(&tenant.slot, class, Some(tenant.since));
        let adopted =
            (tenant.may_be(Outcome::Kept) || tenant.directory_kept || tenant.directory_named || tenant.protected)
                && tenant.directory.contains('/')
                && match places {
                    [] => [Class::LayoutDelete, Class::AliasDelete].into_iter().any(deletes),
                    _ => once,
                };
        // Another volume named the same directory by the server's other address when cleanup had moved it: then it is
        // not deleted.
        let named_by_alias = tenant.directory.contains('/')
            && (tenant.class == Class::AliasDelete
                || self
                    .all
                    .was_attempted(&tenant.slot, Class::AliasDelete, Some(tenant.since)));
        adopted
            || named_by_alias && once
            || tenant.may_be(Outcome::Deleted) && places.is_empty()
            || tenant.may_be(Outcome::Archived) && once && archived
            || tenant.may_be(Outcome::Kept) && once && !archived
    }
}

/// Returns all claims that are not bound.
pub async fn waiting(client: &Client) -> Result<Vec<Slot>> {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let claims = claims.list(&ListParams::default()).await?;
    let waits = |claim: &&PersistentVolumeClaim| {
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        class_of(claim).is_some() && phase != Some("Bound")
    };
    let slot = |claim: &PersistentVolumeClaim| Slot {
        namespace: claim.namespace().unwrap_or_default(),
        name: claim.name_any(),
    };
    Ok(claims.items.iter().filter(waits).map(slot).collect())
}

fn claim_uid(volume: &PersistentVolume) -> Option<&str> {
    volume.spec.as_ref()?.claim_ref.as_ref()?.uid.as_deref()
}

fn entries(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
