//! Decides what happens to the object of an archive.
//!
//! Deleting an object removes the data only if a person deleted this object. If its namespace, or the definition of
//! archives, is deleted, the data stays. That is also so if an administrator has then removed the finalizer of the
//! namespace or of the definition by force, and has created it again.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How long the object of a missing directory is kept.
const MISSING_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// The namespace in which an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The namespace of the claim, the same one as when the volume was created.
    OfClaim,
    /// Bindery's own namespace.
    Own,
    /// Another namespace, even if it has the name of the claim's: its users must not have the archive.
    Other,
}

/// The state of an object in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It lacks Bindery's finalizer.
    Unprotected,
    /// It has Bindery's finalizer.
    Protected,
    /// It is being deleted. Bindery's finalizer holds it.
    Deleting,
    /// It is being deleted, and nothing is left for Bindery to do.
    Released,
}

impl State {
    /// The state of an object that is being deleted or not, and has Bindery's finalizer or not.
    pub fn of(is_deleting: bool, has_finalizer: bool) -> Self {
        match (is_deleting, has_finalizer) {
            (false, false) => Self::Unprotected,
            (false, true) => Self::Protected,
            (true, true) => Self::Deleting,
            (true, false) => Self::Released,
        }
    }
}

/// What is known about the object of an archive.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Facts {
    /// Whether this installation wrote it.
    pub is_own: bool,
    /// Its state.
    pub state: State,
    /// Whether the definition of archives is being deleted, and with it all objects.
    pub definition_ends: bool,
    /// Its namespace.
    pub place: Place,
    /// Whether its namespace is being deleted, or is gone.
    pub namespace_ends: bool,
    /// Whether Bindery's own namespace is being deleted, or is gone.
    pub own_namespace_ends: bool,
    /// Whether it was marked as deleted before its namespace or the definition was created. Then an earlier namespace or
    /// definition was deleted, and not this object.
    pub is_left_over: bool,
    /// Whether a claim has got the directory, so that the object has no data any more.
    pub is_restored: bool,
}

/// What happens to the object of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: another installation wrote it, or it is deleted already.
    Leave,
    /// Add the finalizer.
    Protect,
    /// Compare it with the share.
    Follow,
    /// Delete it: a claim has the directory.
    Discard,
    /// Write it in Bindery's own namespace. Then delete this one, and keep the directory.
    Move,
    /// Remove the finalizer, and keep the directory.
    Release,
    /// Remove the directory, and then the finalizer.
    Remove,
}

/// Decides what happens to an object.
pub fn plan(facts: Facts) -> Plan {
    let Facts {
        is_own,
        state,
        definition_ends,
        place,
        namespace_ends,
        own_namespace_ends,
        is_left_over,
        is_restored,
    } = facts;
    let move_away = if is_restored { Plan::Discard } else { Plan::Move };
    match (state, place) {
        _ if !is_own => Plan::Leave,
        (State::Released, _) => Plan::Leave,
        // The objects go because their definition goes, not because somebody wants to remove the data.
        (State::Deleting, _) if definition_ends => Plan::Release,
        // Nowhere is left for the object. The archive gets another one when Bindery is installed again.
        (State::Deleting, Place::Own) if namespace_ends => Plan::Release,
        (State::Deleting, Place::OfClaim | Place::Other) if namespace_ends && own_namespace_ends => Plan::Release,
        (State::Deleting, Place::OfClaim) if namespace_ends => move_away,
        (State::Deleting | State::Unprotected | State::Protected, Place::Other) => move_away,
        (State::Deleting, Place::Own | Place::OfClaim) if is_left_over => Plan::Release,
        (State::Deleting, Place::Own | Place::OfClaim) => Plan::Remove,
        (State::Unprotected, Place::Own | Place::OfClaim) => Plan::Protect,
        (State::Protected, Place::Own | Place::OfClaim) => Plan::Follow,
    }
}

