//! Operations on one directory: make, find, rename, remove, list.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};

use bindery::model::attributes::Attributes;
use bindery::model::directory::Directory;
use bindery::model::identity::Identity;
use bindery::storage::{Existing, Fault, Moved, Removed, Storage};

use super::{chmod, chown_to, client, directory, identity, long_deadline, make, mode, mode_of, owner_of};
use crate::support::kind::{Kind, test_for};
use crate::support::nfs::Ganesha;

test_for!([v4, v4_1, embedded, v3, knfsd, knfsd_v4_1, knfsd_v3, mounted, ceph, ceph_v4_1, ceph_v3, ceph_mounted] {
    a_new_directory_has_exactly_the_mode_that_was_asked_for,
    a_directory_in_a_setgid_parent_has_exactly_its_mode_too,
    a_new_directory_has_the_owner_that_was_asked_for_and_missing_parents_do_not,
    a_second_make_finds_the_directory_and_corrects_its_attributes,
    a_directory_to_leave_alone_keeps_its_attributes,
    parallel_makes_below_one_missing_parent_all_succeed,
    a_directory_many_levels_down_is_made_and_found,
    a_missing_directory_is_not_found,
    the_nearest_existing_ancestor_is_found,
    a_directory_is_moved_with_its_content,
    a_rename_with_the_identity_of_another_directory_moves_nothing,
    a_rename_of_a_missing_directory_reports_not_found,
    an_empty_directory_is_removed_only_if_its_identity_matches,
    a_listing_contains_every_name_once,
});

async fn a_new_directory_has_exactly_the_mode_that_was_asked_for(kind: Kind) {
    let (server, client) = kind.start();
    for bits in [0o777, 0o2775, 0o1777, 0o6711, 0o700, 0o0] {
        let name = format!("mode-{bits:o}");
        let share = server.share("/export");
        let made = client
            .make(
                &share,
                &directory(&name),
                mode(bits),
                Existing::SetAttributes,
                long_deadline(),
            )
            .await
            .unwrap();
        assert!(made.new);
        assert_eq!(mode_of(&server.export_dir().join(&name)), bits, "{bits:o}");
        let found = client
            .look_up(&share, &directory(&name), long_deadline())
            .await
            .unwrap();
        let found = found.unwrap();
        assert_eq!((found.identity, found.mode), (made.identity, bits));
        assert_eq!((found.uid, found.gid), (Some(0), Some(0)));
    }
}

async fn a_directory_in_a_setgid_parent_has_exactly_its_mode_too(kind: Kind) {
    let (server, client) = kind.start();
    fs::create_dir(server.export_dir().join("team")).unwrap();
    chmod(&server.export_dir().join("team"), 0o2775);
    client
        .make(
            &server.share("/export"),
            &directory("team/a"),
            mode(0o750),
            Existing::SetAttributes,
            long_deadline(),
        )
        .await
        .unwrap();
    assert_eq!(mode_of(&server.export_dir().join("team/a")), 0o750);
}

async fn a_new_directory_has_the_owner_that_was_asked_for_and_missing_parents_do_not(kind: Kind) {
    let (server, client) = kind.start();
    let attributes = Attributes {
        mode: Some(0o2770),
        uid: Some(1234),
        gid: Some(5678),
    };
    let deep = directory("a/b/c");
    let made = client
        .make(
            &server.share("/export"),
            &deep,
            attributes,
            Existing::SetAttributes,
            long_deadline(),
        )
        .await;
    assert!(made.unwrap().new);
    let path = |name| server.export_dir().join(name);
    assert_eq!(
        (mode_of(&path("a/b/c")), owner_of(&path("a/b/c"))),
        (0o2770, (1234, 5678))
    );
    assert_eq!((mode_of(&path("a/b")), owner_of(&path("a/b"))), (0o755, (0, 0)));
    assert_eq!((mode_of(&path("a")), owner_of(&path("a"))), (0o755, (0, 0)));
}

