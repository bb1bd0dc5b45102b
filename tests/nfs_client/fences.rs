//! Session fencing: calls that may take effect late are fenced, also those of a crashed process. A fence that cannot be
//! confirmed does not block for ever.

use std::time::Duration;

use bindery::storage::{Existing, Fault, Outcome, Storage};
use tokio::time::Instant;

use super::outages::{short_deadline, until_relay_matched};
use super::{directory, long_deadline, make, mode};
use crate::support::kind::{Kind, options, test_for};
use crate::support::relay::{Action, Relay};
use crate::support::wait::{eventually, scaled};
use bindery::storage::nfs::NfsStorage;

// With minor version 2, whose calls the relay recognizes here.
test_for!([v4, knfsd, ceph] {
    an_unconfirmed_fence_is_abandoned_and_delays_no_other_server,
    an_abandoned_call_is_fenced_without_another_verb,
    read_only_calls_and_tree_removals_leave_no_fence,
    late_calls_of_a_crashed_process_end_when_its_successor_connects,
    idle_sessions_forgotten_by_the_server_cause_no_error,
    idle_sessions_are_closed_before_their_lease_expires,
});

const BADSESSION: u32 = 10052;
const SERVERFAULT: u32 = 10006;
/// The first bytes of COMPOUNDs of minor version 2 with `BIND_CONN_TO_SESSION`, which begins a fence, and with
/// `DESTROY_SESSION`.
const BIND: &str = "\0\0\0\x02\0\0\0\x01\0\0\0\x29";
const DESTROY: &str = "\0\0\0\x02\0\0\0\x01\0\0\0\x2c";

/// Returns an `NFSv4` client: only version 4 has fences.
fn client() -> NfsStorage {
    NfsStorage::new(options(0))
}

async fn an_unconfirmed_fence_is_abandoned_and_delays_no_other_server(kind: Kind) {
    for (pattern, action) in [(BIND, Action::SendLate), (DESTROY, Action::Answer(SERVERFAULT))] {
        let limit = scaled(Duration::from_secs(2));
        let (server, other) = (kind.restartable(), kind.restartable());
        let client = client().with_longest_fence(limit);
        let relay = Relay::to(&*server);
        let share = relay.share("/export");
        let name = directory("late-one");
        relay.plan("late-one", 0, 1, Action::SendLate);
        let deadline = short_deadline();
        let stuck = client.make(&share, &name, mode(0o777), Existing::SetAttributes, deadline);
        let unconfirmed = async {
            until_relay_matched(&relay, 1).await;
            relay.plan(pattern, 0, 1000, action);
        };
        let (stuck, ()) = tokio::join!(stuck, unconfirmed);
        assert_eq!(stuck.unwrap_err().outcome, Outcome::Unknown);

        let error = client.look_up(&share, &name, short_deadline()).await.unwrap_err();
        assert_eq!((error.fault, error.outcome), (Fault::TimedOut, Outcome::NotDone));
        assert_eq!(
            error.to_string(),
            format!(
                "cannot look up directory late-one on {share}: an earlier call got no answer and must first be fenced off, \
                 so that it does not take effect late; {}:2049 did not confirm that in time. Check that the NFS server runs \
                 there. If it never runs again, Bindery stops waiting after its lease, 90 s on most servers.",
                share.server()
            )
        );
        assert!(make(&client, &other.share("/export"), "a").await.unwrap().new);
        assert!(
            Instant::now() < deadline + limit,
            "this machine is too slow for the test"
        );

        assert_eq!(client.look_up(&share, &name, long_deadline()).await, Ok(None));
        assert!(
            Instant::now() >= deadline + limit,
            "the call did not wait for the fence"
        );
    }
}

async fn an_abandoned_call_is_fenced_without_another_verb(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    relay.plan("late-one", 0, 1, Action::SendLate);
    let name = directory("late-one");
    let made = client.make(&share, &name, mode(0o777), Existing::SetAttributes, short_deadline());
    assert_eq!(made.await.unwrap_err().outcome, Outcome::Unknown);
    relay.plan(DESTROY, 0, 1, Action::DropAnswer);
    until_relay_matched(&relay, 2).await;
    assert_late_calls_refused(&relay.send_late_calls(), 1);
    assert!(!server.export_dir().join("late-one").exists());
}

