//! Faults of a disk and of its export, with nfs-ganesha and with a mounted disk. `tests/knfsd/faults` has the same faults of
//! Linux's own server. docs/reliability.md has a table of what Bindery does.

use bindery::model::directory::Share;
use bindery::model::identity::Identity;
use bindery::storage::mounted::MountedStorage;
use bindery::storage::{Existing, Fault, Made, Moved, Outcome, Storage, StorageError, Storages, Tree};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::directories::{directory, long_deadline, mode};
use crate::support::disk::Disk;
use crate::support::kind::{Kind, client_as, test_for};
use crate::support::mount::Mount;
use crate::support::nfs::Ganesha;
use crate::support::wait::eventually;

test_for!([v4, v3] {
    a_full_disk_refuses_new_directories_and_lets_old_ones_be_moved_and_removed,
    a_file_system_that_became_read_only_refuses_and_serves_again_when_it_is_writable,
    an_immutable_directory_is_not_taken_for_a_squashed_root,
    a_directory_on_which_something_is_mounted_is_neither_moved_nor_removed,
    after_a_pause_longer_than_the_lease_the_next_call_succeeds,
    a_client_that_is_idle_longer_than_the_lease_works_again_at_once,
    an_export_whose_directory_was_removed_is_missing_until_the_server_has_a_new_one,
});

// A mounted disk has no server and no export.
test_for!([mounted] {
    a_full_disk_refuses_new_directories_and_lets_old_ones_be_moved_and_removed,
    a_file_system_that_became_read_only_refuses_and_serves_again_when_it_is_writable,
    an_immutable_directory_is_not_taken_for_a_squashed_root,
    a_directory_on_which_something_is_mounted_is_neither_moved_nor_removed,
});

/// A share on a disk of its own.
struct OnDisk {
    share: Share,
    storage: Storages,
    // Dropped in this order.
    server: Option<Ganesha>,
    mounted: Option<Disk>,
    _dir: Option<TempDir>,
}

impl OnDisk {
    fn start(kind: Kind) -> Self {
        if kind != Kind::Mounted {
            let server = kind.ganesha().on_disk();
            return Self {
                share: server.share("/export"),
                storage: client_as(0),
                server: Some(server),
                mounted: None,
                _dir: None,
            };
        }
        let below = std::env::var_os("BINDERY_BED").map_or_else(std::env::temp_dir, Into::into);
        let dir = tempfile::tempdir_in::<std::path::PathBuf>(below).expect("a directory");
        let at = dir.path().join("mount");
        std::fs::create_dir(&at).expect("a directory");
        let disk = Disk::mount(&dir.path().join("image"), &at, Vec::new());
        let share = Mount::share("/export");
        let mounted = MountedStorage::new(vec![(share.clone(), at)]);
        Self {
            share,
            storage: client_as(0).with_mounted(mounted),
            server: None,
            mounted: Some(disk),
            _dir: Some(dir),
        }
    }

    fn disk(&self) -> &Disk {
        match (&self.server, &self.mounted) {
            (Some(server), _) => server.disk(),
            (None, Some(disk)) => disk,
            (None, None) => unreachable!("one of them has the disk"),
        }
    }

    async fn make(&self, path: &str) -> Result<Made, StorageError> {
        make(&self.storage, &self.share, path, long_deadline()).await
    }

    async fn rename(&self, from: &str, is: Identity, to: &str) -> Result<Moved, StorageError> {
        rename(&self.storage, &self.share, from, is, to).await
    }

    async fn remove_tree(&self, path: &str) -> Result<Tree, StorageError> {
        let place = directory(path);
        self.storage.remove_tree(&self.share, &place, long_deadline()).await
    }

    /// Asserts that a directory can be made, moved and removed.
    async fn works(&self) {
        let made = self.make("after").await.expect("a directory");
        assert_eq!(self.rename("after", made.identity, "moved").await, Ok(Moved::Done));
        assert_eq!(self.remove_tree("moved").await, Ok(Tree::Gone));
    }
}

async fn make(storage: &Storages, share: &Share, path: &str, deadline: Instant) -> Result<Made, StorageError> {
    let place = directory(path);
    storage
        .make(share, &place, mode(0o770), Existing::SetAttributes, deadline)
        .await
}

async fn rename(storage: &Storages, share: &Share, from: &str, is: Identity, to: &str) -> Result<Moved, StorageError> {
    let (from, to) = (directory(from), directory(to));
    storage.rename(share, &from, is, &to, long_deadline()).await
}

async fn a_full_disk_refuses_new_directories_and_lets_old_ones_be_moved_and_removed(kind: Kind) {
    let on = OnDisk::start(kind);
    let made = on.make("before").await.expect("a directory");
    on.disk().run(
        "cd \"$DISK\"; touch before/file
         for size in 1M 1k 1k; do dd if=/dev/zero of=fill-$size bs=$size oflag=append conv=notrunc 2>/dev/null || true; sync; done",
    );
    let error = on.make("new").await.unwrap_err();
    println!("{error}");
    assert_eq!(error.fault, Fault::NoSpace, "{error}");
    assert_eq!(
        on.disk().run("ls -d \"$DISK\"/new || true"),
        "",
        "no part of it is left"
    );
    assert_eq!(on.rename("before", made.identity, "moved").await, Ok(Moved::Done));
    assert_eq!(on.remove_tree("moved").await, Ok(Tree::Gone));
    on.disk().run("rm \"$DISK\"/fill-*");
    on.works().await;
}

