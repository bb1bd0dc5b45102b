//! Trees are removed completely, and nothing else is removed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bindery::model::directory::NfsVersion;
use bindery::storage::{Fault, Storage, Tree};
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use tokio::time::Instant;

use super::{chmod, chown_to, client, directory, long_deadline, make};
use crate::support::embedded::UNLISTED;
use crate::support::kind::{CHANGED_PORT, Kind, Server, test_for};
use crate::support::nfs::Ganesha;
use crate::support::wait::{scaled, slowness};

test_for!([v4, v4_1, v3, knfsd, knfsd_v4_1, knfsd_v3, ceph, ceph_v4_1] {
    a_tree_of_three_thousand_files_is_removed,
    a_tree_of_many_directories_and_a_deep_one_is_removed,
    parallel_tree_removals_do_not_block_a_make,
    symlinks_in_a_tree_are_removed_and_their_targets_are_kept,
    names_that_are_not_utf8_are_removed,
    directories_without_permissions_are_removed_by_their_owner,
    directories_of_other_users_are_kept_and_reported,
    a_tree_of_another_user_is_kept_and_reported,
    a_removal_that_hits_its_deadline_continues_in_the_next_call,
    ; on_threads:
    removal_of_a_growing_tree_ends_at_the_deadline_and_later_succeeds,
});

// `embedded` has no users, accepts only UTF-8 names, and is too slow for very deep trees.
test_for!([embedded] {
    a_tree_of_three_thousand_files_is_removed,
    parallel_tree_removals_do_not_block_a_make,
    the_error_mentions_snapshots_that_no_listing_shows,
    symlinks_in_a_tree_are_removed_and_their_targets_are_kept,
    a_removal_that_hits_its_deadline_continues_in_the_next_call,
    ; on_threads:
    removal_of_a_growing_tree_ends_at_the_deadline_and_later_succeeds,
});

// On CephFS, a path of 1,100 names that is looked up name by name again and again takes minutes. With version 3, so do
// thousands of files: after each REMOVE, Ganesha reads the attributes of the directory, and Ceph answers when the removal is on
// its disk.
test_for!([ceph_v3] {
    parallel_tree_removals_do_not_block_a_make,
    symlinks_in_a_tree_are_removed_and_their_targets_are_kept,
    names_that_are_not_utf8_are_removed,
    directories_without_permissions_are_removed_by_their_owner,
    directories_of_other_users_are_kept_and_reported,
    a_tree_of_another_user_is_kept_and_reported,
    ; on_threads:
    removal_of_a_growing_tree_ends_at_the_deadline_and_later_succeeds,
});

// With a mount, the tests are root.
test_for!([ceph_mounted] {
    a_tree_of_three_thousand_files_is_removed,
    symlinks_in_a_tree_are_removed_and_their_targets_are_kept,
    names_that_are_not_utf8_are_removed,
    a_removal_that_hits_its_deadline_continues_in_the_next_call,
    ; on_threads:
    removal_of_a_growing_tree_ends_at_the_deadline_and_later_succeeds,
});

test_for!([mounted] {
    a_tree_of_three_thousand_files_is_removed,
    a_tree_of_many_directories_and_a_deep_one_is_removed,
    symlinks_in_a_tree_are_removed_and_their_targets_are_kept,
    names_that_are_not_utf8_are_removed,
    a_removal_that_hits_its_deadline_continues_in_the_next_call,
    ; on_threads:
    removal_of_a_growing_tree_ends_at_the_deadline_and_later_succeeds,
});

/// Creates a directory `tree` in `/export`, without NFS.
fn tree(server: &dyn Server) -> std::path::PathBuf {
    let tree = server.export_dir().join("tree");
    fs::create_dir(&tree).unwrap();
    tree
}

