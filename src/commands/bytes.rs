//! Writes numbers of bytes for tables, with the units of Kubernetes: `512B`, `7.3Mi`, `10Gi`.

/// What is not known.
pub const UNKNOWN: &str = "-";
/// The mark of a number that is too small, because some directories could not be read.
pub const AT_LEAST: &str = "+";

/// Returns a number of bytes in the largest unit that fits, rounded down. It has one digit after the point if it is not exact.
pub fn short(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let power = bytes.max(1).ilog2() / 10;
    let unit = usize::try_from(power)
        .ok()
        .and_then(|power| UNITS.get(power.checked_sub(1)?));
    let Some(unit) = unit else {
        return format!("{bytes}B");
    };
    let one = 1_u64 << (10 * power);
    if bytes.is_multiple_of(one) {
        return format!("{}{unit}", bytes / one);
    }
    // Tenths, without floating-point numbers.
    let tenths = u128::from(bytes) * 10 / u128::from(one);
    format!("{}.{}{unit}", tenths / 10, tenths % 10)
}

/// Returns a number of bytes, or [`UNKNOWN`].
pub fn known(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| UNKNOWN.to_owned(), short)
}

/// Returns the bytes that files use, with a mark if some directories could not be read.
pub fn used(bytes: Option<u64>, is_incomplete: bool) -> String {
    let mark = if is_incomplete { AT_LEAST } else { "" };
    format!("{}{mark}", known(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_looks_like_that_of_a_claim() {
        let table = [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1Ki"),
            (1025, "1.0Ki"),
            (1536, "1.5Ki"),
            (7 << 20, "7Mi"),
            ((10 << 30) - 1, "9.9Gi"),
            (10 << 30, "10Gi"),
            (1536 << 30, "1.5Ti"),
            (u64::MAX, "15.9Ei"),
        ];
        for (bytes, expected) in table {
            assert_eq!(short(bytes), expected);
        }
        assert_eq!(
            (known(None), used(Some(1 << 30), true)),
            ("-".to_owned(), "1Gi+".to_owned())
        );
    }
}
