//! The files of a tree are counted as `find` and `du` count them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bindery::model::directory::{NfsVersion, Share};
use bindery::model::identity::Identity;
use bindery::storage::{Measured, Measurement, Pace, Storage, Used};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{chmod, chown_to, client, directory, identity, long_deadline};
use crate::support::kind::{Kind, client_as, test_for};
use crate::support::mount::Mount;
use crate::support::nfs::Ganesha;
use crate::support::wait::scaled;

test_for!([v4, v4_1, v3, knfsd, knfsd_v4_1, knfsd_v3] {
    the_files_and_the_blocks_of_a_tree_are_counted,
    hard_links_count_once_and_symbolic_links_are_not_followed,
    holes_do_not_count,
    snapshots_are_not_counted,
    names_that_are_not_utf8_are_counted,
    a_deep_and_wide_tree_is_counted_in_many_calls,
    a_directory_that_is_replaced_or_missing_is_not_counted,
    a_tree_that_changes_is_counted_to_its_end,
    directories_that_the_client_may_not_read_are_reported,
});

// With a mount, the tests are root.
test_for!([mounted] {
    the_files_and_the_blocks_of_a_tree_are_counted,
    hard_links_count_once_and_symbolic_links_are_not_followed,
    holes_do_not_count,
    snapshots_are_not_counted,
    names_that_are_not_utf8_are_counted,
    a_deep_and_wide_tree_is_counted_in_many_calls,
    a_directory_that_is_replaced_or_missing_is_not_counted,
    a_tree_that_changes_is_counted_to_its_end,
});

// It is too slow for large trees, and has neither hard links nor holes.
test_for!([embedded] {
    a_directory_that_is_replaced_or_missing_is_not_counted,
});

/// Counts calls, and never waits.
#[derive(Default)]
struct Count(AtomicU64);

