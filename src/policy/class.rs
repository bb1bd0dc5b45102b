//! Reads a StorageClass.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::storage::v1::StorageClass;

use super::effective::LEFT_TO_SERVER;
use super::key::Key;
use super::settings::Settings;
use super::template::Template;
use super::{legacy_class, mount_options};
use crate::model::choices::{CsiDriver, SourceKind};
use crate::model::directory::Share;
use crate::model::group::Group;
use crate::model::invalid::Invalid;
use crate::model::on_delete::OnDelete;
use crate::model::reclaim::Reclaim;
use crate::model::retention::Retention;
use crate::model::topologies::Topologies;

/// The server and the export for classes that name none, from the flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// `--nfs-server`.
    pub server: Option<String>,
    /// `--nfs-share`.
    pub share: Option<String>,
}

/// The next step if parameters of a class are wrong.
pub const REPLACE_CLASS: &str =
    "an administrator must delete the class and create it again, because class parameters cannot be edited";

/// A valid StorageClass of this installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// The share of its directories.
    pub share: Share,
    /// Its settings.
    pub settings: Settings,
    /// The keys that a namespace may override.
    pub namespace_overrides: Vec<Key>,
    /// The keys that a claim may override.
    pub claim_overrides: Vec<Key>,
    /// The reclaim policy of its volumes.
    pub reclaim: Reclaim,
    /// Mount options for the kubelet.
    pub mount_options: Vec<String>,
    /// The nodes on which pods can use its volumes.
    pub topologies: Topologies,
    /// Warnings about settings whose effect may not be intended. For a class that was written for another provisioner,
    /// also warnings about settings that are ignored; in other classes these are errors.
    pub warnings: Vec<String>,
}

impl Class {
    /// Its share, with the NFS version that Bindery uses.
    pub fn share_with_version(&self) -> Share {
        self.share.clone().over(self.settings.version.unwrap_or_default())
    }

    /// Reads a class of this installation's provisioner. The error lists everything that is wrong. A class of another
    /// provisioner that Bindery has taken over is read by the rules of [`legacy_class`].
    pub fn read(class: &StorageClass, defaults: &Defaults) -> Result<Self, WrongClass> {
        let empty = BTreeMap::new();
        let written = class.parameters.as_ref().unwrap_or(&empty);
        let legacy = legacy_class::is_legacy(&class.provisioner);
        let (parameters, mut warnings) = if legacy {
            legacy_class::translate(written)
        } else {
            (written.clone(), Vec::new())
        };
        let parameters = &parameters;
        let mut invalid = Vec::new();
        let known = parameters
            .iter()
            .filter_map(|(name, value)| match Key::of_parameter(name) {
                Ok(key) => Some((key, name.as_str(), value.as_str())),
                Err(unknown) => {
                    invalid.push(Invalid(unknown.to_string()));
                    None
                }
            });
        let written: Vec<_> = known.collect();
        let mut settings = Settings::read(&written, &mut invalid);
        if legacy && parameters.contains_key(Key::PathPattern.as_str()) {
            settings.template = settings.template.map(Template::lenient);
        }
        let mut overrides = |key: Key, default: &[Key]| match parameters.get(key.as_str()) {
            None => default.to_vec(),
            Some(list) => overrides(key, list, &mut invalid),
        };
        let namespace_overrides = overrides(Key::NamespaceOverrides, &Key::NAMESPACE_DEFAULT);
        let claim_overrides = overrides(Key::ClaimOverrides, &[]);
        let overrides = [&namespace_overrides[..], &claim_overrides[..]].concat();
        // The other provisioner accepted these values, so they must not prevent the takeover of its volumes.
        let mut add = |error: Option<Invalid>| match error {
            Some(error) if legacy => warnings.push(error.0),
            error => invalid.extend(error),
        };
        add(settings.template_error(&written));
        add(incomplete_csi(&settings, &overrides));
        add(open_group(&settings));
        add(unused_retention(&settings, &overrides));
        let mut unset = unset(parameters, defaults);
        unset.extend(impossible_expansion(class, &settings, &overrides));
        let share = share(parameters, defaults, &mut invalid);
        let reclaim = class.reclaim_policy.as_deref().unwrap_or("Delete");
        let reclaim = reclaim.parse::<Reclaim>().map_err(|allowed| {
            let advice = format!("{allowed}; to keep or archive the directory, set onDelete");
            invalid.push(Invalid::value("reclaimPolicy", reclaim, &advice));
        });
        let mount_options = mount_options::read(class);
        warnings.extend(mount_options::version_warning(
            &mount_options,
            settings.version.unwrap_or_default(),
        ));
        match (share, reclaim) {
            (Some(share), Ok(reclaim)) if invalid.is_empty() && unset.is_empty() => Ok(Self {
                name: class.metadata.name.clone().unwrap_or_default(),
                share,
                settings,
                namespace_overrides,
                claim_overrides,
                reclaim,
                mount_options,
                topologies: Topologies::read(class),
                warnings,
            }),
            _ => Err(WrongClass { invalid, unset }),
        }
    }
}

/// A class that is not valid. Prints everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongClass {
    /// Errors in its parameters.
    invalid: Vec<Invalid>,
    /// Keys that neither the class nor a flag sets, and fields that can be edited.
    unset: Vec<Invalid>,
}

impl WrongClass {
    /// The next step for an administrator. The parameters of a class cannot be edited.
    pub fn remedy(&self) -> &'static str {
        if self.invalid.is_empty() {
            "an administrator must do that"
        } else {
            REPLACE_CLASS
        }
    }
}

impl fmt::Display for WrongClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<Invalid> = self.invalid.iter().chain(&self.unset).cloned().collect();
        f.write_str(&Invalid::join(&all))
    }
}