async fn a_tree_of_three_thousand_files_is_removed(kind: Kind) {
    let (server, client) = kind.start();
    let tree = tree(&*server);
    for number in 0..3000 {
        let place = tree.join(format!("d{}", number % 30));
        fs::create_dir_all(&place).unwrap();
        File::create(place.join(format!("file-{number}"))).unwrap();
    }
    let share = server.share("/export");
    assert_eq!(
        client.remove_tree(&share, &directory("tree"), long_deadline()).await,
        Ok(Tree::Gone)
    );
    assert_eq!(fs::read_dir(server.export_dir()).unwrap().count(), 0);
    assert_eq!(
        client.remove_tree(&share, &directory("tree"), long_deadline()).await,
        Ok(Tree::Gone)
    );
}

async fn a_tree_of_many_directories_and_a_deep_one_is_removed(kind: Kind) {
    let (server, client) = kind.start();
    let tree = tree(&*server);
    for number in 0..400 {
        fs::create_dir_all(tree.join(format!("wide-{number}/inner"))).unwrap();
    }
    // Deeper than the number of directories that the client remembers. Each is made relative to the one above: with FUSE, a
    // long path would take long.
    let mut above = OwnedFd::from(File::open(&tree).unwrap());
    for _ in 0..1100 {
        mkdirat(&above, "deep", Mode::RWXU).unwrap();
        above = openat(&above, "deep", OFlags::DIRECTORY, Mode::empty()).unwrap();
        openat(&above, "file", OFlags::CREATE, Mode::RWXU).unwrap();
    }
    drop(above);
    let removed = client
        .remove_tree(&server.share("/export"), &directory("tree"), long_deadline())
        .await;
    assert_eq!(removed, Ok(Tree::Gone));
    assert!(!tree.exists());
}

async fn parallel_tree_removals_do_not_block_a_make(kind: Kind) {
    let (server, client) = kind.start();
    let names: Vec<String> = (0..20).map(|number| format!("tree-{number}")).collect();
    for name in &names {
        for number in 0..300 {
            let place = server.export_dir().join(name).join(format!("d{}/e", number % 10));
            fs::create_dir_all(&place).unwrap();
            File::create(place.join(number.to_string())).unwrap();
        }
    }
    let share = server.share("/export");
    let remove = async |name: &String| {
        let at = directory(name);
        client.remove_tree(&share, &at, long_deadline()).await
    };
    let removed = futures::future::join_all(names.iter().map(remove));
    let claims = async {
        for number in 0..20 {
            make(&client, &share, &format!("claim-{number}")).await.unwrap();
        }
    };
    let (removed, ()) = futures::future::join(removed, claims).await;
    assert!(removed.iter().all(|removed| *removed == Ok(Tree::Gone)), "{removed:?}");
    assert_eq!(fs::read_dir(server.export_dir()).unwrap().count(), 20);
}

async fn the_error_mentions_snapshots_that_no_listing_shows(kind: Kind) {
    let (server, client) = kind.start();
    let tree = tree(&*server);
    let snapshots = tree.join("data").join(UNLISTED);
    fs::create_dir_all(&snapshots).unwrap();
    fs::write(tree.join("data/file"), "").unwrap();
    let share = server.share("/export");
    let assert_message = async |inside: &str| {
        let error = client
            .remove_tree(&share, &directory("tree"), long_deadline())
            .await
            .unwrap_err();
        assert_eq!(error.fault, Fault::HiddenEntries);
        assert!(!error.transient(), "somebody must remove the snapshots");
        assert_eq!(
            error.to_string(),
            format!(
                "cannot remove directory tree with all in it on {share}: {inside}the server lists nothing in it and says \
                 that it is not empty: it holds entries that the server does not list, most likely snapshots (.snap on \
                 CephFS). Remove its snapshots on the server. All or a part of it may have been done."
            )
        );
    };
    assert_message("in its directory \"data\", ").await;
    assert_eq!(fs::read_dir(tree.join("data")).unwrap().count(), 1, "the file is gone");
    fs::rename(&snapshots, tree.join(UNLISTED)).unwrap();
    assert_message("").await;
    fs::remove_dir(tree.join(UNLISTED)).unwrap();
    let removed = client.remove_tree(&share, &directory("tree"), long_deadline()).await;
    assert_eq!(removed, Ok(Tree::Gone));
}

