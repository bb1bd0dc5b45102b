//! What holds for one claim, key by key, and whose word it is.
//!
//! The claim wins over its namespace, the namespace over the class, the class over the default. A class with
//! `onDelete: delete` and a namespace with `bindery.dev/on-delete: archive` settle on `archive`, said by the namespace.

use super::key::Key;
use super::settings::Settings;
use super::template::Template;
use crate::model::choices::{ExistingDirectory, OnStorageFailure};
use crate::model::directory::NfsVersion;
use crate::model::on_delete::OnDelete;
use crate::model::retention::Retention;
use crate::model::source::Source;

/// Mode of new directories where nobody says otherwise: any pod's user may write.
pub const MODE: u32 = 0o777;

/// A value, and whose word it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective<T> {
    /// What holds.
    pub value: T,
    /// Who says it.
    pub source: Source,
    /// The key, as it is written there.
    pub key: Key,
}

/// Everything that can be said, settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where the directory is, below the share.
    pub template: Effective<Template>,
    /// What becomes of it.
    pub on_delete: Effective<OnDelete>,
    /// Its mode.
    pub mode: Effective<u32>,
    /// Its owner; none leaves the choice to the server.
    pub uid: Effective<Option<u32>>,
    /// Its group; none leaves the choice to the server.
    pub gid: Effective<Option<u32>>,
    /// What is done if it is there already.
    pub existing: Effective<ExistingDirectory>,
    /// How long it is kept once it is an archive.
    pub retention: Effective<Retention>,
    /// What happens to the claim when the server does not answer.
    pub on_failure: Effective<OnStorageFailure>,
    /// How Bindery talks to the server.
    pub version: Effective<NfsVersion>,
    /// Who says in vain that a directory that is there is adopted: somebody else chooses the directory.
    pub ignored_adoption: Option<Source>,
}

impl Policy {
    /// Settles what the three places say.
    pub fn resolve(claim: &Settings, namespace: &Settings, class: &Settings) -> Self {
        let all = [
            (Source::Claim, claim),
            (Source::Namespace, namespace),
            (Source::Class, class),
        ];
        Self {
            template: first(
                &all,
                &[Key::SubDir, Key::PathPattern],
                |settings| settings.template.clone(),
                Template::standard,
            ),
            on_delete: first(
                &all,
                &[Key::OnDelete, Key::ArchiveOnDelete],
                |settings| settings.on_delete,
                || OnDelete::Archive,
            ),
            mode: first(&all, &[Key::MountPermissions], |settings| settings.mode, || MODE),
            uid: first(&all, &[Key::Uid], |settings| settings.uid.map(Some), || None),
            gid: first(&all, &[Key::Gid], |settings| settings.gid.map(Some), || None),
            existing: existing(&all),
            retention: first(
                &all,
                &[Key::ArchiveRetention],
                |settings| settings.retention,
                || Retention::Forever,
            ),
            on_failure: first(
                &all,
                &[Key::OnStorageFailure],
                |settings| settings.on_failure,
                || OnStorageFailure::Queue,
            ),
            version: first(
                &all,
                &[Key::NfsVersion],
                |settings| settings.version,
                NfsVersion::default,
            ),
            ignored_adoption: ignored_adoption(&all),
        }
    }
}

/// A place, and what it says.
type Layer<'a> = (Source, &'a Settings);

/// The first place that says it, else the default. `keys` are all that say it; where two are written, the first wins.
fn first<T>(
    sources: &[Layer<'_>],
    keys: &[Key],
    value_of: impl Fn(&Settings) -> Option<T>,
    default: impl FnOnce() -> T,
) -> Effective<T> {
    let written = |settings: &Settings| keys.iter().copied().find(|key| settings.written.contains(key));
    let found = sources.iter().find_map(|&(source, settings)| {
        let value = value_of(settings)?;
        let key = written(settings).unwrap_or(keys[0]);
        Some(Effective { value, source, key })
    });
    found.unwrap_or_else(|| Effective {
        value: default(),
        source: Source::Default,
        key: keys[0],
    })
}

/// What is done with a directory that is there already.
///
/// Whoever chose the template says it, or somebody above: that a class adopts what its own template names must not let a
/// tenant name what is kept for others. Where nobody says it, only a class's template that keeps namespaces apart adopts.
fn existing(sources: &[Layer<'_>; 3]) -> Effective<ExistingDirectory> {
    let (may_adopt, may_not) = who_may_adopt(sources);
    let class = &sources[2].1.template;
    let apart = class.as_ref().is_some_and(Template::keeps_namespaces_apart);
    let default = if apart && may_not.is_empty() {
        ExistingDirectory::Adopt
    } else {
        ExistingDirectory::Deny
    };
    first(
        may_adopt,
        &[Key::ExistingDirectory],
        |settings| settings.existing,
        || default,
    )
}

/// The first of those who are not heard on it, if it says `adopt` and nobody else says anything.
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

/// Those who are heard on adoption, and the others: whoever chose the template and all that come before.
fn who_may_adopt<'a>(sources: &'a [Layer<'a>; 3]) -> (&'a [Layer<'a>], &'a [Layer<'a>]) {
    let chose = sources.iter().position(|(_, settings)| settings.template.is_some());
    sources.split_at(chose.map_or(sources.len(), |chose| chose + 1))
}
