//! Prints tables for people.

use std::fmt::Write;

/// Returns lines with aligned columns. A column is as wide as its widest entry; the first one has at least `first`
/// characters. The last column is not padded.
pub fn aligned<const N: usize>(lines: &[[String; N]], first: usize) -> String {
    let mut widths: [usize; N] = std::array::from_fn(|column| {
        let lengths = lines.iter().map(|line| line[column].chars().count());
        lengths.max().unwrap_or_default()
    });
    widths[0] = widths[0].max(first);
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (entry, width) in line.iter().zip(widths) {
            let _ = write!(row, "{entry:width$}  ");
        }
        text += row.trim_end();
        text.push('\n');
    }
    text
}
