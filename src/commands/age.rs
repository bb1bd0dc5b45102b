//! Writes times as kubectl does: `45s`, `5m30s`, `3h`, `2d`.

use jiff::{SignedDuration, Timestamp};

/// Returns how long ago a time is.
pub fn since(time: Timestamp, now: Timestamp) -> String {
    words(now.duration_since(time))
}

/// Returns how long it takes until a time; `None` if it has passed.
pub fn until(time: Timestamp, now: Timestamp) -> Option<String> {
    let left = time.duration_since(now);
    left.is_positive().then(|| words(left))
}

/// Returns a duration with one unit or two: the larger it is, the less exact.
fn words(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, unit: char, small: i64, smaller: char| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{smaller}"),
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_units_of_kubectl() {
        let (minute, hour, day) = (60, 3600, 86_400);
        let table = [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (2 * minute, "2m"),
            (9 * minute + 59, "9m59s"),
            (10 * minute + 1, "10m"),
            (179 * minute, "179m"),
            (3 * hour, "3h"),
            (7 * hour + 59 * minute, "7h59m"),
            (8 * hour, "8h"),
            (47 * hour, "47h"),
            (2 * day, "2d"),
            (7 * day + 23 * hour, "7d23h"),
            (8 * day, "8d"),
            (729 * day, "729d"),
            (730 * day, "2y"),
            (731 * day, "2y1d"),
            (8 * 365 * day, "8y"),
        ];
        let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        for (seconds, expected) in table {
            assert_eq!(
                since(now - SignedDuration::from_secs(seconds), now),
                expected,
                "{seconds}"
            );
        }
        let month = now + SignedDuration::from_hours(30 * 24);
        assert_eq!(until(month, now).as_deref(), Some("30d"));
        assert_eq!(until(now, now), None);
    }
}
