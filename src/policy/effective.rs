//! The effective settings of a claim, and the object that set each.
//!
//! The claim wins over its namespace, the namespace over the class, the class over the default. With `onDelete: delete`
//! in the class and `bindery.dev/on-delete: archive` on the namespace, the effective value is `archive`, set by the
//! namespace.

use super::key::Key;
use super::settings::Settings;
use super::template::Template;
use crate::model::choices::{CsiDriver, ExistingDirectory, OnStorageFailure, SourceKind};
use crate::model::directory::NfsVersion;
use crate::model::group::Group;
use crate::model::on_delete::OnDelete;
use crate::model::retention::Retention;
use crate::model::source::Source;

/// Default mode of new directories: every user may write.
pub const MODE: u32 = 0o777;
/// Default mode with `gid: auto`: only the owner and the group may use the directory, and new files get the group.
const MODE_OF_OWN_GROUP: u32 = 0o2770;

/// The mode that leaves the choice to the server, as in csi-driver-nfs.
pub const LEFT_TO_SERVER: u32 = 0;

/// An effective value, and the object that set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective<T> {
    /// The value.
    pub value: T,
    /// The object that set it.
    pub source: Source,
    /// The key, as written on that object.
    pub key: Key,
}

/// The effective settings of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The template of the directory.
    pub template: Effective<Template>,
    /// What happens to the directory when the claim is gone.
    pub on_delete: Effective<OnDelete>,
    /// The mode of the directory, or [`LEFT_TO_SERVER`].
    pub mode: Effective<u32>,
    /// The owner of the directory; if `None`, the server chooses.
    pub uid: Effective<Option<u32>>,
    /// The group of the directory; if `None`, the server chooses.
    pub gid: Effective<Option<Group>>,
    /// What happens if the directory already exists.
    pub existing: Effective<ExistingDirectory>,
    /// How long the directory is kept after it was archived.
    pub retention: Effective<Retention>,
    /// What happens to the claim if the server does not answer.
    pub on_failure: Effective<OnStorageFailure>,
    /// The NFS version that Bindery uses.
    pub version: Effective<NfsVersion>,
    /// What the nodes mount.
    pub source: Effective<SourceKind>,
    /// The CSI driver that mounts the directory, if the source is CSI.
    pub driver: Effective<CsiDriver>,
    /// The object whose `existingDirectory: adopt` is ignored, because another object chooses the directory.
    pub ignored_adoption: Option<Source>,
}

impl Policy {
    /// Merges the settings of the three objects.
    pub fn resolve(claim: &Settings, namespace: &Settings, class: &Settings) -> Self {
        let all = [
            (Source::Claim, claim),
            (Source::Namespace, namespace),
            (Source::Class, class),
        ];
        let all = &all;
        let gid = first(all, &[Key::Gid], |set| set.gid.map(Some), None);
        let mode = match gid.value {
            Some(Group::Own(_)) => MODE_OF_OWN_GROUP,
            Some(Group::Fixed(_)) | None => MODE,
        };
        let on_delete = &[Key::OnDelete, Key::ArchiveOnDelete];
        Self {
            template: first(
                all,
                &[Key::SubDir, Key::PathPattern],
                |set| set.template.clone(),
                Template::standard(),
            ),
            on_delete: first(all, on_delete, |set| set.on_delete, OnDelete::Archive),
            mode: first(all, &[Key::MountPermissions], |set| set.mode, mode),
            uid: first(all, &[Key::Uid], |set| set.uid.map(Some), None),
            gid,
            existing: existing(all),
            retention: first(all, &[Key::ArchiveRetention], |set| set.retention, Retention::Forever),
            on_failure: first(
                all,
                &[Key::OnStorageFailure],
                |set| set.on_failure,
                OnStorageFailure::Queue,
            ),
            version: first(all, &[Key::NfsVersion], |set| set.version, NfsVersion::default()),
            source: first(all, &[Key::VolumeSource], |set| set.source, SourceKind::Nfs),
            driver: first(all, &[Key::CsiDriver], |set| set.driver, CsiDriver::Nfs),
            ignored_adoption: ignored_adoption(all),
        }
    }
}

/// An object, and its settings.
type Layer<'a> = (Source, &'a Settings);

/// The value of the first object that sets one of the keys, else the default. If an object sets two of the keys, the first
/// key wins.
fn first<T>(
    sources: &[Layer<'_>],
    keys: &[Key],
    value_of: impl Fn(&Settings) -> Option<T>,
    default: T,
) -> Effective<T> {
    let written = |settings: &Settings| keys.iter().copied().find(|key| settings.written.contains(key));
    let found = sources.iter().find_map(|&(source, settings)| {
        let value = value_of(settings)?;
        let key = written(settings).unwrap_or(keys[0]);
        Some(Effective { value, source, key })
    });
    found.unwrap_or_else(|| Effective {
        value: default,
        source: Source::Default,
        key: keys[0],
    })
}

/// What happens if the directory already exists.
///
/// Only the object that sets the template, or an object that wins over it, may allow adoption: if a class adopts the
/// directories of its own template, a tenant with another template must not get any directory. By default, a directory is
/// adopted only if the class sets the template and the template separates namespaces.
fn existing(sources: &[Layer<'_>; 3]) -> Effective<ExistingDirectory> {
    let (may_adopt, may_not) = who_may_adopt(sources);
    let class = &sources[2].1.template;
    let is_separated = class.as_ref().is_some_and(Template::separates_namespaces);
    let default = if is_separated && may_not.is_empty() {
        ExistingDirectory::Adopt
    } else {
        ExistingDirectory::Deny
    };
    first(may_adopt, &[Key::ExistingDirectory], |set| set.existing, default)
}

/// The object whose `adopt` is ignored, if no other object sets the key.
fn ignored_adoption(sources: &[Layer<'_>; 3]) -> Option<Source> {
    let (may_adopt, may_not) = who_may_adopt(sources);
    let adoption = |sources: &[Layer<'_>]| {
        sources
            .iter()
            .find_map(|&(source, settings)| settings.existing.map(|existing| (source, existing)))
    };
    match (adoption(may_adopt), adoption(may_not)) {
        (None, Some((source, ExistingDirectory::Adopt))) => Some(source),
        _ => None,
    }
}

/// The objects that may allow adoption (the object that sets the template, and those that win over it), and the others.
fn who_may_adopt<'a>(sources: &'a [Layer<'a>; 3]) -> (&'a [Layer<'a>], &'a [Layer<'a>]) {
    let setter = sources.iter().position(|(_, settings)| settings.template.is_some());
    sources.split_at(setter.map_or(sources.len(), |setter| setter + 1))
}
