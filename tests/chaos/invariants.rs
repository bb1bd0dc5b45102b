//! What must hold when everything is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bindery::model::names::{self, mark};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::admin::Kept;
use crate::bed::Bed;
use crate::schedule::Slot;
use crate::setup::{Class, Fate};
use crate::tenants::{Tenant, Tenants, class_of, files, place};

const TRASH: &str = ".bindery-trash";
const OWN: &str = ".bindery-";
const ARCHIVED: &str = "archived-";

/// The whole world, looked at once.
struct World<'a> {
    /// By uid.
    claims: BTreeMap<String, PersistentVolumeClaim>,
    /// By name.
    volumes: BTreeMap<String, PersistentVolume>,
    tenants: BTreeMap<String, Tenant>,
    all: &'a Tenants,
    /// Every directory that may be a volume's or an archive, below the export, and whose files are in it.
    directories: BTreeMap<String, Vec<String>>,
    trash: Vec<String>,
    broken: Vec<String>,
}

/// All that is not as it should be. Empty once everything has come to rest.
pub async fn broken(client: &Client, tenants: &Tenants) -> Result<Vec<String>> {
    let mut world = World::look(client, tenants).await?;
    world.claims_have_their_volumes();
    world.volumes_have_their_claims();
    world.directories_have_a_reason();
    world.data_is_where_it_belongs();
    Ok(world.broken)
}

impl<'a> World<'a> {
    async fn look(client: &Client, tenants: &'a Tenants) -> Result<Self> {
        let all = ListParams::default();
        let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
        let claims = claims.list(&all).await?.items;
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        let volumes = volumes.list(&all).await?.items.into_iter();
        let volumes = volumes.filter(|volume| !Kept::is_by_hand(&volume.name_any()));
        let mut world = Self {
            claims: claims
                .into_iter()
                .map(|claim| (claim.uid().unwrap_or_default(), claim))
                .collect(),
            volumes: volumes.map(|volume| (volume.name_any(), volume)).collect(),
            tenants: tenants.known(),
            all: tenants,
            directories: BTreeMap::new(),
            trash: Vec::new(),
            broken: Vec::new(),
        };
        world.look_at_the_export()?;
        Ok(world)
    }

    fn look_at_the_export(&mut self) -> Result<()> {
        let export = &Bed::get().export;
        for name in entries(export)? {
            let path = export.join(&name);
            if name == TRASH {
                self.trash = entries(&path)?;
            } else if name.starts_with(OWN) {
                self.broken.push(format!("{name} is there"));
            } else if name.starts_with(ARCHIVED) || Class::ALL.iter().any(|class| name.starts_with(class.name())) {
                self.directories.insert(name, files(&path)?);
            } else {
                // A namespace's, of the layout.
                for below in entries(&path)? {
                    self.directories
                        .insert(format!("{name}/{below}"), files(&path.join(&below))?);
                }
            }
        }
        Ok(())
    }

