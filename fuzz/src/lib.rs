//! What several targets demand.

use bindery::model::directory::{ArchiveName, Directory};
use jiff::Timestamp;

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
        assert!(!segment.starts_with(".bindery-"), "{directory:?}");
    }
    for until in [None, Some(Timestamp::UNIX_EPOCH)] {
        for group in [None, Some(50000)] {
            check_archive(directory, group, until);
        }
    }
}

/// It is one name, and tells what it was given.
fn check_archive(directory: &Directory, group: Option<u32>, until: Option<Timestamp>) {
    let (instance, volume) = ("blue", "pvc-1");
    let tag = Directory::archive_tag(instance, volume);
    let archive = directory.archive(Timestamp::UNIX_EPOCH, &tag, group, until);
    let name = archive.as_str();
    assert!(name.len() <= 255 && !name.contains('/'), "{name:?}");
    let read = ArchiveName::read(name, instance).expect("it is the name of an archive");
    assert_eq!((read.tag(), read.until), (&*tag, until), "{name:?}");
    assert_eq!(Directory::group_of_archive(name), group, "{name:?}");
}