async fn symlinks_in_a_tree_are_removed_and_their_targets_are_kept(kind: Kind) {
    let (server, client) = kind.start();
    let tree = tree(&*server);
    let outside = server.export_dir().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "kept").unwrap();
    symlink("../outside", tree.join("relative")).unwrap();
    symlink(&outside, tree.join("absolute")).unwrap();
    symlink("../outside/file", tree.join("to-a-file")).unwrap();
    symlink("nowhere", tree.join("dangling")).unwrap();
    let removed = client
        .remove_tree(&server.share("/export"), &directory("tree"), long_deadline())
        .await;
    assert_eq!(removed, Ok(Tree::Gone));
    assert!(!tree.exists());
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "kept");
}

async fn names_that_are_not_utf8_are_removed(kind: Kind) {
    let (server, client) = kind.start();
    let tree = tree(&*server);
    let odd = |bytes: &[u8]| tree.join(OsStr::from_bytes(bytes));
    fs::create_dir_all(odd(b"dir-\xff\xfe").join(OsStr::from_bytes(b"\x80"))).unwrap();
    fs::write(odd(b"dir-\xff\xfe/\xc3\x28"), "").unwrap();
    fs::write(odd(b"new\nline \x01 "), "").unwrap();
    fs::write(odd(&[b'x'; 255]), "").unwrap();
    let removed = client
        .remove_tree(&server.share("/export"), &directory("tree"), long_deadline())
        .await;
    assert_eq!(removed, Ok(Tree::Gone));
    assert!(!tree.exists());
}

async fn directories_without_permissions_are_removed_by_their_owner(kind: Kind) {
    let (server, client) = kind.start_as(1000);
    chown_to(&server.export_dir(), 1000);
    let tree = tree(&*server);
    chown_to(&tree, 1000);
    for bits in [0o000, 0o100, 0o300, 0o400, 0o500, 0o600] {
        let place = tree.join(format!("mode-{bits:03o}"));
        fs::create_dir_all(place.join("below")).unwrap();
        fs::write(place.join("below/file"), "").unwrap();
        for path in [place.join("below/file"), place.join("below"), place.clone()] {
            chown_to(&path, 1000);
        }
        chmod(&place.join("below"), bits);
        chmod(&place, bits);
    }
    chmod(&tree, 0o500);
    let removed = client
        .remove_tree(&server.share("/export"), &directory("tree"), long_deadline())
        .await;
    assert_eq!(removed, Ok(Tree::Gone));
    assert!(!tree.exists());
}

async fn directories_of_other_users_are_kept_and_reported(kind: Kind) {
    let (server, client) = kind.start_as(1000);
    chown_to(&server.export_dir(), 1000);
    let tree = tree(&*server);
    chown_to(&tree, 1000);
    fs::create_dir(tree.join("theirs")).unwrap();
    fs::write(tree.join("theirs/file"), "kept").unwrap();
    let share = server.share("/export");
    let error = client
        .remove_tree(&share, &directory("tree"), long_deadline())
        .await
        .unwrap_err();
    assert_eq!(error.fault, Fault::Denied);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot remove directory tree with all in it on {share}: in its directory \"theirs\", the server denies it to \
             uid 1000 ({}). {}All or a part of it may have been done.",
            kind.status("ACCESS"),
            permission(kind)
        )
    );
    assert!(tree.join("theirs/file").exists());
}

async fn a_tree_of_another_user_is_kept_and_reported(kind: Kind) {
    let (server, client) = kind.start_as(1000);
    chown_to(&server.export_dir(), 1000);
    let tree = tree(&*server);
    fs::write(tree.join("file"), "kept").unwrap();
    let share = server.share("/export");
    let error = client
        .remove_tree(&share, &directory("tree"), long_deadline())
        .await
        .unwrap_err();
    assert_eq!(error.fault, Fault::Denied);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot remove directory tree with all in it on {share}: the server denies it to uid 1000 ({}). {}All or a part \
             of it may have been done.",
            kind.status("ACCESS"),
            permission(kind)
        )
    );
    assert!(tree.join("file").exists());
}