    fn claims_have_their_volumes(&mut self) {
        let mut broken = Vec::new();
        for (uid, claim) in &self.claims {
            if let Err(wrong) = self.claim_is_served(uid, claim) {
                let name = format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any());
                broken.push(format!("claim {name} ({uid}): {wrong:#}"));
            }
        }
        self.broken.extend(broken);
    }

    fn claim_is_served(&self, uid: &str, claim: &PersistentVolumeClaim) -> Result<()> {
        anyhow::ensure!(claim.metadata.deletion_timestamp.is_none(), "is still being deleted");
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
        if phase == Some("Pending") && self.place_is_kept(claim) {
            return Ok(());
        }
        anyhow::ensure!(phase == Some("Bound"), "is {phase:?}, its volume {name:?}");
        let volume = self.volumes.get(name.context("names no volume")?);
        let volume = volume.with_context(|| format!("its volume {name:?} is not there"))?;
        anyhow::ensure!(
            claim_uid(volume) == Some(uid),
            "its volume {name:?} is that of {:?}",
            claim_uid(volume)
        );
        let ready = volume.annotations().get(mark::READY).map(String::as_str);
        anyhow::ensure!(ready == Some("true"), "its volume {name:?} is not ready");
        let place = place(volume)?;
        anyhow::ensure!(place.is_dir(), "its directory {} is not there", place.display());
        let tenant = self.tenants.get(uid).context("has not written its file")?;
        let file = place.join(format!("{}{uid}", crate::tenants::FILE));
        let content = std::fs::read_to_string(&file).with_context(|| format!("its file {}", file.display()))?;
        anyhow::ensure!(content == Tenants::content(uid, tenant), "its file says {content:?}");
        Ok(())
    }

    /// Whether a claim is refused, because a volume that stays has its directory: one made by hand; or one that Kubernetes
    /// has bound to an earlier claim of that name, whose class keeps its volumes, or whose volume an administrator has kept.
    fn place_is_kept(&self, claim: &PersistentVolumeClaim) -> bool {
        let there = format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any());
        let stays = |volume: &PersistentVolume| {
            let class = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
            class == Some(Class::OwnKept.name()) && volume.annotations().get(mark::SUB_DIR) == Some(&there)
        };
        class_of(claim).is_some_and(Class::is_layout)
            && (self.all.kept.is_named(&there) || self.volumes.values().any(stays))
    }

    fn volumes_have_their_claims(&mut self) {
        for (name, volume) in &self.volumes {
            let ours = volume.annotations().get(mark::PROVISIONED_BY).map(String::as_str) == Some(names::PROVISIONER);
            let uid = claim_uid(volume);
            let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
            let held = uid
                .and_then(|uid| self.claims.get(uid))
                .is_some_and(|claim| claim.spec.as_ref().and_then(|spec| spec.volume_name.as_ref()) == Some(name));
            let class = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
            let kept = class.and_then(Class::called) == Some(Class::OwnKept) && phase == Some("Released");
            let deleting = volume.metadata.deletion_timestamp.is_some();
            if !ours || deleting || !(held || kept) {
                let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
                let claim = claim.map(|claim| (claim.namespace.clone(), claim.name.clone()));
                self.broken.push(format!(
                    "volume {name} is {phase:?} (ours: {ours}, deleting: {deleting}) for claim {claim:?} {uid:?}, which does not hold it"
                ));
            }
            // A kept one whose claim went before Bindery came to it never had one.
            let given = volume.annotations().contains_key(mark::READY);
            if (given || !kept) && !place(volume).is_ok_and(|place| place.is_dir()) {
                self.broken.push(format!("volume {name} has no directory"));
            }
        }
    }

    fn directories_have_a_reason(&mut self) {
        let of_volumes: BTreeSet<PathBuf> = self.volumes.values().filter_map(|volume| place(volume).ok()).collect();
        for left in &self.trash {
            self.broken.push(format!("{left} is in the trash"));
        }
        for (directory, inside) in &self.directories {
            let has_volume = of_volumes.contains(&Bed::get().export.join(directory));
            let may_stay = directory.starts_with(ARCHIVED) || self.all.kept.was_named(directory);
            if !has_volume && !may_stay && !self.was_left(directory, inside) {
                self.broken
                    .push(format!("directory {directory} has no volume; in it: {inside:?}"));
            }
        }
    }

    /// Whether policy has left this directory without a volume. One that holds nothing was left by a claim that went
    /// before it had written anything.
    fn was_left(&self, directory: &str, inside: &[String]) -> bool {
        let left = |uid: &String| self.tenants.get(uid).is_some_and(|tenant| tenant.may_be(Fate::Kept));
        let empty = match directory.split_once('/') {
            None => directory.starts_with(Class::OwnRetain.name()),
            Some((namespace, name)) => {
                let slot = Slot {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                };
                self.all.tried(&slot, Class::LayoutRetain, None)
            }
        };
        if inside.is_empty() {
            empty
        } else {
            inside.iter().all(left)
        }
    }

    /// Every file that a tenant has written is where the claim's policy wants it, and nowhere else.
    fn data_is_where_it_belongs(&mut self) {
        let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (directory, inside) in &self.directories {
            for uid in inside {
                found.entry(uid).or_default().push(directory);
            }
        }
        let mut broken = Vec::new();
        for (uid, tenant) in &self.tenants {
            let places = found.remove(uid.as_str()).unwrap_or_default();
            if !self.claims.contains_key(uid) && !self.lies_right(uid, tenant, &places) {
                broken.push(format!("the file of claim {uid}, now gone, is at {places:?}: {tenant}"));
            }
        }
        for (uid, places) in found {
            broken.push(format!("{places:?} has the file {uid}, which nobody has written"));
        }
        for (directory, inside) in &self.directories {
            let mixed = |uid: &&String| self.tenants.get(*uid).is_some_and(|of| !of.may_be(Fate::Kept));
            let whose: Vec<_> = inside.iter().filter(mixed).collect();
            if whose.len() > 1 {
                broken.push(format!("{directory} has the data of several claims: {whose:?}"));
            }
        }
        self.broken.extend(broken);
    }

    fn lies_right(&self, uid: &str, tenant: &Tenant, places: &[&str]) -> bool {
        if let Some(directory) = self.all.kept.held_in(uid) {
            return *places == [directory.as_str()];
        }
        let archived = places.iter().all(|place| place.starts_with(ARCHIVED));
        let once = places.len() == 1;
        // The next claim of that name had it, and its own fate was that of what it found.
        let deletes = |class| self.all.tried(&tenant.slot, class, Some(tenant.since));
        let adopted = (tenant.class == Class::LayoutRetain || tenant.left || tenant.named || tenant.kept)
            && tenant.directory.contains('/')
            && match places {
                [] => [Class::LayoutDelete, Class::AliasDelete].into_iter().any(deletes),
                _ => once,
            };
        // A volume of the same place under the server's other address had come when its directory had left its path: what is
        // named twice is not deleted.
        let met_an_alias = tenant.directory.contains('/')
            && (tenant.class == Class::AliasDelete
                || self.all.tried(&tenant.slot, Class::AliasDelete, Some(tenant.since)));
        adopted
            || met_an_alias && once
            || tenant.may_be(Fate::Deleted) && places.is_empty()
            || tenant.may_be(Fate::Archived) && once && archived
            || tenant.may_be(Fate::Kept) && once && !archived
    }
}

/// Claims that wait, for a closer look.
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
