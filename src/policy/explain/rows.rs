//! The settings of a claim as a table: key, value, and the object that set it.

use serde::Serialize;

use crate::model::choices::Provision;
use crate::model::labels;
use crate::model::names::volume_annotation;
use crate::model::source::Source;
use crate::model::volume::{Origin, Record, Volume};
use crate::policy::class::{Class, Defaults};
use crate::policy::effective::{Effective, LEFT_TO_SERVER, Policy};
use crate::policy::key::Key;

/// A field of Kubernetes, in the class and in the volume.
const RECLAIM: &str = "reclaimPolicy";
/// The source of a server or share that only the flags of `bindery serve` know.
const UNTOLD: &str = "flag, not given here";

/// A mode or an owner that Bindery does not set.
const BY_SERVER: &str = "set by the server";

/// The mode and the owner of an adopted directory.
const KEEPS: &str = "adopted: keeps its mode and owner";

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The key.
    pub key: &'static str,
    /// The value.
    pub value: String,
    /// The object that set it.
    pub from: String,
    /// The value for a new claim, if that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_claim: Option<NewValue>,
}

/// A value for a new claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewValue {
    /// The value.
    pub value: String,
    /// The object that set it.
    pub from: String,
}

/// The values for a new claim.
pub(super) fn applied(class: &Class, policy: &Policy, defaults: &Defaults) -> Vec<Row> {
    let flag = |key: Key, value: &str, flag: &str, is_given: bool| {
        if class.settings.written.contains(&key) {
            Row::new(key.as_str(), value, "class")
        } else if is_given {
            Row::new(key.as_str(), value, flag)
        } else {
            Row::new(key.as_str(), &format!("the {flag} of bindery serve"), UNTOLD)
        }
    };
    let of_class = |key: Key, value: &str| {
        let from = if class.settings.written.contains(&key) {
            "class"
        } else {
            "default"
        };
        Row::new(key.as_str(), value, from)
    };
    let list = |key: Key, keys: &[Key]| {
        let names: Vec<_> = keys.iter().map(|key| key.as_str()).collect();
        let names = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        of_class(key, &names)
    };
    vec![
        flag(
            Key::Server,
            class.share.server(),
            "--nfs-server",
            defaults.server.is_some(),
        ),
        flag(Key::Share, class.share.path(), "--nfs-share", defaults.share.is_some()),
        effective_row(policy.template.key, &policy.template, ToString::to_string),
        effective_row(Key::OnDelete, &policy.on_delete, ToString::to_string),
        effective_row(Key::MountPermissions, &policy.mode, |mode| shown_mode(*mode)),
        effective_row(Key::Uid, &policy.uid, |uid| owner(*uid)),
        effective_row(Key::Gid, &policy.gid, |gid| owner(*gid)),
        effective_row(Key::ExistingDirectory, &policy.existing, |existing| {
            existing.as_str().to_owned()
        }),
        effective_row(Key::ArchiveRetention, &policy.retention, ToString::to_string),
        effective_row(Key::OnStorageFailure, &policy.on_failure, |what| {
            what.as_str().to_owned()
        }),
        effective_row(Key::NfsVersion, &policy.version, |version| version.as_str().to_owned()),
        of_class(
            Key::Provision,
            class.settings.provision.unwrap_or(Provision::OnCreate).as_str(),
        ),
        of_class(
            Key::VolumeLabels,
            &class
                .settings
                .volume_labels
                .as_ref()
                .filter(|all| !all.is_empty())
                .map_or_else(|| "none".to_owned(), labels::write),
        ),
        list(Key::NamespaceOverrides, &class.namespace_overrides),
        list(Key::ClaimOverrides, &class.claim_overrides),
        Row::new(RECLAIM, class.reclaim.as_str(), "class"),
    ]
}

