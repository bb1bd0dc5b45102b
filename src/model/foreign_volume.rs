//! The location of the files of a volume that Bindery did not create: `spec.nfs`, or `spec.csi` of csi-driver-nfs.

use k8s_openapi::api::core::v1::PersistentVolumeSpec;

use super::directory::{Share, is_same_name, path_segments};
use super::location::{Location, Relation};
use super::volume_source::{DriverLocation, SourceLocation};

/// A server and an absolute path on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignLocation {
    /// In canonical spelling, if Bindery would accept it.
    pub server: Box<str>,
    /// Without `.`, `..` and empty segments.
    pub path: Box<str>,
}

impl ForeignLocation {
    /// Reads the location, if the files are on an NFS server.
    pub fn read(spec: &PersistentVolumeSpec) -> Option<Self> {
        // This is also the location of a volume of Bindery whose annotations are not valid.
        if let Some(location) = SourceLocation::read(spec) {
            return Some(Self::new(&location.server, &location.path));
        }
        let driver = DriverLocation::read(spec.csi.as_ref()?)?;
        Some(Self::new(
            &driver.server,
            &format!("{}/{}", driver.share, driver.directory),
        ))
    }

    fn new(server: &str, path: &str) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for segment in path_segments(path) {
            match segment {
                "." => {}
                ".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        let server = Share::parse(server, "/").map_or_else(|_| server.to_owned(), |share| share.server().to_owned());
        Self {
            server: server.into_boxed_str(),
            path: format!("/{}", names.join("/")).into_boxed_str(),
        }
    }

    /// The relation of this location to a directory, if the server is the same.
    pub fn relation_to(&self, location: &Location<'_>) -> Option<Relation> {
        if *self.server == *location.share.server() {
            self.relation_by_path(location)
        } else {
            None
        }
    }

    /// The relation of the paths. The names of the servers are not compared.
    pub fn relation_by_path(&self, location: &Location<'_>) -> Option<Relation> {
        let path = location.share.segments().chain(location.directory.segments());
        Relation::of(path, path_segments(&self.path), |one, other| {
            is_same_name(one, other) || has_token(other)
        })
    }

    /// Whether it is strictly below the share of a directory.
    pub fn is_below_share(&self, location: &Location<'_>) -> bool {
        let relation = Relation::of(location.share.segments(), path_segments(&self.path), |one, other| {
            is_same_name(one, other) || has_token(other)
        });
        relation == Some(Relation::Inside)
    }

    /// The leading parts of this path that end in the last name of a directory. Each may be that directory, if the server
    /// and the export also have other names.
    pub fn paths_with_same_name(&self, location: &Location<'_>) -> Vec<String> {
        let (_, name) = location.directory.split_last();
        let names: Vec<&str> = path_segments(&self.path).collect();
        let may_match = |at: &usize| names[*at].eq_ignore_ascii_case(name) || has_token(names[*at]);
        let ends = (0..names.len()).filter(may_match);
        ends.map(|at| format!("/{}", names[..=at].join("/"))).collect()
    }

    /// Whether this path contains the whole path of a directory below its share. This location may then be that directory,
    /// or be inside it, if the server and the export also have other names.
    pub fn has_whole_path(&self, location: &Location<'_>) -> bool {
        let names: Vec<&str> = path_segments(&self.path).collect();
        let directory: Vec<&str> = location.directory.segments().collect();
        names.windows(directory.len()).any(|part| {
            let mut pairs = part.iter().zip(&directory);
            pairs.all(|(name, wanted)| name.eq_ignore_ascii_case(wanted) || has_token(name))
        })
    }
}

/// Whether a segment contains a token whose value is not known. Such a segment may be any name.
fn has_token(segment: &str) -> bool {
    segment.contains("${")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::directory::Directory;
    use super::*;

    fn read(spec: Value) -> Option<ForeignLocation> {
        ForeignLocation::read(&serde_json::from_value(spec).unwrap())
    }

    fn relation_to(place: &ForeignLocation, directory: &str) -> Option<Relation> {
        let share = Share::parse("nas1", "/export").unwrap();
        let directory = Directory::parse(directory).unwrap();
        place.relation_to(&Location {
            share: &share,
            directory: &directory,
            share_id: None,
            identity: None,
        })
    }

    fn csi(attributes: &Value) -> Option<ForeignLocation> {
        read(json!({"csi": {"driver": "nfs.csi.k8s.io", "volumeHandle": "x", "volumeAttributes": attributes}}))
    }

    #[test]
    fn all_spellings_of_a_location_are_read() {
        for (server, path) in [
            ("nas1", "/export/a/b"),
            ("NAS1.", "/export//a/./b/"),
            ("nas1", "/export/x/../a/b"),
        ] {
            let place = read(json!({"nfs": {"server": server, "path": path}})).unwrap();
            assert_eq!(
                (&*place.server, &*place.path),
                ("nas1", "/export/a/b"),
                "{server} {path}"
            );
        }
        let six = read(json!({"nfs": {"server": "[FD00:0::1]", "path": "/"}})).unwrap();
        assert_eq!((&*six.server, &*six.path), ("fd00::1", "/"));
        let place = csi(&json!({"Server": "nas1", "share": "/export/", "subDir": "a/b"})).unwrap();
        assert_eq!((&*place.server, &*place.path), ("nas1", "/export/a/b"));
        let place = csi(&json!({"server": "nas1", "share": "/export"})).unwrap();
        assert_eq!(&*place.path, "/export");
        assert_eq!(csi(&json!({"share": "/export"})), None);
        assert_eq!(read(json!({"csi": {"driver": "other", "volumeHandle": "x"}})), None);
        let own = json!({"bindery.dev/server": "nas1", "bindery.dev/path": "/export/a", "rootPath": "/a"});
        let own = json!({"csi": {"driver": "cephfs.csi.ceph.com", "volumeHandle": "x", "volumeAttributes": own}});
        assert_eq!(&*read(own).unwrap().path, "/export/a");
        assert_eq!(read(json!({"hostPath": {"path": "/export"}})), None);
    }

    #[test]
    fn known_tokens_are_expanded_and_unknown_tokens_match_any_name() {
        let attributes = |name: Value| {
            json!({
                "server": "nas1", "share": "/export", "subdir": "${pvc.metadata.namespace}/${pvc.metadata.name}",
                "csi.storage.k8s.io/pvc/namespace": "team-a", "csi.storage.k8s.io/pvc/name": name,
            })
        };
        let known = csi(&attributes(json!("data"))).unwrap();
        assert_eq!(relation_to(&known, "team-a/data"), Some(Relation::Same));
        assert_eq!(relation_to(&known, "team-a/other"), None);
        let mut unknown = attributes(json!(""));
        unknown.as_object_mut().unwrap().remove("csi.storage.k8s.io/pvc/name");
        let unknown = csi(&unknown).unwrap();
        assert_eq!(relation_to(&unknown, "team-a/other"), Some(Relation::Same));
        assert_eq!(relation_to(&unknown, "team-b/other"), None);
    }

    #[test]
    fn paths_with_the_same_last_name_may_be_the_same_directory() {
        let place = read(json!({"nfs": {"server": "10.0.0.5", "path": "/vol/data/x/Data/y"}})).unwrap();
        let share = Share::parse("nas1", "/export").unwrap();
        let directory = Directory::parse("a/data").unwrap();
        let location = Location {
            share: &share,
            directory: &directory,
            share_id: None,
            identity: None,
        };
        assert_eq!(place.paths_with_same_name(&location), ["/vol/data", "/vol/data/x/Data"]);
        assert!(!place.has_whole_path(&location));
        let place = read(json!({"nfs": {"server": "10.0.0.5", "path": "/vol/a/data/y"}})).unwrap();
        assert!(place.has_whole_path(&location));
    }
}
