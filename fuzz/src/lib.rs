//! What several targets demand.

use bindery::policy::directory::Directory;

/// Whether a directory is what the type promises: strictly below its share, a plain name on every level, and none of those
/// that Bindery keeps for itself. Judged here by its text alone, not by the code that made it.
///
/// # Panics
///
/// If it is not: that is what a fuzzer looks for.
pub fn check(directory: &Directory) {
    for segment in directory.as_str().split('/') {
        assert!(!["", ".", ".."].contains(&segment), "{directory:?}");
        assert!(segment.len() <= 255, "{directory:?}");
        assert!(!segment.contains(|c: char| c.is_control()), "{directory:?}");
        assert!(!segment.starts_with(char::is_whitespace), "{directory:?}");
        assert!(!segment.ends_with(char::is_whitespace), "{directory:?}");
        assert!(
            !segment.starts_with("archived-") && !segment.starts_with(".bindery-"),
            "{directory:?}"
        );
    }
    let tag = Directory::archive_tag("blue", "pvc-1");
    let archive = directory.archive("20260101T000000Z", &tag);
    assert!(
        archive.as_str().len() <= 255 && !archive.as_str().contains('/'),
        "{archive:?}"
    );
    assert!(Directory::is_archive_of(archive.as_str(), &tag), "{archive:?}");
}
