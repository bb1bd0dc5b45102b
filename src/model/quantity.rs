//! Sizes as the Kubernetes API writes them: `10Gi`, `1.5T`, `5e9`.
//!
//! The grammar is that of `resource.Quantity`: a decimal number, then a binary suffix (`Ki` to `Ei`), a decimal one
//! (`n`, `u`, `m`, `k` to `E`) or an exponent. A fraction of a byte counts as a byte, as in Kubernetes. Bindery has its
//! own parser because the crate for quantities truncates `1.5Gi` and does not read exponents.

/// Returns the size in bytes, rounded up. `None` if the text is not a quantity, is below zero, or is too large.
pub fn bytes(text: &str) -> Option<u128> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let digits: u128 = if digits.len() <= 30 {
        digits.parse().ok()?
    } else {
        return None;
    };
    let (factor, exponent) = scale(suffix)?;
    let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let scaled = digits.checked_mul(factor)?;
    let ten = 10_u128.checked_pow(exponent.unsigned_abs());
    match (exponent >= 0, ten) {
        (true, ten) => scaled.checked_mul(ten?),
        (false, Some(ten)) => Some(scaled.div_ceil(ten)),
        (false, None) => Some(u128::from(scaled > 0)),
    }
}

/// The multiplier of a suffix: a factor, and a power of ten.
fn scale(suffix: &str) -> Option<(u128, i32)> {
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
        .iter()
        .position(|known| *known == suffix);
    if let Some(power) = binary {
        return Some((1 << (10 * (power + 1)), 0));
    }
    let decimal = [
        ("", 0),
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ];
    if let Some((_, exponent)) = decimal.iter().find(|(known, _)| *known == suffix) {
        return Some((1, *exponent));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    exponent.parse().ok().map(|exponent| (1, exponent))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_way_to_write_a_size_is_read() {
        let table = [
            ("1", 1),
            ("1Ki", 1024),
            ("1.5Gi", 3 << 29),
            (".5Gi", 1 << 29),
            ("1Ei", 1 << 60),
            ("1k", 1000),
            ("2.5T", 2_500_000_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("5e9", 5_000_000_000),
            ("1E3", 1000),
            ("12e-1", 2),
            ("1m", 1),
            ("1500m", 2),
            ("0", 0),
            ("0.0Gi", 0),
        ];
        for (text, expected) in table {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_invalid_size_is_none() {
        for text in ["", ".", "Gi", "-1Gi", "+", "1 Gi", "1gi", "1.2.3", "1e", "1e99", "many"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = bytes(&text);
        }

        #[test]
        fn digits_and_suffixes_of_any_length_do_not_overflow(
            text in "[0-9]{0,60}\\.?[0-9]{0,60}([KMGTPE]i|[eE]-?[0-9]{0,12})?",
        ) {
            let _ = bytes(&text);
        }
    }
}
