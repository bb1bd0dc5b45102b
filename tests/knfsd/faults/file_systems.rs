//! What the numbers of this server say about its file systems.

use bindery::model::directory::{NfsVersion, Share};
use bindery::model::share_id::{RootChange, ShareId, View, may_be_one_file};
use bindery::storage::{Fault, Moved, Storage, Tree};
use tokio::time::Instant;

use super::client::{Client, SOON, VERSIONS, directory, reset};
use crate::support::{LATE, in_guest, share};
use crate::wait::eventually_within;

async fn identify(client: &Client, share: &Share) -> ShareId {
    let deadline = Instant::now() + LATE;
    client.storage.identify(share, deadline).await.expect("an answer")
}

#[tokio::test]
async fn fsid_changes_only_the_file_system_number_of_the_root() {
    reset();
    in_guest("exports add /srv/ext4/fsid");
    for version in VERSIONS {
        let (client, share) = (Client::new("fsid"), share("ext4", "fsid").over(version));
        let before = identify(&client, &share).await;
        in_guest("exports add /srv/ext4/fsid fsid=7; exportfs -f");
        let now = identify(&client, &share).await;
        assert_eq!(before.change(now), Some(RootChange::FileSystem), "{before} {now}");
        assert_eq!(now.root.fsid, (7, 0));
        in_guest("exports add /srv/ext4/fsid; exportfs -f");
        assert_eq!(identify(&client, &share).await, before);
    }
}

/// Exports a disk with `fsid=` and its root as the share. Returns the share.
fn export_of_a_disk(options: &str) -> Share {
    reset();
    in_guest(&format!(
        "umount /srv/small; mkdir -p /srv/disk; umount /srv/disk 2>/dev/null; mount /dev/vde /srv/disk; \
         exports remove /srv/small/share; exports add /srv/disk fsid=7 {options}"
    ));
    Share::parse(share("ext4", "share").server(), "/srv/disk").expect("a share")
}

fn give_the_disk_back() {
    in_guest("exports remove /srv/disk; umount /srv/disk; mount /dev/vde /srv/small; exports reset");
}

#[tokio::test]
async fn with_fsid_an_unmounted_disk_has_another_root_and_another_disk_has_the_same() {
    for version in VERSIONS {
        let share = export_of_a_disk("").over(version);
        let client = Client::new("unmounted");
        let disk = identify(&client, &share).await;
        client.make(&share, "data").await.expect("a directory");
        in_guest("exportfs -f; umount -l /srv/disk; exportfs -f");
        let unmounted = eventually_within(LATE, "the server shows the directory below", async || {
            Some(identify(&client, &share).await).filter(|now| *now != disk)
        })
        .await;
        assert_eq!(disk.change(unmounted), Some(RootChange::Root), "{disk} {unmounted}");
        assert_eq!(disk.root.fsid, unmounted.root.fsid);
        assert_eq!(client.find(&share, "data").await, Ok(None));
        // Another disk of the same kind: only the directories of other volumes can show that it is another one.
        in_guest("mount /dev/vdb /srv/disk; exportfs -f");
        let another = eventually_within(LATE, "the server shows the other disk", async || {
            Some(identify(&client, &share).await).filter(|now| *now != unmounted)
        })
        .await;
        assert_eq!(disk.change(another), None, "{disk} {another}");
        assert_eq!(client.find(&share, "data").await, Ok(None));
        in_guest("exportfs -f; umount -l /srv/disk; mount /dev/vde /srv/disk; exportfs -f");
        eventually_within(LATE, "the server shows the disk again", async || {
            client.find(&share, "data").await.ok().flatten()
        })
        .await;
        in_guest("rm -rf /srv/disk/data");
        give_the_disk_back();
    }
}

/// In version 3 the server does not answer such calls until the disk is mounted.
#[tokio::test]
async fn with_the_option_mountpoint_an_unmounted_disk_is_not_exported() {
    for version in VERSIONS {
        let share = export_of_a_disk("mountpoint").over(version);
        let client = Client::new("mountpoint");
        client.make(&share, "data").await.expect("a directory");
        in_guest("exportfs -f; umount -l /srv/disk; exportfs -f");
        let error = eventually_within(LATE, "the server does not export it", async || {
            client.make_within(SOON, &share, "other").await.err()
        })
        .await;
        println!("{error}");
        let allowed: &[Fault] = match version {
            NfsVersion::V4 => &[Fault::NoSuchShare],
            NfsVersion::V3 => &[Fault::NoSuchShare, Fault::TimedOut],
        };
        assert!(allowed.contains(&error.fault), "{error}");
        assert_eq!(in_guest("ls /srv/disk"), "");
        in_guest("mount /dev/vde /srv/disk; exportfs -f");
        eventually_within(LATE, "the directory is there again", async || {
            let deadline = Instant::now() + SOON;
            let found = client.storage.look_up(&share, &directory("data"), deadline).await;
            found.ok().flatten()
        })
        .await;
        in_guest("rm -rf /srv/disk/data /srv/disk/other");
        give_the_disk_back();
    }
}

