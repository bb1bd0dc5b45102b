//! The settings of a claim as a table: key, value, and the object that set it.

use serde::Serialize;

use crate::model::choices::{ArchiveRestore, FreeSpace, Provision, RestoreAttributes, SizeLimit, SourceKind};
use crate::model::group::Group;
use crate::model::labels;
use crate::model::names::volume_annotation;
use crate::model::source::Source;
use crate::model::volume::{Origin, Record, Volume};
use crate::policy::class::{Class, Defaults};
use crate::policy::effective::{Effective, LEFT_TO_SERVER, Policy};
use crate::policy::key::Key;

/// The reclaim policy: a field of the class and of the volume.
const RECLAIM: &str = "reclaimPolicy";
/// The source of a server or share that a flag of `bindery serve` sets, if this command does not have that flag.
const FLAG_NOT_GIVEN: &str = "flag, not given here";

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

/// The rows for a new claim.
pub(super) fn of_new_claim(class: &Class, policy: &Policy, defaults: &Defaults) -> Vec<Row> {
    let settings = &class.settings;
    let flag = |key: Key, value: &str, flag: &str, given: Option<&String>| match given {
        _ if settings.written.contains(&key) => Row::new(key.as_str(), value, "class"),
        Some(_) => Row::new(key.as_str(), value, flag),
        None => Row::new(key.as_str(), format!("the {flag} of bindery serve"), FLAG_NOT_GIVEN),
    };
    let of_class = |key: Key, value: &str| {
        let value = if value.is_empty() { "none" } else { value };
        let is_written = settings.written.contains(&key);
        Row::new(key.as_str(), value, if is_written { "class" } else { "default" })
    };
    let list = |keys: &[Key]| {
        let names: Vec<&str> = keys.iter().map(|key| key.as_str()).collect();
        names.join(", ")
    };
    let labels = settings.volume_labels.as_ref().map(labels::write);
    let (server, share) = (defaults.server.as_ref(), defaults.share.as_ref());
    vec![
        flag(Key::Server, class.share.server(), "--nfs-server", server),
        flag(Key::Share, class.share.path(), "--nfs-share", share),
        effective_row(policy.template.key, &policy.template, ToString::to_string),
        effective_row(Key::OnDelete, &policy.on_delete, ToString::to_string),
        effective_row(Key::MountPermissions, &policy.mode, |mode| shown_mode(*mode)),
        effective_row(Key::Uid, &policy.uid, |uid| owner(*uid)),
        effective_row(Key::Gid, &policy.gid, |gid| owner(*gid)),
        effective_row(Key::ExistingDirectory, &policy.existing, ToString::to_string),
        effective_row(Key::ArchiveRetention, &policy.retention, ToString::to_string),
        of_class(
            Key::ArchiveRestore,
            settings.archive_restore.unwrap_or(ArchiveRestore::Allow).as_str(),
        ),
        of_class(
            Key::RestoreAttributes,
            settings.restore_attributes.unwrap_or(RestoreAttributes::Keep).as_str(),
        ),
        effective_row(Key::OnStorageFailure, &policy.on_failure, ToString::to_string),
        effective_row(Key::NfsVersion, &policy.version, ToString::to_string),
        of_class(
            Key::Provision,
            settings.provision.unwrap_or(Provision::OnCreate).as_str(),
        ),
        of_class(Key::VolumeLabels, &labels.unwrap_or_default()),
        effective_row(Key::VolumeSource, &policy.source, |source| match source {
            SourceKind::Nfs => source.to_string(),
            SourceKind::Csi => format!("{source}, {}", policy.driver.value),
        }),
        of_class(
            Key::FreeSpace,
            settings.free_space.unwrap_or(FreeSpace::Ignore).as_str(),
        ),
        of_class(
            Key::SizeLimit,
            settings.size_limit.unwrap_or(SizeLimit::Ignore).as_str(),
        ),
        of_class(Key::NamespaceOverrides, &list(&class.namespace_overrides)),
        of_class(Key::ClaimOverrides, &list(&class.claim_overrides)),
        Row::new(RECLAIM, class.reclaim, "class"),
    ]
}

