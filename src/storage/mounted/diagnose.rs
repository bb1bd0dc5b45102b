//! From what a file system call answered, or did not answer, to a sentence that a person can act on.

use std::ffi::OsStr;
use std::path::Path;

use rustix::io::Errno;

use super::errno::{lost, name};
use super::mount::MOST_AT_WORK;
use crate::policy::directory::Share;
use crate::storage::Fault;

/// Where the verb takes place.
pub(super) struct Scene<'a> {
    pub share: &'a Share,
    /// Where it is mounted.
    pub path: &'a Path,
    /// Who we are.
    pub uid: u32,
}

/// What was tried when the file system answered with an error.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
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
pub(super) fn refused(scene: &Scene<'_>, step: Step<'_>, errno: Errno) -> (Fault, String) {
    let (path, name) = (scene.path.display(), name(errno));
    match (step, errno) {
        (Step::Inside(directory), _) => {
            let (fault, text) = refused(scene, Step::Remove, errno);
            (
                fault,
                format!("in its directory {:?}, {text}", directory.to_string_lossy()),
            )
        }
        (Step::Mount, Errno::NOENT | Errno::NOTDIR) => (
            Fault::NoSuchShare,
            format!("there is no directory {path} ({name}). {}", mount_it(scene)),
        ),
        (_, Errno::STALE) => (
            Fault::NoSuchShare,
            format!(
                "what is mounted at {path} is gone from its server ({name}). Mount it again: restart Bindery's pod."
            ),
        ),
        (_, errno) if lost(errno) => (
            Fault::Unreachable,
            format!("what serves the mount at {path} does not answer ({name}). Check that it runs, or mount it again."),
        ),
        (Step::Segment(segment), Errno::NOTDIR | Errno::LOOP) => (
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
        (Step::Make | Step::Segment(_), Errno::INVAL | Errno::ILSEQ) => (
            Fault::Other,
            format!("the file system does not take the directory's name ({name}). Change the name."),
        ),
        (_, Errno::KEYEXPIRED | Errno::KEYREVOKED | Errno::NOKEY | Errno::KEYREJECTED) => (
            Fault::Denied,
            format!(
                "uid {} has no valid Kerberos ticket on this node ({name}). Renew it, or give the node a keytab.",
                scene.uid
            ),
        ),
        (Step::SetOwner, Errno::PERM | Errno::ACCESS | Errno::INVAL) => (
            Fault::Denied,
            format!("uid {} may not set the owner ({name}). {}", scene.uid, set_owner(scene)),
        ),
        (_, Errno::PERM | Errno::ACCESS) => (
            Fault::Denied,
            format!("it is denied to uid {} ({name}). {}", scene.uid, permit(scene)),
        ),
        (_, Errno::BUSY) => (
            Fault::Busy,
            format!(
                "it is in use on this node ({name}): a process has a file in it open, or something is mounted there."
            ),
        ),
        (Step::Rename, Errno::EXIST | Errno::NOTEMPTY) => (
            Fault::Other,
            format!("something is at the new place already ({name}). Move it away."),
        ),
        (Step::Rename, Errno::NOENT) => (
            Fault::Other,
            format!("the directory that it is to be moved into is not there ({name})."),
        ),
        (_, Errno::MFILE | Errno::NFILE) => (
            Fault::Busy,
            format!("too many files are open ({name}). Raise the pod's limit of open files."),
        ),
        _ => (
            Fault::Other,
            format!("the file system answers {name}. Look for the reason in the node's kernel log and the server's."),
        ),
    }
}

/// The directory is there and nothing is mounted on it.
pub(super) fn not_mounted(scene: &Scene<'_>) -> (Fault, String) {
    let text = format!(
        "nothing is mounted at {}: what is made there would be lost with Bindery's container. {}",
        scene.path.display(),
        mount_it(scene)
    );
    (Fault::NoSuchShare, text)
}

fn mount_it(scene: &Scene<'_>) -> String {
    format!(
        "Mount {} there: give Bindery's pod a volume of it, with volumeMounts at that path, or correct --mounted.",
        scene.share
    )
}

fn permit(scene: &Scene<'_>) -> String {
    let path = scene.path.display();
    if scene.uid == 0 {
        format!(
            "Either the server squashes root, or Bindery runs without the capabilities of root: export with \
             no_root_squash, or run it as the owner of {path} (runAsUser)."
        )
    } else {
        format!("Give the directory to that uid, or run Bindery as the owner of {path} (runAsUser).")
    }
}

fn set_owner(scene: &Scene<'_>) -> &'static str {
    if scene.uid == 0 {
        "Either the server squashes root, or Bindery runs without the capability CHOWN."
    } else {
        "Only root can give a directory to others: run Bindery with runAsUser 0 and the capability CHOWN, on a share that \
         does not squash root; or leave uid and gid out of the class."
    }
}

/// What was found is gone at the next call, again and again.
pub(super) fn restless(errno: Errno) -> (Fault, String) {
    let text = format!(
        "what was found is gone at the next call, again and again ({}). Somebody else works there.",
        name(errno)
    );
    (Fault::Busy, text)
}

/// The deadline came.
pub(super) fn timed_out(scene: &Scene<'_>) -> (Fault, String) {
    let text = format!(
        "the mount at {} did not answer in time. Check that its server and disks are well.",
        scene.path.display()
    );
    (Fault::TimedOut, text)
}

/// The deadline came before the verb could begin.
pub(super) fn no_place(scene: &Scene<'_>) -> (Fault, String) {
    let text = format!(
        "{MOST_AT_WORK} earlier calls to the mount at {} have not come to an end. Check that its server and disks are \
         well; if it is gone for good, restart Bindery's pod without it.",
        scene.path.display()
    );
    (Fault::TimedOut, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a test machine cannot easily be brought to answer.
    #[test]
    fn each_errno_has_its_fault_and_says_what_to_do() {
        let share = Share::parse("nas", "/export").unwrap();
        let scene = Scene {
            share: &share,
            path: Path::new("/mnt/volumes"),
            uid: 0,
        };
        let cases = [
            (
                Step::Make,
                Errno::DQUOT,
                Fault::NoSpace,
                "the quota is used up (EDQUOT). Raise it on the server, or free space.",
            ),
            (
                Step::Make,
                Errno::KEYEXPIRED,
                Fault::Denied,
                "uid 0 has no valid Kerberos ticket on this node (EKEYEXPIRED). Renew it, or give the node a keytab.",
            ),
            (
                Step::Mount,
                Errno::STALE,
                Fault::NoSuchShare,
                "what is mounted at /mnt/volumes is gone from its server (ESTALE). Mount it again: restart Bindery's pod.",
            ),
            (
                Step::Mount,
                Errno::NOTCONN,
                Fault::Unreachable,
                "what serves the mount at /mnt/volumes does not answer (ENOTCONN). Check that it runs, or mount it again.",
            ),
            (
                Step::Inside(OsStr::new("b")),
                Errno::IO,
                Fault::Other,
                "in its directory \"b\", the file system answers EIO. Look for the reason in the node's kernel log and the \
                 server's.",
            ),
            (
                Step::Make,
                Errno::PERM,
                Fault::Denied,
                "it is denied to uid 0 (EPERM). Either the server squashes root, or Bindery runs without the capabilities \
                 of root: export with no_root_squash, or run it as the owner of /mnt/volumes (runAsUser).",
            ),
        ];
        for (step, errno, fault, text) in cases {
            assert_eq!(refused(&scene, step, errno), (fault, text.to_owned()));
        }
    }
}
