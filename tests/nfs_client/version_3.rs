//! `NFSv3` has neither sessions nor VERIFY: what it cannot prevent, and what Bindery does instead.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use bindery::model::attributes::Attributes;
use bindery::model::directory::NfsVersion;
use bindery::storage::{Existing, Fault, Moved, Outcome, Storage};
use tokio::time::Instant;

use super::outages::{short_deadline, until_relay_matched};
use super::{chmod, client, directory, identity, long_deadline, make, mode};
use crate::support::kind::{Kind, test_for};
use crate::support::network::Network;
use crate::support::nfs::{Ganesha, share};
use crate::support::relay::{Action, Relay};
use crate::support::wait::{eventually, scaled};

test_for!([v3] {
    a_hung_mountd_does_not_stop_calls_that_have_a_connection,
    a_wrong_directory_that_was_moved_is_moved_back,
    an_interrupted_move_of_a_wrong_directory_is_reported_and_never_counts_as_done,
    an_empty_directory_is_not_replaced_by_a_rename,
    the_result_of_an_abandoned_call_is_unknown,
    the_result_of_a_failure_after_a_lost_call_is_unknown,
    a_frozen_server_fails_at_the_deadline_and_works_after_it_resumes,
});

test_for!([knfsd_v3] {
    a_hung_mountd_does_not_stop_calls_that_have_a_connection,
    a_wrong_directory_that_was_moved_is_moved_back,
    an_interrupted_move_of_a_wrong_directory_is_reported_and_never_counts_as_done,
    an_empty_directory_is_not_replaced_by_a_rename,
    the_result_of_an_abandoned_call_is_unknown,
    the_result_of_a_failure_after_a_lost_call_is_unknown,
    a_frozen_server_fails_at_the_deadline_and_works_after_it_resumes,
    mountd_of_linux_follows_symlinks_in_the_path_of_a_share,
});

/// The server does so before Bindery gets a file handle. A pod that mounts the same path gets the same directory.
async fn mountd_of_linux_follows_symlinks_in_the_path_of_a_share(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    fs::create_dir(server.export_dir().join("real")).unwrap();
    symlink("real", server.export_dir().join("link")).unwrap();
    let by_link = make(&client, &server.share("/export/link"), "a").await.unwrap();
    assert!(server.export_dir().join("real/a").is_dir());
    assert_eq!(
        identity(&client, &server.share("/export"), "real/a").await,
        by_link.identity
    );
}

#[tokio::test]
async fn the_error_says_that_the_portmapper_knows_no_nfs() {
    let network = Network::new();
    let share = share(network.address(), "/export").over(NfsVersion::V3);
    let error = make(&client(), &share, "a").await.unwrap_err();
    assert_eq!((error.fault, error.outcome), (Fault::Unreachable, Outcome::NotDone));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot make directory a on {share}: the portmapper of {} knows no mountd of version 3 over TCP. Enable NFSv3 \
             there, or let Bindery use NFSv4 (nfsVersion 4), which needs port 2049 alone.",
            network.address()
        )
    );
}

/// The client asks mountd for the root of the share every 5 s.
async fn a_hung_mountd_does_not_stop_calls_that_have_a_connection(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    make(&client, &share, "before").await.unwrap();
    // Only MNT contains the path of the share.
    relay.plan(share.path(), 0, 100, Action::Hold);
    let mut number = 0;
    eventually("mountd is asked again", async || {
        number += 1;
        make(&client, &share, &format!("a-{number}"))
            .await
            .expect("a directory");
        (relay.matched() > 0).then_some(())
    })
    .await;
    make(&client, &share, "after").await.expect("a directory");
    relay.stop_holding();
}

async fn a_wrong_directory_that_was_moved_is_moved_back(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    let path = |name: &str| server.export_dir().join(name);
    let meant = make(&client, &share, "live").await.unwrap().identity;
    // The lookup of the target passes. The rename is held until another directory is at the old path.
    relay.plan("new-place", 1, 1, Action::Hold);
    let (from, to) = (directory("live"), directory("new-place"));
    let rename = client.rename(&share, &from, meant, &to, long_deadline());
    let replace = async {
        until_relay_matched(&relay, 1).await;
        fs::rename(path("live"), path("aside")).unwrap();
        fs::create_dir(path("live")).unwrap();
        fs::write(path("live/file"), "theirs").unwrap();
        relay.stop_holding();
    };
    let (moved, ()) = tokio::join!(rename, replace);
    let theirs = identity(&client, &share, "live").await;
    assert_eq!(moved, Ok(Moved::Another(theirs)));
    assert_ne!(theirs, meant);
    assert_eq!(fs::read_to_string(path("live/file")).unwrap(), "theirs");
    assert!(path("aside").is_dir() && !path("new-place").exists());
}

