//! When a certificate is renewed.
//!
//! In two steps, so that nobody meets a certificate that it does not trust yet: when three fifths of its life are over the
//! next one is made, and its CA announced; a tenth of a life later it is served. Of the 90 days that are usual, 36 are
//! left at the first step and 27 at the second.

use jiff::{SignedDuration, Timestamp};

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first moment.
    pub from: Timestamp,
    /// Its last.
    pub until: Timestamp,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing that can be served is there: everything is made anew, at once.
    Make,
    /// The next certificate is to be made, and its CA to be announced.
    Stage,
    /// The next certificate is to be served.
    Promote,
    /// Nothing, until then.
    At(Timestamp),
}

const STAGE: i32 = 60;
/// Of the next one's life: so much time have API servers to hear of its CA.
const PROMOTE: i32 = 10;
/// Of the served one's life: later is worse than too early.
const LATEST: i32 = 95;
/// Of the served one's life: so long the path token before it is accepted.
const FORGET: i32 = 40;

impl Span {
    /// The moment when so many hundredths of it are over.
    fn after(&self, hundredths: i32) -> Timestamp {
        let part = self.until.duration_since(self.from) * hundredths / 100;
        // Between two moments there is a moment.
        self.from.checked_add(part).unwrap_or(self.until)
    }

    /// Until when what was in use before it is still accepted.
    pub fn forgets(&self) -> Timestamp {
        self.after(FORGET)
    }
}

/// What is due at `now`, given what is served and what is made for the time after; `announced`: the API server is known to trust
/// that.
pub fn due(serving: Option<Span>, next: Option<Span>, announced: bool, now: Timestamp) -> Due {
    let Some(serving) = serving.filter(|serving| now < serving.until) else {
        return Due::Make;
    };
    let (then, at) = match next.filter(|next| now < next.until) {
        None => (Due::Stage, serving.after(STAGE)),
        Some(next) if announced => (Due::Promote, next.after(PROMOTE).min(serving.after(LATEST))),
        Some(_) => (Due::Promote, serving.after(LATEST)),
    };
    if now < at { Due::At(at) } else { then }
}

/// A certificate for `life` from `now` on. It begins a little earlier, for API servers whose clock is behind.
pub fn span(now: Timestamp, life: SignedDuration) -> Span {
    let skew = (life / 100).min(SignedDuration::from_hours(1));
    Span {
        from: now.checked_sub(skew).unwrap_or(now),
        until: now.checked_add(life).unwrap_or(Timestamp::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn days(from: i64, until: i64) -> Span {
        Span {
            from: day(from),
            until: day(until),
        }
    }

    #[test]
    fn a_certificate_of_a_hundred_days_goes_through_its_life() {
        let table = [
            ("nothing is there", None, None, 0, Due::Make),
            ("young", Some(days(0, 100)), None, 1, Due::At(day(60))),
            ("three fifths are over", Some(days(0, 100)), None, 60, Due::Stage),
            (
                "the next one is announced",
                Some(days(0, 100)),
                Some(days(60, 160)),
                61,
                Due::At(day(70)),
            ),
            (
                "for long enough",
                Some(days(0, 100)),
                Some(days(60, 160)),
                70,
                Due::Promote,
            ),
            (
                "and begins its own life",
                Some(days(60, 160)),
                None,
                70,
                Due::At(day(120)),
            ),
        ];
        for (what, serving, next, now, expected) in table {
            assert_eq!(due(serving, next, true, day(now)), expected, "{what}");
        }
    }

    #[test]
    fn whoever_was_away_for_long_makes_up_for_it() {
        let table = [
            (
                "announced late, so served before the end",
                Some(days(0, 100)),
                Some(days(92, 192)),
                93,
                Due::At(day(95)),
            ),
            (
                "announced later still, so at once",
                Some(days(0, 100)),
                Some(days(98, 198)),
                98,
                Due::Promote,
            ),
            ("over", Some(days(0, 100)), None, 100, Due::Make),
            (
                "over, with a next one that nobody trusts for sure",
                Some(days(0, 100)),
                Some(days(90, 190)),
                100,
                Due::Make,
            ),
            (
                "the next one is over, too",
                Some(days(0, 1000)),
                Some(days(10, 90)),
                700,
                Due::Stage,
            ),
        ];
        for (what, serving, next, now, expected) in table {
            assert_eq!(due(serving, next, true, day(now)), expected, "{what}");
        }
    }

    #[test]
    fn what_nobody_trusts_yet_is_served_only_when_nothing_else_is_left() {
        let (serving, next) = (Some(days(0, 100)), Some(days(60, 160)));
        assert_eq!(due(serving, next, false, day(80)), Due::At(day(95)));
        assert_eq!(due(serving, next, false, day(95)), Due::Promote);
    }

    #[test]
    fn a_certificate_begins_before_it_is_made() {
        let life = SignedDuration::from_hours(24 * 90);
        let span = span(day(100), life);
        assert_eq!(span.from, day(100) - SignedDuration::from_hours(1));
        assert_eq!(span.until, day(190));
    }
}
