//! Trees that need more than one turn to be measured.
//!
//! Each measurement has a turn of limited length, so that a large tree does not delay the other trees of its server for
//! days. After its turn it is put aside, and continues when the trees that wait have had theirs. The memory is limited: of
//! each server only some measurements are put aside. Further large trees begin when one of these has ended.

use std::collections::{HashMap, HashSet};

use super::targets::{Owner, Target};
use crate::model::directory::Share;
use crate::model::identity::Identity;
use crate::storage::Measurement;

/// The most measurements of one server that are put aside.
const MAX_ASIDE: usize = 4;

/// The trees that have used up a turn, and are not measured to their end.
#[derive(Default)]
pub struct LargeTrees {
    trees: HashMap<Owner, LargeTree>,
}

struct LargeTree {
    share: Share,
    identity: Identity,
    /// Nothing if it is running, or if too many were put aside.
    aside: Option<Measurement>,
}

impl LargeTrees {
    /// Returns the measurement with which a turn of a tree begins: a new one, or the one that was put aside. Returns nothing
    /// if the tree is large and has to wait for other large trees.
    pub fn begin(&mut self, target: &Target) -> Option<Measurement> {
        let Some(tree) = self.trees.get_mut(&target.owner) else {
            return Some(Measurement::default());
        };
        if let Some(measurement) = tree.aside.take() {
            // It may be another directory now.
            let is_same = tree.share == target.share && tree.identity == target.identity;
            return Some(if is_same { measurement } else { Measurement::default() });
        }
        self.has_room(target.share.server()).then(Measurement::default)
    }

    /// Puts the measurement of a tree aside at the end of its turn. If too many are put aside, it begins again later.
    pub fn put_aside(&mut self, target: &Target, measurement: Measurement) {
        let tree = LargeTree {
            share: target.share.clone(),
            identity: target.identity,
            aside: self.has_room(target.share.server()).then_some(measurement),
        };
        self.trees.insert(target.owner.clone(), tree);
    }

    /// Forgets a tree that was measured, or whose measurement has failed.
    pub fn ended(&mut self, owner: &Owner) {
        self.trees.remove(owner);
    }

    /// Forgets the trees of all other objects.
    pub fn retain(&mut self, owners: &HashSet<&Owner>) {
        self.trees.retain(|owner, _| owners.contains(owner));
    }

    fn has_room(&self, server: &str) -> bool {
        let is_aside = |tree: &&LargeTree| tree.aside.is_some() && tree.share.server() == server;
        self.trees.values().filter(is_aside).count() < MAX_ASIDE
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::directory::Directory;

    fn target(server: &str, number: u64) -> Target {
        Target {
            owner: Owner::Volume(number.to_string(), format!("uid-{number}")),
            share: Share::parse(server, "/export").unwrap(),
            directory: Directory::parse("data").unwrap(),
            identity: Identity {
                fsid: (1, 1),
                fileid: number,
            },
            due: Timestamp::UNIX_EPOCH,
        }
    }

    fn use_up_a_turn(large: &mut LargeTrees, target: &Target) {
        let measurement = large.begin(target).expect("it may begin");
        large.put_aside(target, measurement);
    }

    #[test]
    fn further_large_trees_of_a_server_wait_until_one_has_ended() {
        let mut large = LargeTrees::default();
        let targets: Vec<_> = (0..6).map(|number| target("nas1", number)).collect();
        for target in &targets {
            use_up_a_turn(&mut large, target);
        }
        let is_aside = |large: &LargeTrees| large.trees.values().filter(|tree| tree.aside.is_some()).count();
        assert_eq!(is_aside(&large), MAX_ASIDE);
        assert!(large.begin(&targets[4]).is_none());
        assert!(large.begin(&target("nas1", 7)).is_some(), "a new tree may be small");
        use_up_a_turn(&mut large, &target("nas2", 8));

        use_up_a_turn(&mut large, &targets[0]);
        assert!(large.begin(&targets[5]).is_none());
        drop(large.begin(&targets[0]));
        large.ended(&targets[0].owner);
        use_up_a_turn(&mut large, &targets[5]);
        assert!(large.begin(&targets[4]).is_none());
        assert_eq!(is_aside(&large), MAX_ASIDE + 1);

        large.retain(&HashSet::from([&targets[4].owner]));
        assert!(large.begin(&targets[4]).is_some());
    }
}
