//! The order in which volumes with the same directory, or with overlapping directories, are cleaned up.
//!
//! If several deleted volumes have the same directory, the policy of the last volume applies. The cleanup of the others
//! does not change the directory. For two directories, one inside the other, the policy of the inner volume decides:
//!
//! - `delete`: the inner volume is cleaned up first.
//! - `archive` or `retain`: the outer directory is kept, too, and the outer volume is cleaned up first. Otherwise the
//!   inner files would be moved to the trash with the outer directory.
//!
//! So volumes that delete come before volumes that archive or retain. Among volumes that delete, inner directories come
//! first; among the others, outer directories come first. Volumes cannot wait for each other in a cycle, and every
//! replica computes the same order.
//!
//! If a volume stays because a claim has it, the directory of a deleted volume stays, too. The volume that stays gets the
//! policy of the deleted volume if that policy keeps more ([`inherited`]). So no volume loses files that its own policy
//! keeps.

use jiff::Timestamp;

use super::reconcile::{Dispose, dispose};
use crate::model::location::{Overlap, Relation};
use crate::model::on_delete::OnDelete;
use crate::model::retention::Retention;
use crate::model::volume::{Installation, Volume};

/// What the cleanup of a volume does if another volume has the same directory or one that overlaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CleanupOrder {
    /// Keep the directory: it may contain files of the other volume.
    KeepDirectory,
    /// Wait: the request that creates the other volume finds the conflict and removes that volume again.
    WaitForRollback,
    /// Wait: the other volume is cleaned up first.
    WaitForCleanup,
    /// Ignore the other volume.
    Proceed,
}

/// Decides the order for a deleted `volume` of this installation and one other volume. `in_use`: the other volume is
/// deleted, but a claim still has it.
pub fn cleanup_order(
    volume: &Volume,
    other: &Volume,
    overlap: Overlap,
    in_use: bool,
    installation: &Installation,
) -> CleanupOrder {
    if other.maker.as_ref() != Some(installation) || other.record.is_err() {
        return CleanupOrder::KeepDirectory;
    }
    if !other.deleting {
        return if other.had_claim() {
            CleanupOrder::KeepDirectory
        } else {
            CleanupOrder::WaitForRollback
        };
    }
    match overlap.relation {
        // The cleanup of the other volume is complete. The finalizer of another program keeps the object.
        _ if !other.has_finalizer => CleanupOrder::Proceed,
        _ if in_use => CleanupOrder::KeepDirectory,
        Relation::Inside if keeps_files(other) => CleanupOrder::KeepDirectory,
        Relation::Inside => CleanupOrder::WaitForCleanup,
        Relation::Above if keeps_files(volume) => CleanupOrder::WaitForCleanup,
        Relation::Above => CleanupOrder::Proceed,
        Relation::Same if rank(other) < rank(volume) => CleanupOrder::WaitForCleanup,
        Relation::Same => CleanupOrder::KeepDirectory,
    }
}

/// The policy that `other` must get before the finalizer of `volume` is removed, with the retention of an archive. The files
/// of `volume` stay in the directory of `other`, and the policy of `volume` must hold for them. `None` if the policy of
/// `other` keeps as much, or if another installation manages `other`.
pub fn inherited(
    volume: &Volume,
    other: &Volume,
    overlap: Overlap,
    installation: &Installation,
) -> Option<(OnDelete, Option<Retention>)> {
    let (Ok(record), Ok(others)) = (&volume.record, &other.record) else {
        return None;
    };
    let holds_the_files = matches!(overlap.relation, Relation::Same | Relation::Above);
    if other.maker.as_ref() != Some(installation) || !holds_the_files {
        return None;
    }
    let archive = Some((OnDelete::Archive, Some(record.retention)));
    match (dispose(volume), dispose(other)) {
        (Dispose::Keep, theirs) if theirs < Dispose::Keep => Some((OnDelete::Retain, None)),
        (Dispose::Archive, theirs) if theirs < Dispose::Archive => archive,
        (Dispose::Archive, Dispose::Archive) if record.retention.is_longer_than(others.retention) => archive,
        _ => None,
    }
}