/// The values on a volume, and those for a new claim (`new_rows`) if they differ. `same_directory`: a new claim would get
/// the same directory.
pub(super) fn of_volume(volume: &Volume, record: &Record, new_rows: &[Row], same_directory: bool) -> Vec<Row> {
    fn recorded(key: Key, value: impl ToString, annotation: &str) -> Row {
        Row::new(key.as_str(), value, format!("volume annotation {annotation}"))
    }
    let keeps = RestoreAttributes::Keep;
    let is_kept_archive = record
        .being_restored()
        .is_some_and(|archive| archive.attributes == keeps);
    let adopted = record.origin == Origin::Adopted || is_kept_archive;
    // The annotations of an adopted directory have the values for creating it again if it is missing.
    let owned = |key: Key, id: Option<u32>, annotation: &str| match id {
        _ if adopted => recorded(key, KEEPS, volume_annotation::DIRECTORY),
        Some(id) => recorded(key, id, annotation),
        None => Row::new(
            key.as_str(),
            owner(id),
            format!("volume without annotation {annotation}"),
        ),
    };
    let attributes = &record.attributes;
    let version = record.share.version();
    let source = record.source.field();
    let mut rows = vec![
        Row::new(Key::Server.as_str(), record.share.server(), format!("volume {source}")),
        recorded(Key::Share, record.share.path(), volume_annotation::SHARE),
        recorded(Key::SubDir, &record.directory, volume_annotation::SUB_DIR),
        recorded(Key::OnDelete, record.on_delete, volume_annotation::ON_DELETE),
        if adopted {
            recorded(Key::MountPermissions, KEEPS, volume_annotation::DIRECTORY)
        } else {
            let mode = shown_mode(attributes.mode.unwrap_or(LEFT_TO_SERVER));
            recorded(Key::MountPermissions, mode, volume_annotation::MOUNT_PERMISSIONS)
        },
        owned(Key::Uid, attributes.uid, volume_annotation::UID),
        owned(Key::Gid, attributes.gid, volume_annotation::GID),
        recorded(
            Key::ArchiveRetention,
            record.retention,
            volume_annotation::ARCHIVE_RETENTION,
        ),
        recorded(Key::NfsVersion, version, volume_annotation::NFS_VERSION),
        Row::new(
            Key::VolumeSource.as_str(),
            match record.source.driver() {
                None => SourceKind::Nfs.to_string(),
                Some(driver) => format!("{}, {driver}", SourceKind::Csi),
            },
            format!("volume {source}"),
        ),
        Row::new(RECLAIM, volume.reclaim, "volume"),
    ];
    let own_group = record.group_range.map(|range| Group::Own(range).to_string());
    for row in &mut rows {
        let is_directory = row.key == Key::SubDir.as_str();
        let new = new_rows
            .iter()
            .find(|new| new.key == row.key || is_directory && new.key == Key::PathPattern.as_str());
        let is_same = |new: &Row| match &*row.value {
            _ if is_directory => same_directory,
            KEEPS => same_directory,
            // A new claim gets another group of the same range.
            _ if row.key == Key::Gid.as_str() && own_group.as_deref() == Some(&new.value) => true,
            value => value == new.value,
        };
        // A value that is not known cannot be compared.
        let new = new.filter(|new| !is_same(new) && new.from != FLAG_NOT_GIVEN);
        row.new_claim = new.map(|new| NewValue {
            value: new.value.clone(),
            from: new.from.clone(),
        });
    }
    rows
}

impl Row {
    /// Creates a row whose value is the same for a new claim.
    pub fn new(key: &'static str, value: impl ToString, from: impl Into<String>) -> Self {
        Self {
            key,
            value: value.to_string(),
            from: from.into(),
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
    Row::new(key.as_str(), text(&effective.value), from)
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
