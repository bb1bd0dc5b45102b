//! The kinds of storage, each with a real server: the promises of the trait `Storage` are tested for all kinds that keep
//! them.
//!
//! To add a kind: add a variant here, a module in [`test_for`], and its name to the lists at the top of the test files.
//!
//! The kinds of Linux's own server need a virtual machine, and those of `CephFS` a Ceph cluster. `make test` ignores their
//! tests; `make test-knfsd` and `make test-ceph` run them.

use std::net::IpAddr;
use std::path::PathBuf;

use bindery::model::directory::{NfsVersion, Share};
use bindery::storage::Storages;
use bindery::storage::nfs::NfsOptions;

use super::embedded::Embedded;
use super::knfsd::{self, Knfsd};
use super::mount::Mount;
use super::nfs::{Ganesha, share};

/// A kind of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `NFSv4.2`: late calls are fenced, and a rename checks the identity of the directory.
    V4,
    /// `NFSv4.1`, with a server that speaks no other minor version: the client tries 4.2 first.
    V4Minor1,
    /// `NFSv4.1` with another server implementation, see [`super::embedded`]. It has no exports and no users: tests of
    /// squashed, read-only and privileged shares, and of users other than root, do not use it.
    Embedded,
    /// `NFSv3`.
    V3,
    /// `NFSv4.2` with the server of the Linux kernel, see [`super::knfsd`]. The tests run on the file system that
    /// `exports conformance` has chosen.
    Knfsd,
    /// `NFSv4.1` with the server of the Linux kernel, which speaks no other minor version.
    KnfsdMinor1,
    /// `NFSv3` with the server of the Linux kernel.
    KnfsdV3,
    /// A mounted file system in memory. It has no server: tests of outages and refusals do not use it.
    Mounted,
    /// `NFSv4.2` with nfs-ganesha, which exports `CephFS` with its module for Ceph, see [`super::ceph`].
    Ceph,
    /// `NFSv4.1` with the same server, which speaks no other minor version.
    CephMinor1,
    /// `NFSv3` with the same server.
    CephV3,
    /// A mount of `CephFS` with ceph-fuse.
    CephMounted,
}

/// A server for tests: four shares, and their directories on this machine.
pub trait Server {
    /// Returns the share `/export`, `/squashed` (root is nobody), `/readonly` or `/privileged` (requires a source port below
    /// 1024).
    fn share(&self, path: &str) -> Share;
    /// Returns its address, for a relay.
    fn address(&self) -> IpAddr;
    /// Returns the directory of a share, by its name without the slash.
    fn dir_of(&self, export: &str) -> PathBuf;
    /// Returns the directory of the share `/export`.
    fn export_dir(&self) -> PathBuf {
        self.dir_of("export")
    }
}

/// A server that can be stopped, paused and started again. Its files remain.
pub trait Restartable: Server {
    /// Ends the server at once.
    fn kill(&mut self);
    /// Starts the server again.
    fn restart(&mut self);
    /// Pauses the server: connections are still accepted, but nothing answers.
    fn freeze(&mut self);
    /// Resumes a paused server.
    fn thaw(&mut self);
}

impl Restartable for Ganesha {
    fn kill(&mut self) {
        Self::kill(self);
    }

    fn restart(&mut self) {
        Self::restart(self);
    }

    fn freeze(&mut self) {
        Self::freeze(self);
    }

    fn thaw(&mut self) {
        Self::thaw(self);
    }
}

impl Server for Ganesha {
    fn share(&self, path: &str) -> Share {
        Self::share(self, path)
    }

    fn address(&self) -> IpAddr {
        Self::address(self)
    }

    fn dir_of(&self, export: &str) -> PathBuf {
        Self::dir_of(self, export)
    }
}

impl Server for Embedded {
    fn share(&self, path: &str) -> Share {
        share(Server::address(self), path)
    }

    fn address(&self) -> IpAddr {
        Self::address(self)
    }

    fn dir_of(&self, export: &str) -> PathBuf {
        self.path().join(export)
    }
}

impl Server for Mount {
    fn share(&self, path: &str) -> Share {
        Self::share(path)
    }

    fn address(&self) -> IpAddr {
        Kind::Mounted.no_server()
    }