async fn a_second_make_finds_the_directory_and_corrects_its_attributes(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    let first = make(&client, &share, "a").await.unwrap();
    let path = server.export_dir().join("a");
    chmod(&path, 0o700);
    chown_to(&path, 99);
    let attributes = Attributes {
        mode: Some(0o1777),
        uid: Some(7),
        gid: Some(8),
    };
    let second = client
        .make(
            &share,
            &directory("a"),
            attributes,
            Existing::SetAttributes,
            long_deadline(),
        )
        .await
        .unwrap();
    assert_eq!((second.identity, second.new), (first.identity, false));
    assert_eq!((mode_of(&path), owner_of(&path)), (0o1777, (7, 8)));
}

async fn a_directory_to_leave_alone_keeps_its_attributes(kind: Kind) {
    let (server, client) = kind.start();
    let path = server.export_dir().join("theirs");
    fs::create_dir(&path).unwrap();
    chmod(&path, 0o711);
    chown_to(&path, 99);
    let attributes = Attributes {
        mode: Some(0o777),
        uid: Some(1),
        gid: Some(1),
    };
    let found = client
        .make(
            &server.share("/export"),
            &directory("theirs"),
            attributes,
            Existing::LeaveAlone,
            long_deadline(),
        )
        .await
        .unwrap();
    assert!(!found.new);
    assert_eq!((mode_of(&path), owner_of(&path)), (0o711, (99, 99)));
}

async fn parallel_makes_below_one_missing_parent_all_succeed(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    let names: Vec<String> = (0..40).map(|number| format!("p/q/{number}")).collect();
    let made = futures::future::join_all(names.iter().map(|name| make(&client, &share, name))).await;
    assert!(made.into_iter().all(|made| made.unwrap().new));
    assert_eq!(fs::read_dir(server.export_dir().join("p/q")).unwrap().count(), 40);
    assert_eq!(mode_of(&server.export_dir().join("p")), 0o755);
}

async fn a_directory_many_levels_down_is_made_and_found(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    // The maximum depth of a directory.
    let deep = vec!["d"; 32].join("/");
    let made = make(&client, &share, &deep).await.unwrap();
    assert_eq!(identity(&client, &share, &deep).await, made.identity);
    assert!(server.export_dir().join(deep).is_dir());
}

async fn a_missing_directory_is_not_found(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    assert_eq!(client.look_up(&share, &directory("a"), long_deadline()).await, Ok(None));
    assert_eq!(
        client.look_up(&share, &directory("a/b/c"), long_deadline()).await,
        Ok(None)
    );
}

async fn the_nearest_existing_ancestor_is_found(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    let above = |path: &'static str| {
        let (client, share) = (&client, &share);
        async move { client.above(share, &directory(path), long_deadline()).await }
    };
    let number = |path: &str| fs::metadata(server.export_dir().join(path)).unwrap().ino();
    // The root of every mount with ceph-fuse has this number.
    let root = if kind == Kind::CephMounted { 1 } else { number("") };
    for path in ["a", "a/b", "a/b/c/d"] {
        assert_eq!(above(path).await.unwrap().identity.fileid, root, "{path}");
    }
    let made = make(&client, &share, "a/b").await.unwrap().identity;
    for path in ["a/b/c", "a/b/c/d/e"] {
        let found = above(path).await.unwrap();
        assert_eq!((found.identity, found.mode), (made, 0o777), "{path}");
        assert_eq!((found.uid, found.gid), (Some(0), Some(0)), "{path}");
    }
    // The directory itself does not count as its ancestor, whether it exists or not.
    for path in ["a/b", "a/x", "a/x/y"] {
        let found = above(path).await.unwrap();
        assert_eq!((found.identity.fileid, found.mode), (number("a"), 0o755), "{path}");
        assert_eq!(found.identity.fsid, made.fsid);
    }
    fs::write(server.export_dir().join("file"), "").unwrap();
    assert_eq!(above("file/x").await.unwrap_err().fault, Fault::NotADirectory);
    let nowhere = client
        .above(&server.share("/nothing"), &directory("a"), long_deadline())
        .await;
    // A missing mount may appear by itself; a missing export needs an administrator.
    let expected = match kind {
        Kind::Mounted | Kind::CephMounted => Fault::NotMounted,
        _ => Fault::NoSuchShare,
    };
    assert_eq!(nowhere.unwrap_err().fault, expected);
}

#[tokio::test]
async fn the_root_of_the_server_can_be_listed_as_a_share() {
    let (server, client) = (Ganesha::start(), client());
    let mut names = client.list(&server.share("/"), None, long_deadline()).await.unwrap();
    names.sort();
    assert_eq!(names, ["export", "privileged", "readonly", "squashed"]);
}