async fn a_removal_that_hits_its_deadline_continues_in_the_next_call(kind: Kind) {
    let (server, client) = kind.start();
    let tree = tree(&*server);
    for number in 0..20_000 / slowness() {
        let place = tree.join(format!("d{}", number % 100));
        fs::create_dir_all(&place).unwrap();
        File::create(place.join(format!("{number}"))).unwrap();
    }
    let share = server.share("/export");
    let mut calls = 0;
    let mut time = Duration::from_millis(100);
    loop {
        let before = count(&tree);
        calls += 1;
        match client
            .remove_tree(&share, &directory("tree"), Instant::now() + time)
            .await
        {
            Ok(Tree::Gone) => break,
            Ok(Tree::Remains) if count(&tree) < before => {}
            // A slow machine gets more time, up to a limit.
            end => {
                assert!(time < scaled(Duration::from_secs(10)), "no progress: {end:?}");
                assert!(
                    end.as_ref().err().is_none_or(|error| error.fault == Fault::TimedOut),
                    "{end:?}"
                );
                time *= 2;
            }
        }
    }
    assert!(calls > 1, "the first call removed all: nothing was tested");
    assert!(!tree.exists());
}

async fn removal_of_a_growing_tree_ends_at_the_deadline_and_later_succeeds(kind: Kind) {
    let (server, client) = kind.start();
    let tree = tree(&*server);
    let stop = AtomicBool::new(false);
    let share = server.share("/export");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let _ = fs::create_dir_all(tree.join(format!("d/{}", number % 7)));
                let _ = File::create(tree.join(format!("d/{}/{number}", number % 7)));
            }
        });
        let deadline = Instant::now() + scaled(Duration::from_secs(1));
        let handle = tokio::runtime::Handle::current();
        let result =
            tokio::task::block_in_place(|| handle.block_on(client.remove_tree(&share, &directory("tree"), deadline)));
        stop.store(true, Ordering::Relaxed);
        assert!(Instant::now() < deadline + scaled(Duration::from_secs(2)));
        match result {
            Ok(_) => {}
            // A slow server may still work on the last call.
            Err(error) => assert!(matches!(error.fault, Fault::Busy | Fault::TimedOut), "{error}"),
        }
    });
    assert_eq!(
        client.remove_tree(&share, &directory("tree"), long_deadline()).await,
        Ok(Tree::Gone)
    );
    assert!(!tree.exists());
}

#[tokio::test]
async fn another_file_system_in_the_tree_is_not_entered() {
    let (server, client) = (Ganesha::start(), client());
    // The root of the server and each export are different file systems.
    fs::write(server.export_dir().join("file"), "kept").unwrap();
    let root = server.share("/");
    let error = client
        .remove_tree(&root, &directory("export"), long_deadline())
        .await
        .unwrap_err();
    assert_eq!(error.fault, Fault::OtherFileSystem);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot remove directory export with all in it on {root}: another file system is mounted in it at \"export\", \
             and is not removed. Unmount it on the server."
        )
    );
    assert!(server.export_dir().join("file").exists());
}

/// Returns the advice in a message about a denied removal.
fn permission(kind: Kind) -> String {
    let mounted = match kind.version() {
        NfsVersion::V3 => "If something is mounted there on the server, unmount it. ",
        NfsVersion::V4 => "",
    };
    format!("{mounted}Give the directory on the server to that uid, or change --nfs-uid and --nfs-gid. {CHANGED_PORT} ")
}

fn count(directory: &Path) -> usize {
    fs::read_dir(directory)
        .map(|entries| entries.flatten().map(|entry| 1 + count(&entry.path())).sum())
        .unwrap_or_default()
}
