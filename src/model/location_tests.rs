//! Which directories overlap, as a table.

use uuid::Uuid;

use super::*;

/// A directory, as recorded on a volume.
struct At {
    share: Share,
    directory: Directory,
    share_id: Option<ShareId>,
    identity: Option<Identity>,
}

fn at(server: &str, path: &str, directory: &str) -> At {
    At {
        share: Share::parse(server, path).unwrap(),
        directory: Directory::parse(directory).unwrap(),
        share_id: None,
        identity: None,
    }
}

fn file(fsid: u64, fileid: u64) -> Identity {
    Identity {
        fsid: (fsid, 0),
        fileid,
    }
}

impl At {
    fn root(mut self, view: View, root: Identity) -> Self {
        let server = self.share_id.and_then(|id| id.server);
        self.share_id = Some(ShareId { view, root, server });
        self
    }

    /// Call it after [`At::root`].
    fn server(mut self, server: u128) -> Self {
        self.share_id.as_mut().unwrap().server = Some(Uuid::from_u128(server));
        self
    }

    fn is(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    fn location(&self) -> Location<'_> {
        Location {
            share: &self.share,
            directory: &self.directory,
            share_id: self.share_id,
            identity: self.identity,
        }
    }

    /// The relation of the other directory, checked in both directions.
    fn overlap_with(&self, other: &Self) -> Option<(Relation, Evidence)> {
        let pair = |overlap: Overlap| (overlap.relation, overlap.evidence);
        let forward = self.location().overlap_with(&other.location()).map(pair);
        let back = other.location().overlap_with(&self.location()).map(pair);
        let reversed = back.map(|(relation, evidence)| {
            let relation = match relation {
                Relation::Same => Relation::Same,
                Relation::Inside => Relation::Above,
                Relation::Above => Relation::Inside,
            };
            (relation, evidence)
        });
        assert_eq!(forward, reversed, "both directions give the same result");
        forward
    }
}

use Evidence::{Names, Numbers, Root, Server};
use Relation::{Above, Inside, Same};

#[test]
fn on_one_server_the_names_decide() {
    let one = at("nas1", "/export", "a/b");
    for (path, directory, relation) in [
        ("/export", "a/b", Some(Same)),
        ("/export", "a/b/c", Some(Inside)),
        ("/export", "a", Some(Above)),
        ("/export", "a/bb", None),
        ("/export", "b", None),
        ("/export/a", "b", Some(Same)),
        ("/", "export/a/b/c", Some(Inside)),
        ("/export/a", "c", None),
    ] {
        let overlap = one.overlap_with(&at("NAS1.", path, directory));
        assert_eq!(
            overlap,
            relation.map(|relation| (relation, Names)),
            "{path} {directory}"
        );
    }
    assert_eq!(
        one.overlap_with(&at("nas2", "/export", "a/b")),
        None,
        "nothing is known about the servers"
    );
}

#[test]
fn a_share_under_another_name_of_its_server_is_the_same_share() {
    let root = file(7, 2);
    let one = at("nas1", "/export", "a/b").root(View::V4, root);
    let other = |directory| at("10.0.0.5", "/export", directory).root(View::V4, root);
    assert_eq!(one.overlap_with(&other("a/b")), Some((Same, Root)));
    assert_eq!(one.overlap_with(&other("a")), Some((Above, Root)));
    assert_eq!(one.overlap_with(&other("a/b/c")), Some((Inside, Root)));
    assert_eq!(one.overlap_with(&other("c")), None);
    // The path in version 3, and the path in version 4 below `fsid=0`.
    assert_eq!(
        one.overlap_with(&at("10.0.0.5", "/", "a/b").root(View::V4, root)),
        Some((Same, Root))
    );
    assert_eq!(
        one.overlap_with(&at("nas1", "/", "a/b").root(View::V3, file(99, 2))),
        Some((Same, Root))
    );
    assert_eq!(
        one.overlap_with(&at("10.0.0.5", "/", "a/b").root(View::V3, root)),
        Some((Same, Root))
    );
    assert_eq!(
        one.overlap_with(&at("10.0.0.5", "/", "a/b").root(View::V3, file(99, 2))),
        None
    );
    assert_eq!(
        one.overlap_with(&at("nas2", "/export", "a/b").root(View::V4, file(8, 2))),
        None
    );
}

