//! A mount that is missing, read-only, full, or hangs.

use std::fs;
use std::process::Command;
use std::time::Duration;

use bindery::model::attributes::Attributes;
use bindery::storage::{Existing, Fault, Outcome, Storage};
use tokio::time::Instant;

use super::{directory, long_deadline, make, mode, refusal, share, storage};
use crate::support::mount::Mount;
use crate::support::wait::eventually;

#[tokio::test]
async fn an_unmounted_directory_is_refused_and_stays_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mount");
    let advice = "Mount nas:/export there: give Bindery's pod a volume of it, with volumeMounts at that path, or correct \
                  --mounted.";
    let missing = format!(
        "cannot make directory a on nas:/export: there is no directory {} (ENOENT). {advice} If CephFS is mounted \
         there, Ceph has evicted the client of the mount: mount it again.",
        path.display()
    );
    let storage = storage(&path);
    assert_eq!(make(&storage, "a").await, Err(refusal(Fault::NotMounted, &missing)));
    fs::create_dir(&path).unwrap();
    let bare = |verb: &str| {
        let text = format!(
            "cannot {verb} on nas:/export: nothing is mounted at {}: directories there would be lost with Bindery's \
             container. {advice}",
            path.display()
        );
        refusal(Fault::NotMounted, &text)
    };
    assert_eq!(make(&storage, "a").await, Err(bare("make directory a")));
    assert_eq!(storage.check().await, Err(bare("start")));
    // The share is mounted and unmounted while Bindery runs.
    let mount = Mount::memory_on(&path, "mode=755");
    assert_eq!(storage.check().await, Ok(()));
    assert!(make(&storage, "a").await.unwrap().new);
    drop(mount);
    let removed = storage.remove_tree(&share(), &directory("a"), long_deadline()).await;
    assert_eq!(removed, Err(bare("remove directory a with all in it")));
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[tokio::test]
async fn a_bind_mount_from_the_same_file_system_counts_as_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let (what, on) = (dir.path().join("what"), dir.path().join("on"));
    fs::create_dir(&what).unwrap();
    fs::create_dir(&on).unwrap();
    let _mount = Mount::bind(&what, &on);
    assert!(make(&storage(&on), "a").await.unwrap().new);
    assert!(what.join("a").is_dir());
}

#[tokio::test]
async fn the_error_names_a_read_only_mount_and_a_full_mount() {
    let mount = Mount::memory_with("mode=755,nr_inodes=2");
    let storage = storage(mount.path());
    make(&storage, "a").await.unwrap();
    let full = "cannot make directory b on nas:/export: the file system is full (ENOSPC). Free space on the server, or \
                enlarge it.";
    assert_eq!(make(&storage, "b").await, Err(refusal(Fault::NoSpace, full)));
    let remounted = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(mount.path())
        .status();
    assert!(remounted.unwrap().success());
    let path = mount.path().display();
    let read_only = format!(
        "cannot make directory b on nas:/export: it is read-only (EROFS). Mount it at {path} with rw, and export it with \
         rw."
    );
    assert_eq!(make(&storage, "b").await, Err(refusal(Fault::ReadOnly, &read_only)));
}

#[tokio::test]
async fn an_owner_that_cannot_be_set_leaves_no_directory() {
    let mount = Mount::memory();
    let attributes = Attributes {
        mode: Some(0o770),
        // This number means "unchanged" to chown, so it is refused.
        uid: Some(u32::MAX),
        gid: None,
    };
    let storage = storage(mount.path());
    let at = directory("a/b");
    let made = storage
        .make(&share(), &at, attributes, Existing::SetAttributes, long_deadline())
        .await;
    let error = made.unwrap_err();
    assert_eq!(
        (error.fault, error.outcome),
        (Fault::Denied, Outcome::NotDone),
        "{error}"
    );
    assert!(mount.path().join("a").is_dir() && !mount.path().join("a/b").exists());
}

#[tokio::test]
async fn a_hung_mount_fails_at_the_deadline_and_delays_no_other_mount() {
    let (mut silent, working) = (Mount::silent(), Mount::memory());
    let hung = storage(silent.path());
    let path = silent.path().display().to_string();
    let short = || Instant::now() + Duration::from_millis(50);
    // As many calls as may hang at the same time, and then one more.
    for _ in 0..16 {
        let error = hung.look_up(&share(), &directory("a"), short()).await.unwrap_err();
        let message = format!(
            "cannot look up directory a on nas:/export: the mount at {path} did not answer in time. Check that its server \
             and disks work."
        );
        assert_eq!(error, refusal(Fault::TimedOut, &message));
    }
    let error = hung.look_up(&share(), &directory("a"), short()).await.unwrap_err();
    let message = format!(
        "cannot look up directory a on nas:/export: 16 earlier calls to the mount at {path} are still running. \
         Check that its server and disks work; if the mount is no longer needed, restart Bindery's pod without it."
    );
    assert_eq!(error, refusal(Fault::TimedOut, &message));
    make(&storage(working.path()), "a").await.unwrap();
    // The hung calls end, and new calls are possible.
    silent.close_connection();
    let error = hung
        .look_up(&share(), &directory("a"), long_deadline())
        .await
        .unwrap_err();
    assert_eq!(error.fault, Fault::Unreachable, "{error}");
}

#[tokio::test]
async fn after_the_deadline_only_the_call_in_progress_still_takes_effect() {
    let mut disk = Mount::disk();
    let storage = storage(disk.path());
    disk.freeze();
    let deadline = Instant::now() + Duration::from_millis(200);
    let at = directory("p/a");
    let made = storage
        .make(&share(), &at, mode(0o777), Existing::SetAttributes, deadline)
        .await;
    let error = made.unwrap_err();
    assert_eq!(
        (error.fault, error.outcome),
        (Fault::TimedOut, Outcome::Unknown),
        "{error}"
    );
    assert!(
        error.to_string().ends_with(" All or a part of it may have been done."),
        "{error}"
    );
    disk.thaw();
    let parent = disk.path().join("p");
    eventually("the late call has taken effect", async || parent.is_dir().then_some(())).await;
    // No later call has been made: the directory itself does not exist.
    let places = storage.list(&share(), Some(&directory("p")), long_deadline()).await;
    assert_eq!(places, Ok(vec![]));
    // The next attempt finds the directory and continues.
    assert!(make(&storage, "p/a").await.unwrap().new);
}