/// In version 3 the handle of the old directory stays valid, so the client must ask for the root again.
#[tokio::test]
async fn after_the_directory_of_an_export_was_replaced_directories_are_made_in_the_new_one() {
    for version in VERSIONS {
        reset();
        in_guest("exports add /srv/ext4/replaced");
        let (client, share) = (Client::new("replaced"), share("ext4", "replaced").over(version));
        client.make(&share, "before").await.expect("a directory");
        in_guest("cd /srv/ext4 && rm -rf old && mv replaced old && mkdir replaced");
        let mut number = 0;
        // The connection stays in use.
        eventually_within(LATE, "a directory is made in the new one", async || {
            number += 1;
            client.make(&share, &format!("after-{number}")).await.ok()?;
            (in_guest("ls /srv/ext4/replaced | wc -l") != "0").then_some(())
        })
        .await;
        println!(
            "{version:?}: {number} tries, in the old one: {}",
            in_guest("echo $(ls /srv/ext4/old)")
        );
        assert_eq!(client.find(&share, "before").await, Ok(None));
        in_guest("exports remove /srv/ext4/replaced; rm -rf /srv/ext4/old /srv/ext4/replaced");
    }
}

/// Two subvolumes with a directory each.
fn subvolumes() {
    reset();
    in_guest(
        "cd /srv/btrfs/share && for name in a b; do btrfs subvolume create $name >/dev/null && mkdir $name/data; done; \
         touch b/data/precious",
    );
}

#[tokio::test]
async fn directories_in_two_btrfs_subvolumes_of_one_export_have_the_same_numbers() {
    subvolumes();
    let client = Client::new("subvolumes");
    for version in VERSIONS {
        let share = share("btrfs", "share").over(version);
        let data = client.find(&share, "a/data").await.unwrap().expect("a directory");
        assert_eq!(client.find(&share, "b/data").await, Ok(Some(data)));
        let root = client.find(&share, "a").await.unwrap().expect("a subvolume");
        assert_eq!(root.fileid, 256);
        assert_eq!(client.find(&share, "b").await, Ok(Some(root)));
    }
    // As shares of their own below that export, they look like one directory.
    let [a, b] = ["share/a", "share/b"].map(|path| share("btrfs", path));
    let (a, b) = (identify(&client, &a).await, identify(&client, &b).await);
    assert!(may_be_one_file((View::V4, a.root), (View::V4, b.root), true), "{a} {b}");
}

#[tokio::test]
async fn btrfs_subvolumes_that_are_exported_each_by_itself_have_numbers_of_their_own() {
    subvolumes();
    in_guest("exports remove /srv/btrfs/share; exports add /srv/btrfs/share/a; exports add /srv/btrfs/share/b");
    let client = Client::new("exported-subvolumes");
    for version in VERSIONS {
        let ids = ["share/a", "share/b"].map(|path| share("btrfs", path).over(version));
        let (a, b) = (identify(&client, &ids[0]).await, identify(&client, &ids[1]).await);
        println!("{a} {b}");
        assert!(!may_be_one_file((a.view, a.root), (b.view, b.root), true), "{a} {b}");
    }
}

#[tokio::test]
async fn a_directory_in_a_btrfs_subvolume_is_moved_only_inside_it_and_a_tree_goes_with_its_subvolumes() {
    subvolumes();
    for version in VERSIONS {
        let (client, share) = (Client::new("subvolume-trees"), share("btrfs", "share").over(version));
        let data = client.find(&share, "a/data").await.unwrap().expect("a directory");
        let error = client.rename(&share, "a/data", data, "moved").await.unwrap_err();
        assert_eq!(error.fault, Fault::OtherFileSystem, "{error}");
        assert_eq!(client.rename(&share, "a/data", data, "a/moved").await, Ok(Moved::Done));
        assert_eq!(client.rename(&share, "a/moved", data, "a/data").await, Ok(Moved::Done));
        // The subvolume itself.
        let root = client.find(&share, "a").await.unwrap().expect("a subvolume");
        assert_eq!(client.rename(&share, "a", root, "moved").await, Ok(Moved::Done));
        assert_eq!(client.rename(&share, "moved", root, "a").await, Ok(Moved::Done));

        in_guest(
            "cd /srv/btrfs/share && mkdir -p tree && btrfs subvolume create tree/inside >/dev/null && touch tree/inside/file",
        );
        let deadline = Instant::now() + LATE;
        let removed = client.storage.remove_tree(&share, &directory("tree"), deadline).await;
        assert_eq!(removed, Ok(Tree::Gone));
        in_guest("cd /srv/btrfs/share && mkdir -p tree && btrfs subvolume snapshot -r b tree/snapshot >/dev/null");
        let error = client
            .storage
            .remove_tree(&share, &directory("tree"), deadline)
            .await
            .unwrap_err();
        println!("{error}");
        assert_eq!(error.fault, Fault::ReadOnly, "{error}");
        in_guest(
            "cd /srv/btrfs/share && btrfs subvolume delete tree/snapshot >/dev/null && rmdir tree && test -e b/data/precious",
        );
    }
}
