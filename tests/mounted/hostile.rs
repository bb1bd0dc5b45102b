//! Pods can write below the share: symlinks and swapped directories do not lead Bindery to another place.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bindery::storage::{Existing, Fault, Moved, Outcome, Storage};

use super::{directory, long_deadline, make, mode, refusal, share, storage};
use crate::support::mount::Mount;

/// Runs `work` while another thread runs `play` in a loop.
fn against(play: impl Fn() + Sync, work: impl AsyncFnOnce()) {
    let stop = AtomicBool::new(false);
    let handle = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                play();
            }
        });
        tokio::task::block_in_place(|| handle.block_on(work()));
        stop.store(true, Ordering::Relaxed);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_symlink_swapped_in_for_a_directory_is_not_followed() {
    let (mount, outside) = (Mount::memory(), tempfile::tempdir().unwrap());
    let storage = storage(mount.path());
    let at = |name: &str| mount.path().join(name);
    fs::create_dir(at("team")).unwrap();
    fs::create_dir(outside.path().join("kept")).unwrap();
    symlink(outside.path(), at("link")).unwrap();
    let swap = || exchange(&at("team"), &at("link"));
    against(swap, async || {
        // The symlink exists about half of the time, so both cases occur long before the last attempt.
        let (mut done, mut refused) = (0, 0);
        for number in 0..5000 {
            if done >= 100 && refused >= 100 {
                break;
            }
            let place = directory(&format!("team/d{number}"));
            match storage
                .make(&share(), &place, mode(0o777), Existing::SetAttributes, long_deadline())
                .await
            {
                Ok(_) => done += 1,
                Err(error) => {
                    assert_eq!(error.fault, Fault::NotADirectory, "{error}");
                    refused += 1;
                }
            }
            let _ = storage
                .remove_tree(&share(), &directory("team/kept"), long_deadline())
                .await;
        }
    });
    let names: Vec<_> = fs::read_dir(outside.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["kept"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_swapped_in_for_another_is_moved_back() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    let at = |name: &str| mount.path().join(name);
    let swap = || exchange(&at("live"), &at("other"));
    for _ in 0..200 {
        let meant = make(&storage, "live").await.unwrap().identity;
        fs::write(at("live/meant"), "").unwrap();
        make(&storage, "other").await.unwrap();
        against(swap, async || {
            // A wrong directory is not moved, or moved back. The right one is moved in the end.
            loop {
                let moved = storage
                    .rename(&share(), &directory("live"), meant, &directory("gone"), long_deadline())
                    .await;
                match moved {
                    Ok(Moved::Done) => break,
                    Ok(Moved::Another(_)) => assert!(!at("gone").exists()),
                    other => panic!("{other:?}"),
                }
            }
        });
        assert!(at("gone/meant").exists());
        for name in ["live", "other", "gone"] {
            let _ = storage.remove_tree(&share(), &directory(name), long_deadline()).await;
        }
    }
}

#[tokio::test]
async fn a_rename_into_a_missing_parent_or_onto_an_existing_name_moves_nothing() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    let made = make(&storage, "a").await.unwrap().identity;
    make(&storage, "empty").await.unwrap();
    fs::write(mount.path().join("file"), "").unwrap();
    symlink("nowhere", mount.path().join("link")).unwrap();
    for (to, text) in [
        ("no/where", "the parent of the target does not exist (ENOENT)."),
        ("empty", "the target exists already (EEXIST). Move it away."),
        ("file", "the target exists already (EEXIST). Move it away."),
        ("link", "the target exists already (EEXIST). Move it away."),
    ] {
        let moved = storage
            .rename(&share(), &directory("a"), made, &directory(to), long_deadline())
            .await;
        let message = format!("cannot move directory a to {to} on nas:/export: {text}");
        assert_eq!(moved, Err(refusal(Fault::Other, &message)));
        assert!(mount.path().join("a").is_dir());
    }
    assert!(mount.path().join("empty").is_dir());
}

#[tokio::test]
async fn a_rename_to_another_file_system_has_its_own_error() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    let made = make(&storage, "a").await.unwrap().identity;
    fs::create_dir(mount.path().join("b")).unwrap();
    let _inner = Mount::memory_on(&mount.path().join("b"), "mode=755");
    let error = storage
        .rename(&share(), &directory("a"), made, &directory("b/a"), long_deadline())
        .await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.fault, error.outcome),
        (Fault::OtherFileSystem, Outcome::NotDone),
        "{error}"
    );
}

/// Exchanges two names atomically.
fn exchange(one: &Path, other: &Path) {
    // Each name may be missing for a moment.
    let _ = rustix::fs::renameat_with(
        rustix::fs::CWD,
        one,
        rustix::fs::CWD,
        other,
        rustix::fs::RenameFlags::EXCHANGE,
    );
}