/// Whether an object was marked as deleted before this namespace or definition was created. The API has no fractions of a
/// second, so it also is if both have the same time.
pub fn is_left_over(deleted: Option<Timestamp>, created: Option<Timestamp>) -> bool {
    matches!((deleted, created), (Some(deleted), Some(created)) if deleted <= created)
}

/// Whether a namespace is the one in which the claim of a volume was created. The first two are recorded on the volume:
/// the uid of the namespace, which earlier versions did not record, and the time when the volume was created.
pub fn is_same_namespace(
    recorded: Option<&str>,
    volume_created: Option<Timestamp>,
    uid: &str,
    created: Option<Timestamp>,
) -> bool {
    match recorded {
        Some(recorded) => recorded == uid,
        None => matches!((volume_created, created), (Some(volume), Some(namespace)) if namespace <= volume),
    }
}

/// Decides until when an archive is kept: by the annotation `bindery.dev/keep-until`, by the value of the annotation that was
/// applied before, and by the name of the archive. A value that was applied does not shorten the time: the name may have been
/// changed since, by a person or by a later annotation that a restored etcd does not have.
pub fn expiry(
    annotation: Option<&str>,
    applied: Option<&str>,
    current: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, KeepUntil> {
    let Some(text) = annotation else { return Ok(current) };
    let until = keep_until(text)?;
    if until == current || until.is_none_or(|until| until > now) {
        let is_shorter = current.is_none() || until.is_some_and(|until| current.is_some_and(|current| until < current));
        Ok(if annotation == applied && is_shorter {
            current
        } else {
            until
        })
    } else if annotation == applied {
        Ok(current)
    } else {
        Err(KeepUntil::Past)
    }
}

/// Whether the annotation `bindery.dev/keep-until` keeps an archive after this time.
pub fn is_kept(annotation: Option<&str>, now: Timestamp) -> bool {
    let until = annotation.and_then(|text| keep_until(text).ok());
    until.is_some_and(|until| until.is_none_or(|until| until > now))
}

/// Reads the annotation `bindery.dev/keep-until`: a time, a date (the archive is kept until the end of that day in UTC),
/// or `forever` (nothing is returned).
fn keep_until(text: &str) -> Result<Option<Timestamp>, KeepUntil> {
    if text == "forever" {
        return Ok(None);
    }
    let end_of = |day: Date| {
        let last = day
            .to_datetime(Time::constant(23, 59, 59, 0))
            .to_zoned(TimeZone::UTC)
            .ok();
        last.map(|last| last.timestamp())
    };
    let time = text.parse::<Timestamp>().ok();
    let date = || text.parse::<Date>().ok().filter(|_| text.len() == "2026-11-28".len());
    let until = time.or_else(|| date().and_then(end_of)).ok_or(KeepUntil::NotATime)?;
    // Names on the share have no fractions of a second.
    let until = Timestamp::from_second(until.as_second()).map_err(|_| KeepUntil::NotATime)?;
    Ok(Some(until))
}

/// Why the annotation `bindery.dev/keep-until` is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepUntil {
    /// It is not a time.
    #[error("write a time such as 2027-01-31T12:00:00Z, a date such as 2027-01-31, or forever")]
    NotATime,
    /// The time has passed.
    #[error("this time has passed; to remove the data now, delete the Archive")]
    Past,
}

