//! How long an archive is kept: `30d`, `12h`, `2w`, or `forever`.

use std::fmt;
use std::str::FromStr;

use jiff::{Span, SpanRelativeTo, Timestamp};

/// How long an archive is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Until a person removes it.
    Forever,
    /// This number of seconds after it was made.
    Seconds(i64),
}

/// The longest retention in seconds, a hundred years; a longer time is most likely a typing error.
const LONGEST: i64 = 36_500 * DAY;
const DAY: i64 = 24 * 60 * 60;
/// The most seconds by which an archive may expire before its retention has passed: its name, with the time, is chosen
/// before the archive is made. Never more than a tenth of the retention.
const TOLERANCE: i64 = 60 * 60;

impl Retention {
    /// When an archive that is made at `now` may be removed; `None` for [`Retention::Forever`].
    pub fn ends(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Forever => None,
            Self::Seconds(seconds) => now.checked_add(jiff::SignedDuration::from_secs(seconds)).ok(),
        }
    }

    /// Whether this retention is longer than the other one.
    pub fn is_longer_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::Seconds(seconds), Self::Seconds(others)) => seconds > others,
            (one, other) => one == Self::Forever && other != Self::Forever,
        }
    }

    /// Whether an archive that is made at `now` is kept long enough if its name says `until`.
    pub fn still_ends_at(self, until: Option<Timestamp>, now: Timestamp) -> bool {
        match (self.ends(now), until, self) {
            (Some(ends), Some(until), Self::Seconds(seconds)) => {
                let missing = ends.as_second().saturating_sub(until.as_second());
                missing <= TOLERANCE.min(seconds / 10)
            }
            (ends, until, _) => ends == until,
        }
    }
}

impl FromStr for Retention {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        let span = text.parse::<Span>().ok();
        // A day has 24 hours here; a month has no fixed length, and is refused.
        let time = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        match time.map(|time| (time.as_secs(), time.subsec_nanos())) {
            Some((0, 0)) => Err("a retention of zero keeps no archive; set onDelete: delete instead"),
            Some((seconds @ 1..=LONGEST, 0)) => Ok(Self::Seconds(seconds)),
            _ => Err("write a duration such as 30d, 12h or 2w, at most 36500d, or forever"),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Forever => f.write_str("forever"),
            Self::Seconds(seconds) => {
                let units = [(DAY, 'd'), (3600, 'h'), (60, 'm')];
                let (length, unit) = units
                    .into_iter()
                    .find(|(length, _)| seconds % length == 0)
                    .unwrap_or((1, 's'));
                write!(f, "{}{unit}", seconds / length)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_read_in_all_units_and_printed_in_the_longest() {
        let table = [
            ("30d", "30d"),
            ("12h", "12h"),
            ("2w", "14d"),
            ("90m", "90m"),
            ("1s", "1s"),
            ("1d 12h", "36h"),
            ("forever", "forever"),
        ];
        for (written, printed) in table {
            let read: Retention = written.parse().unwrap();
            assert_eq!(read.to_string(), printed);
            assert_eq!(printed.parse(), Ok(read));
        }
    }

    #[test]
    fn an_invalid_retention_is_refused() {
        for text in ["", "30", "-3d", "1mo", "1y", "40000d", "0.4s", "soon", "for ever"] {
            let expected = "write a duration such as 30d, 12h or 2w, at most 36500d, or forever";
            assert_eq!(text.parse::<Retention>(), Err(expected), "{text}");
        }
        assert_eq!(
            "0d".parse::<Retention>(),
            Err("a retention of zero keeps no archive; set onDelete: delete instead")
        );
    }

    #[test]
    fn an_archive_name_that_was_chosen_too_early_is_not_used() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let (hour, month) = (Retention::Seconds(3600), Retention::Seconds(30 * DAY));
        let table = [
            (hour, at("2026-03-01T13:00:00Z"), true),
            (hour, at("2026-03-01T12:55:00Z"), true),
            (hour, at("2026-03-01T12:50:00Z"), false),
            (hour, at("2026-03-01T11:00:00Z"), false),
            (month, at("2026-03-31T11:00:00Z"), true),
            (month, at("2026-03-31T10:59:00Z"), false),
            (month, None, false),
            (Retention::Seconds(1), at("2026-03-01T12:00:01Z"), true),
            (Retention::Seconds(1), at("2026-03-01T12:00:00Z"), false),
            (Retention::Forever, None, true),
            (Retention::Forever, at("2026-03-31T12:00:00Z"), false),
        ];
        for (retention, until, enough) in table {
            assert_eq!(retention.still_ends_at(until, now), enough, "{retention} {until:?}");
        }
    }

    #[test]
    fn the_retention_starts_when_the_archive_is_made() {
        let now: Timestamp = "2026-02-27T12:00:00Z".parse().unwrap();
        assert_eq!(
            Retention::Seconds(2 * DAY).ends(now),
            Some("2026-03-01T12:00:00Z".parse().unwrap())
        );
        assert_eq!(Retention::Forever.ends(now), None);
    }
}
