//! What Bindery says about the refusals of this server, in every version that it speaks.

use bindery::model::directory::NfsVersion;
use bindery::storage::{Fault, Outcome, Removed, Storage, StorageError, Tree};
use tokio::time::Instant;

use super::client::{Client, SOON, VERSIONS, directory, reset, restart, start_pod, stop_pod};
use crate::support::{LATE, in_guest, share};

/// Asserts the kind of an error, and that its message contains these words.
fn assert_says(error: &StorageError, fault: Fault, words: &str) {
    println!("{error}");
    assert_eq!(error.fault, fault, "{error}");
    assert!(error.to_string().contains(words), "{error}\nlacks\n{words}");
}

#[tokio::test]
async fn a_secure_export_is_served_from_a_low_port_and_its_refusal_names_the_port() {
    reset();
    in_guest("exports add /srv/ext4/secure secure");
    for version in VERSIONS {
        let share = share("ext4", "secure").over(version);
        Client::new("low").make(&share, "a").await.expect("a directory");
        let error = Client::unprivileged("high").make(&share, "b").await.unwrap_err();
        let advice = "Bindery came from a source port above 1023, which many exports reject: set the sysctl \
                      net.ipv4.ip_unprivileged_port_start=0 for its pod, or export with insecure.";
        assert_says(&error, Fault::NoSuchShare, advice);
        // Version 4 has a status for it. In version 3, mountd says the same about a share that is not exported.
        let names_the_port_first = error.cause.contains(&format!("). {advice}"));
        assert_eq!(names_the_port_first, version == NfsVersion::V4, "{error}");
    }
}

#[tokio::test]
async fn a_server_with_other_versions_only_is_named_with_the_way_out() {
    reset();
    let v4 = share("ext4", "share");
    let v3 = v4.clone().over(NfsVersion::V3);
    let no_v4 = "supports neither NFSv4.2 nor NFSv4.1. Enable one there, or set nfsVersion: \"3\" in the StorageClass.";
    let no_v3 = "does not speak mountd of version 3. Enable NFSv3 there, or let Bindery use NFSv4 (nfsVersion 4)";
    for (versions, share, fault, words) in [
        ("4.0", &v4, Fault::Other, no_v4),
        ("3", &v4, Fault::Other, no_v4),
        ("4", &v3, Fault::Other, no_v3),
    ] {
        restart(&format!("VERSIONS={versions}"));
        let error = Client::new("other-version").make(share, "a").await.unwrap_err();
        assert_says(&error, fault, words);
    }
    for (versions, share) in [("4.1", &v4), ("4.2", &v4), ("4", &v4), ("3", &v3)] {
        restart(&format!("VERSIONS={versions}"));
        let path = format!("with-{versions}");
        Client::new("this-version")
            .make(share, &path)
            .await
            .expect("a directory");
    }
}

#[tokio::test]
async fn an_export_with_kerberos_only_says_so() {
    reset();
    in_guest("exports add /srv/ext4/kerberos krb5");
    for version in VERSIONS {
        let share = share("ext4", "kerberos").over(version);
        let error = Client::new("kerberos").make(&share, "a").await.unwrap_err();
        assert_says(
            &error,
            Fault::Denied,
            "the server requires Kerberos there, which Bindery's NFS client does not support. Export the share with sec=sys.",
        );
    }
}

#[tokio::test]
async fn a_mount_point_is_not_taken_for_a_squashed_root() {
    reset();
    let client = Client::new("mount-point");
    for version in VERSIONS {
        let share = share("ext4", "share").over(version);
        let made = client.make(&share, "mounted").await.expect("a directory");
        in_guest("mount --bind /srv/xfs/share /srv/ext4/share/mounted");
        let renamed = client.rename(&share, "mounted", made.identity, "renamed").await;
        // Its identity is the one of the file system that is mounted there, or its own.
        let found = client
            .find(&share, "mounted")
            .await
            .expect("an answer")
            .expect("a directory");
        let deadline = Instant::now() + LATE;
        let removed = client
            .storage
            .remove_empty(&share, &directory("mounted"), found, deadline)
            .await;
        in_guest("umount -l /srv/ext4/share/mounted");
        let words = "If something is mounted on the directory on the server, unmount it.";
        assert_says(&renamed.unwrap_err(), Fault::ServerFault, words);
        let (fault, words) = match version {
            NfsVersion::V4 => (
                Fault::Other,
                "something is mounted there on the server (NFS4ERR_FILE_OPEN)",
            ),
            NfsVersion::V3 => (
                Fault::Denied,
                "(NFS3ERR_ACCES). If something is mounted there on the server, unmount it.",
            ),
        };
        assert_says(&removed.unwrap_err(), fault, words);
    }
}

