//! Messages about answers of NFS servers, for users, with the next step. [`mount_messages`] has those about mounts.
//!
//! Statuses are those of RFC 8881, 15.1; RFC 1813 has some of them. Their meanings were tested on real servers. In version 4
//! an export that is not for this client, or not for its source port, looks like a missing one (NOENT).

use super::refusal::{self, Action, ErrorContext, Refusal};
use super::status::Status;
use super::{Fault, mount_messages, transient};
use crate::model::directory::{NfsVersion, Share};
use crate::storage::error::Reason;

/// Returns the message: the server answered `action` with `status`.
pub(super) fn refused(context: &ErrorContext<'_>, action: Action<'_>, status: Status) -> Reason {
    if let Action::Inside(name) = action {
        return refusal::inside(name, refused(context, Action::Remove, status));
    }
    if context.mount.is_some() {
        return mount_messages::refused(context, action, status.errno());
    }
    let code = context.status_name(status);
    if let Some(described) = refusal(status).and_then(|refusal| refusal.describe(action, &code)) {
        return described;
    }
    match (action, status) {
        (_, Status::WRONGSEC) => Fault::Denied.because(
            "the server requires Kerberos there, which Bindery's NFS client does not support. Export the share with \
             sec=sys.",
        ),
        (_, Status::FILE_OPEN) => Fault::Other.because(format!(
            "something is mounted there on the server ({code}): a file system, or a directory (bind mount). Unmount it. \
             If the server also serves SMB, an SMB client may have it open instead."
        )),
        (_, Status::MOVED) => Fault::Other
            .because("the server says that this has moved to another server. Name that server in the StorageClass."),
        (Action::Share(segment), Status::NOTDIR | Status::SYMLINK) => Fault::NoSuchShare.because(format!(
            "{segment:?} in the share's path is a file or a symbolic link. Name the directory that is exported."
        )),
        (Action::Share(segment), Status::NOENT | Status::ACCESS | Status::PERM) => {
            Fault::NoSuchShare.because(no_such_share(context, segment, status))
        }
        (_, Status::ROFS) => Fault::ReadOnly.because(format!(
            "it is read-only ({code}). Export it with rw{}.",
            whole_path_advice(context)
        )),
        (Action::Rename, Status::XDEV) => Fault::OtherFileSystem.because(format!(
            "the target is on another file system of the server, or something is mounted on the directory ({code})."
        )),
        (_, Status::XDEV) => Fault::OtherFileSystem.because(format!(
            "a file system that the server does not export is mounted there ({code}). Unmount it."
        )),
        (_, Status::BADOWNER) => Fault::Denied.because(format!(
            "the server does not accept numeric owners ({code}). Allow them: nfs4_disable_idmapping=Y for Linux' nfsd, \
             v4-numeric-ids enabled for ONTAP, Allow_Numeric_Owners for nfs-ganesha."
        )),
        (Action::SetOwner, Status::PERM | Status::ACCESS | Status::INVAL) | (_, Status::PERM | Status::ACCESS) => {
            Fault::Denied.because(denied(context, action, status))
        }
        // Linux 6.1 says so if something is mounted on the directory.
        (Action::Rename, Status::IO) => {
            let (fault, text) = server_fault(context, status);
            fault.because(format!("{text} If something is mounted on the directory on the server, unmount it."))
        }
        (_, status) if transient::status(status) => server_fault(context, status),
        _ => Fault::Other.because(format!(
            "the server answers {code}. Look for the reason in the server's log."
        )),
    }
}

fn refusal(status: Status) -> Option<Refusal> {
    Some(match status {
        Status::NOTDIR | Status::SYMLINK => Refusal::NotADirectory,
        Status::NOSPC => Refusal::NoSpace,
        Status::DQUOT => Refusal::Quota,
        Status::NAMETOOLONG => Refusal::NameTooLong,
        Status::BADNAME | Status::BADCHAR | Status::INVAL => Refusal::BadName,
        Status::EXIST | Status::NOTEMPTY => Refusal::Exists,
        Status::NOENT => Refusal::Missing,
        _ => return None,
    })
}

fn denied(context: &ErrorContext<'_>, action: Action<'_>, status: Status) -> String {
    let (uid, code) = (context.uid, context.status_name(status));
    match (action, status) {
        (Action::SetOwner, _) => format!(
            "the server does not let uid {uid} set the owner ({code}). {}",
            owner_advice(context)
        ),
        // Squashed users get ACCESS for everything that only needs permission bits.
        (_, Status::PERM) => format!(
            "the server denies it to uid {uid} ({code}).{} If the port is not the reason, the directory there is \
             immutable or append-only (lsattr -d), or has the sticky bit and another owner.",
            port_advice(context),
        ),
        _ => format!(
            "the server denies it to uid {uid} ({code}).{} {}{}",
            mount_point_advice(context, action),
            permission_advice(context),
            port_advice(context)
        ),
    }
}

/// Returns the message: the server has an internal error that may be temporary.
pub(super) fn server_fault(context: &ErrorContext<'_>, status: Status) -> Reason {
    let code = context.status_name(status);
    Fault::ServerFault.because(format!(
        "the server has an internal error that may pass ({code}). If it lasts, look for the reason in the server's \
         log and at its disks."
    ))
}

