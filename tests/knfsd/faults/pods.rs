//! A pod's NFS client, the one of the Linux kernel, at work in a directory while Bindery archives and deletes it.

use bindery::model::directory::NfsVersion;
use bindery::storage::{Moved, Storage, Tree};
use tokio::time::Instant;

use super::client::{Client, directory, reset, stop_pod};
use crate::support::{LATE, in_guest, share};
use crate::wait::eventually_within;

/// Starts the program of a pod, on a mount of the directory `claim`. It keeps a file open and its working directory there.
/// In each round it writes to the open file, creates a file, lists its working directory, lists the mount and reads the open
/// file by its name. `/tmp/pod.log` has a line for each round.
fn start(version: &str) {
    in_guest(&format!(
        r#"pod start; mkdir -p /mnt/claim
nsenter --net=/run/netns/pod mount -t nfs -o vers={version} 10.9.0.1:/srv/ext4/share/claim /mnt/claim
cat >/tmp/pod.program <<'END'
cd /mnt/claim
exec 5>open
result() {{ sed -n 's/.*: \([A-Z][A-Za-z ]*\)$/\1/p' | tail -n 1; }}
round=0
while sleep 0.2; do
  round=$((round + 1))
  write=$(echo x | dd conv=notrunc,fsync 2>&1 >&5 | result)
  create=$({{ : >new-$round; }} 2>&1 | result)
  list=$(ls . 2>&1 >/dev/null | result)
  mount=$(ls /mnt/claim 2>&1 >/dev/null | result)
  read=$(cat open 2>&1 >/dev/null | result)
  echo "$round|${{write:-ok}}|${{create:-ok}}|${{list:-ok}}|${{mount:-ok}}|${{read:-ok}}" >>/tmp/pod.log
done
END
: >/tmp/pod.log
setsid bash /tmp/pod.program </dev/null >/dev/null 2>&1 &
echo $! >/run/pod.program.pid"#
    ));
}

/// Returns the results of a round that began after this call: write, create, list, mount, read.
async fn round() -> Vec<String> {
    let rounds = || -> usize { in_guest("wc -l </tmp/pod.log").parse().expect("a number") };
    let before = rounds();
    // The next line may be of a round that is in progress.
    eventually_within(LATE, "two more rounds of the pod", async || {
        (rounds() >= before + 2).then_some(())
    })
    .await;
    let line = in_guest("tail -n 1 /tmp/pod.log");
    line.split('|').skip(1).map(str::to_owned).collect()
}

async fn until_round(wanted: [&str; 5]) {
    let mut last = Vec::new();
    let mut tries = 0;
    while last != wanted {
        assert!(tries < 20, "{last:?}");
        tries += 1;
        last = round().await;
    }
}

const OK: &str = "ok";
const STALE: &str = "Stale file handle";
const MISSING: &str = "No such file or directory";

/// Returns what the pod sees after the directory was deleted.
async fn archive_and_delete(version: &str, client: &Client, nfs: NfsVersion) {
    reset();
    let share = share("ext4", "share").over(nfs);
    let made = client.make(&share, "claim").await.expect("a directory");
    start(version);
    eventually_within(LATE, "the pod works", async || {
        (in_guest("wc -l </tmp/pod.log") != "0").then_some(())
    })
    .await;
    assert_eq!(round().await, [OK; 5]);

    let archived = client.rename(&share, "claim", made.identity, "archive").await;
    assert_eq!(archived, Ok(Moved::Done));
    assert_eq!(round().await, [OK; 5], "the pod sees nothing of the move");
    let files = || -> usize {
        in_guest("ls /srv/ext4/share/archive | wc -l")
            .parse()
            .expect("a number")
    };
    let before = files();
    round().await;
    assert!(files() > before, "new files of the pod are in the archive");

    // The pod creates files as fast as they are removed, for a moment.
    let deadline = Instant::now() + LATE;
    let removed = client
        .storage
        .remove_tree(&share, &directory("archive"), deadline)
        .await;
    assert_eq!(removed, Ok(Tree::Gone));
    let write = match version {
        // A file that is open in version 4 stays on the server until it is closed.
        "4.2" | "4.1" => OK,
        _ => STALE,
    };
    until_round([write, MISSING, STALE, STALE, MISSING]).await;
    assert_eq!(
        in_guest("ls -A /srv/ext4/share | grep -v ^pod- || true"),
        "",
        "nothing comes back"
    );
    stop_pod();
}

#[tokio::test]
async fn a_pod_goes_on_in_an_archived_directory_and_gets_errors_in_a_deleted_one() {
    for (version, nfs) in [("4.2", NfsVersion::V4), ("4.1", NfsVersion::V4), ("3", NfsVersion::V3)] {
        archive_and_delete(version, &Client::new("at-work"), nfs).await;
    }
}
