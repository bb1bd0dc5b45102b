//! Modes that a server does not set or keep, and modes that are left to the server.

use bindery::model::attributes::Attributes;
use bindery::storage::{Existing, Storage};

use super::{chmod, directory, long_deadline, mode_of, owner_of};
use crate::support::kind::{Kind, test_for};

test_for!([v4, v4_1, v3, mounted] {
    a_directory_has_its_owner_where_modes_cannot_be_set,
    a_directory_without_a_wanted_mode_has_an_owner_and_is_usable,
});

/// File systems with ACLs of their own refuse to set a mode, or report success and keep another one.
async fn a_directory_has_its_owner_where_modes_cannot_be_set(kind: Kind) {
    for how in ["--chmod-deny", "--chmod-ignore"] {
        let (server, client) = kind.start_with_bindfs(how);
        let wanted = Attributes {
            mode: Some(0o2770),
            uid: Some(7),
            gid: Some(8),
        };
        let share = server.share("/export");
        let call = async || {
            client
                .make(
                    &share,
                    &directory("a/b"),
                    wanted,
                    Existing::SetAttributes,
                    long_deadline(),
                )
                .await
        };
        let made = call().await.unwrap();
        let path = server.export_dir().join("a/b");
        assert_eq!((made.new, made.mode), (true, mode_of(&path)), "{how}");
        assert_ne!(made.mode, 0o2770, "{how}");
        assert_eq!(owner_of(&path), (7, 8), "{how}");
        // A second call accepts the mode that the directory has.
        let again = call().await.unwrap();
        assert_eq!((again.identity, again.mode), (made.identity, made.mode), "{how}");
    }
}

async fn a_directory_without_a_wanted_mode_has_an_owner_and_is_usable(kind: Kind) {
    let (server, client) = kind.start();
    let wanted = Attributes {
        mode: None,
        uid: Some(7),
        gid: Some(8),
    };
    let share = server.share("/export");
    let call = async || {
        client
            .make(
                &share,
                &directory("a"),
                wanted,
                Existing::SetAttributes,
                long_deadline(),
            )
            .await
    };
    let made = call().await.unwrap();
    let path = server.export_dir().join("a");
    assert_eq!((made.mode, owner_of(&path)), (mode_of(&path), (7, 8)));
    assert_eq!(made.mode & 0o755, 0o755, "{:o}", made.mode);
    chmod(&path, 0o711);
    assert_eq!(call().await.unwrap().mode, 0o711);
}
