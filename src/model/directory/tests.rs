//! No text leads to a path outside the share.

use proptest::prelude::*;

use super::*;
use jiff::Timestamp;

mod reserved_names;

fn error(text: &str) -> String {
    Directory::parse(text).unwrap_err().to_string()
}

#[test]
fn all_spellings_of_a_share_are_equal() {
    let share = |server, path| Share::parse(server, path).unwrap().to_string();
    assert_eq!(share("NAS1.Example.com.", "/export//a/"), "nas1.example.com:/export/a");
    assert_eq!(share("10.0.0.5", "/"), "10.0.0.5:/");
    for same in ["fd00::5", "[fd00::5]", "FD00:0:0::5", "fd00:0:0:0:0:0:0:5"] {
        assert_eq!(share(same, "/x"), "fd00::5:/x");
    }
    assert_eq!(share("::ffff:10.0.0.5", "/"), "10.0.0.5:/");
    assert!(Share::parse("fd00::5", "/x").unwrap().is_on("[fd00:0::5]"));
}

#[test]
fn an_invalid_share_is_refused_with_the_reason() {
    let error = |server, path| Share::parse(server, path).unwrap_err().to_string();
    assert_eq!(error("", "/x"), "server \"\" is not a host name or an address");
    assert_eq!(
        error("nas 1", "/x"),
        "server \"nas 1\" is not a host name or an address"
    );
    for odd in [
        "fd00::5::",
        "[nas]",
        "[10.0.0.5]",
        "[fd00::5",
        "nas%eth0",
        "010.0.0.5",
        "10.5",
        "0x0a000005",
    ] {
        assert_eq!(
            error(odd, "/x"),
            format!("server {odd:?} is not a host name or an address")
        );
    }
    for link_local in ["fe80::1", "[fe80::1]", "fe80::1%eth0", "[FE80::1%eth0]", "febf::1"] {
        assert_eq!(
            error(link_local, "/x"),
            format!(
                "server {link_local:?} is a link-local address, which means another host on each node; use a global or \
                unique local address (such as fd00::5) or a host name"
            )
        );
    }
    assert_eq!(
        error("fd00::5%eth0", "/x"),
        "server \"fd00::5%eth0\" names a network interface after the %, which nodes cannot mount; remove the % and \
        what follows"
    );
    for not_one_host in [
        "::",
        "[::]",
        "0.0.0.0",
        "::ffff:0.0.0.0",
        "ff02::1",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        assert_eq!(
            error(not_one_host, "/x"),
            format!(
                "server {not_one_host:?} is not the address of one host; use the address or host name of the server"
            )
        );
    }
    for port in ["nas:2049", "10.0.0.5:2049", "[fd00::5]:2049"] {
        assert_eq!(
            error(port, "/x"),
            format!("server {port:?} names a port; remove it, because Bindery and the nodes connect to port 2049")
        );
    }
    assert_eq!(
        error("nas", "/a/../b"),
        "share \"/a/../b\" has the segment \"..\", which means the directory above; write the path without it"
    );
}

#[test]
fn share_and_directory_are_joined_to_the_absolute_path() {
    let join = |path, directory| {
        Share::parse("nas", path)
            .unwrap()
            .join(&Directory::parse(directory).unwrap())
    };
    assert_eq!(join("/export", "a/b"), join("/export/a", "b"));
    assert_eq!(join("/", "a"), "/a");
}

/// A name of the full form of an archive.
const ARCHIVE: &str = "archived-x-20260101T000000Z-0123456789-0123456789";

#[test]
fn names_are_compared_in_one_normalization_form() {
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    assert_eq!(normal(decomposed), composed);
    assert!(is_same_name(composed, decomposed) && !is_same_name(composed, "cafe") && !is_same_name("a", "A"));
    assert!(is_same_without_case("Caf\u{c9}", decomposed) && !is_same_without_case("a", "b"));
}

#[test]
fn an_invalid_directory_is_refused_with_the_reason() {
    assert_eq!(error(""), "directory \"\" has an empty segment");
    assert_eq!(
        error("/a"),
        "directory \"/a\" starts with a slash; write it relative to the share, without the first slash"
    );
    assert_eq!(error("a//b"), "directory \"a//b\" has an empty segment");
    assert_eq!(
        error("a/.."),
        "directory \"a/..\" has the segment \"..\", which means the directory above; write the path without it"
    );
    assert_eq!(
        error("."),
        "directory \".\" has the segment \".\", which means the directory itself; leave it out"
    );
    assert_eq!(error("a\0b"), "directory \"a\\0b\" contains a control character");
    assert_eq!(
        error("a /b"),
        "directory \"a /b\" has the segment \"a \" with a space at its start or end"
    );
    assert_eq!(
        error(ARCHIVE),
        format!(
            "directory {ARCHIVE:?} has the segment {ARCHIVE:?}: names of archives, and names that begin with .bindery-, are \
            reserved for Bindery"
        )
    );
    assert!(error(&format!("{ARCHIVE}-until-20270101T000000Z/x")).contains("reserved for Bindery"));
    for name in [
        "archived-x",
        "archived-mails",
        "archived-x-20260101T000000Z",
        "archived-team-a/data",
    ] {
        assert_eq!(Directory::parse(name).map(|name| name.to_string()), Ok(name.to_owned()));
    }
    assert!(error(".bindery-trash/x").contains("reserved for Bindery"));
    for hidden in ['\u{200b}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{ad}'] {
        let message = error(&format!("a/{hidden}b"));
        let expected = format!(
            "contains the character {}, which is invisible or changes the order of other characters",
            hidden.escape_unicode()
        );
        assert!(message.ends_with(&expected), "{message}");
        assert!(!message.contains(hidden), "the message shows the character escaped");
    }
}