fn no_such_share(context: &ErrorContext<'_>, segment: &str, status: Status) -> String {
    let (path, code, port) = (context.share.path(), context.status_name(status), port_advice(context));
    let check = "Check that it is exported to this host, and that the path is what an NFSv4 client sees, without the \
                 path of an export with fsid=0.";
    match status {
        Status::PERM => format!("the server denies {path} to this host ({code} at {segment:?}).{port} {check}"),
        _ => format!("the server shows no {path} to this host ({code} at {segment:?}). {check}{port}"),
    }
}

/// Returns the message: the server exports the share, and does not have its directory. During a failover this passes by
/// itself.
pub(super) fn share_is_gone(context: &ErrorContext<'_>, status: Status) -> Reason {
    let (path, code) = (context.share.path(), context.status_name(status));
    Fault::ServerFault.because(format!(
        "the server exports {path}, but does not have the directory of this export ({code}): its disk is not mounted, or \
         the directory was removed. Mount or restore it on the server, and let the server export it again (exportfs -ra, \
         or restart it)."
    ))
}

/// Advice about the path: in version 4 the directories above the exports are a read-only tree.
fn whole_path_advice(context: &ErrorContext<'_>) -> String {
    match context.share.version() {
        NfsVersion::V4 => format!(
            "; if {} is only a part of an export's path, name the whole path",
            context.share.path()
        ),
        NfsVersion::V3 => String::new(),
    }
}

/// Advice about the source port. Servers deny an unprivileged port in different ways. Bindery does not know which port the
/// server saw, because network plugins may translate addresses and ports.
pub(super) fn port_advice(context: &ErrorContext<'_>) -> &'static str {
    if context.privileged {
        " Many exports reject source ports above 1023: Bindery came from one below, but a network plugin may have \
         changed it on the way. Export with insecure, or run Bindery with hostNetwork."
    } else {
        " Bindery came from a source port above 1023, which many exports reject: set the sysctl \
         net.ipv4.ip_unprivileged_port_start=0 for its pod, or export with insecure."
    }
}

/// Advice about mounts on the server: version 3 has no separate status for a mount point.
fn mount_point_advice(context: &ErrorContext<'_>, action: Action<'_>) -> &'static str {
    match (context.share.version(), action) {
        (NfsVersion::V3, Action::Remove | Action::Rename) => {
            " If something is mounted there on the server, unmount it."
        }
        _ => "",
    }
}

fn permission_advice(context: &ErrorContext<'_>) -> &'static str {
    if context.uid == 0 {
        "Root is probably squashed there: export with no_root_squash, or run Bindery with the owner's --nfs-uid and \
         --nfs-gid."
    } else {
        "Give the directory on the server to that uid, or change --nfs-uid and --nfs-gid."
    }
}

fn owner_advice(context: &ErrorContext<'_>) -> &'static str {
    if context.uid == 0 {
        "Root is probably squashed there: export with no_root_squash."
    } else {
        "Only root can give a directory to others: run Bindery with --nfs-uid 0 and export with no_root_squash."
    }
}

/// Returns the message: the server did not answer before the deadline.
pub(super) fn timed_out(context: &ErrorContext<'_>) -> Reason {
    if let Some(path) = context.mount {
        return Fault::TimedOut.because(format!(
            "the mount at {} did not answer in time. Check that its server and disks work.",
            path.display()
        ));
    }
    let server = context.share.server();
    Fault::TimedOut.because(format!(
        "{server} did not answer in time. Check that the NFS server and its disks work."
    ))
}

/// Returns the message: an answer does not follow the protocol.
pub(super) fn malformed(share: &Share, what: &str) -> Reason {
    let server = share.server();
    let (who, version) = match share.version() {
        NfsVersion::V4 => (format!("the program on port 2049 of {server}"), 4),
        NfsVersion::V3 => (format!("the answer of {server}"), 3),
    };
    Fault::Other.because(format!(
        "{who} does not follow the NFSv{version} protocol ({what}). Is it an NFS server?"
    ))
}

/// Returns the message: the server asked to try again later, until the deadline.
pub(super) fn busy(context: &ErrorContext<'_>, status: Status) -> Reason {
    let (server, code) = (context.share.server(), context.status_name(status));
    Fault::Busy.because(format!(
        "{server} asked to try again later until the deadline ({code}). {}",
        match status {
            Status::GRACE =>
                "It has just started and waits until its clients reclaim their state: 90 s on most servers (grace period).",
            _ =>
                "It is busy or has just started; or an unreachable client holds a delegation, which ends with that \
                 client's lease, after 90 s on most servers.",
        }
    ))
}

/// Returns the message: another file system is mounted in a tree that is removed.
pub(super) fn mounted_in_tree(context: &ErrorContext<'_>, name: &[u8]) -> Reason {
    Fault::OtherFileSystem.because(format!(
        "another file system is mounted in it at {:?}, and is not removed. Unmount it{}.",
        String::from_utf8_lossy(name),
        if context.mount.is_some() { "" } else { " on the server" }
    ))
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
