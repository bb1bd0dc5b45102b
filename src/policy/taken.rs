//! One directory, one volume: what it means that a directory, or one above or in it, has a volume already.

use super::class::Reclaim;
use super::directory::overlap;
use super::key::Key;
use super::settings::ExistingDirectory;
use super::settled::Place;
use crate::names;
use crate::volume::{ClaimRef, NewVolume, Phase, Us, Volume};

/// What is done about a volume that has the name that a new one should get: the same directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// An earlier call for this very claim made it, and nobody has had it since.
    Reuse,
    /// It is this very claim's.
    Own,
    /// It will be gone in a moment: the claim can wait for that.
    Leaving(String),
    /// The claim is refused with this sentence.
    Refuse(String),
}

/// Judges a volume whose name is taken.
pub fn taken(volume: &Volume, new: &NewVolume, us: &Us) -> Taken {
    let directory = shown(new);
    let name = &volume.name;
    let owner = volume.claim.as_ref().map(|claim| (claim, claim.uid.as_deref()));
    let told = |why: String| format!("{directory} belongs to volume {name}, {why}");
    let refuse = |why: String| Taken::Refuse(told(why));
    match owner {
        _ if volume.maker.as_ref() != Some(us) => refuse("which another provisioner or installation made".to_owned()),
        Some((_, Some(uid))) if new.claim_uid.as_deref() == Some(uid) && !volume.deleting => Taken::Own,
        _ if volume.deleting => Taken::Leaving(told("which is being cleaned up".to_owned())),
        _ if volume.awaits(&new.claim.0, &new.claim.1) && new.is_at(volume) => Taken::Reuse,
        Some((_, Some(names::FENCE))) => Taken::Leaving(told("which is being made or taken back".to_owned())),
        _ if volume.phase == Phase::Released && volume.reclaim == Reclaim::Delete => {
            Taken::Leaving(told("whose claim has just gone".to_owned()))
        }
        // Deleted, it leaves the directory where it is.
        _ if volume.phase == Phase::Released => refuse(match new.existing {
            ExistingDirectory::Adopt => format!(
                "which is Released and kept with its data; to give the directory with all that is in it to a new claim: \
                 kubectl delete pv {name}"
            ),
            ExistingDirectory::Deny => format!(
                "which is Released and kept with its data; to free the directory: kubectl delete pv {name}, and move the \
                 directory away, for this claim may not adopt it"
            ),
        }),
        // No claim of that name is there, or it is another one by now: the controller manager has not seen it yet.
        Some((claim, Some(_))) if is_for(claim, new) && volume.reclaim == Reclaim::Delete => {
            Taken::Leaving(told("whose claim has just gone".to_owned()))
        }
        Some((claim, _)) => refuse(format!("which is claim {}/{}'s", claim.namespace, claim.name)),
        None => refuse("which waits for a claim that names it".to_owned()),
    }
}

fn is_for(claim: &ClaimRef, new: &NewVolume) -> bool {
    (&claim.namespace, &claim.name) == (&new.claim.0, &new.claim.1)
}

/// Who else is in the tree of a volume's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Nobody.
    None,
    /// This volume, which a claim has had: its directory may hold data.
    Given(String),
    /// This volume, which is just being made and will back out.
    Coming(String),
}

/// Judges the neighbours of the volume called `name`, whose directory is `path` on `server`.
pub fn overlap_of(server: &str, path: &str, name: &str, others: Vec<Volume>) -> Overlap {
    let (given, coming): (Vec<_>, Vec<_>) = others.into_iter().partition(Volume::was_given);
    let at = |others: &[Volume]| overlapping(server, path, name, others).map(|other| other.name.clone());
    match (at(&given), at(&coming)) {
        (Some(other), _) => Overlap::Given(other),
        (None, Some(other)) => Overlap::Coming(other),
        (None, None) => Overlap::None,
    }
}

/// The volume whose directory is above or in `path` on `server`, if there is one among those of its area. One that does
/// not say where its directory is may be it.
pub fn overlapping<'a>(server: &str, path: &str, name: &str, others: &'a [Volume]) -> Option<&'a Volume> {
    others.iter().find(|other| {
        let at =
            |record: &crate::volume::Record| (record.share.server().to_owned(), record.share.join(&record.directory));
        other.name != name
            && match other.record.as_ref().map(at) {
                Ok((there, at)) => there == server && overlap(&at, path),
                Err(_) => true,
            }
    })
}