#[async_trait]
impl Pace for Count {
    async fn wait(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets this number of calls be sent, and no more.
struct AtMost(AtomicU64);

#[async_trait]
impl Pace for AtMost {
    async fn wait(&self) {
        let left = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn measure_all(client: &impl Storage, share: &Share, path: &str) -> Measured {
    let expected = identity(client, share, path).await;
    let measurement = Measurement::default();
    loop {
        let place = directory(path);
        let calls = Count::default();
        let measured = client.measure(share, &place, expected, &measurement, &calls, long_deadline());
        match measured.await.expect("the call succeeds") {
            Measured::Remains { answered: true } => {}
            measured => return measured,
        }
    }
}

/// Returns what a tree on this machine uses, with each file once. The tree itself does not count.
fn counted(tree: &Path) -> Used {
    fn add(directory: &Path, known: &mut Vec<u64>, used: &mut Used) {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let is = fs::symlink_metadata(&path).expect("an object");
            if is.nlink() > 1 && !is.is_dir() {
                if known.contains(&is.ino()) {
                    continue;
                }
                known.push(is.ino());
            }
            used.bytes += is.blocks() * 512;
            used.files += 1;
            if is.is_dir() {
                add(&path, known, used);
            }
        }
    }
    let mut used = Used::default();
    add(tree, &mut Vec::new(), &mut used);
    used
}

fn write(path: &Path, bytes: usize) {
    let mut file = File::create(path).expect("a file");
    file.write_all(&vec![7; bytes]).expect("written");
    // The blocks are allocated now.
    file.sync_all().expect("on the disk");
}

async fn the_files_and_the_blocks_of_a_tree_are_counted(kind: Kind) {
    let (server, client) = kind.start();
    let tree = server.export_dir().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::create_dir(tree.join("empty")).unwrap();
    write(&tree.join("small"), 1);
    write(&tree.join("a/large"), 300_000);
    write(&tree.join("a/b/other"), 5000);
    let measured = measure_all(&client, &server.share("/export"), "tree").await;
    let expected = counted(&tree);
    assert_eq!(expected.files, 6);
    assert!(expected.bytes > 300_000, "{expected:?}");
    assert_eq!(measured, Measured::Done(expected));
}

async fn hard_links_count_once_and_symbolic_links_are_not_followed(kind: Kind) {
    let (server, client) = kind.start();
    let tree = server.export_dir().join("tree");
    let elsewhere = server.export_dir().join("elsewhere");
    fs::create_dir_all(tree.join("a")).unwrap();
    fs::create_dir_all(elsewhere.join("many")).unwrap();
    write(&elsewhere.join("file"), 100_000);
    write(&tree.join("first"), 100_000);
    fs::hard_link(tree.join("first"), tree.join("second")).unwrap();
    fs::hard_link(tree.join("first"), tree.join("a/third")).unwrap();
    symlink(&elsewhere, tree.join("link")).unwrap();
    symlink("../elsewhere", tree.join("a/relative")).unwrap();
    let measured = measure_all(&client, &server.share("/export"), "tree").await;
    let expected = counted(&tree);
    // The file, the directory, and the two links.
    assert_eq!(expected.files, 4);
    assert!((100_000..200_000).contains(&expected.bytes), "{expected:?}");
    assert_eq!(measured, Measured::Done(expected));
}

async fn holes_do_not_count(kind: Kind) {
    let (server, client) = kind.start();
    let tree = server.export_dir().join("tree");
    fs::create_dir(&tree).unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    let measured = measure_all(&client, &server.share("/export"), "tree").await;
    let Measured::Done(used) = measured else {
        panic!("{measured:?}")
    };
    assert_eq!(used.files, 1);
    assert!(used.bytes < 1 << 20, "{used:?}");
}

async fn snapshots_are_not_counted(kind: Kind) {
    let (server, client) = kind.start();
    let tree = server.export_dir().join("tree");
    for snapshots in [".snapshot", ".zfs", "~snapshot", "a/.snapshot", ".snap"] {
        fs::create_dir_all(tree.join(snapshots).join("daily")).unwrap();
        write(&tree.join(snapshots).join("daily/file"), 100_000);
    }
    write(&tree.join("a/snapshot"), 10);
    let measured = measure_all(&client, &server.share("/export"), "tree").await;
    let Measured::Done(used) = measured else {
        panic!("{measured:?}")
    };
    assert_eq!(used.files, 2);
    assert!(used.bytes < 100_000, "{used:?}");
}

async fn names_that_are_not_utf8_are_counted(kind: Kind) {
    let (server, client) = kind.start();
    let tree = server.export_dir().join("tree");
    let odd = tree.join(OsStr::from_bytes(b"odd-\xff"));
    fs::create_dir_all(&odd).unwrap();
    write(&odd.join(OsStr::from_bytes(b"\xfe")), 10);
    let measured = measure_all(&client, &server.share("/export"), "tree").await;
    assert_eq!(measured, Measured::Done(counted(&tree)));
}

async fn a_deep_and_wide_tree_is_counted_in_many_calls(kind: Kind) {
    let (server, client) = kind.start();
    let tree = server.export_dir().join("tree");
    for number in 0..2500 {
        let place = tree.join(format!("d{}", number % 50));
        fs::create_dir_all(&place).unwrap();
        File::create(place.join(format!("a-name-that-is-not-short-{number}"))).unwrap();
    }
    for number in 0..1500 {
        File::create(tree.join(format!("file-{number}"))).unwrap();
    }
    let mut deep = tree.join("deep");
    // Deeper than the directories that a mount keeps open.
    for number in 0..100 {
        fs::create_dir_all(deep.join("beside")).unwrap();
        File::create(deep.join(format!("file-{number}"))).unwrap();
        deep.push("d");
    }
    let share = server.share("/export");
    let expected = identity(&client, &share, "tree").await;
    let measurement = Measurement::default();
    let (place, mut rounds) = (directory("tree"), 0);
    let measured = loop {
        // Each call of the verb ends at any point, and the next one continues there.
        let calls = AtMost(AtomicU64::new(40));
        let soon = Instant::now() + scaled(Duration::from_millis(150));
        let measured = client.measure(&share, &place, expected, &measurement, &calls, soon);
        rounds += 1;
        match measured.await {
            Ok(Measured::Remains { .. }) => {}
            // The machine was busy, and the deadline came before the answer.
            Err(error) if error.unanswered() => {}
            measured => break measured,
        }
    };
    let on_disk = counted(&tree);
    assert_eq!(measured, Ok(Measured::Done(on_disk)));
    assert!((5..on_disk.files / 40).contains(&rounds), "{rounds} rounds");
}

async fn a_directory_that_is_replaced_or_missing_is_not_counted(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    super::make(&client, &share, "tree/a").await.unwrap();
    let now = identity(&client, &share, "tree").await;
    let before = Identity {
        fileid: !now.fileid,
        ..now
    };
    let measure = async |path: &str, expected: Identity| {
        let measurement = Measurement::default();
        let calls = Count::default();
        let place = directory(path);
        let measured = client.measure(&share, &place, expected, &measurement, &calls, long_deadline());
        measured.await.expect("the call succeeds")
    };
    assert_eq!(measure("tree", before).await, Measured::Another(now));
    assert_eq!(measure("nothing", now).await, Measured::Missing);
    assert!(matches!(measure("tree", now).await, Measured::Done(used) if used.files == 1));
    let (measurement, soon) = (Measurement::default(), Instant::now() + Duration::from_millis(50));
    let (place, never) = (directory("tree"), AtMost(AtomicU64::new(0)));
    let waiting = client.measure(&share, &place, now, &measurement, &never, soon);
    assert_eq!(waiting.await, Ok(Measured::Remains { answered: false }));
}

/// Removes and creates directories of a tree before each call.
struct Change<'a> {
    tree: &'a Path,
    calls: AtomicU64,
}

#[async_trait]
impl Pace for Change<'_> {
    async fn wait(&self) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if call < 40 {
            let _ = fs::remove_dir_all(self.tree.join(format!("d{call}")));
            let _ = fs::rename(
                self.tree.join(format!("d{}/in", call + 41)),
                self.tree.join(format!("moved-{call}")),
            );
        }
    }
}