/// The keys of the share, each with the value of its flag and the name of the flag.
fn share_keys(defaults: &Defaults) -> [(Key, Option<&String>, &'static str); 2] {
    [
        (Key::Server, defaults.server.as_ref(), "--nfs-server"),
        (Key::Share, defaults.share.as_ref(), "--nfs-share"),
    ]
}

fn unset(parameters: &BTreeMap<String, String>, defaults: &Defaults) -> Vec<Invalid> {
    let unset = share_keys(defaults)
        .into_iter()
        .filter(|(key, default, _)| default.is_none() && !parameters.contains_key(key.as_str()));
    let messages = unset.map(|(key, _, flag)| {
        Invalid(format!(
            "{key} is not set: start Bindery with {flag}, or delete the class and create it again with that parameter"
        ))
    });
    messages.collect()
}

/// Reads the share. Server and path are checked separately, so that both errors are reported.
fn share(parameters: &BTreeMap<String, String>, defaults: &Defaults, invalid: &mut Vec<Invalid>) -> Option<Share> {
    let [server, path] =
        share_keys(defaults).map(|(key, default, _)| parameters.get(key.as_str()).or(default).map(String::as_str));
    let mut has_token = |key: Key, value: Option<&str>| {
        let templated = value.filter(|value| Template::is_in(value));
        invalid.extend(templated.map(|value| {
            let advice = "server and share are the same for all claims of a class; write the value in subDir";
            Invalid::value(key.as_str(), value, &advice)
        }));
        templated.is_some()
    };
    let server = server.filter(|_| !has_token(Key::Server, server));
    let path = path.filter(|_| !has_token(Key::Share, path));
    let mut parse = |server, path| {
        let share = Share::parse(server, path);
        share.map_err(|error| invalid.push(Invalid(error.to_string()))).ok()
    };
    let is_server_valid = server.is_some_and(|server| parse(server, "/").is_some());
    let is_path_valid = path.is_some_and(|path| parse("server", path).is_some());
    (is_server_valid && is_path_valid)
        .then(|| Share::parse(server?, path?).ok())
        .flatten()
}

/// The error of a class that lacks what its CSI driver needs, or whose CSI parameters have no effect.
fn incomplete_csi(settings: &Settings, overrides: &[Key]) -> Option<Invalid> {
    let is_csi = settings.source == Some(SourceKind::Csi);
    let is_fixed = |key: Key| !overrides.contains(&key);
    if is_csi && is_fixed(Key::CsiDriver) {
        return settings.csi.missing(settings.driver.unwrap_or(CsiDriver::Nfs));
    }
    let mut written = settings.written.iter().filter(|key| key.is_of_csi());
    let unused = written.next().filter(|_| !is_csi && is_fixed(Key::VolumeSource))?;
    Some(Invalid(format!(
        "{unused} is set, but the kubelet mounts the volumes, because {} is not {}; set it, or remove {unused}",
        Key::VolumeSource,
        SourceKind::Csi
    )))
}

/// The error of a class whose volumes the resizer of their driver would try to expand, in vain.
fn impossible_expansion(class: &StorageClass, settings: &Settings, overrides: &[Key]) -> Option<Invalid> {
    let is_csi = settings.source == Some(SourceKind::Csi) || overrides.contains(&Key::VolumeSource);
    let is_cephfs = settings.driver == Some(CsiDriver::CephFs) || overrides.contains(&Key::CsiDriver);
    (is_csi && is_cephfs && class.allow_volume_expansion == Some(true)).then(|| {
        Invalid(format!(
            "allowVolumeExpansion is true, but ceph-csi cannot expand a volume that it did not create, and its csi-resizer \
             would report errors for claims with {}; set allowVolumeExpansion: false",
            CsiDriver::CephFs
        ))
    })
}

/// The error of a class whose volumes have groups of their own and modes that the server chooses.
fn open_group(settings: &Settings) -> Option<Invalid> {
    let is_open = matches!(settings.gid, Some(Group::Own(_))) && settings.mode == Some(LEFT_TO_SERVER);
    is_open.then(|| {
        Invalid(
            "mountPermissions is 0, so the NFS server chooses the mode, but gid: auto is for directories that only their \
             group can use; set a mode such as 0770, or remove gid and gidRange"
                .to_owned(),
        )
    })
}

/// The error of a retention in a class whose claims can never be archived.
fn unused_retention(settings: &Settings, overrides: &[Key]) -> Option<Invalid> {
    let on_delete = settings.on_delete.filter(|on_delete| *on_delete != OnDelete::Archive)?;
    let on_delete_keys = [Key::OnDelete, Key::ArchiveOnDelete];
    let is_unused = matches!(settings.retention, Some(Retention::Seconds(_)))
        && !overrides.iter().any(|key| on_delete_keys.contains(key));
    is_unused.then(|| {
        Invalid(format!(
            "archiveRetention is set, but onDelete is {on_delete} for every claim, so nothing is ever archived; remove \
            one of the two, or list onDelete in namespaceOverrides or claimOverrides"
        ))
    })
}

/// Reads a comma-separated list of keys that annotations may set.
fn overrides(list: Key, value: &str, invalid: &mut Vec<Invalid>) -> Vec<Key> {
    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut keys = Vec::new();
    for name in names {
        match Key::of_parameter(name) {
            Ok(key) if key.is_for_annotations() => keys.push(key),
            Ok(key) => invalid.push(Invalid(format!(
                "{list} lists {key}, which only a StorageClass may set; remove it \
            from the list"
            ))),
            Err(unknown) => invalid.push(Invalid(format!("{list}: {unknown}"))),
        }
    }
    keys
}

#[cfg(test)]
#[path = "class_tests.rs"]
mod tests;