/// The values on a volume, and those for a new claim if they differ. `same_place`: a new claim would get the same
/// directory.
pub(super) fn frozen(volume: &Volume, record: &Record, now: Vec<Row>, same_place: bool) -> Vec<Row> {
    let recorded = |key: Key, value: &str, annotation: &str| {
        Row::new(key.as_str(), value, &format!("volume annotation {annotation}"))
    };
    let owned = |key: Key, id: Option<u32>, annotation: &str| {
        let from = if id.is_some() { "volume" } else { "volume without" };
        Row::new(key.as_str(), &owner(id), &format!("{from} annotation {annotation}"))
    };
    let attributes = &record.attributes;
    let adopted = record.origin == Origin::Adopted;
    let mut rows = vec![
        Row::new(Key::Server.as_str(), record.share.server(), "volume spec.nfs"),
        recorded(Key::Share, record.share.path(), volume_annotation::SHARE),
        recorded(Key::SubDir, record.directory.as_str(), volume_annotation::SUB_DIR),
        recorded(Key::OnDelete, record.on_delete.as_str(), volume_annotation::ON_DELETE),
        recorded(
            Key::MountPermissions,
            &shown_mode(attributes.mode.unwrap_or(LEFT_TO_SERVER)),
            volume_annotation::MOUNT_PERMISSIONS,
        ),
        owned(Key::Uid, attributes.uid, volume_annotation::UID),
        owned(Key::Gid, attributes.gid, volume_annotation::GID),
        recorded(
            Key::ArchiveRetention,
            &record.retention.to_string(),
            volume_annotation::ARCHIVE_RETENTION,
        ),
        recorded(
            Key::NfsVersion,
            record.share.version().as_str(),
            volume_annotation::NFS_VERSION,
        ),
        Row::new(RECLAIM, volume.reclaim.as_str(), "volume"),
    ];
    let of_the_directory = [Key::MountPermissions, Key::Uid, Key::Gid].map(Key::as_str);
    if adopted {
        // The annotations have the values for creating it again if it is missing.
        for row in rows.iter_mut().filter(|row| of_the_directory.contains(&row.key)) {
            KEEPS.clone_into(&mut row.value);
            row.from = format!("volume annotation {}", volume_annotation::DIRECTORY);
        }
    }
    for new in now {
        if adopted && same_place && of_the_directory.contains(&new.key) {
            continue;
        }
        let is_template = [Key::SubDir.as_str(), Key::PathPattern.as_str()].contains(&new.key);
        let key = if is_template { Key::SubDir.as_str() } else { new.key };
        let differs = |row: &&mut Row| {
            row.key == key
                && if is_template {
                    !same_place
                } else {
                    row.value != new.value
                }
        };
        // A value that is not known cannot be compared.
        if let Some(row) = rows.iter_mut().find(differs)
            && new.from != UNTOLD
        {
            row.new_claim = Some(NewValue {
                value: new.value,
                from: new.from,
            });
        }
    }
    rows
}

impl Row {
    /// A row whose value is the same for a new claim.
    pub fn new(key: &'static str, value: &str, from: &str) -> Self {
        Self {
            key,
            value: value.to_owned(),
            from: from.to_owned(),
            new_claim: None,
        }
    }
}

fn effective_row<T>(key: Key, effective: &Effective<T>, text: impl Fn(&T) -> String) -> Row {
    let from = match effective.source {
        Source::Claim => format!("claim annotation {}", effective.key.annotation()),
        Source::Namespace => format!("namespace annotation {}", effective.key.annotation()),
        Source::Class if effective.key != key => format!("class parameter {}", effective.key),
        Source::Class => "class".to_owned(),
        Source::Default => "default".to_owned(),
    };
    Row::new(key.as_str(), &text(&effective.value), &from)
}

fn shown_mode(mode: u32) -> String {
    match mode {
        LEFT_TO_SERVER => BY_SERVER.to_owned(),
        mode => format!("{mode:04o}"),
    }
}

fn owner<T: ToString>(id: Option<T>) -> String {
    id.map_or_else(|| BY_SERVER.to_owned(), |id| id.to_string())
}
