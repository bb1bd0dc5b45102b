//! Messages for errors of the NFS server.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;

use bindery::model::attributes::Attributes;
use bindery::model::directory::{NfsVersion, Share};
use bindery::storage::nfs::NfsOptions;
use bindery::storage::{Existing, Fault, Outcome, Storage, StorageError, Storages};

use super::{chmod, client, directory, long_deadline, make, mode, mode_of};
use crate::support::kind::{CHANGED_PORT, Kind, options, test_for};
use crate::support::nfs::{Ganesha, free_address};

test_for!([v4, v4_1, v3, knfsd, knfsd_v4_1, ceph, ceph_v4_1, ceph_v3] {
    the_error_names_an_export_that_squashes_root,
    an_owner_that_cannot_be_set_is_reported_and_leaves_no_directory,
    the_error_says_that_the_user_is_not_root,
    the_error_names_a_read_only_export,
    an_export_that_requires_a_privileged_port_gets_one_or_the_error_says_so,
    the_error_names_a_share_that_is_not_exported,
    symlinks_and_files_in_the_path_are_never_followed,
    a_symlink_in_the_path_of_a_share_is_not_followed,
    a_rename_into_a_missing_parent_or_onto_an_existing_name_moves_nothing,
    a_missing_server_is_unreachable_at_once,
    the_error_says_that_a_server_does_not_speak_nfs,
});

// Linux's mountd follows symbolic links in the path of a share: see `version_3`.
test_for!([knfsd_v3] {
    the_error_names_an_export_that_squashes_root,
    an_owner_that_cannot_be_set_is_reported_and_leaves_no_directory,
    the_error_says_that_the_user_is_not_root,
    the_error_names_a_read_only_export,
    an_export_that_requires_a_privileged_port_gets_one_or_the_error_says_so,
    the_error_names_a_share_that_is_not_exported,
    symlinks_and_files_in_the_path_are_never_followed,
    a_rename_into_a_missing_parent_or_onto_an_existing_name_moves_nothing,
    a_missing_server_is_unreachable_at_once,
    the_error_says_that_a_server_does_not_speak_nfs,
});

// `embedded` has neither exports nor users. The last two tests of the list above use no server.
test_for!([embedded] {
    the_error_names_a_share_that_is_not_exported,
    symlinks_and_files_in_the_path_are_never_followed,
    a_symlink_in_the_path_of_a_share_is_not_followed,
    a_rename_into_a_missing_parent_or_onto_an_existing_name_moves_nothing,
});

test_for!([mounted, ceph_mounted] {
    symlinks_and_files_in_the_path_are_never_followed,
    a_rename_into_a_missing_parent_or_onto_an_existing_name_moves_nothing,
});

fn denial(fault: Fault, message: String) -> StorageError {
    let (tried, cause) = message.split_once(": ").expect("what was tried, and the cause");
    StorageError {
        fault,
        outcome: Outcome::NotDone,
        tried: tried.to_owned(),
        cause: cause.to_owned(),
    }
}

async fn the_error_names_an_export_that_squashes_root(kind: Kind) {
    let (server, client) = kind.start();
    let squashed = server.share("/squashed");
    let error = make(&client, &squashed, "a").await.unwrap_err();
    let status = kind.status("ACCESS");
    let message = format!(
        "cannot make directory a on {squashed}: the server denies it to uid 0 ({status}). Root is probably squashed \
         there: export with no_root_squash, or run Bindery with the owner's --nfs-uid and --nfs-gid. {CHANGED_PORT}"
    );
    assert_eq!(error, denial(Fault::Denied, message));
}

