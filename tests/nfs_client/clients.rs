//! All sessions on a server belong to one NFS client, which a clean stop of the process removes from the server.

use std::time::Duration;

use bindery::storage::nfs::NfsStorage;
use bindery::storage::{Existing, Outcome, Storage};
use futures::future::join_all;

use super::outages::{short_deadline, until_relay_matched};
use super::{directory, long_deadline, make, mode};
use crate::support::kind::{Kind, options, test_for};
use crate::support::relay::{Action, Relay};
use crate::support::wait::eventually;

// With minor version 2, whose calls the relay recognizes here.
test_for!([v4, knfsd, ceph] {
    parallel_sessions_share_one_client_id_also_after_a_server_restart,
    a_create_session_without_answer_is_sent_again,
    a_hung_create_session_does_not_hold_a_verb_until_its_deadline,
    a_client_is_destroyed_with_its_last_fenced_session,
    a_clean_stop_destroys_the_client_on_the_server,
    a_clean_stop_fences_calls_without_an_answer,
    a_call_whose_fence_was_abandoned_takes_no_effect_after_the_next_verb,
});

const BADSESSION: u32 = 10052;
/// The first bytes of COMPOUNDs of minor version 2, by their first operation.
const BIND: &str = "\0\0\0\x02\0\0\0\x01\0\0\0\x29";
const EXCHANGE_ID: &str = "\0\0\0\x02\0\0\0\x01\0\0\0\x2a";
const CREATE_SESSION: &str = "\0\0\0\x02\0\0\0\x01\0\0\0\x2b";
const DESTROY_CLIENTID: &str = "\0\0\0\x02\0\0\0\x01\0\0\0\x39";

fn client() -> NfsStorage {
    NfsStorage::new(options(0))
}

/// Counts the calls with this pattern, and lets them pass.
fn count(relay: &Relay, pattern: &str) {
    relay.stop_holding();
    relay.plan(pattern, 0, 1000, Action::Hold);
}

async fn parallel_sessions_share_one_client_id_also_after_a_server_restart(kind: Kind) {
    let (mut server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    count(&relay, EXCHANGE_ID);
    for round in 1..=3 {
        let before = relay.connections();
        let names: Vec<_> = (0..16).map(|number| format!("{round}-{number}")).collect();
        let made = join_all(names.iter().map(|name| make(&client, &share, name))).await;
        assert!(made.into_iter().all(|made| made.unwrap().new));
        assert!(
            relay.connections() >= before + 12,
            "they did not run at the same time: nothing was tested"
        );
        assert_eq!(relay.matched(), round);
        server.kill();
        server.restart();
    }
}

async fn a_create_session_without_answer_is_sent_again(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    // First for the first session of the client, then for another one.
    for (round, calls, action) in [(1, 3, Action::DropAnswer), (2, 16, Action::DropCall)] {
        relay.plan(CREATE_SESSION, 0, 1, action);
        let names: Vec<_> = (0..calls).map(|number| format!("{round}-{number}")).collect();
        let made = join_all(names.iter().map(|name| make(&client, &share, name))).await;
        assert!(made.into_iter().all(|made| made.unwrap().new));
        assert_eq!(relay.matched(), round, "no call was dropped");
    }
}

async fn a_hung_create_session_does_not_hold_a_verb_until_its_deadline(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    relay.plan(EXCHANGE_ID, 0, 1, Action::SendLate);
    let made = tokio::join!(make(&client, &share, "a"), make(&client, &share, "b"));
    assert!(made.0.unwrap().new && made.1.unwrap().new);
    assert_eq!(relay.matched(), 1, "nothing hung");
}

async fn a_client_is_destroyed_with_its_last_fenced_session(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    relay.plan("late-one", 0, 1, Action::SendLate);
    let name = directory("late-one");
    let stuck = client.make(&share, &name, mode(0o777), Existing::SetAttributes, short_deadline());
    let stuck_and_counted = async {
        until_relay_matched(&relay, 1).await;
        count(&relay, DESTROY_CLIENTID);
    };
    let (stuck, ()) = tokio::join!(stuck, stuck_and_counted);
    assert_eq!(stuck.unwrap_err().outcome, Outcome::Unknown);
    eventually("the client is destroyed", async || (relay.matched() == 2).then_some(())).await;
}

async fn a_clean_stop_destroys_the_client_on_the_server(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    make(&client, &share, "a").await.unwrap();
    count(&relay, DESTROY_CLIENTID);
    client.shut_down().await;
    assert_eq!(relay.matched(), 1);
    eventually("the idle connections are closed", async || {
        (relay.open() == 0).then_some(())
    })
    .await;
    // A verb after the stop still works.
    assert!(make(&client, &share, "b").await.unwrap().new);
}

async fn a_clean_stop_fences_calls_without_an_answer(kind: Kind) {
    let (server, client) = (kind.restartable(), client());
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    relay.plan("late-one", 0, 1, Action::SendLate);
    let name = directory("late-one");
    let stuck = client.make(&share, &name, mode(0o777), Existing::SetAttributes, long_deadline());
    let left = async {
        until_relay_matched(&relay, 1).await;
        client.shut_down().await;
        assert_late_call_refused(&relay);
    };
    tokio::select! {
        end = stuck => panic!("{end:?}"),
        () = left => {}
    }
    assert!(!server.export_dir().join("late-one").exists());
}

async fn a_call_whose_fence_was_abandoned_takes_no_effect_after_the_next_verb(kind: Kind) {
    let (server, client) = (kind.restartable(), client().with_longest_fence(Duration::from_secs(1)));
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    relay.plan("late-one", 0, 1, Action::SendLate);
    let name = directory("late-one");
    let stuck = client.make(&share, &name, mode(0o777), Existing::SetAttributes, short_deadline());
    let unconfirmed = async {
        until_relay_matched(&relay, 1).await;
        relay.plan(BIND, 0, 1000, Action::SendLate);
    };
    let (stuck, ()) = tokio::join!(stuck, unconfirmed);
    assert_eq!(stuck.unwrap_err().outcome, Outcome::Unknown);
    assert_eq!(client.look_up(&share, &name, long_deadline()).await, Ok(None));
    assert_late_call_refused(&relay);
    assert!(!server.export_dir().join("late-one").exists());
}

/// Sends the late call, and asserts that the server answers BADSESSION.
fn assert_late_call_refused(relay: &Relay) {
    let answers = relay.send_late_calls();
    let refused = BADSESSION.to_be_bytes();
    assert!(
        answers[0].windows(4).any(|word| word == refused),
        "the late call got {:?}",
        answers[0]
    );
}
