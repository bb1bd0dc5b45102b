//! Volumes in one place that are all on their way out: which one takes care of the directory.
//!
//! Of several volumes of one directory, all but the last yield, and the last one's policy applies. Of directories in one
//! another, the inner one goes first. So a volume waits for those that are deeper, or yield to it, and for no other: there
//! is no ring of volumes that wait for one another, and whoever sees the same volumes comes to the same order.

use jiff::Timestamp;

use super::class::Reclaim;
use super::location::{Meeting, Relation};
use super::on_delete::OnDelete;
use crate::volume::{Us, Volume};

/// What a volume that is to be cleaned up does about another one that it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// The other keeps the directory: it may have files in it.
    Keep,
    /// The other is being made, and backs out.
    BacksOut,
    /// The other is being cleaned up, and goes first.
    Wait,
    /// Nothing.
    Go,
}

/// See [`Turn`]. `volume` is ours and being deleted.
pub fn turn(volume: &Volume, other: &Volume, meeting: Meeting, us: &Us) -> Turn {
    if other.maker.as_ref() != Some(us) || other.record.is_err() {
        return Turn::Keep;
    }
    if !other.deleting {
        return if other.was_given() { Turn::Keep } else { Turn::BacksOut };
    }
    match meeting.relation {
        // Its cleanup is over; somebody else's finalizer holds the object.
        _ if !other.held => Turn::Go,
        Relation::Inside => Turn::Wait,
        Relation::Above => Turn::Go,
        Relation::Same if rank(other) < rank(volume) => Turn::Wait,
        Relation::Same => Turn::Keep,
    }
}

/// Among volumes of one directory that are being deleted: the one with the highest rank is the last. One that keeps its
/// directory comes after one that archives it, and that after one that deletes it: so none loses what its own policy keeps.
fn rank(volume: &Volume) -> (u8, Option<Timestamp>, &str) {
    let on_delete = volume
        .record
        .as_ref()
        .map_or(OnDelete::Retain, |record| record.on_delete);
    let keeps = match (volume.reclaim, on_delete) {
        _ if !volume.was_given() => 0,
        (Reclaim::Retain, _) | (_, OnDelete::Retain) => 3,
        (Reclaim::Delete, OnDelete::Archive) => 2,
        (Reclaim::Delete, OnDelete::Delete) => 1,
    };
    (keeps, volume.deleted, &volume.uid)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::super::location::Evidence;
    use super::*;

    /// A volume that a claim has had, on its way out since `second`.
    fn leaving(uid: &str, second: i64, on_delete: OnDelete) -> Volume {
        let mut volume = fixtures::volume(&format!("pvc-{uid}"), "shared");
        volume.uid = uid.to_owned();
        volume.deleting = true;
        volume.deleted = Timestamp::from_second(second).ok();
        volume.ready = true;
        volume.record.as_mut().unwrap().on_delete = on_delete;
        volume
    }

    fn of(relation: Relation, volume: &Volume, other: &Volume) -> Turn {
        let evidence = Evidence::Names;
        turn(volume, other, Meeting { relation, evidence }, &fixtures::us())
    }

    #[test]
    fn exactly_one_of_several_volumes_of_a_directory_is_the_last() {
        use OnDelete::{Archive, Delete, Retain};
        let all = [
            leaving("a", 1, Delete),
            leaving("b", 1, Delete),
            leaving("c", 2, Delete),
            leaving("d", 0, Archive),
            leaving("e", 3, Archive),
            leaving("f", 0, Retain),
            leaving("g", 0, Retain),
        ];
        for count in 1..=all.len() {
            let these = &all[..count];
            let last = |volume: &&Volume| {
                let others = these.iter().filter(|other| other.uid != volume.uid);
                others
                    .map(|other| of(Relation::Same, volume, other))
                    .all(|turn| turn == Turn::Wait)
            };
            let last: Vec<_> = these.iter().filter(last).map(|volume| volume.uid.as_str()).collect();
            assert_eq!(last, [these[count - 1].uid.as_str()]);
            for volume in these {
                for other in these.iter().filter(|other| other.uid != volume.uid) {
                    let turns = [of(Relation::Same, volume, other), of(Relation::Same, other, volume)];
                    assert!(
                        turns == [Turn::Wait, Turn::Keep] || turns == [Turn::Keep, Turn::Wait],
                        "{turns:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_inner_one_goes_first_and_the_outer_waits() {
        let (one, other) = (leaving("a", 2, OnDelete::Delete), leaving("b", 1, OnDelete::Retain));
        assert_eq!(of(Relation::Inside, &one, &other), Turn::Wait);
        assert_eq!(of(Relation::Above, &other, &one), Turn::Go);
    }

    #[test]
    fn a_living_one_keeps_the_directory_and_one_that_is_just_made_backs_out() {
        let volume = leaving("a", 1, OnDelete::Delete);
        let change = |change: fn(&mut Volume)| {
            let mut other = leaving("b", 0, OnDelete::Delete);
            change(&mut other);
            [Relation::Same, Relation::Inside, Relation::Above].map(|relation| of(relation, &volume, &other))
        };
        assert_eq!(change(|other| other.deleting = false), [Turn::Keep; 3]);
        let new = |other: &mut Volume| {
            other.deleting = false;
            other.ready = false;
        };
        assert_eq!(change(new), [Turn::BacksOut; 3]);
        assert_eq!(change(|other| other.held = false), [Turn::Go; 3]);
        assert_eq!(change(|other| other.maker = None), [Turn::Keep; 3]);
        assert_eq!(change(|other| other.record = Err("broken".to_owned())), [Turn::Keep; 3]);
        assert_eq!(
            change(|other| other.ready = false),
            [Turn::Wait, Turn::Wait, Turn::Go],
            "no claim has had it"
        );
    }
}
