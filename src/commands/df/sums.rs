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
    /// The number of volumes or archives.
    pub count: u64,
    /// How many of them are measured. The others are not in `used` and `files`.
    pub measured: u64,
    /// The sum of the sizes that the claims have requested, in bytes.
    pub capacity: u64,
    /// The sum of the bytes that the files use.
    pub used: u64,
    /// The number of all files.
    pub files: u64,
    /// The number of directories that could not be read.
    pub unread: u64,
}

/// Returns the sums in this order.
pub fn add_up(items: &[Item], by: GroupBy, order: SortBy) -> Vec<Sum> {
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for item in items {
        let name = match by {
            GroupBy::Namespace => &item.namespace,
            GroupBy::Class => &item.class,
        };
        let sum = sums.entry(name).or_default();
        sum.count += 1;
        sum.measured += u64::from(item.used.is_some());
        let add = |sum: &mut u64, value: Option<u64>| *sum = sum.saturating_add(value.unwrap_or_default());
        add(&mut sum.capacity, item.capacity);
        add(&mut sum.used, item.used);
        add(&mut sum.files, item.files);
        add(&mut sum.unread, item.unread);
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
            SortBy::Capacity => sum.capacity,
            SortBy::Name | SortBy::Measured => 0,
        })
    });
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("team-a".to_owned(), 2, 1, 20, 1, 2),
            ("team-b".to_owned(), 1, 1, 10, 5, 10),
        );
        assert_eq!(short(GroupBy::Namespace, SortBy::Used), [b.clone(), a.clone()]);
        assert_eq!(short(GroupBy::Namespace, SortBy::Capacity), [a.clone(), b.clone()]);
        assert_eq!(short(GroupBy::Namespace, SortBy::Name), [a, b]);
        let classes = short(GroupBy::Class, SortBy::Used)
            .into_iter()
            .map(|sum| (sum.0, sum.4));
        assert_eq!(
            classes.collect::<Vec<_>>(),
            [("slow".to_owned(), 5), ("fast".to_owned(), 1)]
        );
    }
}