async fn a_file_system_that_became_read_only_refuses_and_serves_again_when_it_is_writable(kind: Kind) {
    let on = OnDisk::start(kind);
    let made = on.make("before").await.expect("a directory");
    on.disk().run("sync; mount -o remount,ro \"$DISK\"");
    let (new, moved) = (on.make("new").await, on.rename("before", made.identity, "moved").await);
    let found = on
        .storage
        .look_up(&on.share, &directory("before"), long_deadline())
        .await;
    on.disk().run("mount -o remount,rw \"$DISK\"");
    for error in [new.unwrap_err(), moved.unwrap_err()] {
        println!("{error}");
        assert_eq!(error.fault, Fault::ReadOnly, "{error}");
    }
    assert_eq!(found.expect("an answer").expect("a directory").identity, made.identity);
    on.works().await;
}

async fn an_immutable_directory_is_not_taken_for_a_squashed_root(kind: Kind) {
    let on = OnDisk::start(kind);
    on.disk()
        .run("mkdir \"$DISK\"/immutable; chattr +i \"$DISK\"/immutable");
    let made = on.make("immutable/a").await;
    on.disk().run("chattr -i \"$DISK\"/immutable");
    let error = made.unwrap_err();
    println!("{error}");
    assert_eq!(error.fault, Fault::Denied, "{error}");
    assert!(
        error.to_string().contains("immutable or append-only (lsattr -d)"),
        "{error}"
    );
    on.works().await;
}

async fn a_directory_on_which_something_is_mounted_is_neither_moved_nor_removed(kind: Kind) {
    let on = OnDisk::start(kind);
    let made = on.make("mounted").await.expect("a directory");
    on.disk()
        .run("mount -t tmpfs none \"$DISK\"/mounted; echo data >\"$DISK\"/mounted/file");
    let renamed = on.rename("mounted", made.identity, "moved").await;
    let removed = on.remove_tree("mounted").await;
    assert_eq!(on.disk().run("cat \"$DISK\"/mounted/file"), "data");
    on.disk().run("umount \"$DISK\"/mounted");
    match kind {
        // The directory is now the root of the other file system.
        Kind::Mounted => assert!(matches!(renamed, Ok(Moved::Another(_))), "{renamed:?}"),
        _ => assert_eq!(renamed.unwrap_err().fault, Fault::OtherFileSystem),
    }
    assert_eq!(removed.unwrap_err().fault, Fault::OtherFileSystem);
    on.works().await;
}

/// Seconds.
const LEASE: u32 = 1;

async fn until_the_lease_is_over() {
    let began = Instant::now();
    eventually("the lease is over", async || {
        (began.elapsed().as_secs() > u64::from(2 * LEASE)).then_some(())
    })
    .await;
}

async fn after_a_pause_longer_than_the_lease_the_next_call_succeeds(kind: Kind) {
    let (server, storage) = (kind.ganesha().with_lease(LEASE), client_as(0));
    let share = server.share("/export");
    let before = make(&storage, &share, "before", long_deadline())
        .await
        .expect("a directory");
    server.freeze();
    let soon = Instant::now() + std::time::Duration::from_millis(300);
    let error = make(&storage, &share, "meanwhile", soon).await.unwrap_err();
    println!("{error}");
    assert_eq!(error.fault, Fault::TimedOut, "{error}");
    until_the_lease_is_over().await;
    server.thaw();
    let moved = rename(&storage, &share, "before", before.identity, "moved").await;
    assert_eq!(moved, Ok(Moved::Done));
    make(&storage, &share, "after", long_deadline())
        .await
        .expect("a directory");
    // The call that failed had only begun to find the share. `nfs_client::fences` has calls that are late.
    assert_eq!(error.outcome, Outcome::NotDone);
    assert!(!server.export_dir().join("meanwhile").exists());
}

async fn a_client_that_is_idle_longer_than_the_lease_works_again_at_once(kind: Kind) {
    let (server, storage) = (kind.ganesha().with_lease(LEASE), client_as(0));
    let share = server.share("/export");
    make(&storage, &share, "before", long_deadline())
        .await
        .expect("a directory");
    until_the_lease_is_over().await;
    make(&storage, &share, "after", long_deadline())
        .await
        .expect("a directory");
}

async fn an_export_whose_directory_was_removed_is_missing_until_the_server_has_a_new_one(kind: Kind) {
    let (mut server, storage) = (kind.ganesha(), client_as(0));
    let share = server.share("/export");
    let made = make(&storage, &share, "before", long_deadline())
        .await
        .expect("a directory");
    std::fs::remove_dir_all(server.export_dir()).unwrap();
    let error = make(&storage, &share, "meanwhile", long_deadline()).await.unwrap_err();
    println!("{error}");
    assert_eq!(error.fault, Fault::ServerFault, "{error}");
    let words = "does not have the directory of this export";
    assert!(error.to_string().contains(words), "{error}");
    // A missing export is no missing directory: a cleanup must not take it for one.
    let found = storage.look_up(&share, &directory("before"), long_deadline()).await;
    println!("{found:?}");
    assert_eq!(found.unwrap_err().fault, Fault::ServerFault);
    let moved = rename(&storage, &share, "before", made.identity, "moved").await;
    assert_eq!(moved.unwrap_err().fault, Fault::ServerFault);
    // The server makes the directories of its exports when it starts.
    server.kill();
    server.restart();
    make(&storage, &share, "after", long_deadline())
        .await
        .expect("a directory");
    assert!(server.export_dir().join("after").is_dir());
}