/// The sentence that refuses a claim whose directory would overlap with another volume's.
pub fn overlap_refusal(new: &NewVolume, other: &Volume) -> String {
    let place = match &other.record {
        Err(unreadable) => format!(
            "that of volume {}, whose marks cannot be read: {unreadable}",
            other.name
        ),
        Ok(record) => {
            let claim = other.claim.as_ref();
            let whose = claim.map(|claim| format!(", which is claim {}/{}'s", claim.namespace, claim.name));
            format!(
                "directory {} of volume {}{}",
                record.directory.shown(),
                other.name,
                whose.unwrap_or_default()
            )
        }
    };
    format!("{} overlaps with {place}", shown(new))
}

/// The sentence that refuses a claim whose directory is there already and has no volume. Nobody else's is meant: whether a
/// volume's is above or in it was looked at first.
pub fn exists_refusal(new: &NewVolume) -> String {
    let listed = |list: Key| {
        format!(
            "(StorageClass {} must list {} in {list})",
            new.class,
            Key::ExistingDirectory
        )
    };
    let adopt = format!("{}: adopt", Key::ExistingDirectory.annotation());
    let allow = match new.chosen_by {
        Place::Claim => format!(
            "say {adopt} on the claim, which chooses the directory {}",
            listed(Key::ClaimOverrides)
        ),
        Place::Namespace => format!(
            "let an administrator say {adopt} on the namespace, which chooses the directory {}",
            listed(Key::NamespaceOverrides)
        ),
        Place::Class | Place::Default => format!(
            "let an administrator set {} to adopt, in a class created anew",
            Key::ExistingDirectory
        ),
    };
    format!(
        "{} is there already and may hold somebody's data; move it away, choose another name for the claim, or {allow}",
        shown(new)
    )
}

