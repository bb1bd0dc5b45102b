//! Servers that die, hang and restart: deadlines are kept, and reported results are true.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use bindery::model::attributes::Attributes;
use bindery::model::directory::NfsVersion;
use bindery::storage::{Existing, Fault, Moved, Outcome, Storage, Tree};
use tokio::time::Instant;

use super::{client, directory, identity, long_deadline, make, mode, mode_of};
use crate::support::kind::{Kind, test_for};
use crate::support::nfs::free_address;
use crate::support::relay::{Action, Relay};
use crate::support::wait::scaled;

test_for!([v4, v4_1, v3, knfsd, knfsd_v4_1, knfsd_v3, ceph, ceph_v4_1, ceph_v3] {
    a_server_restart_between_two_calls_causes_no_error,
    a_silent_server_fails_at_the_deadline_and_delays_no_other,
    calls_to_one_server_run_in_parallel,
    a_lost_answer_is_recovered,
    ; on_threads:
    results_reported_during_a_server_restart_match_its_disk,
});

// After a restart, the file handles of `embedded` belong to other files.
test_for!([embedded] {
    a_silent_server_fails_at_the_deadline_and_delays_no_other,
    calls_to_one_server_run_in_parallel,
    a_lost_answer_is_recovered,
});

/// Waits until the relay has handled so many calls.
pub async fn until_relay_matched(relay: &Relay, calls: usize) {
    let late = long_deadline();
    while relay.matched() < calls {
        assert!(Instant::now() < late, "no such call arrives");
        tokio::task::yield_now().await;
    }
}

pub fn short_deadline() -> Instant {
    Instant::now() + scaled(Duration::from_millis(300))
}

async fn a_server_restart_between_two_calls_causes_no_error(kind: Kind) {
    let (mut server, client) = (kind.restartable(), client());
    let share = server.share("/export");
    let first = make(&client, &share, "a").await.unwrap();
    for round in 0..3 {
        server.kill();
        server.restart();
        assert_eq!(identity(&client, &share, "a").await, first.identity);
        server.kill();
        server.restart();
        assert!(make(&client, &share, &format!("b{round}")).await.unwrap().new);
    }
    server.kill();
    let error = client
        .look_up(&share, &directory("a"), long_deadline())
        .await
        .unwrap_err();
    assert_eq!(
        (error.fault, error.outcome),
        (Fault::Unreachable, Outcome::NotDone),
        "{error}"
    );
}

async fn results_reported_during_a_server_restart_match_its_disk(kind: Kind) {
    let (mut server, client) = (kind.restartable(), std::sync::Arc::new(client()));
    let share = server.share("/export");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let makers: Vec<_> = (0..8)
        .map(|maker| {
            let (client, share, stopped) = (client.clone(), share.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut reports = Vec::new();
                while !*stopped.borrow() {
                    let name = format!("m{maker}-{}", reports.len());
                    let deadline = Instant::now() + scaled(Duration::from_millis(500));
                    let made = client
                        .make(
                            &share,
                            &directory(&name),
                            mode(0o1770),
                            Existing::SetAttributes,
                            deadline,
                        )
                        .await;
                    reports.push((name, made));
                }
                reports
            })
        })
        .collect();
    let export = server.export_dir();
    let count = || fs::read_dir(&export).unwrap().count();
    let mut reached = 0;
    for _ in 0..5 {
        // When the directory grows, calls are in progress.
        reached += 50;
        let late = long_deadline();
        while count() < reached {
            assert!(Instant::now() < late, "no directory is made any more");
            tokio::task::yield_now().await;
        }
        reached = count();
        server.kill();
        server.restart();
    }
    stop.send(true).unwrap();
    let mut done = 0;
    for maker in makers {
        for (name, made) in maker.await.unwrap() {
            let path = server.export_dir().join(&name);
            match made {
                Ok(_) => {
                    done += 1;
                    assert_eq!(mode_of(&path), 0o1770, "{name}");
                }
                Err(error) if error.outcome == Outcome::NotDone => assert!(!path.exists(), "{name}: {error}"),
                Err(error) => assert!(error.transient(), "{error}"),
            }
        }
    }
    assert!(done >= 200);
    assert!(make(&*client, &share, "after").await.unwrap().new);
}

