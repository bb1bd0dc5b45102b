//! Whether two names are the same name.
//!
//! Unicode has several forms for one text: `é` can be one character or two. The two names look the same, and some servers
//! store them as one name. So Bindery compares names in normalization form C (UAX #15), and creates directories in that
//! form.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The text in normalization form C.
pub fn normal(text: &str) -> Cow<'_, str> {
    if is_nfc(text) {
        text.into()
    } else {
        text.nfc().collect::<String>().into()
    }
}

/// Whether two names are the same on every server.
pub fn is_same_name(one: &str, other: &str) -> bool {
    one == other || normal(one) == normal(other)
}

/// Whether two names are the same on a server that ignores case.
pub fn is_same_without_case(one: &str, other: &str) -> bool {
    let folded = |name| normal(name).to_lowercase();
    one.eq_ignore_ascii_case(other) || folded(one) == folded(other)
}
