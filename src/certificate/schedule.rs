//! Decides when the certificate is renewed.
//!
//! This takes two steps, so that API servers trust the new CA before its certificate is served. After 60% of the
//! lifetime the next certificate is issued and its CA is published. After another 10% the next certificate is served.
//! With the default of 90 days, 36 days are left at the first step and 27 days at the second.

use jiff::{SignedDuration, Timestamp};

/// The time during which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The beginning.
    pub from: Timestamp,
    /// The end.
    pub until: Timestamp,
}

/// The next action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// There is no valid certificate: issue a new one and serve it.
    Create,
    /// Issue the next certificate and publish its CA.
    Stage,
    /// Serve the next certificate.
    Promote,
    /// Do nothing until then.
    WaitUntil(Timestamp),
}

/// The age of the served certificate, in percent of its validity, at which the next one is issued.
const STAGE_PERCENT: i32 = 60;
/// The age of the next certificate at which it is served: API servers need this time to read its CA.
const PROMOTE_PERCENT: i32 = 10;
/// The age of the served certificate at which the next one is served, even if API servers may not trust it yet.
const LATEST_PROMOTE_PERCENT: i32 = 95;
/// The age of the served certificate until which the previous token is accepted.
const PREVIOUS_TOKEN_PERCENT: i32 = 40;

impl Validity {
    /// Returns the time at which this percentage of the validity is over.
    fn at_percent(&self, percent: i32) -> Timestamp {
        let part = self.until.duration_since(self.from) * percent / 100;
        // This is before `until`, so it cannot overflow.
        self.from.checked_add(part).unwrap_or(self.until)
    }

    /// Returns the time until which the previous token is accepted.
    pub fn previous_token_expires(&self) -> Timestamp {
        self.at_percent(PREVIOUS_TOKEN_PERCENT)
    }
}

/// Returns what to do now. `announced` says whether the API server trusts the CA of the next certificate.
pub fn next_action(serving: Option<Validity>, next: Option<Validity>, announced: bool, now: Timestamp) -> Action {
    let Some(serving) = serving.filter(|serving| now < serving.until) else {
        return Action::Create;
    };
    let (then, at) = match next.filter(|next| now < next.until) {
        None => (Action::Stage, serving.at_percent(STAGE_PERCENT)),
        Some(next) if announced => (
            Action::Promote,
            next.at_percent(PROMOTE_PERCENT)
                .min(serving.at_percent(LATEST_PROMOTE_PERCENT)),
        ),
        Some(_) => (Action::Promote, serving.at_percent(LATEST_PROMOTE_PERCENT)),
    };
    if now < at { Action::WaitUntil(at) } else { then }
}

/// Returns the validity of a certificate that is issued now. It begins up to an hour earlier, for API servers whose
/// clocks are slow.
pub fn validity(now: Timestamp, lifetime: SignedDuration) -> Validity {
    let skew = (lifetime / 100).min(SignedDuration::from_hours(1));
    Validity {
        from: now.checked_sub(skew).unwrap_or(now),
        until: now.checked_add(lifetime).unwrap_or(Timestamp::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn days(from: i64, until: i64) -> Validity {
        Validity {
            from: day(from),
            until: day(until),
        }
    }

    #[test]
    fn the_actions_for_a_certificate_of_a_hundred_days() {
        let table = [
            ("there is no certificate", None, None, 0, Action::Create),
            ("young", Some(days(0, 100)), None, 1, Action::WaitUntil(day(60))),
            ("three fifths are over", Some(days(0, 100)), None, 60, Action::Stage),
            (
                "the next one is announced",
                Some(days(0, 100)),
                Some(days(60, 160)),
                61,
                Action::WaitUntil(day(70)),
            ),
            (
                "for long enough",
                Some(days(0, 100)),
                Some(days(60, 160)),
                70,
                Action::Promote,
            ),
            (
                "it is served and becomes old itself",
                Some(days(60, 160)),
                None,
                70,
                Action::WaitUntil(day(120)),
            ),
        ];
        for (what, serving, next, now, expected) in table {
            assert_eq!(next_action(serving, next, true, day(now)), expected, "{what}");
        }
    }

    #[test]
    fn actions_that_are_late_are_done_at_once() {
        let table = [
            (
                "announced late, so served before the end",
                Some(days(0, 100)),
                Some(days(92, 192)),
                93,
                Action::WaitUntil(day(95)),
            ),
            (
                "announced later still, so at once",
                Some(days(0, 100)),
                Some(days(98, 198)),
                98,
                Action::Promote,
            ),
            ("over", Some(days(0, 100)), None, 100, Action::Create),
            (
                "over, with a next one that may not be trusted",
                Some(days(0, 100)),
                Some(days(90, 190)),
                100,
                Action::Create,
            ),
            (
                "the next one is over, too",
                Some(days(0, 1000)),
                Some(days(10, 90)),
                700,
                Action::Stage,
            ),
        ];
        for (what, serving, next, now, expected) in table {
            assert_eq!(next_action(serving, next, true, day(now)), expected, "{what}");
        }
    }

    #[test]
    fn a_certificate_that_is_not_trusted_yet_is_served_only_shortly_before_the_end() {
        let (serving, next) = (Some(days(0, 100)), Some(days(60, 160)));
        assert_eq!(next_action(serving, next, false, day(80)), Action::WaitUntil(day(95)));
        assert_eq!(next_action(serving, next, false, day(95)), Action::Promote);
    }

    #[test]
    fn a_certificate_is_valid_from_a_time_before_it_is_issued() {
        let lifetime = SignedDuration::from_hours(24 * 90);
        let validity = validity(day(100), lifetime);
        assert_eq!(validity.from, day(100) - SignedDuration::from_hours(1));
        assert_eq!(validity.until, day(190));
    }
}
