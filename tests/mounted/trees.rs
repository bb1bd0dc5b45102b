//! Trees are removed whole, and nothing else is.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bindery::storage::{Fault, Storage, StorageError, Tree};
use tokio::time::Instant;

use super::{directory, refusal, share, soon, storage};
use crate::support::mount::Mount;

/// A share with a directory `tree` in it.
fn tree() -> (Mount, PathBuf) {
    let mount = Mount::memory();
    let tree = mount.path().join("tree");
    fs::create_dir(&tree).unwrap();
    (mount, tree)
}

async fn remove(mount: &Mount) -> Result<Tree, StorageError> {
    storage(mount.path())
        .remove_tree(&share(), &directory("tree"), soon())
        .await
}

#[tokio::test]
async fn a_tree_of_many_files_many_directories_and_many_levels_is_removed() {
    let (mount, tree) = tree();
    for number in 0..3000 {
        let place = tree.join(format!("d{}/e{number}", number % 3));
        fs::create_dir_all(&place).unwrap();
        File::create(place.join("file")).unwrap();
    }
    let mut deep = tree.join("deep");
    // Deeper than what is remembered on the way down.
    for _ in 0..1100 {
        fs::create_dir(&deep).unwrap();
        File::create(deep.join("file")).unwrap();
        deep.push("d");
    }
    // What is gone already is gone.
    for _ in 0..2 {
        assert_eq!(remove(&mount).await, Ok(Tree::Gone));
        assert_eq!(fs::read_dir(mount.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn links_in_a_tree_are_removed_and_what_they_point_to_is_not() {
    let (mount, tree) = tree();
    let outside = mount.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "kept").unwrap();
    symlink("../outside", tree.join("relative")).unwrap();
    symlink(&outside, tree.join("absolute")).unwrap();
    symlink("../outside/file", tree.join("to-a-file")).unwrap();
    symlink("nowhere", tree.join("dangling")).unwrap();
    assert_eq!(remove(&mount).await, Ok(Tree::Gone));
    assert!(!tree.exists());
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "kept");
}

#[tokio::test]
async fn names_that_are_not_utf8_are_removed() {
    let (mount, tree) = tree();
    let odd = |bytes: &[u8]| tree.join(OsStr::from_bytes(bytes));
    fs::create_dir_all(odd(b"dir-\xff\xfe").join(OsStr::from_bytes(b"\x80"))).unwrap();
    fs::write(odd(b"dir-\xff\xfe/\xc3\x28"), "").unwrap();
    fs::write(odd(b"new\nline \x01 "), "").unwrap();
    fs::write(odd(&[b'x'; 255]), "").unwrap();
    assert_eq!(remove(&mount).await, Ok(Tree::Gone));
    assert!(!tree.exists());
}

#[tokio::test]
async fn what_is_mounted_in_the_tree_is_not_entered() {
    let (mount, tree) = tree();
    let (kept, inner) = (mount.path().join("kept"), tree.join("a/inner"));
    fs::create_dir_all(&inner).unwrap();
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), "").unwrap();
    let message = "cannot remove directory tree with all in it on nas:/export: another file system is mounted in it at \
                   \"inner\", and is left alone. Unmount it.";
    let other_system = || Mount::memory_on(&inner, "mode=755");
    let part_of_the_same = || Mount::bind(&kept, &inner);
    for mounted in [&other_system as &dyn Fn() -> Mount, &part_of_the_same] {
        let _mounted = mounted();
        fs::write(inner.join("file"), "").unwrap();
        assert_eq!(remove(&mount).await, Err(refusal(Fault::OtherFileSystem, message)));
        assert!(inner.join("file").exists());
    }
    assert_eq!(remove(&mount).await, Ok(Tree::Gone));
    assert!(kept.join("file").exists());
}

#[tokio::test]
async fn a_removal_that_runs_out_of_time_goes_on_where_it_stopped() {
    let (mount, tree) = tree();
    for number in 0..20_000 {
        let place = tree.join(format!("d{}", number % 100));
        fs::create_dir_all(&place).unwrap();
        File::create(place.join(format!("{number}"))).unwrap();
    }
    let storage = storage(mount.path());
    let (mut calls, mut time) = (1, Duration::from_millis(5));
    loop {
        let deadline = Instant::now() + time;
        match storage.remove_tree(&share(), &directory("tree"), deadline).await {
            Ok(Tree::Gone) => break,
            Ok(Tree::Remains) => calls += 1,
            // A slow machine gets more time.
            Err(error) => {
                assert_eq!(error.fault, Fault::TimedOut, "{error}");
                time *= 2;
            }
        }
    }
    assert!(calls > 1, "the first call had time enough: nothing was tested");
    assert!(!tree.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_fills_up_again_ends_by_the_deadline_and_is_removed_once_that_stops() {
    let (mount, tree) = tree();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let _ = fs::create_dir_all(tree.join(format!("d/{}", number % 7)));
                let _ = File::create(tree.join(format!("d/{}/{number}", number % 7)));
            }
        });
        let deadline = Instant::now() + Duration::from_secs(1);
        let handle = tokio::runtime::Handle::current();
        let storage = storage(mount.path());
        let at = directory("tree");
        let result = tokio::task::block_in_place(|| handle.block_on(storage.remove_tree(&share(), &at, deadline)));
        stop.store(true, Ordering::Relaxed);
        assert!(Instant::now() < deadline + Duration::from_secs(2));
        assert!(
            result.as_ref().err().is_none_or(|error| error.fault == Fault::Busy),
            "{result:?}"
        );
    });
    assert_eq!(remove(&mount).await, Ok(Tree::Gone));
}
