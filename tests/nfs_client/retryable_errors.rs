//! Errors after which the client repeats a call: later, in another session, or with another minor version.

use bindery::storage::{Existing, Fault, Outcome, Storage};

use super::outages::short_deadline;
use super::{client, directory, make, mode, mode_of};
use crate::support::kind::{Kind, test_for};
use crate::support::nfs::Ganesha;
use crate::support::relay::{Action, Relay};

test_for!([v4, v4_1, embedded, knfsd, knfsd_v4_1, ceph, ceph_v4_1] {
    a_call_answered_with_delay_is_sent_again,
    a_call_answered_with_badsession_is_sent_again,
});

// Version 3 has no sessions.
test_for!([v3, knfsd_v3, ceph_v3] {
    a_call_answered_with_delay_is_sent_again,
});

const BADSESSION: u32 = 10052;
const DELAY: u32 = 10008;
const MINOR_VERS_MISMATCH: u32 = 10021;

async fn a_call_answered_with_delay_is_sent_again(kind: Kind) {
    let (server, client) = kind.start();
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    relay.plan("again", 0, 3, Action::Answer(DELAY));
    assert!(make(&client, &share, "again").await.unwrap().new);
    assert_eq!(relay.matched(), 3);
    relay.plan("never", 0, 1000, Action::Answer(DELAY));
    let error = client
        .make(
            &share,
            &directory("never"),
            mode(0o777),
            Existing::SetAttributes,
            short_deadline(),
        )
        .await
        .unwrap_err();
    assert_eq!((error.fault, error.outcome), (Fault::Busy, Outcome::NotDone));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot make directory never on {share}: {} asked to try again later until the deadline ({}). It is busy or has \
             just started; or an unreachable client holds a delegation, which ends with that client's lease, after 90 s on \
             most servers.",
            share.server(),
            kind.status("DELAY")
        )
    );
}

async fn a_call_answered_with_badsession_is_sent_again(kind: Kind) {
    let (server, client) = kind.start();
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    relay.plan("again", 0, 3, Action::Answer(BADSESSION));
    assert!(make(&client, &share, "again").await.unwrap().new);
    assert_eq!(relay.matched(), 3);
    relay.plan("forgotten", 0, 1000, Action::Answer(BADSESSION));
    let error = make(&client, &share, "forgotten").await.unwrap_err();
    assert_eq!((error.fault, error.outcome), (Fault::Busy, Outcome::NotDone));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot make directory forgotten on {share}: {} forgets the sessions that it has just opened \
             (NFS4ERR_BADSESSION). It restarts repeatedly, or another Bindery uses the same name.",
            share.server()
        )
    );
}

#[tokio::test]
async fn without_minor_version_2_the_client_uses_1_and_without_both_the_error_says_so() {
    let server = Ganesha::start();
    let relay = Relay::to(&server);
    let share = relay.share("/export");
    // The name of this client occurs only in EXCHANGE_ID.
    let exchange = "bindery test ";
    relay.plan(exchange, 0, 1, Action::Answer(MINOR_VERS_MISMATCH));
    assert!(make(&client(), &share, "a").await.unwrap().new);
    relay.plan(exchange, 0, 2, Action::Answer(MINOR_VERS_MISMATCH));
    let error = make(&client(), &share, "b").await.unwrap_err();
    assert_eq!(
        (error.fault, error.outcome, relay.matched()),
        (Fault::Other, Outcome::NotDone, 3)
    );
    assert_eq!(
        error.to_string(),
        format!(
            "cannot make directory b on {share}: {} supports neither NFSv4.2 nor NFSv4.1. Enable one there, or set \
             nfsVersion: \"3\" in the StorageClass.",
            share.server()
        )
    );
}

/// Here the status comes from a server that supports only 4.1, not from the relay.
#[tokio::test]
async fn a_server_with_minor_version_1_only_gets_one_attempt_with_2() {
    let server = Ganesha::start_v4_1();
    let relay = Relay::to(&server);
    relay.stop_holding();
    // A COMPOUND with EXCHANGE_ID only. The relay counts these calls, and lets them continue at once.
    let exchanges = |minor: u8| {
        let before = relay.matched();
        let call = format!("\0\0\0{}\0\0\0\x01\0\0\0\x2a", char::from(minor));
        relay.plan(&call, 0, 1000, Action::Hold);
        let (relay, share) = (&relay, relay.share("/export"));
        async move {
            let name = format!("d{minor}");
            assert!(make(&client(), &share, &name).await.unwrap().new);
            relay.matched() - before
        }
    };
    assert_eq!(exchanges(2).await, 1);
    // At least one: the client may ask again because of an earlier process with its name.
    assert!(exchanges(1).await >= 1);
    assert_eq!(mode_of(&server.export_dir().join("d1")), 0o777);
}