async fn an_interrupted_move_of_a_wrong_directory_is_reported_and_never_counts_as_done(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let share = server.share("/export");
    let meant = make(&client, &share, "meant").await.unwrap().identity;
    // The state after a crash between the rename and the second lookup.
    fs::create_dir(server.export_dir().join("moved")).unwrap();
    fs::rename(server.export_dir().join("meant"), server.export_dir().join("aside")).unwrap();
    let (from, to) = (directory("meant"), directory("moved"));
    for replaced in [false, true] {
        if replaced {
            fs::create_dir(server.export_dir().join("meant")).unwrap();
        }
        let error = client
            .rename(&share, &from, meant, &to, long_deadline())
            .await
            .unwrap_err();
        assert_eq!((error.fault, error.outcome), (Fault::Other, Outcome::NotDone));
        assert_eq!(
            error.to_string(),
            format!(
                "cannot move directory meant to moved on {share}: a wrong directory is at moved; an interrupted move may \
                 have put it there. If it belongs at meant, move it back on the server; otherwise move it away."
            )
        );
    }
    assert!(server.export_dir().join("moved").is_dir());
}

async fn an_empty_directory_is_not_replaced_by_a_rename(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let share = server.share("/export");
    let made = make(&client, &share, "a").await.unwrap().identity;
    let there = make(&client, &share, "b").await.unwrap().identity;
    let error = client
        .rename(&share, &directory("a"), made, &directory("b"), long_deadline())
        .await
        .unwrap_err();
    assert_eq!((error.fault, error.outcome), (Fault::Other, Outcome::NotDone));
    assert_eq!(
        error.to_string(),
        format!("cannot move directory a to b on {share}: the target exists already (NFS3ERR_EXIST). Move it away.")
    );
    assert_eq!(identity(&client, &share, "b").await, there);
}

async fn the_result_of_an_abandoned_call_is_unknown(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    make(&client, &share, "first").await.unwrap();
    relay.plan("late-one", 0, 1, Action::SendLate);
    let name = directory("late-one");
    let made = client.make(&share, &name, mode(0o777), Existing::SetAttributes, short_deadline());
    let error = made.await.unwrap_err();
    assert_eq!((error.fault, error.outcome), (Fault::TimedOut, Outcome::Unknown));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot make directory late-one on {share}: {} did not answer in time. Check that the NFS server and its disks \
             work. All or a part of it may have been done.",
            share.server()
        )
    );
    // A caller that does not wait can continue at once, but must not rely on what it has seen.
    assert_eq!(client.look_up(&share, &name, long_deadline()).await, Ok(None));
    relay.send_late_calls();
    assert!(client.look_up(&share, &name, long_deadline()).await.unwrap().is_some());
}

async fn the_result_of_a_failure_after_a_lost_call_is_unknown(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/squashed");
    chmod(&server.dir_of("squashed"), 0o777);
    let owned = Attributes {
        mode: Some(0o770),
        uid: Some(1000),
        gid: None,
    };
    // The first MKDIR is lost. The next one creates a directory, which is removed again; but the first may still arrive.
    for (name, action) in [("before", Action::DropCall), ("after", Action::DropAnswer)] {
        relay.plan(name, 0, 1, action);
        let name = directory(name);
        let made = client.make(&share, &name, owned, Existing::SetAttributes, long_deadline());
        let error = made.await.unwrap_err();
        assert_eq!(
            (error.fault, error.outcome),
            (Fault::Denied, Outcome::Unknown),
            "{error}"
        );
    }
    assert_eq!(relay.matched(), 2);
    assert!(!server.dir_of("squashed").join("before").exists());
}

async fn a_frozen_server_fails_at_the_deadline_and_works_after_it_resumes(kind: Kind) {
    let (mut server, client) = (kind.restartable(), client());
    let share = server.share("/export");
    make(&client, &share, "first").await.unwrap();
    server.freeze();
    let deadline = short_deadline();
    let name = directory("late");
    let made = client.make(&share, &name, mode(0o777), Existing::SetAttributes, deadline);
    assert_eq!(made.await.unwrap_err().fault, Fault::TimedOut);
    assert!(Instant::now() < deadline + scaled(Duration::from_secs(1)));
    server.thaw();
    assert!(make(&client, &share, "after").await.unwrap().new);
}

#[tokio::test]
async fn another_file_system_is_neither_entered_nor_moved_to() {
    let (mut server, client) = (Ganesha::start_v3(), client());
    let share = server.share("/export");
    let disk = server.export_dir().join("tree/disk");
    fs::create_dir_all(&disk).unwrap();
    server.kill();
    server.mount(&disk);
    server.restart();
    let inside = server.through_proc(&disk).join("file");
    fs::write(&inside, "kept").unwrap();

    let removed = client.remove_tree(&share, &directory("tree"), long_deadline()).await;
    let error = removed.unwrap_err();
    assert_eq!(error.fault, Fault::OtherFileSystem, "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot remove directory tree with all in it on {share}: another file system is mounted in it at \"disk\", and \
             is not removed. Unmount it on the server."
        )
    );
    assert_eq!(fs::read_to_string(&inside).unwrap(), "kept");

    let made = make(&client, &share, "a").await.unwrap().identity;
    let on_disk = identity(&client, &share, "tree/disk").await;
    assert_ne!(on_disk.fsid, made.fsid);
    let (from, to) = (directory("a"), directory("tree/disk/a"));
    let error = client
        .rename(&share, &from, made, &to, long_deadline())
        .await
        .unwrap_err();
    assert_eq!((error.fault, error.outcome), (Fault::OtherFileSystem, Outcome::NotDone));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot move directory a to tree/disk/a on {share}: the target is on another file system of the server, \
             or something is mounted on the directory (NFS3ERR_XDEV)."
        )
    );
}