async fn a_directory_is_moved_with_its_content(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    let made = make(&client, &share, "live/a").await.unwrap();
    make(&client, &share, "trash").await.unwrap();
    fs::write(server.export_dir().join("live/a/file"), "kept").unwrap();
    let (from, to) = (directory("live/a"), directory("trash/b"));
    assert_eq!(
        client.rename(&share, &from, made.identity, &to, long_deadline()).await,
        Ok(Moved::Done)
    );
    assert!(!server.export_dir().join("live/a").exists());
    assert_eq!(
        fs::read_to_string(server.export_dir().join("trash/b/file")).unwrap(),
        "kept"
    );
    assert_eq!(identity(&client, &share, "trash/b").await, made.identity);
    // A second call finds that the directory has been moved.
    assert_eq!(
        client.rename(&share, &from, made.identity, &to, long_deadline()).await,
        Ok(Moved::Done)
    );
}

async fn a_rename_with_the_identity_of_another_directory_moves_nothing(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    let made = make(&client, &share, "a").await.unwrap().identity;
    let to = directory("b");
    for expected in [
        Identity {
            fileid: made.fileid + 1,
            ..made
        },
        Identity {
            fsid: (made.fsid.0 + 1, made.fsid.1),
            ..made
        },
    ] {
        let moved = client
            .rename(&share, &directory("a"), expected, &to, long_deadline())
            .await;
        assert_eq!(moved, Ok(Moved::Another(made)));
        assert!(server.export_dir().join("a").is_dir());
        assert!(!server.export_dir().join("b").exists());
    }
}

async fn a_rename_of_a_missing_directory_reports_not_found(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    let expected = make(&client, &share, "other").await.unwrap().identity;
    let to = directory("b");
    for from in ["missing", "no/parents/either"] {
        let moved = client
            .rename(&share, &directory(from), expected, &to, long_deadline())
            .await;
        assert_eq!(moved, Ok(Moved::Missing), "{from}");
    }
}

async fn an_empty_directory_is_removed_only_if_its_identity_matches(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    let made = make(&client, &share, "p/a").await.unwrap().identity;
    let path = server.export_dir().join("p/a");
    let remove = |expected| {
        let (client, share) = (&client, &share);
        async move {
            client
                .remove_empty(share, &directory("p/a"), expected, long_deadline())
                .await
        }
    };
    let other = Identity {
        fileid: made.fileid ^ 1,
        ..made
    };
    assert_eq!(remove(other).await, Ok(Removed::Another(made)));
    assert!(path.is_dir());
    fs::write(path.join("file"), "kept").unwrap();
    assert_eq!(remove(made).await, Ok(Removed::NotEmpty));
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "kept");
    fs::remove_file(path.join("file")).unwrap();
    assert_eq!(remove(made).await, Ok(Removed::Done));
    assert!(!path.exists());
    assert_eq!(remove(made).await, Ok(Removed::Missing));
}

async fn a_listing_contains_every_name_once(kind: Kind) {
    let (server, client) = kind.start();
    let mut expected: Vec<String> = (0..2500)
        .map(|number| format!("a-name-of-some-length-{number:05}"))
        .collect();
    for name in &expected {
        fs::write(server.export_dir().join(name), "").unwrap();
    }
    fs::create_dir(server.export_dir().join("a-directory")).unwrap();
    symlink("/nowhere", server.export_dir().join("a-link")).unwrap();
    fs::write(
        server.export_dir().join(std::ffi::OsStr::from_bytes(b"not-\xff-utf8")),
        "",
    )
    .unwrap();
    expected.extend(["a-directory".to_owned(), "a-link".to_owned()]);
    expected.sort();
    let share = server.share("/export");
    let mut names = client.list(&share, None, long_deadline()).await.unwrap();
    names.sort();
    assert_eq!(names, expected);
    assert_eq!(
        client
            .list(&share, Some(&directory("a-directory")), long_deadline())
            .await,
        Ok(vec![])
    );
    assert_eq!(
        client.list(&share, Some(&Directory::trash()), long_deadline()).await,
        Ok(vec![])
    );
}