async fn a_tree_that_changes_is_counted_to_its_end(kind: Kind) {
    let (server, client) = kind.start();
    let tree = server.export_dir().join("tree");
    for number in 0..90 {
        fs::create_dir_all(tree.join(format!("d{number}/in/er"))).unwrap();
        File::create(tree.join(format!("d{number}/in/file"))).unwrap();
    }
    let share = server.share("/export");
    let expected = identity(&client, &share, "tree").await;
    let calls = Change {
        tree: &tree,
        calls: AtomicU64::default(),
    };
    let measurement = Measurement::default();
    let measured = loop {
        let place = directory("tree");
        let measured = client.measure(&share, &place, expected, &measurement, &calls, long_deadline());
        match measured.await {
            Ok(Measured::Remains { answered: true }) => {}
            measured => break measured,
        }
    };
    let Ok(Measured::Done(used)) = measured else {
        panic!("{measured:?}")
    };
    assert!((100..=400).contains(&used.files), "{used:?}");
}

/// Restarts the server before some calls. It does not know its earlier file handles any more.
struct Forget {
    server: Mutex<Ganesha>,
    before: &'static [u64],
    calls: AtomicU64,
}

#[async_trait]
impl Pace for Forget {
    async fn wait(&self) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.before.contains(&call) {
            let mut server = self.server.lock();
            server.kill();
            server.export_id += 10;
            server.restart();
        }
    }
}

