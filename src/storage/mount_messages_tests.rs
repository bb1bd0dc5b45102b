use std::path::Path;

use super::*;
use crate::model::directory::Share;
use crate::storage::messages::refused;
use crate::storage::{Outcome, StorageError};

/// Errors that a mount in a test does not easily return.
#[test]
fn each_errno_has_its_fault_and_says_what_to_do() {
    let share = Share::parse("nas", "/export").unwrap();
    let context = ErrorContext {
        share: &share,
        uid: 0,
        privileged: false,
        mount: Some(Path::new("/mnt/volumes")),
    };
    let cases = [
        (
            Action::Make,
            Errno::DQUOT,
            Fault::NoSpace,
            "the quota is used up (EDQUOT). Raise it on the server, or free space.",
        ),
        (
            Action::Make,
            Errno::KEYEXPIRED,
            Fault::Denied,
            "uid 0 has no valid Kerberos ticket on this node (EKEYEXPIRED). Renew it, or give the node a keytab.",
        ),
        (
            Action::Share(""),
            Errno::STALE,
            Fault::NotMounted,
            "the server does not know what is mounted at /mnt/volumes any more (ESTALE). Check that it exports it and \
             has its disk; if that does not help, mount it again: restart Bindery's pod.",
        ),
        (
            Action::Share(""),
            Errno::NOTCONN,
            Fault::Unreachable,
            "the server of the mount at /mnt/volumes does not answer (ENOTCONN). Check that it runs, or mount it again.",
        ),
        (
            Action::Inside("b"),
            Errno::IO,
            Fault::ServerFault,
            "in its directory \"b\", the file system has an internal error that may pass (EIO). If it lasts, look for \
             the reason in the node's kernel log and the server's.",
        ),
        (
            Action::Make,
            Errno::PERM,
            Fault::Denied,
            "it is denied to uid 0 (EPERM). Either the server squashes root, or Bindery runs without the capabilities \
             of root: export with no_root_squash, or run it as the owner of /mnt/volumes (runAsUser). If that is not \
             the reason, the directory there is immutable or append-only (lsattr -d), or has the sticky bit and another \
             owner.",
        ),
        (
            Action::Make,
            Errno::ACCESS,
            Fault::Denied,
            "it is denied to uid 0 (EACCES). Either the server squashes root, or Bindery runs without the capabilities \
             of root: export with no_root_squash, or run it as the owner of /mnt/volumes (runAsUser).",
        ),
    ];
    for (action, errno, fault, text) in cases {
        assert_eq!(refused(&context, action, errno.into()), (fault, text.to_owned()));
    }
}

/// The error of each errno is transient as [`transient`] says, for every action.
#[test]
fn transient_errors_and_no_others_are_retried() {
    let share = Share::parse("nas", "/export").unwrap();
    let context = ErrorContext {
        share: &share,
        uid: 0,
        privileged: false,
        mount: Some(Path::new("/mnt/volumes")),
    };
    let unreachable = [
        Errno::TIMEDOUT,
        Errno::NOTCONN,
        Errno::SHUTDOWN,
        Errno::CONNABORTED,
        Errno::CONNREFUSED,
        Errno::CONNRESET,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
        Errno::STALE,
    ];
    let transient = [
        Errno::IO,
        Errno::REMOTEIO,
        Errno::BUSY,
        Errno::AGAIN,
        Errno::NOMEM,
        Errno::MFILE,
        Errno::NFILE,
    ];
    let lasting = [
        Errno::PERM,
        Errno::ACCESS,
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::ROFS,
        Errno::XDEV,
        Errno::NAMETOOLONG,
        Errno::KEYEXPIRED,
        Errno::INVAL,
        Errno::NOSYS,
    ];
    let actions = [
        Action::Share(""),
        Action::Segment("a"),
        Action::Make,
        Action::SetOwner,
        Action::SetMode,
        Action::Rename,
        Action::Remove,
        Action::Inside("a"),
        Action::List,
    ];
    let error_of = |action, errno: Errno| {
        let reason = refused(&context, action, errno.into());
        StorageError::of("do it", &share, reason, Outcome::NotDone)
    };
    for action in actions {
        for errno in unreachable {
            let error = error_of(action, errno);
            assert!(error.transient() && error.unanswered(), "{action:?}: {error}");
        }
        for errno in transient {
            let error = error_of(action, errno);
            assert!(error.transient() && !error.unanswered(), "{action:?}: {error}");
        }
        for errno in lasting {
            let error = error_of(action, errno);
            assert!(!error.transient() && !error.unanswered(), "{action:?}: {error}");
        }
    }
    // Nothing is mounted at the moment.
    for errno in [Errno::NOENT, Errno::NOTDIR, Errno::NOTCONN] {
        let error = error_of(Action::Share(""), errno);
        assert!(error.transient() && error.unanswered(), "{error}");
    }
    let reason = not_mounted(&context);
    let error = StorageError::of("do it", &share, reason, Outcome::NotDone);
    assert!(error.transient() && error.unanswered(), "{error}");
}
