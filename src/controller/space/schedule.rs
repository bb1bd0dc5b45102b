//! When each tree is measured.

use std::cmp::max;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use super::large::LargeTrees;
use super::targets::{ARCHIVES_AFTER, Owner, Target, after, all};
use crate::controller::leader::Leader;

/// The longest pause after a failed measurement.
const RETRY_AFTER: Duration = Duration::from_hours(1);

/// When the trees are measured again. Measurements are recorded in the API; this has only those of this term.
#[derive(Default)]
pub struct Schedule {
    next: HashMap<Owner, Timestamp>,
}

impl Schedule {
    /// Returns the trees that are due, the one that waits longest first.
    pub fn due(&mut self, leader: &Leader, large: &mut LargeTrees, now: Timestamp) -> Vec<Target> {
        let mut targets = all(leader);
        let owners: HashSet<&Owner> = targets.iter().map(|target| &target.owner).collect();
        self.next.retain(|owner, _| owners.contains(owner));
        large.retain(&owners);
        for target in &mut targets {
            if let Some(next) = self.next.get(&target.owner) {
                target.due = max(target.due, *next);
            }
        }
        targets.retain(|target| target.due <= now);
        targets.sort_by_key(|target| target.due);
        targets
    }

    /// Records that a tree was measured, or that the measurement failed. The cache may not have the result yet.
    pub fn measured(&mut self, owner: &Owner, interval: Duration, done: bool) {
        let pause = match (done, owner) {
            (false, _) => interval.min(RETRY_AFTER),
            (true, Owner::Volume(..)) => interval,
            (true, Owner::Archive(..)) => interval.max(ARCHIVES_AFTER),
        };
        self.next.insert(owner.clone(), after(Timestamp::now(), pause));
    }

    /// Lets a tree whose turn is over wait for the trees that are due now.
    pub fn wait_again(&mut self, owner: &Owner) {
        self.next.insert(owner.clone(), Timestamp::now());
    }
}