async fn read_only_calls_and_tree_removals_leave_no_fence(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    make(&client, &share, "tree").await.unwrap();
    // The name of a file occurs only in its REMOVE.
    std::fs::write(server.export_dir().join("tree/inside"), "").unwrap();
    for (matched, name) in [(1, "nothing"), (2, "inside")] {
        relay.plan(name, 0, 1, Action::SendLate);
        let deadline = Instant::now() + scaled(Duration::from_secs(1));
        let stuck = async {
            if name == "inside" {
                client.remove_tree(&share, &directory("tree"), deadline).await.map(drop)
            } else {
                client.look_up(&share, &directory(name), deadline).await.map(drop)
            }
        };
        let unconfirmed = async {
            until_relay_matched(&relay, matched).await;
            relay.plan(BIND, 0, 1000, Action::SendLate);
        };
        let (stuck, ()) = tokio::join!(stuck, unconfirmed);
        assert_eq!(stuck.unwrap_err().fault, Fault::TimedOut);
        assert!(make(&client, &share, &format!("after-{name}")).await.unwrap().new);
        assert_eq!(relay.matched(), matched, "a fence was tried");
    }
}

async fn late_calls_of_a_crashed_process_end_when_its_successor_connects(kind: Kind) {
    // The runtimes of both processes end in it, which needs a thread without a runtime.
    let test = tokio::task::spawn_blocking(move || late_calls_of_a_crashed_process(kind));
    test.await.expect("the test succeeds");
}

fn late_calls_of_a_crashed_process(kind: Kind) {
    let server = kind.restartable();
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    let new_runtime = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime")
    };
    relay.plan("late-", 0, 3, Action::SendLate);
    let crashed = new_runtime();
    crashed.block_on(async {
        let client = client();
        let names: Vec<_> = (0..3).map(|number| directory(&format!("late-{number}"))).collect();
        let stuck = names
            .iter()
            .map(|name| client.make(&share, name, mode(0o777), Existing::SetAttributes, long_deadline()));
        tokio::select! {
            end = futures::future::join_all(stuck) => panic!("{end:?}"),
            () = until_relay_matched(&relay, 3) => {}
        }
        // No more calls reach the server, so no fence can be completed.
        relay.plan(BIND, 0, 1000, Action::SendLate);
    });
    drop(crashed);
    let fences = relay.matched() - 3;
    // One session of the successor is enough.
    new_runtime().block_on(async {
        assert_eq!(
            client().look_up(&share, &directory("late-0"), long_deadline()).await,
            Ok(None)
        );
    });
    assert_late_calls_refused(&relay.send_late_calls()[..3], 3);
    assert_eq!(relay.matched(), 3 + fences);
    assert_eq!(std::fs::read_dir(server.export_dir()).unwrap().count(), 0);
}

async fn idle_sessions_forgotten_by_the_server_cause_no_error(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    let names: Vec<_> = (0..16).map(|number| format!("before-{number}")).collect();
    let made = futures::future::join_all(names.iter().map(|name| make(&client, &share, name))).await;
    assert!(made.into_iter().all(|made| made.unwrap().new));
    assert!(
        relay.connections() >= 12,
        "they did not run at the same time: nothing was tested"
    );
    relay.forget_sessions();
    assert!(make(&client, &share, "after").await.unwrap().new);
}

async fn idle_sessions_are_closed_before_their_lease_expires(kind: Kind) {
    let server = kind.restartable();
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    let client = NfsStorage::new(options(0));
    make(&client, &share, "a").await.unwrap();
    assert_eq!(relay.open(), 1);
    relay.plan(DESTROY, 0, 1, Action::Answer(0));
    eventually("the session is closed", async || (relay.open() == 0).then_some(())).await;
    assert_eq!(relay.matched(), 1, "the server received no call");
    assert!(make(&client, &share, "b").await.unwrap().new);
}

/// Asserts that the server has answered BADSESSION to each of these calls.
fn assert_late_calls_refused(answers: &[Vec<u8>], calls: usize) {
    assert_eq!(answers.len(), calls);
    let refused = BADSESSION.to_be_bytes();
    for answer in answers {
        assert!(
            answer.windows(4).any(|word| word == refused),
            "the late call got {answer:?}"
        );
    }
}
