//! One directory: made, found, moved, removed, listed.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};

use bindery::policy::directory::{Directory, NfsVersion};
use bindery::storage::{Attributes, Existing, Found, Identity, Moved, Removed, Storage};

use super::{chmod, directory, give, identity, make, mode, mode_of, owner_of, share, soon, storage};
use crate::support::mount::Mount;

#[tokio::test]
async fn a_new_directory_has_exactly_the_mode_that_was_asked_for() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    fs::create_dir(mount.path().join("team")).unwrap();
    chmod(&mount.path().join("team"), 0o2775);
    for bits in [0o777, 0o2775, 0o1777, 0o6711, 0o700, 0o0] {
        for name in [format!("mode-{bits:o}"), format!("team/mode-{bits:o}")] {
            let at = directory(&name);
            let made = storage
                .make(&share(), &at, mode(bits), Existing::SetAttributes, soon())
                .await;
            let made = made.unwrap();
            assert!(made.new);
            assert_eq!(mode_of(&mount.path().join(&name)), bits, "{name}");
            let found = Found {
                identity: made.identity,
                mode: bits,
            };
            assert_eq!(storage.look_up(&share(), &at, soon()).await, Ok(Some(found)));
        }
    }
}

#[tokio::test]
async fn a_new_directory_has_the_owner_that_was_asked_for_and_missing_parents_do_not() {
    let mount = Mount::memory();
    let attributes = Attributes {
        mode: 0o2770,
        uid: Some(1234),
        gid: Some(5678),
    };
    let made = storage(mount.path())
        .make(
            &share(),
            &directory("a/b/c"),
            attributes,
            Existing::SetAttributes,
            soon(),
        )
        .await;
    assert!(made.unwrap().new);
    let is = |name| {
        let path = mount.path().join(name);
        (mode_of(&path), owner_of(&path))
    };
    assert_eq!(is("a/b/c"), (0o2770, (1234, 5678)));
    assert_eq!([is("a"), is("a/b")], [(0o755, (0, 0)); 2]);
}

#[tokio::test]
async fn a_second_make_finds_the_directory_of_the_first_and_mends_its_attributes() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    let first = make(&storage, "a").await.unwrap();
    let path = mount.path().join("a");
    chmod(&path, 0o700);
    give(&path, 99);
    let attributes = Attributes {
        mode: 0o1777,
        uid: Some(7),
        gid: Some(8),
    };
    let (at, share) = (directory("a"), share());
    let left = storage
        .make(&share, &at, attributes, Existing::LeaveAlone, soon())
        .await;
    assert!(!left.unwrap().new);
    assert_eq!((mode_of(&path), owner_of(&path)), (0o700, (99, 99)));
    let mended = storage
        .make(&share, &at, attributes, Existing::SetAttributes, soon())
        .await;
    let second = mended.unwrap();
    assert_eq!((second.identity, second.new), (first.identity, false));
    assert_eq!((mode_of(&path), owner_of(&path)), (0o1777, (7, 8)));
}

