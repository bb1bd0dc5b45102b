//! The group of a directory: one group for all volumes of a class, or a group of its own for each volume.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The group of new directories, as a class, a namespace or a claim sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// `gid: <number>`: this group.
    Fixed(u32),
    /// `gid: auto`: a group of this range that no other volume has.
    Own(GroupRange),
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(gid) => gid.fmt(f),
            Self::Own(range) => write!(f, "a free group of {range}"),
        }
    }
}

/// A range of groups, both ends included: `50000-60000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRange {
    first: u32,
    last: u32,
}

impl GroupRange {
    /// The number of groups.
    pub fn size(self) -> usize {
        (self.last - self.first) as usize + 1
    }

    /// Whether the range contains a group.
    pub fn contains(self, gid: u32) -> bool {
        (self.first..=self.last).contains(&gid)
    }

    /// Whether at least one group is in both ranges.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The number of groups of the range that are also in `used`.
    pub fn used(self, used: &BTreeSet<u32>) -> usize {
        used.range(self.first..=self.last).count()
    }

    /// Chooses a group that is not in `used`; `None` if there is none. Different seeds choose different groups, so that
    /// two requests at the same time seldom choose the same one.
    pub fn choose(self, used: &BTreeSet<u32>, seed: Uuid) -> Option<u32> {
        let free = self.size().checked_sub(self.used(used)).filter(|free| *free > 0)?;
        let mut skip = u32::try_from(seed.as_u128() % free as u128).ok()?;
        // The used groups divide the range into runs of free ones.
        let mut start = self.first;
        for &taken in used.range(self.first..=self.last) {
            let run = taken - start;
            if skip < run {
                break;
            }
            skip -= run;
            start = taken + 1;
        }
        Some(start + skip)
    }
}

impl From<u32> for GroupRange {
    fn from(gid: u32) -> Self {
        Self { first: gid, last: gid }
    }
}

impl FromStr for GroupRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
            text.parse().ok().filter(|_| is_number)
        };
        let ends = text
            .split_once('-')
            .and_then(|(first, last)| Some((number(first.trim())?, number(last.trim())?)));
        // 0 is the root group; the largest number is not a group.
        ends.filter(|&(first, last)| 0 < first && first <= last && last < u32::MAX)
            .map(|(first, last)| Self { first, last })
            .ok_or("write the first and the last group, 1 to 4294967294, such as 50000-60000")
    }
}

impl fmt::Display for GroupRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> GroupRange {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_has_two_ends_in_order_and_no_root_group() {
        assert_eq!(range("50000-60000").size(), 10001);
        assert_eq!(range(" 7 - 7 ").to_string(), "7-7");
        for wrong in [
            "",
            "5",
            "5-",
            "-5",
            "6-5",
            "0-5",
            "a-b",
            "1-4294967295",
            "+1-5",
            "1-2-3",
        ] {
            assert!(wrong.parse::<GroupRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_overlap_if_one_group_is_in_both() {
        assert!(range("1-5").overlaps(range("5-9")));
        assert!(range("1-9").overlaps(range("3-4")));
        assert!(!range("1-5").overlaps(range("6-9")));
        assert!(range("1-5").overlaps(GroupRange::from(3)));
    }

    #[test]
    fn every_group_is_chosen_and_no_group_is_chosen_twice() {
        let mut used = BTreeSet::from([3, 12, 99]);
        for seed in 0..9 {
            let gid = range("10-19").choose(&used, Uuid::from_u128(seed * 7)).unwrap();
            assert!(range("10-19").contains(gid) && used.insert(gid), "{gid}");
        }
        assert_eq!(range("10-19").choose(&used, Uuid::from_u128(1)), None);
    }

    proptest! {
        #[test]
        fn a_group_is_chosen_if_and_only_if_one_is_free(
            first in 1_u32..50,
            size in 0_u32..20,
            used in prop::collection::btree_set(0_u32..80, 0..60),
            seed: u128,
        ) {
            let range = GroupRange { first, last: first + size };
            let free = (first..=first + size).any(|gid| !used.contains(&gid));
            let chosen = range.choose(&used, Uuid::from_u128(seed));
            prop_assert_eq!(chosen.is_some(), free);
            prop_assert!(chosen.is_none_or(|gid| range.contains(gid) && !used.contains(&gid)));
        }
    }
}
