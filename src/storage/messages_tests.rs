use super::*;
use crate::storage::{Outcome, StorageError};

/// Statuses that a server in a test does not easily return.
#[test]
fn each_status_has_its_fault_and_says_what_to_do() {
    let share = Share::parse("nas", "/export").unwrap();
    let context = ErrorContext {
        share: &share,
        uid: 0,
        privileged: true,
        mount: None,
    };
    let cases = [
        (
            Action::Make,
            Status::NOSPC,
            Fault::NoSpace,
            "the file system is full (NFS4ERR_NOSPC). Free space on the server, or enlarge it.",
        ),
        (
            Action::Make,
            Status::DQUOT,
            Fault::NoSpace,
            "the quota is used up (NFS4ERR_DQUOT). Raise it on the server, or free space.",
        ),
        (
            Action::Share("export"),
            Status::WRONGSEC,
            Fault::Denied,
            "the server requires Kerberos there, which Bindery's NFS client does not support. Export the share with \
             sec=sys.",
        ),
        (
            Action::Segment("a"),
            Status::MOVED,
            Fault::Other,
            "the server says that this has moved to another server. Name that server in the StorageClass.",
        ),
        (
            Action::Make,
            Status::NAMETOOLONG,
            Fault::Other,
            "a name in it is too long for the file system (NFS4ERR_NAMETOOLONG). Shorten the directory's name.",
        ),
        (
            Action::SetOwner,
            Status::BADOWNER,
            Fault::Denied,
            "the server does not accept numeric owners (NFS4ERR_BADOWNER). Allow them: nfs4_disable_idmapping=Y for \
             Linux' nfsd, v4-numeric-ids enabled for ONTAP, Allow_Numeric_Owners for nfs-ganesha.",
        ),
        (
            Action::Inside("b"),
            Status::IO,
            Fault::ServerFault,
            "in its directory \"b\", the server has an internal error that may pass (NFS4ERR_IO). If it lasts, look for \
             the reason in the server's log and at its disks.",
        ),
        (
            Action::Rename,
            Status::IO,
            Fault::ServerFault,
            "the server has an internal error that may pass (NFS4ERR_IO). If it lasts, look for the reason in the server's \
             log and at its disks. If something is mounted on the directory on the server, unmount it.",
        ),
        (
            Action::Remove,
            Status::FILE_OPEN,
            Fault::Other,
            "something is mounted there on the server (NFS4ERR_FILE_OPEN): a file system, or a directory (bind mount). \
             Unmount it. If the server also serves SMB, an SMB client may have it open instead.",
        ),
        (
            Action::List,
            Status(4711),
            Fault::Other,
            "the server answers NFS status 4711. Look for the reason in the server's log.",
        ),
    ];
    for (action, status, fault, text) in cases {
        assert_eq!(refused(&context, action, status), (fault, text.to_owned()));
    }
}

#[test]
fn a_denial_to_an_ordinary_port_names_the_port() {
    let share = Share::parse("nas", "/export").unwrap();
    let context = ErrorContext {
        share: &share,
        uid: 0,
        privileged: false,
        mount: None,
    };
    let (fault, text) = refused(&context, Action::Segment("a"), Status::PERM);
    assert_eq!(fault, Fault::Denied);
    assert_eq!(
        text,
        "the server denies it to uid 0 (NFS4ERR_PERM). Bindery came from a source port above 1023, which many exports \
         reject: set the sysctl net.ipv4.ip_unprivileged_port_start=0 for its pod, or export with insecure. If the port is \
         not the reason, the directory there is immutable or append-only (lsattr -d), or has the sticky bit and another \
         owner."
    );
}

/// Linux returns PERM, not ACCESS, for an immutable directory, and ACCESS in version 3 for a directory on which something
/// is mounted.
#[test]
fn neither_an_immutable_directory_nor_a_mount_point_is_taken_for_a_squashed_root() {
    let share = Share::parse("nas", "/export").unwrap().over(NfsVersion::V3);
    let context = ErrorContext {
        share: &share,
        uid: 0,
        privileged: true,
        mount: None,
    };
    for action in [Action::Make, Action::Rename, Action::Remove] {
        let (_, text) = refused(&context, action, Status::PERM);
        assert!(text.contains("immutable") && !text.contains("squash"), "{text}");
    }
    for action in [Action::Rename, Action::Remove] {
        let (_, text) = refused(&context, action, Status::ACCESS);
        let first =
            "the server denies it to uid 0 (NFS3ERR_ACCES). If something is mounted there on the server, unmount it.";
        assert!(text.starts_with(first), "{text}");
    }
}

#[test]
fn a_denial_to_a_privileged_port_names_the_port_because_a_plugin_may_have_changed_it() {
    let port = "Many exports reject source ports above 1023: Bindery came from one below, but a network plugin may have \
                changed it on the way. Export with insecure, or run Bindery with hostNetwork.";
    for version in [NfsVersion::V4, NfsVersion::V3] {
        let share = Share::parse("nas", "/export").unwrap().over(version);
        let context = ErrorContext {
            share: &share,
            uid: 0,
            privileged: true,
            mount: None,
        };
        for action in [
            Action::Share("export"),
            Action::Segment("a"),
            Action::Make,
            Action::List,
        ] {
            for status in [Status::PERM, Status::ACCESS] {
                let (_, text) = refused(&context, action, status);
                assert!(text.contains(port), "{text}");
                let is_first = text.split_once(')').unwrap().1.starts_with(&format!(". {port}"));
                assert_eq!(is_first, status == Status::PERM, "{text}");
            }
        }
        let (_, text) = refused(&context, Action::Share("export"), Status::NOENT);
        assert!(text.ends_with(port), "{text}");
    }
}

/// The error of each status is transient as [`transient`] says, for every action.
#[test]
fn transient_errors_and_no_others_are_retried() {
    let transient = [
        Status::IO,
        Status::NXIO,
        Status::STALE,
        Status::BADHANDLE,
        Status::FHEXPIRED,
        Status::SERVERFAULT,
        Status::RESOURCE,
        Status::DELAY,
        Status::GRACE,
        Status::EXPIRED,
        Status::STALE_CLIENTID,
        Status::BADSESSION,
        Status::DEADSESSION,
        Status::BADSLOT,
        Status::BAD_HIGH_SLOT,
        Status::SEQ_MISORDERED,
        Status::SEQ_FALSE_RETRY,
        Status::RETRY_UNCACHED_REP,
        Status::CONN_NOT_BOUND_TO_SESSION,
        Status::CLIENTID_BUSY,
        Status::CLID_INUSE,
        Status::BAD_COOKIE,
        Status::NOT_SAME,
    ];
    let actions = [
        Action::Share("export"),
        Action::Segment("a"),
        Action::Make,
        Action::SetOwner,
        Action::SetMode,
        Action::Rename,
        Action::Remove,
        Action::Inside("a"),
        Action::List,
    ];
    for version in [NfsVersion::V4, NfsVersion::V3] {
        let share = Share::parse("nas", "/export").unwrap().over(version);
        let context = ErrorContext {
            share: &share,
            uid: 0,
            privileged: true,
            mount: None,
        };
        for &status in Status::KNOWN.iter().chain(&[Status(4711)]) {
            for action in actions {
                let reason = refused(&context, action, status);
                let error = StorageError::of("do it", &share, reason, Outcome::NotDone);
                assert_eq!(error.transient(), transient.contains(&status), "{action:?}: {error}");
                assert!(!error.unanswered(), "the server has answered: {error}");
            }
        }
    }
}