/// Asserts that nothing is left out if a server forgets handles again and again.
async fn forgotten_handles_are_looked_up_again(kind: Kind) {
    let (server, client) = (kind.ganesha(), client_as(0));
    let tree = server.export_dir().join("tree");
    for number in 0..30 {
        fs::create_dir_all(tree.join(format!("a/b/wide/{number}/in"))).unwrap();
    }
    let share = server.share("/export");
    let expected = identity(&client, &share, "tree").await;
    let on_disk = counted(&tree);
    let calls = Forget {
        server: Mutex::new(server),
        // Each directory in the wide one needs four calls.
        before: &[21, 42, 63],
        calls: AtomicU64::default(),
    };
    let (place, measurement) = (directory("tree"), Measurement::default());
    let measured = loop {
        let measured = client.measure(&share, &place, expected, &measurement, &calls, long_deadline());
        match measured.await.expect("the call succeeds") {
            Measured::Remains { answered: true } => {}
            measured => break measured,
        }
    };
    assert_eq!(measured, Measured::Done(on_disk));
}

#[tokio::test]
async fn handles_that_a_server_forgets_again_and_again_are_looked_up_with_version_4() {
    forgotten_handles_are_looked_up_again(Kind::V4).await;
}

#[tokio::test]
async fn handles_that_a_server_forgets_again_and_again_are_looked_up_with_version_3() {
    forgotten_handles_are_looked_up_again(Kind::V3).await;
}

async fn directories_that_the_client_may_not_read_are_reported(kind: Kind) {
    let (server, _) = kind.start();
    let tree = server.export_dir().join("tree");
    fs::create_dir_all(tree.join("open/in")).unwrap();
    fs::create_dir_all(tree.join("closed/in/er")).unwrap();
    for path in ["closed", "open"] {
        chown_to(&tree.join(path), 2000);
    }
    chmod(&tree.join("closed"), 0o700);
    let client = client_as(1000);
    let measured = measure_all(&client, &server.share("/export"), "tree").await;
    let Measured::Done(used) = measured else {
        panic!("{measured:?}")
    };
    assert_eq!((used.files, used.unread), (3, 1));
}

/// Asserts that a file system mounted in a tree is not counted.
async fn other_file_systems_are_left_out(version: NfsVersion) {
    let mut server = Ganesha::start_v3();
    let tree = server.export_dir().join("tree");
    fs::create_dir_all(tree.join("mounted")).unwrap();
    write(&tree.join("file"), 10_000);
    let expected = counted(&tree).bytes;
    server.kill();
    server.mount(&tree.join("mounted"));
    server.restart();
    let inside = server.through_proc(&tree.join("mounted"));
    fs::create_dir_all(inside.join("deep/er")).unwrap();
    let share = server.share("/export").over(version);
    let measured = measure_all(&client(), &share, "tree").await;
    let Measured::Done(used) = measured else {
        panic!("{measured:?}")
    };
    assert!(used.files <= 2 && used.bytes <= expected, "{used:?}");
}

#[tokio::test]
async fn another_file_system_in_the_tree_is_not_counted_with_version_4() {
    other_file_systems_are_left_out(NfsVersion::V4).await;
}

#[tokio::test]
async fn another_file_system_in_the_tree_is_not_counted_with_version_3() {
    other_file_systems_are_left_out(NfsVersion::V3).await;
}

#[tokio::test]
async fn another_file_system_in_the_tree_is_not_counted_on_a_mount() {
    let mount = Mount::memory();
    let tree = mount.path().join("tree");
    for name in ["memory", "bind", "own"] {
        fs::create_dir_all(tree.join(name)).unwrap();
    }
    write(&tree.join("own/file"), 10_000);
    let outside = mount.path().join("outside");
    fs::create_dir_all(outside.join("many/more")).unwrap();
    let memory = Mount::memory_on(&tree.join("memory"), "mode=755");
    fs::create_dir(memory.path().join("inside")).unwrap();
    // A bind mount of the same file system has the same number.
    let bind = Mount::bind(&outside, &tree.join("bind"));
    let client = client().with_mounted(mount.storage());
    let measured = measure_all(&client, &Mount::share("/export"), "tree").await;
    drop((memory, bind));
    let Measured::Done(used) = measured else {
        panic!("{measured:?}")
    };
    assert_eq!(used.files, 2, "{used:?}");
}