fn shown(new: &NewVolume) -> String {
    format!("directory {} of share {}", new.directory.shown(), new.share)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    use super::*;
    use crate::policy::claim::Bytes;
    use crate::policy::directory::{Directory, Share};
    use crate::policy::on_delete::OnDelete;
    use crate::policy::retention::Retention;
    use crate::policy::settings::OnStorageFailure;
    use crate::storage::Attributes;
    use crate::volume::Origin;

    fn us() -> Us {
        Us {
            provisioner: "bindery.dev/nfs".to_owned(),
            instance: "blue".to_owned(),
        }
    }

    fn new(directory: &str) -> NewVolume {
        NewVolume {
            name: format!("pvc-{directory}"),
            claim: ("team-a".to_owned(), "data".to_owned()),
            claim_uid: None,
            class: "fast".to_owned(),
            access_modes: vec!["ReadWriteMany".to_owned()],
            capacity: Bytes::read(&Quantity("1Gi".to_owned())).unwrap(),
            share: Share::parse("nas1", "/export").unwrap(),
            directory: Directory::parse(directory).unwrap(),
            attributes: Attributes {
                mode: 0o777,
                uid: None,
                gid: None,
            },
            existing: ExistingDirectory::Deny,
            chosen_by: Place::Class,
            on_delete: OnDelete::Delete,
            retention: Retention::Forever,
            on_failure: OnStorageFailure::Queue,
            reclaim: Reclaim::Delete,
            mount_options: vec![],
            attempt: "a".to_owned(),
        }
    }

    /// The volume that stands, and what it means for a new claim of the same directory.
    fn told(change: impl FnOnce(&mut Volume)) -> Taken {
        let mut volume = Volume::read(&new("shared").build(Origin::New, &us()));
        change(&mut volume);
        taken(&volume, &new("shared"), &us())
    }

    fn refused(change: impl FnOnce(&mut Volume)) -> String {
        match told(change) {
            Taken::Refuse(why) => why.replace(
                "directory shared of share nas1:/export belongs to volume pvc-shared, ",
                "",
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_volume_that_nobody_has_had_is_used_again_by_its_claim() {
        assert_eq!(told(|_| ()), Taken::Reuse);
    }

    #[test]
    fn a_volume_whose_making_came_to_no_known_end_is_finished_by_its_claim() {
        let fence = |volume: &mut Volume| volume.claim.as_mut().unwrap().uid = Some(names::FENCE.to_owned());
        assert_eq!(told(fence), Taken::Reuse);
    }

    #[test]
    fn a_volume_that_was_begun_for_another_place_is_not_used_for_this_one() {
        let elsewhere = |volume: &mut Volume| {
            let record = volume.record.as_mut().unwrap();
            record.share = Share::parse("nas2", "/export").unwrap();
        };
        assert!(matches!(told(elsewhere), Taken::Refuse(_) | Taken::Leaving(_)));
    }

    #[test]
    fn a_claim_that_is_there_finds_its_own_volume_again() {
        let mut volume = Volume::read(&new("shared").build(Origin::New, &us()));
        volume.claim.as_mut().unwrap().uid = Some("u-1".to_owned());
        let own = NewVolume {
            claim_uid: Some("u-1".to_owned()),
            ..new("shared")
        };
        assert_eq!(taken(&volume, &own, &us()), Taken::Own);
    }

    #[test]
    fn one_that_will_be_gone_in_a_moment_is_waited_for() {
        let leaving = |change: fn(&mut Volume)| match told(change) {
            Taken::Leaving(why) => why.replace(
                "directory shared of share nas1:/export belongs to volume pvc-shared, ",
                "",
            ),
            other => panic!("{other:?}"),
        };
        assert_eq!(leaving(|volume| volume.deleting = true), "which is being cleaned up");
        assert_eq!(
            leaving(|volume| volume.phase = Phase::Released),
            "whose claim has just gone"
        );
        let earlier = |volume: &mut Volume| volume.claim.as_mut().unwrap().uid = Some("u-1".to_owned());
        assert_eq!(leaving(earlier), "whose claim has just gone");
        let fenced_for_another = |volume: &mut Volume| {
            let claim = volume.claim.as_mut().unwrap();
            claim.uid = Some(names::FENCE.to_owned());
            claim.name = "other".to_owned();
        };
        assert_eq!(leaving(fenced_for_another), "which is being made or taken back");
    }

    #[test]
    fn every_other_owner_is_named_and_what_to_do_is_said() {
        let claim = |volume: &mut Volume, name: &str| volume.claim.as_mut().unwrap().name = name.to_owned();
        let uid = |volume: &mut Volume, uid: &str| volume.claim.as_mut().unwrap().uid = Some(uid.to_owned());
        assert_eq!(
            refused(|volume| claim(volume, "other")),
            "which is claim team-a/other's"
        );
        let kept_by_its_name = |volume: &mut Volume| {
            uid(volume, "u-1");
            volume.reclaim = Reclaim::Retain;
        };
        assert_eq!(refused(kept_by_its_name), "which is claim team-a/data's");
        assert_eq!(refused(|volume| volume.ready = true), "which is claim team-a/data's");
        assert_eq!(
            refused(|volume| volume.maker = None),
            "which another provisioner or installation made"
        );
        assert_eq!(
            refused(|volume| volume.claim = None),
            "which waits for a claim that names it"
        );
        let kept = |volume: &mut Volume| {
            volume.phase = Phase::Released;
            volume.reclaim = Reclaim::Retain;
        };
        assert_eq!(
            refused(kept),
            "which is Released and kept with its data; to free the directory: kubectl delete pv pvc-shared, and move the \
             directory away, for this claim may not adopt it"
        );
    }

    #[test]
    fn a_volume_above_or_below_is_found_and_a_neighbour_is_not() {
        let others = |directory: &str| [Volume::read(&new(directory).build(Origin::New, &us()))];
        let found = |other: &str| overlapping("nas1", "/export/a/b", "pvc-me", &others(other)).is_some();
        assert!(found("a") && found("a/b/c") && found("a/b"));
        assert!(!found("a/bb") && !found("a/c") && !found("b"));
        assert!(overlapping("nas2", "/export/a/b", "pvc-me", &others("a")).is_none());
        assert!(
            overlapping("nas1", "/export/a", "pvc-a", &others("a")).is_none(),
            "itself"
        );
        let mut unknown = others("x");
        unknown[0].record = Err("annotation bindery.dev/share is missing".to_owned());
        assert!(overlapping("nas1", "/export/a", "pvc-me", &unknown).is_some());
    }

    #[test]
    fn a_neighbour_that_may_hold_data_counts_before_one_that_is_just_being_made() {
        let volume = |directory: &str, ready: bool| {
            let mut volume = Volume::read(&new(directory).build(Origin::New, &us()));
            volume.ready = ready;
            volume
        };
        let of = |others| overlap_of("nas1", "/export/a/b", "pvc-me", others);
        assert_eq!(of(vec![volume("c", true)]), Overlap::None);
        assert_eq!(of(vec![volume("a", false)]), Overlap::Coming("pvc-a".to_owned()));
        assert_eq!(
            of(vec![volume("a", false), volume("a/b/c", true)]),
            Overlap::Given("pvc-a/b/c".to_owned())
        );
    }
}
