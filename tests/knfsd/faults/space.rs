//! Disks that are full, over quota or read-only.

use bindery::model::directory::{NfsVersion, Share};
use bindery::storage::{Fault, Moved, Storage, Tree};
use tokio::time::Instant;

use super::client::{Client, VERSIONS, directory, reset};
use crate::support::{LATE, in_guest, share};

/// Asserts that the client can make a directory there, and moves and removes it.
async fn works(client: &Client, share: &Share, name: &str) {
    let made = client.make(share, name).await.expect("a directory");
    let moved = format!("moved-{name}");
    assert_eq!(client.rename(share, name, made.identity, &moved).await, Ok(Moved::Done));
    let deadline = Instant::now() + LATE;
    let removed = client.storage.remove_tree(share, &directory(&moved), deadline).await;
    assert_eq!(removed, Ok(Tree::Gone));
}

#[tokio::test]
async fn a_full_disk_refuses_new_directories_and_lets_old_ones_be_moved_and_removed() {
    reset();
    for version in VERSIONS {
        let (client, share) = (Client::new("full"), share("small", "share").over(version));
        let made = client.make(&share, "before").await.expect("a directory");
        in_guest(
            "touch /srv/small/share/before/file; cd /srv/small; \
             for size in 1M 1k 1k; do dd if=/dev/zero of=fill-$size bs=$size oflag=append conv=notrunc 2>/dev/null; sync; done; true",
        );
        let error = client.make(&share, "new").await.unwrap_err();
        println!("{error}");
        assert_eq!(error.fault, Fault::NoSpace, "{error}");
        assert_eq!(in_guest("ls /srv/small/share"), "before", "no part of it is left");
        // The trash exists already, or needs no block of its own.
        let moved = client.rename(&share, "before", made.identity, "moved").await;
        assert_eq!(moved, Ok(Moved::Done));
        let deadline = Instant::now() + LATE;
        let removed = client.storage.remove_tree(&share, &directory("moved"), deadline).await;
        assert_eq!(removed, Ok(Tree::Gone));
        in_guest("rm /srv/small/fill-*");
        works(&client, &share, "after").await;
    }
}

#[tokio::test]
async fn a_user_over_quota_makes_no_directory_and_the_refusal_names_the_quota() {
    reset();
    for disk in ["ext4", "xfs"] {
        in_guest(&format!("chmod 777 /srv/{disk}/share; quotas user {disk} 1001 0 1"));
        for version in VERSIONS {
            let (client, share) = (Client::of_user("quota", 1001), share(disk, "share").over(version));
            let name = match version {
                NfsVersion::V4 => "v4",
                NfsVersion::V3 => "v3",
            };
            client
                .make(&share, name)
                .await
                .expect("the directory that the quota allows");
            let error = client.make(&share, "another").await.unwrap_err();
            println!("{error}");
            assert_eq!(error.fault, Fault::NoSpace, "{error}");
            assert!(error.to_string().contains("the quota is used up"), "{error}");
            in_guest(&format!("rmdir /srv/{disk}/share/*"));
            works(&client, &share, name).await;
        }
        in_guest(&format!("quotas off {disk}"));
    }
}

#[tokio::test]
async fn a_project_quota_of_a_directory_is_its_size() {
    reset();
    for disk in ["ext4", "xfs"] {
        in_guest(&format!(
            "quotas project {disk} share/limited 10240 100; mkdir -p /srv/{disk}/share/free"
        ));
        for version in VERSIONS {
            let (client, share) = (Client::new("project"), share(disk, "share").over(version));
            let space = async |path: Option<&str>| {
                let place = path.map(directory);
                let deadline = Instant::now() + LATE;
                let space = client.storage.space(&share, place.as_ref(), deadline).await;
                space.expect("an answer").expect("the space")
            };
            let (whole, free, limited) = (
                space(None).await,
                space(Some("free")).await,
                space(Some("limited")).await,
            );
            println!("{disk} {version:?}: {whole:?} {free:?} {limited:?}");
            assert_eq!(free.total, whole.total);
            assert_eq!(limited.total, 10 << 20, "the limit in KB, as bytes");
            assert!(limited.available <= limited.total);
        }
        in_guest(&format!(
            "rm -r /srv/{disk}/share/limited /srv/{disk}/share/free; quotas off {disk}"
        ));
    }
}

#[tokio::test]
async fn a_file_system_that_became_read_only_refuses_and_serves_again_when_it_is_writable() {
    reset();
    for disk in ["ext4", "xfs", "btrfs"] {
        for version in VERSIONS {
            let (client, share) = (Client::new("read-only"), share(disk, "share").over(version));
            let made = client.make(&share, "before").await.expect("a directory");
            in_guest(&format!("sync; mount -o remount,ro /srv/{disk}"));
            let (new, moved) = (
                client.make(&share, "new").await,
                client.rename(&share, "before", made.identity, "moved").await,
            );
            let found = client.find(&share, "before").await;
            in_guest(&format!("mount -o remount,rw /srv/{disk}"));
            for error in [new.unwrap_err(), moved.unwrap_err()] {
                println!("{error}");
                assert_eq!(error.fault, Fault::ReadOnly, "{error}");
            }
            assert_eq!(found, Ok(Some(made.identity)));
            in_guest(&format!("rmdir /srv/{disk}/share/before"));
            works(&client, &share, "after").await;
        }
    }
}