async fn an_owner_that_cannot_be_set_is_reported_and_leaves_no_directory(kind: Kind) {
    let (server, client) = kind.start();
    let squashed = server.share("/squashed");
    chmod(&server.dir_of("squashed"), 0o777);
    let attributes = Attributes {
        mode: Some(0o770),
        uid: Some(1000),
        gid: None,
    };
    let made = client
        .make(
            &squashed,
            &directory("a"),
            attributes,
            Existing::SetAttributes,
            long_deadline(),
        )
        .await;
    let status = kind.status("PERM");
    let message = format!(
        "cannot make directory a on {squashed}: the server does not let uid 0 set the owner ({status}). Root is \
         probably squashed there: export with no_root_squash."
    );
    assert_eq!(made, Err(denial(Fault::Denied, message)));
    assert!(!server.dir_of("squashed").join("a").exists());
    // Without an owner the call succeeds.
    assert!(make(&client, &squashed, "a").await.unwrap().new);
    assert_eq!(mode_of(&server.dir_of("squashed").join("a")), 0o777);
}

async fn the_error_says_that_the_user_is_not_root(kind: Kind) {
    let (server, client) = kind.start_as(1000);
    let share = server.share("/export");
    let error = make(&client, &share, "a").await.unwrap_err();
    let status = kind.status("ACCESS");
    let message = format!(
        "cannot make directory a on {share}: the server denies it to uid 1000 ({status}). Give the directory on the \
         server to that uid, or change --nfs-uid and --nfs-gid. {CHANGED_PORT}"
    );
    assert_eq!(error, denial(Fault::Denied, message));
}

async fn the_error_names_a_read_only_export(kind: Kind) {
    let (server, client) = kind.start();
    // In version 4, the directories above the exports are a read-only tree.
    let (paths, advice) = match kind.version() {
        NfsVersion::V4 => (
            &["/readonly", "/"][..],
            "; if PATH is only a part of an export's path, name the whole path",
        ),
        NfsVersion::V3 => (&["/readonly"][..], ""),
    };
    for path in paths {
        let share = server.share(path);
        let error = make(&client, &share, "a").await.unwrap_err();
        let message = format!(
            "cannot make directory a on {share}: it is read-only ({}). Export it with rw{}.",
            kind.status("ROFS"),
            advice.replace("PATH", path)
        );
        assert_eq!(error, denial(Fault::ReadOnly, message));
    }
}

async fn an_export_that_requires_a_privileged_port_gets_one_or_the_error_says_so(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/privileged");
    assert!(make(&client, &share, "a").await.unwrap().new);
    let unprivileged = Storages::new(NfsOptions {
        privileged_port: false,
        ..options(0)
    });
    let error = make(&unprivileged, &share, "b").await.unwrap_err();
    let port = "Bindery came from a source port above 1023, which many exports reject: set the sysctl \
                net.ipv4.ip_unprivileged_port_start=0 for its pod, or export with insecure.";
    let exported = "Check that it is exported to this host, and that the path is what an NFSv4 client sees, without the path \
                    of an export with fsid=0.";
    let (fault, cause) = match kind {
        // Linux shows the export to every port, but denies its use.
        Kind::Knfsd | Kind::KnfsdMinor1 => (
            Fault::NoSuchShare,
            format!("the server denies /privileged to this host (NFS4ERR_PERM at \"privileged\"). {port} {exported}"),
        ),
        Kind::KnfsdV3 => (
            Fault::NoSuchShare,
            format!(
                "the server does not export /privileged to this host (MNT3ERR_ACCES). Check what it exports, and to whom: \
                 showmount -e {}. {port}",
                share.server()
            ),
        ),
        _ if kind.version() == NfsVersion::V4 => (
            Fault::NoSuchShare,
            format!(
                "the server shows no /privileged to this host (NFS4ERR_NOENT at \"privileged\"). {exported} {port}"
            ),
        ),
        _ => (
            Fault::Denied,
            format!(
                "{} does not accept AUTH_SYS from this host. Export with sec=sys. {port}",
                share.server()
            ),
        ),
    };
    let message = format!("cannot make directory b on {share}: {cause}");
    assert_eq!(error, denial(fault, message));
}

