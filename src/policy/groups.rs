//! Ranges of groups (`gid: auto`). Only one volume may have a group of a range, so two classes with a common group are in
//! conflict.

use std::sync::Arc;

use k8s_openapi::api::storage::v1::StorageClass;

use super::key::Key;
use crate::model::group::GroupRange;
use crate::model::invalid::Invalid;

/// The error of a class that has a group in common with an older class, if at least one of the two classes has a range. The
/// older class stays valid. A class with this error is ignored when newer classes are checked. `classes` may contain
/// `class` itself.
pub fn conflict(class: &StorageClass, classes: &[Arc<StorageClass>]) -> Option<Invalid> {
    let own = Groups::of(class)?;
    let age = |class: &StorageClass| (class.metadata.creation_timestamp.clone(), class.metadata.name.clone());
    let mut older: Vec<_> = classes
        .iter()
        .filter(|other| other.provisioner == class.provisioner && age(other) < age(class))
        .filter_map(|other| Some((other, Groups::of(other)?)))
        .collect();
    older.sort_by_key(|(other, _)| age(other));
    let mut valid: Vec<(&StorageClass, Groups<'_>)> = Vec::new();
    for (other, groups) in older {
        if !valid.iter().any(|(_, earlier)| earlier.conflicts_with(&groups)) {
            valid.push((other, groups));
        }
    }
    let (other, theirs) = valid.into_iter().find(|(_, other)| other.conflicts_with(&own))?;
    let name = other.metadata.name.as_deref().unwrap_or_default();
    let (key, value) = own.written;
    let (other_key, other_value) = theirs.written;
    let advice = format!(
        "StorageClass {name} has {other_key}: {other_value:?}, and a group of a range is for one volume only; choose \
        other groups"
    );
    Some(Invalid::value(key.as_str(), value, &advice))
}

/// Whether a group belongs to one volume only: it is in the range of a class.
pub fn is_in_a_range(gid: u32, classes: &[Arc<StorageClass>]) -> bool {
    let mut all = classes.iter().filter_map(|class| Groups::of(class));
    all.any(|groups| groups.is_range && groups.range.contains(gid))
}

/// The sentence that refuses a claim if no group of the range is free.
pub fn none_free(class: &str, range: GroupRange) -> String {
    format!(
        "no group is free for this claim: volumes and archives have all {} groups of {} {range} of StorageClass {class}; an \
         administrator must delete volumes or archives, or create a class with other groups",
        range.size(),
        Key::GidRange,
    )
}

/// The groups that a class can give to its volumes.
struct Groups<'a> {
    range: GroupRange,
    is_range: bool,
    /// The parameter that sets the groups, and its value.
    written: (Key, &'a str),
}

impl<'a> Groups<'a> {
    fn conflicts_with(&self, other: &Groups<'_>) -> bool {
        (self.is_range || other.is_range) && self.range.overlaps(other.range)
    }

    /// Reads the parameters. `None` if the class sets no group, or one that is not valid.
    fn of(class: &'a StorageClass) -> Option<Self> {
        let parameters = class.parameters.as_ref()?;
        let get = |key: Key| Some((key, parameters.get(key.as_str())?.as_str()));
        let gid = get(Key::Gid)?;
        let is_range = gid.1 == "auto";
        let written = if is_range { get(Key::GidRange)? } else { gid };
        let range = if is_range {
            written.1.parse().ok()?
        } else {
            GroupRange::from(written.1.parse::<u32>().ok()?)
        };
        Some(Self {
            range,
            is_range,
            written,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(name: &str, created: &str, gid: &str, range: &str) -> Arc<StorageClass> {
        let class = json!({
            "metadata": {"name": name, "creationTimestamp": created},
            "provisioner": "bindery.dev/nfs",
            "parameters": {"gid": gid, "gidRange": range},
        });
        Arc::new(serde_json::from_value(class).unwrap())
    }

    fn error(class: &StorageClass, classes: &[&Arc<StorageClass>]) -> Option<String> {
        let classes: Vec<_> = classes.iter().map(|&class| class.clone()).collect();
        conflict(class, &classes).map(|invalid| invalid.0)
    }

    const EARLY: &str = "2026-01-01T00:00:00Z";
    const LATE: &str = "2026-01-02T00:00:00Z";

    #[test]
    fn the_newer_of_two_classes_with_a_common_group_is_refused() {
        let old = class("old", EARLY, "auto", "100-200");
        let new = class("new", LATE, "auto", "200-300");
        let all = [&new, &old];
        assert_eq!(
            error(&new, &all).as_deref(),
            Some(
                "gidRange is \"200-300\": StorageClass old has gidRange: \"100-200\", and a group of a range is for one \
                 volume only; choose other groups"
            )
        );
        assert_eq!(error(&old, &all), None);
        let apart = class("apart", LATE, "auto", "201-300");
        assert_eq!(error(&apart, &[&old, &apart]), None);
    }

    #[test]
    fn the_name_decides_between_two_classes_created_in_the_same_second() {
        let (a, b) = (class("a", EARLY, "auto", "1-9"), class("b", EARLY, "auto", "1-9"));
        assert!(error(&b, &[&a, &b]).is_some());
        assert_eq!(error(&a, &[&a, &b]), None);
    }

    #[test]
    fn a_fixed_group_in_a_range_is_refused_and_two_equal_fixed_groups_are_not() {
        let range = class("range", EARLY, "auto", "100-200");
        let fixed = class("fixed", LATE, "150", "");
        assert_eq!(
            error(&fixed, &[&range]).as_deref(),
            Some(
                "gid is \"150\": StorageClass range has gidRange: \"100-200\", and a group of a range is for one volume \
                 only; choose other groups"
            )
        );
        assert!(
            error(
                &class("range2", LATE, "auto", "100-200"),
                &[&class("fixed", EARLY, "150", "")]
            )
            .is_some()
        );
        assert_eq!(
            error(&class("fixed2", LATE, "150", ""), &[&class("fixed", EARLY, "150", "")]),
            None
        );
    }

    #[test]
    fn a_class_with_this_error_is_ignored_for_newer_classes() {
        let first = class("first", EARLY, "auto", "1-10");
        let refused = class("refused", LATE, "auto", "5-15");
        let later = class("later", "2026-01-03T00:00:00Z", "auto", "12-20");
        let all = [&first, &refused, &later];
        assert!(error(&refused, &all).is_some());
        assert_eq!(error(&later, &all), None);
    }

    #[test]
    fn classes_of_other_provisioners_are_ignored() {
        let mut other = (*class("other", EARLY, "auto", "1-9")).clone();
        other.provisioner = "nfs.csi.k8s.io".to_owned();
        assert_eq!(error(&class("own", LATE, "auto", "1-9"), &[&Arc::new(other)]), None);
    }
}