#[test]
fn names_of_snapshots_and_deleted_files_are_refused() {
    for name in [
        ".snap",
        ".snapshot",
        ".snapshots",
        ".zfs",
        "~snapshot",
        ".ckpt",
        ".SNAP",
        ".Zfs",
    ] {
        for path in [name.to_owned(), format!("x/{name}/evil"), format!("x/{name}")] {
            let expected = format!(
                "directory {path:?} has the segment {name:?}: servers show a directory's snapshots under that name, so \
                a volume's path cannot contain it"
            );
            assert_eq!(error(&path), expected);
        }
    }
    for name in [".nfs0000000000a1b2c300000001", ".nfs", ".NFS1"] {
        let path = format!("x/{name}");
        let expected = format!(
            "directory {path:?} has the segment {name:?}: NFS clients give names that begin with .nfs to deleted files that \
             are still open"
        );
        assert_eq!(error(&path), expected);
    }
    for allowed in ["snap", ".snaps", "x.snapshot", "zfs", "nfs", "a.nfs", ".n\u{fc}fs"] {
        assert!(Directory::parse(allowed).is_ok(), "{allowed}");
    }
}

#[test]
fn long_and_deep_directories_are_refused() {
    let deep = |depth: usize| vec!["a"; depth].join("/");
    assert!(Directory::parse(&deep(32)).is_ok());
    assert!(error(&deep(33)).ends_with("has 33 segments; at most 32 are allowed"));
    let long = |last: usize| format!("{}{}", format!("{}/", "x".repeat(255)).repeat(3), "x".repeat(last));
    assert!(Directory::parse(&long(255)).is_ok());
    let message = error(&format!("{}/a", long(255)));
    assert!(
        message.ends_with("has 1025 bytes; at most 1024 are allowed"),
        "{message}"
    );
    assert!(
        message.len() < 300,
        "a message shows only the two ends of a long text: {message}"
    );
}

const UID: &str = "0c3f4a52-1b7e-4f0c-9f58-2f6f2f1f9f10";

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

proptest! {
    #[test]
    fn a_directory_is_strictly_below_its_share(text in "(\\PC|[./\\x00-\\x1f]){0,40}") {
        if let Ok(directory) = Directory::parse(&text) {
            let segments: Vec<&str> = directory.segments().collect();
            prop_assert!(!segments.is_empty());
            for segment in segments {
                prop_assert!(!["", ".", ".."].contains(&segment));
                prop_assert!(segment.len() <= 255 && !segment.contains(['/', '\0']));
                prop_assert!(!segment.starts_with(".bindery-"));
            }
        }
    }

    #[test]
    fn an_archive_name_is_one_valid_segment(segments in prop::collection::vec("[a-zé]{1,127}", 1..5)) {
        let directory = Directory::parse(&segments.join("/")).unwrap();
        let archive = directory.archive(now(), &Directory::archive_tag("blue", "pvc-1"), None, Some(now()));
        prop_assert!(archive.as_str().len() <= 255 && !archive.as_str().contains('/'));
        let read = ArchiveName::read(archive.as_str(), "blue");
        prop_assert_eq!(read.and_then(|read| read.until), Some(now()));
    }

    #[test]
    fn a_directory_of_a_user_is_no_archive_that_expires(text in "(archived|x|-|until|[0-9TZ]{0,16}|[a-f0-9]{10}){0,12}") {
        if Directory::parse(&text).is_ok() {
            prop_assert!(ArchiveName::read(&text, "blue").is_none_or(|read| read.until.is_none()));
        }
    }
}

#[test]
fn a_trash_root_is_found_by_its_marker() {
    let directory = Directory::parse("disk-1/team-a/data").unwrap();
    let above = TrashRoot::above(&directory).unwrap();
    assert_eq!(
        TrashRoot::above(&Directory::parse("data").unwrap()),
        None,
        "the directory above is the share"
    );

    let trash = above.place(&Directory::in_trash("blue", "pvc-1", "u1"));
    assert_eq!(trash.as_str(), "disk-1/team-a/.bindery-trash/blue.pvc-1.u1");
    let archive = above.place(&directory.archive(now(), &Directory::archive_tag("blue", "pvc-1"), None, None));
    assert!(
        archive
            .as_str()
            .starts_with("disk-1/team-a/archived-disk-1-team-a-data-2026")
    );
    for own in [trash, archive] {
        assert_eq!(TrashRoot::containing(&own), above, "{own}");
    }

    let marker = above.marker("blue").unwrap();
    assert_eq!(marker.as_str(), ".bindery-elsewhere/blue/disk-1/team-a");
    let found = TrashRoot::SHARE.below("disk-1").and_then(|root| root.below("team-a"));
    assert_eq!(found, Some(above));
    for not_a_marker in ["..", "", ".bindery-trash", "a/../b"] {
        assert_eq!(TrashRoot::SHARE.below(not_a_marker), None, "{not_a_marker}");
    }
}

#[test]
fn trash_directly_below_the_share_has_the_share_as_its_root() {
    let directory = Directory::parse("data").unwrap();
    let archive = directory.archive(now(), &Directory::archive_tag("blue", "pvc-1"), None, None);
    for own in [Directory::in_trash("blue", "pvc-1", UID), archive] {
        assert_eq!(TrashRoot::containing(&own), TrashRoot::SHARE, "{own}");
    }
}