async fn the_error_names_a_share_that_is_not_exported(kind: Kind) {
    let (server, client) = kind.start();
    for (path, segment) in [("/nothing", "nothing"), ("/export/deeper/down", "deeper")] {
        let share = server.share(path);
        let error = client
            .look_up(&share, &directory("a"), long_deadline())
            .await
            .unwrap_err();
        let reason = match kind.version() {
            // Linux refuses paths outside of its exports, but looks up those inside.
            NfsVersion::V3 if kind == Kind::KnfsdV3 && path != "/nothing" => format!(
                "the server has no {path} (MNT3ERR_NOENT). Check that it is there and exported to this host: showmount -e \
                 {}. {CHANGED_PORT}",
                share.server()
            ),
            NfsVersion::V4 => format!(
                "the server shows no {path} to this host (NFS4ERR_NOENT at \"{segment}\"). Check that it is exported to \
                 this host, and that the path is what an NFSv4 client sees, without the path of an export with fsid=0. \
                 {CHANGED_PORT}"
            ),
            NfsVersion::V3 => format!(
                "the server does not export {path} to this host (MNT3ERR_ACCES). Check what it exports, and to whom: \
                 showmount -e {}. {CHANGED_PORT}",
                share.server()
            ),
        };
        let message = format!("cannot look up directory a on {share}: {reason}");
        assert_eq!(error, denial(Fault::NoSuchShare, message));
    }
}

async fn symlinks_and_files_in_the_path_are_never_followed(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    let export = server.export_dir();
    fs::create_dir_all(export.join("real/inside")).unwrap();
    symlink("real", export.join("link")).unwrap();
    symlink("../real", export.join("real/link")).unwrap();
    fs::write(export.join("file"), "").unwrap();
    let expected = super::identity(&client, &share, "real").await;
    for (path, segment) in [
        ("link", "link"),
        ("link/a", "link"),
        ("link/inside/a", "link"),
        ("real/link/x/y", "link"),
        ("file/a", "file"),
        ("file", "file"),
    ] {
        let text = format!(
            "\"{segment}\" in the path is a file or a symbolic link; links are never followed. Move it away, or choose \
             another directory."
        );
        let refused = |verb: &str| denial(Fault::NotADirectory, format!("cannot {verb} on {share}: {text}"));
        let at = directory(path);
        let looked = client.look_up(&share, &at, long_deadline()).await;
        assert_eq!(looked, Err(refused(&format!("look up directory {path}"))));
        for existing in [Existing::SetAttributes, Existing::LeaveAlone] {
            let made = client.make(&share, &at, mode(0o777), existing, long_deadline()).await;
            assert_eq!(made, Err(refused(&format!("make directory {path}"))));
        }
        let removed = client.remove_tree(&share, &at, long_deadline()).await;
        assert_eq!(
            removed,
            Err(refused(&format!("remove directory {path} with all in it")))
        );
        let listed = client.list(&share, Some(&at), long_deadline()).await;
        assert_eq!(listed, Err(refused(&format!("list directory {path}"))));
        if path.contains('/') {
            let moved = client
                .rename(&share, &at, expected, &directory("elsewhere"), long_deadline())
                .await;
            assert_eq!(moved, Err(refused(&format!("move directory {path} to elsewhere"))));
        }
    }
    assert_eq!(fs::read_dir(export.join("real")).unwrap().count(), 2);
    assert_eq!(mode_of(&export.join("real/inside")), 0o755);
}

async fn a_symlink_in_the_path_of_a_share_is_not_followed(kind: Kind) {
    let (server, client) = kind.start();
    fs::create_dir(server.export_dir().join("real")).unwrap();
    symlink("real", server.export_dir().join("link")).unwrap();
    let share = server.share("/export/link");
    let error = make(&client, &share, "a").await.unwrap_err();
    let reason = match kind.version() {
        NfsVersion::V4 => {
            "\"link\" in the share's path is a file or a symbolic link. Name the directory that is exported.".to_owned()
        }
        NfsVersion::V3 => format!(
            "the server does not export /export/link to this host (MNT3ERR_ACCES). Check what it exports, and to whom: \
             showmount -e {}. {CHANGED_PORT}",
            share.server()
        ),
    };
    let message = format!("cannot make directory a on {share}: {reason}");
    assert_eq!(error, denial(Fault::NoSuchShare, message));
}