    fn dir_of(&self, export: &str) -> PathBuf {
        assert_eq!(export, "export", "a mount has one share");
        self.behind().to_owned()
    }
}

/// Returns a server for this version of NFS, for a test with a Bindery of its own: nfs-ganesha, or Linux's own server if the
/// bed uses that. All tests then share it.
pub fn server_for(version: NfsVersion) -> Box<dyn Server> {
    match (knfsd::of_bed(version), version) {
        (Some(server), _) => Box::new(server),
        (None, NfsVersion::V4) => Box::new(Ganesha::start()),
        (None, NfsVersion::V3) => Box::new(Ganesha::start_v3()),
    }
}

impl Kind {
    /// Starts a server, and returns it with a client that is root.
    pub fn start(self) -> (Box<dyn Server>, Storages) {
        self.start_as(0)
    }

    /// Starts a server, and returns it with a client that has this uid.
    pub fn start_as(self, uid: u32) -> (Box<dyn Server>, Storages) {
        match self {
            Self::Mounted | Self::CephMounted => {
                let mount = if self == Self::Mounted {
                    Mount::memory()
                } else {
                    Mount::ceph().0
                };
                let storage = mount.storage();
                (Box::new(mount), client_as(uid).with_mounted(storage))
            }
            Self::Embedded => (Box::new(Embedded::start()), client_as(uid)),
            Self::Knfsd | Self::KnfsdMinor1 | Self::KnfsdV3 => (Box::new(Knfsd::start(self.version())), client_as(uid)),
            Self::V4 | Self::V4Minor1 | Self::V3 | Self::Ceph | Self::CephMinor1 | Self::CephV3 => {
                (Box::new(self.ganesha()), client_as(uid))
            }
        }
    }

    /// Starts a server on whose `/export` modes cannot be set: see [`Bindfs::mount`].
    pub fn start_with_bindfs(self, how: &str) -> (Box<dyn Server>, Storages) {
        match self {
            Self::Mounted => {
                let mount = Mount::bindfs(how);
                let storage = mount.storage();
                (Box::new(mount), client_as(0).with_mounted(storage))
            }
            _ => (Box::new(self.ganesha().with_bindfs(how)), client_as(0)),
        }
    }

    /// Starts a server that can be killed, frozen and restarted.
    pub fn restartable(self) -> Box<dyn Restartable> {
        match self {
            Self::Knfsd | Self::KnfsdMinor1 | Self::KnfsdV3 => Box::new(Knfsd::start(self.version())),
            _ => Box::new(self.ganesha()),
        }
    }

    /// Starts an nfs-ganesha.
    pub fn ganesha(self) -> Ganesha {
        match self {
            Self::V4 => Ganesha::start(),
            Self::V4Minor1 => Ganesha::start_v4_1(),
            Self::V3 => Ganesha::start_v3(),
            Self::Ceph => Ganesha::start_ceph(),
            Self::CephMinor1 => Ganesha::start_ceph_v4_1(),
            Self::CephV3 => Ganesha::start_ceph_v3(),
            _ => panic!("{self:?} is not served by Ganesha"),
        }
    }

    /// Returns the version of NFS that its clients use.
    pub fn version(self) -> NfsVersion {
        match self {
            Self::V4
            | Self::V4Minor1
            | Self::Embedded
            | Self::Knfsd
            | Self::KnfsdMinor1
            | Self::Ceph
            | Self::CephMinor1 => NfsVersion::V4,
            Self::V3 | Self::KnfsdV3 | Self::CephV3 => NfsVersion::V3,
            Self::Mounted | Self::CephMounted => self.no_server(),
        }
    }

    /// Panics, in tests that need a server.
    pub fn no_server(self) -> ! {
        panic!("{self:?} has no server here")
    }

    /// Returns a share of a server that the test itself simulates.
    pub fn share(self, server: IpAddr, path: &str) -> Share {
        share(server, path).over(self.version())
    }

    /// Returns the port to which a client connects first.
    pub fn first_port(self) -> u16 {
        match self.version() {
            NfsVersion::V4 => 2049,
            NfsVersion::V3 => 111,
        }
    }

