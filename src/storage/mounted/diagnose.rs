//! From what a file system call answered, or did not answer, to a sentence that a person can act on.

use std::ffi::OsStr;
use std::path::Path;

use rustix::io::Errno;

use super::errno::name;
use super::mount::MOST_AT_WORK;
use crate::model::directory::Share;
use crate::storage::Fault;
use crate::storage::transient::{self, lost};

/// Where the verb takes place.
pub(super) struct ErrorContext<'a> {
    pub share: &'a Share,
    /// Where it is mounted.
    pub path: &'a Path,
    /// Who we are.
    pub uid: u32,
}

/// What was tried when the file system answered with an error.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action<'a> {
    /// Open the directory that the share is mounted on.
    Mount,
    /// Go through, or look at, this segment below the share.
    Segment(&'a str),
    Make,
    SetOwner,
    SetMode,
    Rename,
    Remove,
    /// Remove what is in the directory of this name, in the tree that is to go.
    Inside(&'a OsStr),
    List,
}

/// The file system answered `errno` at `step`.
pub(super) fn refused(context: &ErrorContext<'_>, action: Action<'_>, errno: Errno) -> (Fault, String) {
    let (path, name) = (context.path.display(), name(errno));
    match (action, errno) {
        (Action::Inside(directory), _) => {
            let (fault, text) = refused(context, Action::Remove, errno);
            (
                fault,
                format!("in its directory {:?}, {text}", directory.to_string_lossy()),
            )
        }
        (Action::Mount, Errno::NOENT | Errno::NOTDIR) => (
            Fault::NotMounted,
            format!("there is no directory {path} ({name}). {}", mount_it(context)),
        ),
        (_, Errno::STALE) => (
            Fault::NotMounted,
            format!(
                "the server does not know what is mounted at {path} any more ({name}). Check that it exports it and has its \
                 disk; if that does not help, mount it again: restart Bindery's pod."
            ),
        ),
        (_, errno) if lost(errno) => (
            Fault::Unreachable,
            format!("what serves the mount at {path} does not answer ({name}). Check that it runs, or mount it again."),
        ),
        (Action::Segment(segment), Errno::NOTDIR | Errno::LOOP) => (
            Fault::NotADirectory,
            format!(
                "{segment:?} on the way is a file or a symbolic link; links are never followed. Move it away, or choose \
                 another directory."
            ),
        ),
        (_, Errno::ROFS) => (
            Fault::ReadOnly,
            format!("it is read-only ({name}). Mount it at {path} with rw, and export it with rw."),
        ),
        (_, Errno::NOSPC) => (
            Fault::NoSpace,
            format!("the file system is full ({name}). Free space on the server, or enlarge it."),
        ),
        (_, Errno::DQUOT) => (
            Fault::NoSpace,
            format!("the quota is used up ({name}). Raise it on the server, or free space."),
        ),
        (_, Errno::XDEV) => (
            Fault::OtherFileSystem,
            format!("that is on another file system or mount ({name})."),
        ),
        (_, Errno::NAMETOOLONG) => (
            Fault::Other,
            format!("a name in it is too long for the file system ({name}). Shorten the directory's name."),
        ),
        (Action::Make | Action::Segment(_), Errno::INVAL | Errno::ILSEQ) => (
            Fault::Other,
            format!("the file system does not take the directory's name ({name}). Change the name."),
        ),
        (_, Errno::KEYEXPIRED | Errno::KEYREVOKED | Errno::NOKEY | Errno::KEYREJECTED) => (
            Fault::Denied,
            format!(
                "uid {} has no valid Kerberos ticket on this node ({name}). Renew it, or give the node a keytab.",
                context.uid
            ),
        ),
        (Action::SetOwner, Errno::PERM | Errno::ACCESS | Errno::INVAL) => (
            Fault::Denied,
            format!(
                "uid {} may not set the owner ({name}). {}",
                context.uid,
                set_owner(context)
            ),
        ),
        (_, Errno::PERM | Errno::ACCESS) => (
            Fault::Denied,
            format!("it is denied to uid {} ({name}). {}", context.uid, permit(context)),
        ),
        (_, Errno::BUSY) => (
            Fault::Busy,
            format!(
                "it is in use on this node ({name}): a process has a file in it open, or something is mounted there. End the \
                 process, or unmount it."
            ),
        ),
        (Action::Rename, Errno::EXIST | Errno::NOTEMPTY | Errno::NOENT) => (Fault::Other, not_moved(errno)),
        (_, Errno::MFILE | Errno::NFILE) => (
            Fault::Busy,
            format!("too many files are open ({name}). Raise the pod's limit of open files."),
        ),
        (_, errno) if transient::errno(errno) => (
            Fault::ServerFault,
            format!(
                "the file system met an error of its own that may pass ({name}). If it lasts, look for the reason in the \
                 node's kernel log and the server's."
            ),
        ),
        _ => (
            Fault::Other,
            format!("the file system answers {name}. Look for the reason in the node's kernel log and the server's."),
        ),
    }
}

fn not_moved(errno: Errno) -> String {
    let name = name(errno);
    match errno {
        Errno::NOENT => format!("the directory that it is to be moved into is not there ({name})."),
        _ => format!("something is at the new place already ({name}). Move it away."),
    }
}

/// The directory is there and nothing is mounted on it.
pub(super) fn not_mounted(context: &ErrorContext<'_>) -> (Fault, String) {
    let text = format!(
        "nothing is mounted at {}: what is made there would be lost with Bindery's container. {}",
        context.path.display(),
        mount_it(context)
    );
    (Fault::NotMounted, text)
}

fn mount_it(context: &ErrorContext<'_>) -> String {
    format!(
        "Mount {} there: give Bindery's pod a volume of it, with volumeMounts at that path, or correct --mounted.",
        context.share
    )
}

fn permit(context: &ErrorContext<'_>) -> String {
    let path = context.path.display();
    if context.uid == 0 {
        format!(
            "Either the server squashes root, or Bindery runs without the capabilities of root: export with \
             no_root_squash, or run it as the owner of {path} (runAsUser)."
        )
    } else {
        format!("Give the directory to that uid, or run Bindery as the owner of {path} (runAsUser).")
    }
}

fn set_owner(context: &ErrorContext<'_>) -> &'static str {
    if context.uid == 0 {
        "Either the server squashes root, or Bindery runs without the capability CHOWN."
    } else {
        "Only root can give a directory to others: run Bindery with runAsUser 0 and the capability CHOWN, on a share that \
         does not squash root; or leave uid and gid out of the class."
    }
}

/// What was found is gone at the next call, again and again.
pub(super) fn keeps_changing(errno: Errno) -> (Fault, String) {
    let text = format!(
        "what was found is gone at the next call, again and again ({}). Somebody else works there.",
        name(errno)
    );
    (Fault::Busy, text)
}

/// The deadline came.
pub(super) fn timed_out(context: &ErrorContext<'_>) -> (Fault, String) {
    let text = format!(
        "the mount at {} did not answer in time. Check that its server and disks are well.",
        context.path.display()
    );
    (Fault::TimedOut, text)
}

/// The deadline came before the verb could begin.
pub(super) fn no_place(context: &ErrorContext<'_>) -> (Fault, String) {
    let text = format!(
        "{MOST_AT_WORK} earlier calls to the mount at {} have not come to an end. Check that its server and disks are \
         well; if it is gone for good, restart Bindery's pod without it.",
        context.path.display()
    );
    (Fault::TimedOut, text)
}

#[cfg(test)]
#[path = "diagnose_tests.rs"]
mod tests;
