//! Snapshots of `CephFS`: `mkdir .snap/NAME` in a directory keeps its content, also after its files are removed.

use std::fs;

use serde_json::json;

use super::{Claims, WAYS, place};
use crate::support::wait::eventually;

#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn a_directory_with_snapshots_of_its_own_stays_until_they_are_removed() {
    for way in WAYS {
        let claims = Claims::with(way, json!({"onDelete": "delete"})).await;
        let (_, volume) = claims.scene.bound(claims.scene.claim("data")).await;
        let directory = place(&volume);
        fs::write(directory.join("file"), "content").unwrap();
        fs::create_dir(directory.join(".snap/monday")).unwrap();
        claims.scene.delete("data").await;
        claims.scene.until_gone(&volume).await;
        let message = claims.scene.event(&claims.scene.name, "TrashNotEmptied").await;
        assert!(
            message.contains("most likely snapshots (.snap on CephFS). Remove its snapshots on the server."),
            "{way:?}: {message}"
        );
        // The snapshot still has the content. The message names the directory in the trash.
        let trash = claims.below(".bindery-trash");
        let moved = fs::read_dir(&trash).unwrap().next().unwrap().unwrap().path();
        let snapshot = moved.join(".snap/monday");
        assert_eq!(fs::read_to_string(snapshot.join("file")).unwrap(), "content");
        let relative = moved.strip_prefix(claims.below("")).unwrap();
        assert!(message.contains(relative.to_str().unwrap()), "{message}");
        fs::remove_dir(snapshot).unwrap();
        eventually("the trash is empty", async || (!moved.exists()).then_some(())).await;
        claims.bindery.unregister().await;
    }
}

#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn a_snapshot_of_the_share_does_not_stop_cleanup_and_keeps_the_content() {
    for way in WAYS {
        let claims = Claims::with(way, json!({"onDelete": "delete"})).await;
        let (_, volume) = claims.scene.bound(claims.scene.claim("data")).await;
        let directory = place(&volume);
        fs::write(directory.join("file"), "content").unwrap();
        let snapshot = claims.below(".snap/monday");
        fs::create_dir(&snapshot).unwrap();
        claims.scene.delete("data").await;
        claims.scene.until_gone(&volume).await;
        eventually("the directory is gone", async || (!directory.exists()).then_some(())).await;
        let relative = directory.strip_prefix(claims.below("")).unwrap();
        assert_eq!(
            fs::read_to_string(snapshot.join(relative).join("file")).unwrap(),
            "content"
        );
        claims.bindery.unregister().await;
    }
}