async fn a_silent_server_fails_at_the_deadline_and_delays_no_other(kind: Kind) {
    let address = free_address();
    let _silent = TcpListener::bind((address, kind.first_port())).unwrap();
    let silent = kind.share(address, "/export");
    let (server, client) = kind.start();
    let deadline = Instant::now() + scaled(Duration::from_secs(3));
    let hung = async {
        let error = client
            .make(&silent, &directory("a"), mode(0o777), Existing::SetAttributes, deadline)
            .await
            .unwrap_err();
        (error, Instant::now())
    };
    let other = async {
        for number in 0..20 {
            assert!(
                make(&client, &server.share("/export"), &format!("d{number}"))
                    .await
                    .unwrap()
                    .new
            );
        }
        Instant::now()
    };
    let ((error, over), other_over) = tokio::join!(hung, other);
    assert!(other_over < deadline, "the other server was not served meanwhile");
    assert!(over >= deadline && over < deadline + scaled(Duration::from_secs(1)));
    assert_eq!((error.fault, error.outcome), (Fault::TimedOut, Outcome::NotDone));
    let reason = match kind.version() {
        NfsVersion::V4 => {
            format!("{address} did not open a session in time. Check that the NFS server runs and can be reached.")
        }
        NfsVersion::V3 => format!(
            "NFSv3 needs the portmapper of {address} on port 111, which did not answer in time. Check that the server is \
             up, that rpcbind runs there, and that the port is open to this host; or let Bindery use NFSv4 (nfsVersion \
             4), which needs port 2049 alone."
        ),
    };
    assert_eq!(
        error.to_string(),
        format!("cannot make directory a on {silent}: {reason}")
    );
}

async fn calls_to_one_server_run_in_parallel(kind: Kind) {
    let (server, client) = kind.start();
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    relay.plan("stuck-", 0, 8, Action::SendLate);
    let names: Vec<_> = (0..8).map(|number| directory(&format!("stuck-{number}"))).collect();
    let deadline = Instant::now() + scaled(Duration::from_secs(5));
    let stuck = names
        .iter()
        .map(|name| client.make(&share, name, mode(0o777), Existing::SetAttributes, deadline));
    let stuck = futures::future::join_all(stuck);
    let free = async {
        until_relay_matched(&relay, 8).await;
        make(&client, &share, "free").await.unwrap();
        Instant::now()
    };
    let (stuck, done) = tokio::join!(stuck, free);
    assert!(done < deadline, "the ninth call waited for the others");
    assert!(
        stuck
            .into_iter()
            .all(|made| made.unwrap_err().outcome == Outcome::Unknown)
    );
}

async fn a_lost_answer_is_recovered(kind: Kind) {
    let (server, client) = kind.start();
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    let path = |name| server.export_dir().join(name);
    let owned = Attributes {
        mode: Some(0o2770),
        uid: Some(5),
        gid: Some(6),
    };

    relay.plan("mine", 0, 1, Action::DropAnswer);
    client
        .make(
            &share,
            &directory("mine"),
            owned,
            Existing::SetAttributes,
            long_deadline(),
        )
        .await
        .unwrap();
    assert_eq!((relay.matched(), mode_of(&path("mine"))), (1, 0o2770));

    // The directory does not exist at first: the first call looks it up, the second creates it.
    relay.plan("adopted", 1, 1, Action::DropAnswer);
    let made = client
        .make(
            &share,
            &directory("adopted"),
            owned,
            Existing::LeaveAlone,
            long_deadline(),
        )
        .await
        .unwrap();
    assert_eq!(
        (relay.matched(), made.new, mode_of(&path("adopted"))),
        (2, true, 0o2770)
    );

    // A directory of another owner is unchanged, whichever answer is lost.
    fs::create_dir(path("theirs")).unwrap();
    for skip in [0, 1] {
        relay.plan("theirs", skip, 1, Action::DropAnswer);
        let made = client
            .make(
                &share,
                &directory("theirs"),
                owned,
                Existing::LeaveAlone,
                long_deadline(),
            )
            .await
            .unwrap();
        assert_eq!((made.new, mode_of(&path("theirs"))), (false, 0o755));
    }
    assert_eq!(relay.matched(), 3);

    // Version 3 looks up the target before the rename.
    relay.plan(
        "moved",
        usize::from(kind.version() == NfsVersion::V3),
        1,
        Action::DropAnswer,
    );
    let (from, to, expected) = (
        directory("mine"),
        directory("moved"),
        identity(&client, &share, "mine").await,
    );
    assert_eq!(
        client.rename(&share, &from, expected, &to, long_deadline()).await,
        Ok(Moved::Done)
    );
    assert_eq!(
        (relay.matched(), path("mine").exists(), path("moved").exists()),
        (4, false, true)
    );

    fs::write(path("moved/file"), "").unwrap();
    relay.plan("file", 0, 1, Action::DropAnswer);
    assert_eq!(
        client.remove_tree(&share, &directory("moved"), long_deadline()).await,
        Ok(Tree::Gone)
    );
    assert_eq!((relay.matched(), path("moved").exists()), (5, false));
}
