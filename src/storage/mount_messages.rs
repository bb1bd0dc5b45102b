//! Messages about file system calls on a mount that failed or got no answer: for users, with the next step.

use rustix::io::Errno;

use super::Fault;
use super::errno::name;
use super::error::Reason;
use super::refusal::{Action, ErrorContext, Refusal};
use super::transient::{self, is_unreachable};

/// Returns the message: the file system answered `action` with `errno`.
pub(super) fn refused(context: &ErrorContext<'_>, action: Action<'_>, errno: Errno) -> Reason {
    let (path, name) = (context.mounted_at(), name(errno));
    if let Some(described) = refusal(errno).and_then(|refusal| refusal.describe(action, &name)) {
        return described;
    }
    match (action, errno) {
        // A mount with ceph-fuse has no root any more when Ceph has evicted its client.
        (Action::Share(_), Errno::NOENT) => Fault::NotMounted.because(format!(
            "there is no directory {path} ({name}). {} If CephFS is mounted there, Ceph has evicted the client of the \
             mount: mount it again.",
            mount_advice(context)
        )),
        (Action::Share(_), Errno::NOTDIR) => {
            Fault::NotMounted.because(format!("{path} is no directory ({name}). {}", mount_advice(context)))
        }
        (_, Errno::STALE) => Fault::NotMounted.because(format!(
            "the server does not know what is mounted at {path} any more ({name}). Check that it exports it and has \
             its disk; if that does not help, mount it again: restart Bindery's pod."
        )),
        (_, errno) if is_unreachable(errno) => Fault::Unreachable.because(format!(
            "the server of the mount at {path} does not answer ({name}). Check that it runs, or mount it again."
        )),
        (_, Errno::ROFS) => Fault::ReadOnly.because(format!(
            "it is read-only ({name}). Mount it at {path} with rw, and export it with rw."
        )),
        (_, Errno::XDEV) => {
            Fault::OtherFileSystem.because(format!("the target is on another file system or mount ({name})."))
        }
        (_, Errno::KEYEXPIRED | Errno::KEYREVOKED | Errno::NOKEY | Errno::KEYREJECTED) => {
            Fault::Denied.because(format!(
                "uid {} has no valid Kerberos ticket on this node ({name}). Renew it, or give the node a keytab.",
                context.uid
            ))
        }
        (Action::SetOwner, Errno::PERM | Errno::ACCESS | Errno::INVAL) => Fault::Denied.because(format!(
            "uid {} may not set the owner ({name}). {}",
            context.uid,
            owner_advice(context)
        )),
        (_, Errno::PERM | Errno::ACCESS) => Fault::Denied.because(format!(
            "it is denied to uid {} ({name}). {}{}",
            context.uid,
            permission_advice(context),
            // Missing permission bits are EACCES.
            if errno == Errno::PERM { PROTECTED } else { "" }
        )),
        (_, Errno::BUSY) => Fault::Busy.because(format!(
            "it is in use on this node ({name}): a process has a file in it open, or something is mounted there. End \
             the process, or unmount it."
        )),
        (_, Errno::MFILE | Errno::NFILE) => Fault::Busy.because(format!(
            "too many files are open ({name}). Raise the pod's limit of open files."
        )),
        (_, errno) if transient::errno(errno) => Fault::ServerFault.because(format!(
            "the file system has an internal error that may pass ({name}). If it lasts, look for the reason in the \
             node's kernel log and the server's."
        )),
        _ => Fault::Other.because(format!(
            "the file system answers {name}. Look for the reason in the node's kernel log and the server's."
        )),
    }
}

fn refusal(errno: Errno) -> Option<Refusal> {
    Some(match errno {
        Errno::NOTDIR | Errno::LOOP => Refusal::NotADirectory,
        Errno::NOSPC => Refusal::NoSpace,
        Errno::DQUOT => Refusal::Quota,
        Errno::NAMETOOLONG => Refusal::NameTooLong,
        Errno::INVAL | Errno::ILSEQ => Refusal::BadName,
        Errno::EXIST | Errno::NOTEMPTY => Refusal::Exists,
        Errno::NOENT => Refusal::Missing,
        _ => return None,
    })
}

/// Returns the message: the directory exists, but nothing is mounted on it.
pub(super) fn not_mounted(context: &ErrorContext<'_>) -> Reason {
    let text = format!(
        "nothing is mounted at {}: directories there would be lost with Bindery's container. {}",
        context.mounted_at(),
        mount_advice(context)
    );
    Fault::NotMounted.because(text)
}

fn mount_advice(context: &ErrorContext<'_>) -> String {
    format!(
        "Mount {} there: give Bindery's pod a volume of it, with volumeMounts at that path, or correct --mounted.",
        context.share
    )
}

/// Advice after EPERM.
const PROTECTED: &str = " If that is not the reason, the directory there is immutable or append-only (lsattr -d), or has \
                         the sticky bit and another owner.";

fn permission_advice(context: &ErrorContext<'_>) -> String {
    let path = context.mounted_at();
    if context.uid == 0 {
        format!(
            "Either the server squashes root, or Bindery runs without the capabilities of root: export with \
             no_root_squash, or run it as the owner of {path} (runAsUser)."
        )
    } else {
        format!("Give the directory to that uid, or run Bindery as the owner of {path} (runAsUser).")
    }
}

fn owner_advice(context: &ErrorContext<'_>) -> &'static str {
    if context.uid == 0 {
        "Either the server squashes root, or Bindery runs without the capability CHOWN."
    } else {
        "Only root can give a directory to others: run Bindery with runAsUser 0 and the capability CHOWN, on a share \
         that does not squash root; or leave uid and gid out of the class."
    }
}

#[cfg(test)]
#[path = "mount_messages_tests.rs"]
mod tests;