async fn a_rename_into_a_missing_parent_or_onto_an_existing_name_moves_nothing(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    let made = make(&client, &share, "a").await.unwrap().identity;
    make(&client, &share, "full/file").await.unwrap();
    let error = client
        .rename(&share, &directory("a"), made, &directory("no/where"), long_deadline())
        .await
        .unwrap_err();
    let status = kind.status("NOENT");
    let message =
        format!("cannot move directory a to no/where on {share}: the parent of the target does not exist ({status}).");
    assert_eq!(error, denial(Fault::Other, message));
    let error = client
        .rename(&share, &directory("a"), made, &directory("full"), long_deadline())
        .await
        .unwrap_err();
    assert_eq!(
        (error.fault, error.outcome),
        (Fault::Other, Outcome::NotDone),
        "{error}"
    );
    assert!(server.export_dir().join("a").is_dir());
}

#[tokio::test]
async fn a_rename_to_another_file_system_has_its_own_error() {
    let (server, client) = (Ganesha::start(), client());
    let root = server.share("/");
    let identity = super::identity(&client, &root, "export").await;
    make(&client, &server.share("/export"), "a").await.unwrap();
    let a = super::identity(&client, &server.share("/export"), "a").await;
    let moved = client
        .rename(
            &root,
            &directory("export/a"),
            a,
            &directory("squashed/a"),
            long_deadline(),
        )
        .await;
    assert_ne!(identity, a);
    let message = format!(
        "cannot move directory export/a to squashed/a on {root}: the target is on another file system of the \
         server, or something is mounted on the directory (NFS4ERR_XDEV)."
    );
    assert_eq!(moved, Err(denial(Fault::OtherFileSystem, message)));
}

async fn a_missing_server_is_unreachable_at_once(kind: Kind) {
    let address = free_address();
    let nowhere = kind.share(address, "/export");
    let error = make(&client(), &nowhere, "a").await.unwrap_err();
    let reason = match kind.version() {
        NfsVersion::V4 => format!(
            "no connection to {address}:2049: nothing listens there (connection refused). Check that the NFS server runs, \
             and that its port is open to this host."
        ),
        NfsVersion::V3 => format!(
            "NFSv3 needs the server's portmapper on port 111, and there is no connection to {address}:111: nothing listens \
             there (connection refused). Check that the server is up, that rpcbind runs there, and that the port is open to \
             this host; or let Bindery use NFSv4 (nfsVersion 4), which needs port 2049 alone."
        ),
    };
    let message = format!("cannot make directory a on {nowhere}: {reason}");
    assert_eq!(error, denial(Fault::Unreachable, message));
    let nameless = Share::parse("no-such-host.invalid", "/export").unwrap();
    let nameless = nameless.over(nowhere.version());
    let error = make(&client(), &nameless, "a").await.unwrap_err();
    let message = format!(
        "cannot make directory a on {nameless}: no address was found for the name no-such-host.invalid. Check the server's \
         name and the DNS."
    );
    assert_eq!(error, denial(Fault::Unreachable, message));
}

async fn the_error_says_that_a_server_does_not_speak_nfs(kind: Kind) {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &[0x80, 0, 0, 8, 1, 2, 3, 4, 0, 0, 0, 1],
    ] {
        let address = free_address();
        let listener = TcpListener::bind((address, kind.first_port())).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer_once(stream, answer);
            }
        });
        let share = kind.share(address, "/export");
        let error = make(&client(), &share, "a").await.unwrap_err();
        assert_eq!(
            (error.fault, error.outcome),
            (Fault::Other, Outcome::NotDone),
            "{error}"
        );
        let who = match kind.version() {
            NfsVersion::V4 => {
                format!("the program on port 2049 of {address} does not follow the NFSv4 protocol")
            }
            NfsVersion::V3 => format!("the answer of {address} does not follow the protocol of a portmapper"),
        };
        let start = format!("cannot make directory a on {share}: {who} (");
        assert!(error.to_string().starts_with(&start), "{error}");
    }
}

fn answer_once(mut stream: TcpStream, answer: &[u8]) {
    use std::io::{Read, Write};
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write_all(answer);
    // Wait until the client has read the answer and closed the connection.
    let _ = stream.read(&mut [0; 4096]);
}
