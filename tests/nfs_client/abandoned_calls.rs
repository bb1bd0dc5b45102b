//! Calls that the client has abandoned take no effect after the next verb has begun.

use bindery::storage::{Existing, Fault, Outcome, Storage};

use super::outages::{short_deadline, until_relay_matched};
use super::{client, directory, long_deadline, make, mode};
use crate::support::kind::{Kind, test_for};
use crate::support::relay::{Action, Relay};

test_for!([v4, v4_1, knfsd, knfsd_v4_1, ceph, ceph_v4_1] {
    an_abandoned_call_takes_no_effect_after_the_next_verb_began,
    a_call_whose_caller_was_dropped_is_fenced,
    a_frozen_server_executes_late_calls_before_the_next_verb_or_never,
});

// `embedded` cannot be frozen. Version 3 has no sessions: its late calls are tested in `version_3`.
test_for!([embedded] {
    an_abandoned_call_takes_no_effect_after_the_next_verb_began,
    a_call_whose_caller_was_dropped_is_fenced,
});

const BADSESSION: u32 = 10052;

async fn an_abandoned_call_takes_no_effect_after_the_next_verb_began(kind: Kind) {
    let (server, client) = kind.start();
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    relay.plan("late-one", 0, 1, Action::SendLate);
    let made = client
        .make(
            &share,
            &directory("late-one"),
            mode(0o777),
            Existing::SetAttributes,
            short_deadline(),
        )
        .await;
    let error = made.unwrap_err();
    assert_eq!((error.fault, error.outcome), (Fault::TimedOut, Outcome::Unknown));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot make directory late-one on {share}: {} did not answer in time. Check that the NFS server and its disks \
             work. All or a part of it may have been done.",
            share.server()
        )
    );
    // The next verb sees that the call had no effect, and can rely on that.
    assert_eq!(
        client.look_up(&share, &directory("late-one"), long_deadline()).await,
        Ok(None)
    );
    let answers = relay.send_late_calls();
    assert_eq!(answers.len(), 1);
    let refused = BADSESSION.to_be_bytes();
    assert!(
        answers[0].windows(4).any(|word| word == refused),
        "the late call got {:?}",
        answers[0]
    );
    assert!(!server.export_dir().join("late-one").exists());
}

async fn a_call_whose_caller_was_dropped_is_fenced(kind: Kind) {
    let (server, client) = kind.start();
    let relay = Relay::to(&*server);
    let share = relay.share("/export");
    relay.plan("late-one", 0, 1, Action::SendLate);
    {
        let name = directory("late-one");
        let make = client.make(&share, &name, mode(0o777), Existing::SetAttributes, long_deadline());
        let late = async {
            until_relay_matched(&relay, 1).await;
        };
        tokio::select! {
            end = make => panic!("{end:?}"),
            () = late => {}
        }
    }
    assert_eq!(
        client.look_up(&share, &directory("late-one"), long_deadline()).await,
        Ok(None)
    );
    relay.send_late_calls();
    assert!(!server.export_dir().join("late-one").exists());
}

async fn a_frozen_server_executes_late_calls_before_the_next_verb_or_never(kind: Kind) {
    let (mut server, client) = (kind.restartable(), client());
    let share = server.share("/export");
    make(&client, &share, "first").await.unwrap();
    for round in 0..10 {
        let name = format!("late-{round}");
        server.freeze();
        let made = client
            .make(
                &share,
                &directory(&name),
                mode(0o777),
                Existing::SetAttributes,
                short_deadline(),
            )
            .await;
        server.thaw();
        assert_eq!(made.unwrap_err().fault, Fault::TimedOut);
        let found = client
            .look_up(&share, &directory(&name), long_deadline())
            .await
            .unwrap();
        make(&client, &share, &format!("after-{round}")).await.unwrap();
        assert_eq!(server.export_dir().join(&name).exists(), found.is_some());
    }
}