    /// Returns the name of an NFS status as in messages.
    pub fn status(self, name: &str) -> String {
        if matches!(self, Self::Mounted | Self::CephMounted) {
            return match name {
                "ACCESS" => "EACCES".to_owned(),
                name => format!("E{name}"),
            };
        }
        match (self.version(), name) {
            (NfsVersion::V4, name) => format!("NFS4ERR_{name}"),
            (NfsVersion::V3, "ACCESS") => "NFS3ERR_ACCES".to_owned(),
            (NfsVersion::V3, "DELAY") => "NFS3ERR_JUKEBOX".to_owned(),
            (NfsVersion::V3, name) => format!("NFS3ERR_{name}"),
        }
    }
}

/// The advice about source ports in a message for a client that uses a privileged port.
pub const CHANGED_PORT: &str = "Many exports reject source ports above 1023: Bindery came from one below, but a network \
                                plugin may have changed it on the way. Export with insecure, or run Bindery with \
                                hostNetwork.";

/// Returns a client for all NFS versions with this uid.
pub fn client_as(uid: u32) -> Storages {
    Storages::new(options(uid))
}

/// Returns the options of a client with this uid.
pub fn options(uid: u32) -> NfsOptions {
    NfsOptions {
        uid,
        gid: uid,
        machine: "test".to_owned(),
        privileged_port: true,
    }
}

/// Creates a test for each kind and each function: `test_for!([v4, v3] { this, that; on_threads: those })`. Functions after
/// `on_threads` run with two threads.
macro_rules! test_for {
    ([$($kind:ident),*] $tests:tt) => { $($crate::support::kind::test_for!(@$kind $tests);)* };
    (@v4 $tests:tt) => { mod v4 { $crate::support::kind::test_for!(@tests V4 [] $tests); } };
    (@v4_1 $tests:tt) => { mod v4_1 { $crate::support::kind::test_for!(@tests V4Minor1 [] $tests); } };
    (@embedded $tests:tt) => { mod embedded { $crate::support::kind::test_for!(@tests Embedded [] $tests); } };
    (@v3 $tests:tt) => { mod v3 { $crate::support::kind::test_for!(@tests V3 [] $tests); } };
    (@mounted $tests:tt) => { mod mounted { $crate::support::kind::test_for!(@tests Mounted [] $tests); } };
    (@knfsd $tests:tt) => { mod knfsd { $crate::support::kind::test_for!(@in_guest Knfsd $tests); } };
    (@knfsd_v4_1 $tests:tt) => { mod knfsd_v4_1 { $crate::support::kind::test_for!(@in_guest KnfsdMinor1 $tests); } };
    (@knfsd_v3 $tests:tt) => { mod knfsd_v3 { $crate::support::kind::test_for!(@in_guest KnfsdV3 $tests); } };
    (@in_guest $kind:ident $tests:tt) => {
        $crate::support::kind::test_for!(@tests $kind [#[ignore = "make test-knfsd runs it in a virtual machine"]] $tests);
    };
    (@ceph $tests:tt) => { mod ceph { $crate::support::kind::test_for!(@on_ceph Ceph $tests); } };
    (@ceph_v4_1 $tests:tt) => { mod ceph_v4_1 { $crate::support::kind::test_for!(@on_ceph CephMinor1 $tests); } };
    (@ceph_v3 $tests:tt) => { mod ceph_v3 { $crate::support::kind::test_for!(@on_ceph CephV3 $tests); } };
    (@ceph_mounted $tests:tt) => { mod ceph_mounted { $crate::support::kind::test_for!(@on_ceph CephMounted $tests); } };
    (@on_ceph $kind:ident $tests:tt) => {
        $crate::support::kind::test_for!(@tests $kind [#[ignore = "make test-ceph runs it with a Ceph cluster"]] $tests);
    };
    (@tests $kind:ident $attributes:tt { $($test:ident,)* $(; on_threads: $($threads:ident,)*)? }) => {
        $($crate::support::kind::test_for!(@one $kind $attributes [#[tokio::test]] $test);)*
        $($($crate::support::kind::test_for!(
            @one $kind $attributes [#[tokio::test(flavor = "multi_thread", worker_threads = 2)]] $threads
        );)*)?
    };
    (@one $kind:ident [$($attribute:tt)*] [$($runtime:tt)*] $test:ident) => {
        $($runtime)*
        $($attribute)*
        async fn $test() {
            super::$test($crate::support::kind::Kind::$kind).await;
        }
    };
}
pub(crate) use test_for;