#[test]
fn two_names_of_a_server_are_recognized_by_its_server_owner() {
    let one = at("nas1", "/export", "a/b").root(View::V4, file(7, 2)).server(1);
    let other = |path, directory, server| {
        at("10.0.0.5", path, directory)
            .root(View::V4, file(8, 2))
            .server(server)
    };
    assert_eq!(
        one.overlap_with(&other("/export/a", "b", 1)),
        Some((Same, Server)),
        "an export inside an export"
    );
    assert_eq!(one.overlap_with(&other("/export/a", "b/c", 1)), Some((Inside, Server)));
    assert_eq!(one.overlap_with(&other("/export/a", "c", 1)), None);
    assert_eq!(one.overlap_with(&other("/export/a", "b", 2)), None);
}

#[test]
fn a_directory_is_recognized_by_its_file_numbers() {
    let one = at("nas1", "/export", "a/b").is(file(7, 100));
    assert_eq!(
        one.overlap_with(&at("10.0.0.5", "/data", "b").is(file(7, 100))),
        Some((Same, Numbers))
    );
    assert_eq!(one.overlap_with(&at("10.0.0.5", "/data", "b").is(file(7, 101))), None);
    // The last names differ, so these are two directories with equal numbers.
    assert_eq!(one.overlap_with(&at("10.0.0.5", "/data", "c").is(file(7, 100))), None);
    // Subvolumes of one export have the same number.
    assert_eq!(one.overlap_with(&at("nas1", "/export", "c/b").is(file(7, 100))), None);
    // A server that ignores case.
    assert_eq!(
        one.overlap_with(&at("nas1", "/export", "A/B").is(file(7, 100))),
        Some((Same, Numbers))
    );
    assert_eq!(one.overlap_with(&at("nas1", "/export", "A/B").is(file(7, 101))), None);
}

#[test]
fn equal_root_numbers_mean_one_share_unless_the_directories_differ() {
    // `fsid=0` on two servers with different server owners.
    let one = at("nas1", "/", "a").root(View::V4, file(0, 2)).server(1);
    let other = || at("nas2", "/", "a").root(View::V4, file(0, 2)).server(2);
    assert_eq!(one.overlap_with(&other()), Some((Same, Root)));
    let one = one.is(file(0, 100));
    assert_eq!(
        one.overlap_with(&other()),
        Some((Same, Root)),
        "the identity of the other directory is not known"
    );
    assert_eq!(one.overlap_with(&other().is(file(0, 100))), Some((Same, Root)));
    assert_eq!(one.overlap_with(&other().is(file(0, 101))), None, "two directories");
    // Within one server the names decide, because a record may be old.
    let same_server = at("nas2", "/", "a")
        .root(View::V4, file(0, 2))
        .server(1)
        .is(file(0, 101));
    assert_eq!(one.overlap_with(&same_server), Some((Same, Server)));
}

/// Below one export, Linux reports one file system number for all btrfs subvolumes. Each subvolume has its own file numbers,
/// and 256 for its root.
#[test]
fn directories_in_two_btrfs_subvolumes_are_one_only_if_shares_and_last_names_allow_it() {
    let share = file(7, 257);
    let in_subvolume = |subvolume: &str, name: &str| {
        at("nas", "/export", &format!("{subvolume}/{name}"))
            .root(View::V4, share)
            .is(file(7, 257))
    };
    // In one share the names decide.
    let (one, other) = (in_subvolume("team-a", "data"), in_subvolume("team-b", "data"));
    assert_eq!(one.overlap_with(&other), None);
    // Two shares with the same numbers may be one directory.
    let alone = |subvolume: &str, directory: &str| {
        at("nas", &format!("/export/{subvolume}"), directory).root(View::V4, file(7, 256))
    };
    let (one, other) = (alone("team-a", "data"), alone("team-b", "data"));
    assert_eq!(one.overlap_with(&other), Some((Relation::Same, Evidence::Root)));
    // The default layout has a name of its own for each directory.
    let other = alone("team-b", "data-pvc-2");
    assert_eq!(one.overlap_with(&other), None);
}