/// Whether the object of a directory that is missing since this time is deleted.
pub fn is_given_up(missing_since: Timestamp, now: Timestamp) -> bool {
    now.duration_since(missing_since) >= MISSING_KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn planned(change: impl FnOnce(&mut Facts)) -> Plan {
        let mut facts = Facts {
            is_own: true,
            state: State::Deleting,
            definition_ends: false,
            place: Place::OfClaim,
            namespace_ends: false,
            own_namespace_ends: false,
            is_left_over: false,
            is_restored: false,
        };
        change(&mut facts);
        plan(facts)
    }

    #[test]
    fn only_an_object_that_somebody_deletes_takes_its_data_with_it() {
        assert_eq!(planned(|_| {}), Plan::Remove);
        assert_eq!(planned(|facts| facts.place = Place::Own), Plan::Remove);
        assert_eq!(planned(|facts| facts.namespace_ends = true), Plan::Move);
        assert_eq!(planned(|facts| facts.definition_ends = true), Plan::Release);
        let both = planned(|facts| (facts.definition_ends, facts.namespace_ends) = (true, true));
        assert_eq!(both, Plan::Release);
        let own_namespace = planned(|facts| (facts.place, facts.namespace_ends) = (Place::Own, true));
        assert_eq!(own_namespace, Plan::Release);
    }

    #[test]
    fn an_object_that_an_earlier_namespace_or_definition_left_over_keeps_its_data() {
        for place in [Place::OfClaim, Place::Own] {
            let left = planned(|facts| (facts.place, facts.is_left_over) = (place, true));
            assert_eq!(left, Plan::Release, "{place:?}");
        }
        let (early, late) = (Some(at("2026-01-01T00:00:00Z")), Some(at("2026-01-02T00:00:00Z")));
        assert!(is_left_over(early, late));
        assert!(is_left_over(early, early), "times have no fractions of a second");
        assert!(!is_left_over(late, early), "somebody has deleted it");
        assert!(!is_left_over(None, late));
    }

    #[test]
    fn an_object_is_released_if_the_namespace_to_which_it_would_move_ends_too() {
        for place in [Place::OfClaim, Place::Other] {
            let released = planned(|facts| {
                (facts.place, facts.namespace_ends, facts.own_namespace_ends) = (place, true, true);
            });
            assert_eq!(released, Plan::Release, "{place:?}");
        }
        let deleted = planned(|facts| facts.own_namespace_ends = true);
        assert_eq!(deleted, Plan::Remove, "somebody has deleted it");
    }

    #[test]
    fn an_object_in_a_namespace_that_is_not_the_claims_is_moved_and_keeps_its_data() {
        for state in [State::Deleting, State::Unprotected, State::Protected] {
            for namespace_ends in [true, false] {
                let moved = planned(|facts| {
                    (facts.place, facts.state, facts.namespace_ends) = (Place::Other, state, namespace_ends);
                });
                assert_eq!(moved, Plan::Move, "{state:?}");
            }
        }
    }

    #[test]
    fn an_object_whose_directory_a_claim_has_is_not_moved() {
        let ending = planned(|facts| (facts.namespace_ends, facts.is_restored) = (true, true));
        assert_eq!(ending, Plan::Discard);
        for state in [State::Deleting, State::Unprotected, State::Protected] {
            let other = planned(|facts| (facts.place, facts.state, facts.is_restored) = (Place::Other, state, true));
            assert_eq!(other, Plan::Discard, "{state:?}");
        }
        let in_use = planned(|facts| (facts.state, facts.is_restored) = (State::Protected, true));
        assert_eq!(in_use, Plan::Follow);
    }

    #[test]
    fn objects_of_others_and_deleted_objects_are_left() {
        for state in [State::Deleting, State::Unprotected, State::Protected, State::Released] {
            let other = planned(|facts| (facts.is_own, facts.state) = (false, state));
            assert_eq!(other, Plan::Leave, "{state:?}");
        }
        assert_eq!(planned(|facts| facts.state = State::of(true, false)), Plan::Leave);
    }

    #[test]
    fn an_object_in_use_gets_the_finalizer_and_follows_the_share() {
        assert_eq!(planned(|facts| facts.state = State::of(false, true)), Plan::Follow);
        assert_eq!(planned(|facts| facts.state = State::of(false, false)), Plan::Protect);
        let ending = planned(|facts| (facts.state, facts.namespace_ends) = (State::Protected, true));
        assert_eq!(ending, Plan::Follow, "the namespace deletes it");
    }

    #[test]
    fn a_namespace_is_the_same_by_its_uid_or_else_by_its_age() {
        let (early, late) = (Some(at("2026-01-01T00:00:00Z")), Some(at("2026-01-02T00:00:00Z")));
        assert!(is_same_namespace(Some("a"), early, "a", late));
        assert!(!is_same_namespace(Some("a"), late, "b", early));
        assert!(is_same_namespace(None, late, "a", early));
        assert!(is_same_namespace(None, late, "a", late));
        assert!(!is_same_namespace(None, early, "a", late));
        assert!(!is_same_namespace(None, None, "a", early));
        assert!(!is_same_namespace(None, late, "a", None));
    }

    #[test]
    fn the_annotation_is_a_time_a_date_or_forever() {
        let now = at("2026-11-28T16:00:00Z");
        let current = Some(at("2026-12-01T00:00:00Z"));
        let table = [
            (None, Ok(current)),
            (Some("forever"), Ok(None)),
            (Some("2027-01-31T12:00:00Z"), Ok(Some(at("2027-01-31T12:00:00Z")))),
            (
                Some("2027-01-31T12:00:00.7+02:00"),
                Ok(Some(at("2027-01-31T10:00:00Z"))),
            ),
            (Some("2027-01-31"), Ok(Some(at("2027-01-31T23:59:59Z")))),
            (Some("2026-11-28"), Ok(Some(at("2026-11-28T23:59:59Z")))),
            (Some("2026-11-28T16:00:00Z"), Err(KeepUntil::Past)),
            (Some("2026-11-27"), Err(KeepUntil::Past)),
        ];
        for (text, expected) in table {
            assert_eq!(expiry(text, None, current, now), expected, "{text:?}");
        }
        for text in [
            "",
            "30d",
            "tomorrow",
            "2027-02-30",
            "2027-01-31T12:00:00",
            "20270131",
            "2027-01-31[UTC]",
            "Forever",
        ] {
            assert_eq!(
                expiry(Some(text), None, current, now),
                Err(KeepUntil::NotATime),
                "{text}"
            );
        }
        let passed = at("2026-11-01T00:00:00Z");
        let unchanged = expiry(Some("2026-11-01T00:00:00Z"), None, Some(passed), now);
        assert_eq!(unchanged, Ok(Some(passed)), "it was valid when it was written");
    }

    #[test]
    fn an_annotation_that_was_applied_lengthens_the_time_and_never_shortens_it() {
        let now = at("2026-11-28T16:00:00Z");
        let (soon, later) = (Some(at("2026-12-01T00:00:00Z")), Some(at("2027-01-01T00:00:00Z")));
        let applied = |text, current| expiry(Some(text), Some(text), current, now);
        assert_eq!(applied("2026-12-01T00:00:00Z", later), Ok(later));
        assert_eq!(applied("2026-12-01T00:00:00Z", None), Ok(None));
        assert_eq!(applied("2027-01-01T00:00:00Z", soon), Ok(later));
        assert_eq!(applied("forever", soon), Ok(None));
        assert_eq!(applied("forever", None), Ok(None));
        assert_eq!(applied("2026-11-01", later), Ok(later), "its time has passed");
        let changed = expiry(Some("2026-12-01T00:00:00Z"), Some("forever"), None, now);
        assert_eq!(changed, Ok(soon), "a new value counts");
    }

    #[test]
    fn an_archive_is_kept_by_an_annotation_whose_time_has_not_passed() {
        let now = at("2026-11-28T16:00:00Z");
        for text in ["forever", "2026-11-28", "2027-01-31"] {
            assert!(is_kept(Some(text), now), "{text}");
        }
        for text in [None, Some("2026-11-27"), Some("next week")] {
            assert!(!is_kept(text, now), "{text:?}");
        }
    }

    #[test]
    fn the_object_of_a_missing_directory_is_deleted_after_a_day() {
        let since = at("2026-11-28T16:00:00Z");
        assert!(!is_given_up(since, at("2026-11-29T15:59:59Z")));
        assert!(is_given_up(since, at("2026-11-29T16:00:00Z")));
    }
}