#[tokio::test]
async fn directories_with_one_missing_parent_are_made_side_by_side() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    let names: Vec<String> = (0..40).map(|number| format!("p/q/{number}")).collect();
    let made = futures::future::join_all(names.iter().map(|name| make(&storage, name))).await;
    assert!(made.into_iter().all(|made| made.unwrap().new));
    assert_eq!(fs::read_dir(mount.path().join("p/q")).unwrap().count(), 40);
    assert_eq!(mode_of(&mount.path().join("p")), 0o755);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_has_something_above_it() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    for path in ["a", "a/b/c"] {
        assert_eq!(storage.look_up(&share(), &directory(path), soon()).await, Ok(None));
    }
    let made = make(&storage, "a/b").await.unwrap().identity;
    for (path, above) in [("x/y", ""), ("a", ""), ("a/x/y", "a"), ("a/b", "a"), ("a/b/c/d", "a/b")] {
        let found = storage.above(&share(), &directory(path), soon()).await.unwrap();
        let number = fs::metadata(mount.path().join(above)).unwrap().ino();
        assert_eq!(
            (found.identity.fileid, found.identity.fsid),
            (number, made.fsid),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_share_is_the_same_in_whatever_version_its_server_is_spoken_to() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    assert!(storage.serves(&share().over(NfsVersion::V3)));
    let other = bindery::policy::directory::Share::parse("nas", "/export/deeper").unwrap();
    assert!(!storage.serves(&other));
}

#[tokio::test]
async fn a_directory_keeps_its_identity_when_the_share_is_mounted_anew() {
    let disk = Mount::disk();
    let first = make(&storage(disk.path()), "a").await.unwrap().identity;
    let elsewhere = tempfile::tempdir().unwrap();
    let again = Mount::bind(disk.path(), elsewhere.path());
    drop(disk);
    assert_eq!(identity(&storage(again.path()), "a").await, first);
}

#[tokio::test]
async fn a_directory_is_moved_with_what_is_in_it() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    let made = make(&storage, "live/a").await.unwrap().identity;
    make(&storage, "trash").await.unwrap();
    fs::write(mount.path().join("live/a/file"), "kept").unwrap();
    let (from, to) = (directory("live/a"), directory("trash/b"));
    // A second call finds it moved.
    for _ in 0..2 {
        let moved = storage.rename(&share(), &from, made, &to, soon()).await;
        assert_eq!(moved, Ok(Moved::Done));
        assert!(!mount.path().join("live/a").exists());
        assert_eq!(fs::read_to_string(mount.path().join("trash/b/file")).unwrap(), "kept");
    }
    for from in ["missing", "no/parents/either"] {
        let moved = storage
            .rename(&share(), &directory(from), made, &directory("c"), soon())
            .await;
        assert_eq!(moved, Ok(Moved::Missing), "{from}");
    }
}

#[tokio::test]
async fn a_rename_that_means_another_directory_moves_nothing() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    let made = make(&storage, "a").await.unwrap().identity;
    let other_file = Identity {
        fileid: made.fileid + 1,
        ..made
    };
    let other_system = Identity {
        fsid: (made.fsid.0, made.fsid.1 ^ 1),
        ..made
    };
    for expected in [other_file, other_system] {
        let moved = storage
            .rename(&share(), &directory("a"), expected, &directory("b"), soon())
            .await;
        assert_eq!(moved, Ok(Moved::Another(made)));
        assert!(mount.path().join("a").is_dir() && !mount.path().join("b").exists());
    }
}

#[tokio::test]
async fn an_empty_directory_is_removed_only_if_it_is_the_one_that_is_meant() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    let made = make(&storage, "p/a").await.unwrap().identity;
    let path = mount.path().join("p/a");
    let remove = |expected| {
        let storage = &storage;
        async move {
            storage
                .remove_empty(&share(), &directory("p/a"), expected, soon())
                .await
        }
    };
    let other = Identity {
        fileid: made.fileid ^ 1,
        ..made
    };
    assert_eq!(remove(other).await, Ok(Removed::Another(made)));
    fs::write(path.join("file"), "kept").unwrap();
    assert_eq!(remove(made).await, Ok(Removed::NotEmpty));
    fs::remove_file(path.join("file")).unwrap();
    assert_eq!(remove(made).await, Ok(Removed::Done));
    assert!(!path.exists());
    assert_eq!(remove(made).await, Ok(Removed::Missing));
}

#[tokio::test]
async fn a_listing_has_every_name_once_however_many_there_are() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    let mut expected: Vec<String> = (0..2500).map(|number| format!("name-{number:05}")).collect();
    for name in &expected {
        fs::write(mount.path().join(name), "").unwrap();
    }
    fs::create_dir(mount.path().join("a-directory")).unwrap();
    symlink("/nowhere", mount.path().join("a-link")).unwrap();
    fs::write(mount.path().join(std::ffi::OsStr::from_bytes(b"not-\xff-utf8")), "").unwrap();
    expected.extend(["a-directory".to_owned(), "a-link".to_owned()]);
    expected.sort();
    let mut names = storage.list(&share(), None, soon()).await.unwrap();
    names.sort();
    assert_eq!(names, expected);
    for empty in [directory("a-directory"), Directory::trash()] {
        assert_eq!(storage.list(&share(), Some(&empty), soon()).await, Ok(vec![]));
    }
}
