//! The settings of one object: a class with its parameters, or a namespace or claim with its annotations.
//!
//! Each value is parsed where it is read, so that an error names the key as written there. [`super::effective`] decides
//! which object wins.

use std::fmt;

use super::csi::CsiSettings;
use super::key::Key;
use super::template::{Dialect, Template};
use crate::model::choices::{
    ArchiveRestore, CsiDriver, ExistingDirectory, FreeSpace, OnStorageFailure, Provision, RestoreAttributes, SizeLimit,
    SourceKind,
};
use crate::model::directory::NfsVersion;
use crate::model::group::{Group, GroupRange};
use crate::model::invalid::Invalid;
use crate::model::labels::{self, Labels};
use crate::model::on_delete::{self, OnDelete};
use crate::model::retention::Retention;

/// The settings of one object; `None` for each key that it does not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `subDir` or `pathPattern`.
    pub template: Option<Template>,
    /// `onDelete` or `archiveOnDelete`.
    pub on_delete: Option<OnDelete>,
    /// `mountPermissions`; 0 leaves the mode to the server.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`, and `gidRange` of a class.
    pub gid: Option<Group>,
    /// `existingDirectory`.
    pub existing: Option<ExistingDirectory>,
    /// `archiveRetention`.
    pub retention: Option<Retention>,
    /// `archiveRestore`, of a class.
    pub archive_restore: Option<ArchiveRestore>,
    /// `restoreAttributes`, of a class.
    pub restore_attributes: Option<RestoreAttributes>,
    /// `onStorageFailure`.
    pub on_failure: Option<OnStorageFailure>,
    /// `nfsVersion`.
    pub version: Option<NfsVersion>,
    /// `provision`, of a class.
    pub provision: Option<Provision>,
    /// `volumeLabels`, of a class.
    pub volume_labels: Option<Labels>,
    /// `volumeSource`.
    pub source: Option<SourceKind>,
    /// `csiDriver`.
    pub driver: Option<CsiDriver>,
    /// `csiAttribute/<name>` and the Secrets of the driver, of a class.
    pub csi: CsiSettings,
    /// `freeSpace`, of a class.
    pub free_space: Option<FreeSpace>,
    /// `sizeLimit`, of a class.
    pub size_limit: Option<SizeLimit>,
    /// All keys that are set on this object.
    pub written: Vec<Key>,
}

impl Settings {
    /// Reads the settings of one object: each key, its name on the object, and its value. Adds errors to `invalid`.
    pub fn read(written: &[(Key, &str, &str)], invalid: &mut Vec<Invalid>) -> Self {
        let get = |key| {
            written
                .iter()
                .find(|(written, ..)| *written == key)
                .map(|&(_, name, value)| (name, value))
        };
        let (on_delete, error) = on_delete::read(get(Key::OnDelete), get(Key::ArchiveOnDelete));
        invalid.extend(error);
        if let (Some((sub_dir, _)), Some((path_pattern, _))) = (get(Key::SubDir), get(Key::PathPattern)) {
            let both = format!("{sub_dir} and {path_pattern} are both set, but mean the same; keep one");
            invalid.push(Invalid(both));
        }
        let sub_dir = parse(get(Key::SubDir), invalid, |text| Template::parse(text, Dialect::SubDir));
        let path_pattern = parse(get(Key::PathPattern), invalid, |text| {
            Template::parse(text, Dialect::PathPattern)
        });
        Self {
            template: sub_dir.or(path_pattern),
            on_delete,
            mode: parse(get(Key::MountPermissions), invalid, mode),
            uid: parse(get(Key::Uid), invalid, id),
            gid: group(get(Key::Gid), get(Key::GidRange), invalid),
            existing: parse(get(Key::ExistingDirectory), invalid, str::parse),
            retention: parse(get(Key::ArchiveRetention), invalid, str::parse),
            archive_restore: parse(get(Key::ArchiveRestore), invalid, str::parse),
            restore_attributes: parse(get(Key::RestoreAttributes), invalid, str::parse),
            on_failure: parse(get(Key::OnStorageFailure), invalid, str::parse),
            version: parse(get(Key::NfsVersion), invalid, str::parse),
            provision: parse(get(Key::Provision), invalid, str::parse),
            volume_labels: get(Key::VolumeLabels).map(|(name, text)| labels::read(name, text, invalid)),
            source: parse(get(Key::VolumeSource), invalid, str::parse),
            driver: parse(get(Key::CsiDriver), invalid, str::parse),
            csi: CsiSettings::read(written, invalid),
            free_space: parse(get(Key::FreeSpace), invalid, str::parse),
            size_limit: parse(get(Key::SizeLimit), invalid, str::parse),
            written: written.iter().map(|&(key, ..)| key).collect(),
        }
    }

    /// The error of a template that gives no claim a valid directory. `written` is the argument of [`Settings::read`].
    pub fn template_error(&self, written: &[(Key, &str, &str)]) -> Option<Invalid> {
        let error = self.template.as_ref()?.check().err()?;
        let (_, name, value) = written
            .iter()
            .find(|(key, ..)| matches!(key, Key::SubDir | Key::PathPattern))?;
        let error = format!("this template gives no claim a valid directory: it {error}");
        Some(Invalid::value(name, value, &error))
    }
}

fn parse<T, E: fmt::Display>(
    written: Option<(&str, &str)>,
    invalid: &mut Vec<Invalid>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let (key, value) = written?;
    parse(value)
        .map_err(|error| invalid.push(Invalid::value(key, value, &error)))
        .ok()
}

fn mode(text: &str) -> Result<u32, &'static str> {
    let octal = !text.is_empty() && text.len() <= 5 && text.bytes().all(|c| (b'0'..=b'7').contains(&c));
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| octal && *mode <= 0o7777);
    mode.ok_or("write it in octal, 0001 to 7777, such as 0770 or 2775; 0 leaves the mode to the NFS server")
}

/// Reads `gid` and `gidRange`.
fn group(gid: Option<(&str, &str)>, range: Option<(&str, &str)>, invalid: &mut Vec<Invalid>) -> Option<Group> {
    let is_auto = matches!(gid, Some((_, "auto")));
    let range_of_auto = parse(range, invalid, str::parse::<GroupRange>).map(Group::Own);
    if let (Some((key, value)), false) = (range, is_auto) {
        invalid.push(Invalid::value(
            key,
            value,
            &"it works only with gid: auto; set gid: auto, or remove gidRange",
        ));
    }
    match gid {
        Some((key, value)) if is_auto && range.is_none() => {
            let advice = if key == Key::Gid.as_str() {
                "set gidRange too, such as 50000-60000"
            } else {
                "only a StorageClass may set this value; write a number from 0 to 4294967294"
            };
            invalid.push(Invalid::value(key, value, &advice));
            None
        }
        _ if is_auto => range_of_auto,
        _ => parse(gid, invalid, id).map(Group::Fixed),
    }
}

fn id(text: &str) -> Result<u32, &'static str> {
    // The largest number is not a valid owner: RFC 8881 has no such owner, and chown(2) reads it as "do not change".
    let id = text
        .bytes()
        .all(|c| c.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten();
    id.filter(|&id| id != u32::MAX)
        .ok_or("write a number from 0 to 4294967294")
}
