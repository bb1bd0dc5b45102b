//! Sums of volumes or archives, for each namespace or StorageClass.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::items::Item;
use crate::cli::df::{GroupBy, SortBy};

/// The sum for one namespace or StorageClass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sum {
    /// The namespace or the StorageClass.
    pub name: String,
    /// The number of volumes or archives. Archives that were restored are not counted: their files are those of a volume.
    pub count: u64,
    /// How many of them are measured. The others are not in `used` and `files`.
    pub measured: u64,
    /// The sum of the sizes that the claims have requested, in bytes.
    pub capacity: u64,
    /// The sum of the bytes that the files use; missing if nothing was measured yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// The number of all files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// The number of directories that could not be read.
    pub unread: u64,
}

/// Returns the sums in this order.
pub fn add_up(items: &[Item], by: GroupBy, order: SortBy) -> Vec<Sum> {
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for item in items.iter().filter(|item| !item.is_restored()) {
        let name = match by {
            GroupBy::Namespace => &item.namespace,
            GroupBy::Class => &item.class,
        };
        let sum = sums.entry(name).or_default();
        sum.count += 1;
        sum.measured += u64::from(item.used.is_some());
        let add = |sum: u64, value: Option<u64>| sum.saturating_add(value.unwrap_or_default());
        let add_known = |sum: &mut Option<u64>, value: Option<u64>| {
            if value.is_some() {
                *sum = Some(add(sum.unwrap_or_default(), value));
            }
        };
        sum.capacity = add(sum.capacity, item.capacity);
        sum.unread = add(sum.unread, item.unread);
        add_known(&mut sum.used, item.used);
        add_known(&mut sum.files, item.files);
    }
    let named = sums.into_iter().map(|(name, sum)| Sum {
        name: name.to_owned(),
        ..sum
    });
    let mut sums: Vec<Sum> = named.collect();
    sums.sort_by_key(|sum| {
        Reverse(match order {
            SortBy::Used => sum.used,
            SortBy::Files => sum.files,
            SortBy::Capacity => Some(sum.capacity),
            SortBy::Name | SortBy::Measured => None,
        })
    });
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::archive::ArchivePhase;

    #[test]
    fn volumes_are_added_up_for_each_namespace_or_class() {
        let item = |namespace: &str, class: &str, used: Option<u64>| Item {
            namespace: namespace.to_owned(),
            class: class.to_owned(),
            capacity: Some(10),
            used,
            files: used.map(|used| used * 2),
            ..Item::default()
        };
        let items = [
            item("team-a", "fast", Some(1)),
            item("team-b", "slow", Some(5)),
            item("team-a", "slow", None),
        ];
        let short = |by, order| {
            let sums = add_up(&items, by, order).into_iter();
            let sums = sums.map(|sum| (sum.name, sum.count, sum.measured, sum.capacity, sum.used, sum.files));
            sums.collect::<Vec<_>>()
        };
        let (a, b) = (
            ("team-a".to_owned(), 2, 1, 20, Some(1), Some(2)),
            ("team-b".to_owned(), 1, 1, 10, Some(5), Some(10)),
        );
        assert_eq!(short(GroupBy::Namespace, SortBy::Used), [b.clone(), a.clone()]);
        assert_eq!(short(GroupBy::Namespace, SortBy::Capacity), [a.clone(), b.clone()]);
        assert_eq!(short(GroupBy::Namespace, SortBy::Name), [a, b]);
        let classes = short(GroupBy::Class, SortBy::Used)
            .into_iter()
            .map(|sum| (sum.0, sum.4));
        assert_eq!(
            classes.collect::<Vec<_>>(),
            [("slow".to_owned(), Some(5)), ("fast".to_owned(), Some(1))]
        );
    }

    #[test]
    fn what_is_not_measured_has_no_sum_and_restored_archives_are_not_counted() {
        let item = |phase| Item {
            class: "fast".to_owned(),
            capacity: Some(10),
            phase: Some(phase),
            ..Item::default()
        };
        let items = [item(ArchivePhase::Available), item(ArchivePhase::Restored)];
        let expected = Sum {
            name: "fast".to_owned(),
            count: 1,
            capacity: 10,
            ..Sum::default()
        };
        assert_eq!(add_up(&items, GroupBy::Class, SortBy::Used), [expected]);
        assert_eq!(add_up(&items[1..], GroupBy::Class, SortBy::Used), []);
    }
}