/// The rank of a deleted volume among those with the same directory. The volume with the highest rank is cleaned up last:
/// volumes that delete come first, then those that archive, then those that keep. So no volume loses files that its own
/// policy keeps.
fn rank(volume: &Volume) -> (Dispose, Option<Timestamp>, &str) {
    (dispose(volume), volume.deleted, &volume.uid)
}

/// Whether the files of a deleted volume still exist after its cleanup.
fn keeps_files(volume: &Volume) -> bool {
    dispose(volume) >= Dispose::Archive
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::CleanupOrder::{KeepDirectory, Proceed, WaitForCleanup, WaitForRollback};
    use super::*;
    use crate::model::location::Evidence;
    use crate::model::reclaim::Reclaim;

    /// A deleted volume that a claim has had; `second` is the time of the deletion.
    fn deleted(uid: &str, second: i64, on_delete: OnDelete) -> Volume {
        let mut volume = fixtures::volume(&format!("pvc-{uid}"), "shared");
        volume.uid = uid.to_owned();
        volume.deleting = true;
        volume.deleted = Timestamp::from_second(second).ok();
        volume.ready = true;
        volume.record.as_mut().unwrap().on_delete = on_delete;
        volume
    }

    fn of(relation: Relation, volume: &Volume, other: &Volume) -> CleanupOrder {
        let evidence = Evidence::Names;
        cleanup_order(
            volume,
            other,
            Overlap { relation, evidence },
            false,
            &fixtures::installation(),
        )
    }

    #[test]
    fn exactly_one_volume_of_a_directory_is_cleaned_up_last() {
        use OnDelete::{Archive, Delete, Retain};
        let all = [
            deleted("a", 1, Delete),
            deleted("b", 1, Delete),
            deleted("c", 2, Delete),
            deleted("d", 0, Archive),
            deleted("e", 3, Archive),
            deleted("f", 0, Retain),
            deleted("g", 0, Retain),
        ];
        for count in 1..=all.len() {
            let these = &all[..count];
            let last = |volume: &&Volume| {
                let others = these.iter().filter(|other| other.uid != volume.uid);
                others
                    .map(|other| of(Relation::Same, volume, other))
                    .all(|order| order == WaitForCleanup)
            };
            let last: Vec<_> = these.iter().filter(last).map(|volume| volume.uid.as_str()).collect();
            assert_eq!(last, [these[count - 1].uid.as_str()]);
            for volume in these {
                for other in these.iter().filter(|other| other.uid != volume.uid) {
                    let orders = [of(Relation::Same, volume, other), of(Relation::Same, other, volume)];
                    assert!(
                        orders == [WaitForCleanup, KeepDirectory] || orders == [KeepDirectory, WaitForCleanup],
                        "{orders:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_inner_directory_is_deleted_first_or_keeps_the_outer_one() {
        use OnDelete::{Archive, Delete, Retain};
        for outer in [Delete, Archive, Retain] {
            let outer = deleted("a", 2, outer);
            for (policy, orders) in [
                (Delete, [WaitForCleanup, Proceed]),
                (Archive, [KeepDirectory, WaitForCleanup]),
                (Retain, [KeepDirectory, WaitForCleanup]),
            ] {
                let inner = deleted("b", 1, policy);
                let both = [
                    of(Relation::Inside, &outer, &inner),
                    of(Relation::Above, &inner, &outer),
                ];
                assert_eq!(both, orders, "{policy}");
            }
            let mut inner = deleted("b", 1, Delete);
            inner.reclaim = Reclaim::Retain;
            assert_eq!(of(Relation::Inside, &outer, &inner), KeepDirectory);
            assert_eq!(of(Relation::Above, &inner, &outer), WaitForCleanup);
        }
    }

    #[test]
    fn a_volume_that_stays_gets_the_policy_of_the_two_that_keeps_more() {
        use OnDelete::{Archive, Delete, Retain};
        let evidence = Evidence::Names;
        for (policy, of_other, expected) in [
            (Delete, Delete, None),
            (Delete, Archive, None),
            (Delete, Retain, None),
            (Archive, Delete, Some(Archive)),
            (Archive, Archive, None),
            (Archive, Retain, None),
            (Retain, Delete, Some(Retain)),
            (Retain, Archive, Some(Retain)),
            (Retain, Retain, None),
        ] {
            let volume = deleted("a", 1, policy);
            let mut other = deleted("b", 0, of_other);
            other.deleting = false;
            for (relation, expected) in [
                (Relation::Same, expected),
                (Relation::Above, expected),
                // The files in the inner directory do not belong to the outer volume.
                (Relation::Inside, None),
            ] {
                let overlap = Overlap { relation, evidence };
                let inherited = inherited(&volume, &other, overlap, &fixtures::installation());
                assert_eq!(
                    inherited.map(|(on_delete, _)| on_delete),
                    expected,
                    "{policy} to {of_other}, {relation:?}"
                );
            }
        }
        let (mut volume, mut other) = (deleted("a", 1, Delete), deleted("b", 0, Delete));
        let same = Overlap {
            relation: Relation::Same,
            evidence,
        };
        volume.reclaim = Reclaim::Retain;
        assert_eq!(
            inherited(&volume, &other, same, &fixtures::installation()),
            Some((Retain, None))
        );
        other.maker = None;
        assert_eq!(inherited(&volume, &other, same, &fixtures::installation()), None);
    }

    #[test]
    fn the_longer_of_two_retentions_applies() {
        use OnDelete::Archive;
        let same = Overlap {
            relation: Relation::Same,
            evidence: Evidence::Names,
        };
        let (day, month) = (Retention::Seconds(86_400), Retention::Seconds(30 * 86_400));
        for (retention, of_other, expected) in [
            (day, month, None),
            (month, month, None),
            (month, day, Some((Archive, Some(month)))),
            (Retention::Forever, month, Some((Archive, Some(Retention::Forever)))),
            (month, Retention::Forever, None),
        ] {
            let (mut volume, mut other) = (deleted("a", 1, Archive), deleted("b", 0, Archive));
            volume.record.as_mut().unwrap().retention = retention;
            other.record.as_mut().unwrap().retention = of_other;
            let inherited = inherited(&volume, &other, same, &fixtures::installation());
            assert_eq!(inherited, expected, "{retention} to {of_other}");
        }
    }

    #[test]
    fn a_deleted_volume_in_use_keeps_the_directory() {
        let volume = deleted("a", 1, OnDelete::Delete);
        for policy in [OnDelete::Delete, OnDelete::Archive, OnDelete::Retain] {
            let other = deleted("b", 0, policy);
            for relation in [Relation::Same, Relation::Inside, Relation::Above] {
                let evidence = Evidence::Names;
                let overlap = Overlap { relation, evidence };
                assert_eq!(
                    cleanup_order(&volume, &other, overlap, true, &fixtures::installation()),
                    KeepDirectory
                );
            }
        }
    }

    #[test]
    fn a_volume_in_use_keeps_the_directory_and_cleanup_waits_for_a_new_volume() {
        let volume = deleted("a", 1, OnDelete::Delete);
        let change = |change: fn(&mut Volume)| {
            let mut other = deleted("b", 0, OnDelete::Delete);
            change(&mut other);
            [Relation::Same, Relation::Inside, Relation::Above].map(|relation| of(relation, &volume, &other))
        };
        assert_eq!(change(|other| other.deleting = false), [KeepDirectory; 3]);
        let new = |other: &mut Volume| {
            other.deleting = false;
            other.ready = false;
        };
        assert_eq!(change(new), [WaitForRollback; 3]);
        assert_eq!(change(|other| other.has_finalizer = false), [Proceed; 3]);
        assert_eq!(change(|other| other.maker = None), [KeepDirectory; 3]);
        assert_eq!(
            change(|other| other.record = Err("broken".to_owned())),
            [KeepDirectory; 3]
        );
        assert_eq!(
            change(|other| other.ready = false),
            [WaitForCleanup, WaitForCleanup, Proceed],
            "no claim has had it"
        );
    }
}
