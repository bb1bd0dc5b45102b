//! Reads a part of a directory with the sizes of its objects (getdents, statx).

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Dir, Mode, OFlags, openat};
use rustix::io::Errno;

use super::file::size_in;
use crate::storage::status::Status;
use crate::storage::verbs::protocol::{Entry, Page, Position};

/// The most names in a page. Each is one more call to the server of the mount.
const PAGE: usize = 64;

/// Reads a page from this position on. Ends early if `is_abandoned`. An object that is removed meanwhile is left out.
pub(super) fn page_with_sizes(
    directory: impl AsFd,
    from: Position,
    is_abandoned: impl Fn() -> bool,
) -> Result<Page, Status> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut names = Dir::new(openat(&directory, ".", flags, Mode::empty())?)?;
    if from.cookie != 0 {
        names.seek(from.cookie.cast_signed())?;
    }
    let mut page = Page {
        entries: Vec::new(),
        next: from,
        last: true,
    };
    while let Some(entry) = names.read() {
        let entry = entry?;
        page.next.cookie = entry.offset().cast_unsigned();
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        match size_in(&directory, OsStr::from_bytes(name)) {
            Ok((is_directory, size)) => page.entries.push(Entry {
                name: name.to_vec(),
                is_directory: Some(is_directory),
                size: Some(size),
            }),
            Err(Errno::NOENT) => {}
            // A look-up returns the reason.
            Err(_) => page.entries.push(Entry {
                name: name.to_vec(),
                is_directory: None,
                size: None,
            }),
        }
        if page.entries.len() == PAGE || is_abandoned() {
            page.last = false;
            break;
        }
    }
    Ok(page)
}