#[tokio::test]
async fn an_immutable_directory_is_not_taken_for_a_squashed_root() {
    reset();
    let client = Client::new("immutable");
    for version in VERSIONS {
        let share = share("ext4", "share").over(version);
        in_guest("mkdir -p /srv/ext4/share/immutable && chattr +i /srv/ext4/share/immutable");
        let made = client.make(&share, "immutable/a").await;
        in_guest("chattr -i /srv/ext4/share/immutable");
        let error = made.unwrap_err();
        assert_says(&error, Fault::Denied, "immutable or append-only (lsattr -d)");
        assert!(!error.to_string().contains("squash"), "{error}");
    }
}

/// A refused owner leaves a directory that must be removed again, and this server removes nothing during grace. So the first
/// attempt, in the review, ends without a result: the claim waits, with a warning. A later attempt has the reason.
#[tokio::test]
async fn a_refusal_during_grace_waits_and_a_later_attempt_has_the_reason() {
    reset();
    in_guest("exports add /srv/ext4/squashed squashed; chmod 777 /srv/ext4/squashed; rm -rf /srv/ext4/squashed/*");
    restart("LEASE=10 GRACE=20");
    // A client that the server has recorded, and that does not come back: grace lasts to its end.
    start_pod();
    in_guest("ip link set to-pod down; knfsd restart");
    let (share, client) = (share("ext4", "squashed"), Client::new("refused"));
    let began = Instant::now();
    let error = client.make_for(SOON, &share, "a", Some(1000)).await.unwrap_err();
    println!("after {:?}", began.elapsed());
    assert_says(&error, Fault::Busy, "waits until its clients reclaim their state");
    assert_eq!(
        error.outcome,
        Outcome::Unknown,
        "its volume stays as a record of the directory"
    );
    // The second attempt finds the directory of the first one.
    let error = client.make_for(LATE, &share, "a", Some(1000)).await.unwrap_err();
    assert_says(&error, Fault::Denied, "does not let uid 0 set the owner");
    let identity = client
        .find(&share, "a")
        .await
        .unwrap()
        .expect("the directory of the first attempt");
    let deadline = Instant::now() + LATE;
    let removed = client
        .storage
        .remove_empty(&share, &directory("a"), identity, deadline)
        .await;
    println!("removed after {:?}", began.elapsed());
    assert_eq!(removed, Ok(Removed::Done));
    stop_pod();
}

#[tokio::test]
async fn a_client_that_is_gone_with_a_delegation_delays_a_removal_until_its_lease_ends() {
    reset();
    restart("LEASE=15 GRACE=10");
    in_guest(
        r#"mkdir /srv/ext4/share/claim
echo x >/srv/ext4/share/claim/file
pod start
# The server gives no delegation before it has checked its connection to the client.
setsid bash -c 'while sleep 0.5; do exec 6</mnt/pod/claim/file; cat <&6; done' </dev/null >/dev/null 2>&1 &
echo $! >/run/pod.reader.pid
until grep -qs 'type: deleg' /proc/fs/nfsd/clients/*/states; do sleep 0.1; done
ip link set to-pod down"#,
    );
    let (client, share) = (Client::new("delegation"), share("ext4", "share"));
    let began = Instant::now();
    let remove = async |limit| {
        let deadline = Instant::now() + limit;
        client.storage.remove_tree(&share, &directory("claim"), deadline).await
    };
    let early = remove(SOON).await;
    println!("after {:?}: {early:?}", began.elapsed());
    let error = early.unwrap_err();
    assert_says(&error, Fault::Busy, "an unreachable client holds a delegation");
    assert_eq!(remove(LATE).await, Ok(Tree::Gone));
    println!("gone after {:?}", began.elapsed());
    stop_pod();
}
