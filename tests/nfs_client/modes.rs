//! Modes that a server does not set or keep, and modes that are left to the server.

use bindery::model::attributes::Attributes;
use bindery::model::directory::Share;
use bindery::storage::{Existing, Made, Storage, Storages};

use super::{chmod, directory, long_deadline, mode_of, owner_of};
use crate::support::kind::{Kind, test_for};

test_for!([v4, v4_1, v3, mounted] {
    a_directory_has_its_owner_where_modes_cannot_be_set,
    a_directory_without_a_wanted_mode_has_an_owner_and_is_usable,
});

// The kernel does not export bindfs, and neither does Ganesha with its module for Ceph. These servers set and keep modes on
// every file system that they export here.
test_for!([knfsd, knfsd_v4_1, knfsd_v3, ceph, ceph_v4_1, ceph_v3, ceph_mounted] {
    a_directory_without_a_wanted_mode_has_an_owner_and_is_usable,
});

async fn make(client: &Storages, share: &Share, wanted: Attributes) -> Made {
    let a = directory("a");
    let made = client.make(share, &a, wanted, Existing::SetAttributes, long_deadline());
    made.await.unwrap()
}

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
        let made = make(&client, &share, wanted).await;
        let path = server.export_dir().join("a");
        // The mode with which it was created, since it could not be set afterwards.
        assert_eq!((made.new, made.mode, mode_of(&path)), (true, 0o750, 0o750), "{how}");
        assert_eq!(owner_of(&path), (7, 8), "{how}");
        // A second call accepts the mode that the directory has.
        let again = make(&client, &share, wanted).await;
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
    let made = make(&client, &share, wanted).await;
    let path = server.export_dir().join("a");
    assert_eq!((made.mode, mode_of(&path), owner_of(&path)), (0o755, 0o755, (7, 8)));
    chmod(&path, 0o711);
    assert_eq!(make(&client, &share, wanted).await.mode, 0o711);
}
