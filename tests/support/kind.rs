//! The kinds of storage, each on a real server: the promises of `Storage` are tested for all of them that keep them.
//!
//! To add one: a variant here, a module in [`kept_by`], and its name in the lists at the head of the tests.

use std::net::IpAddr;
use std::path::PathBuf;

use bindery::model::directory::{NfsVersion, Share};
use bindery::storage::Storages;
use bindery::storage::nfs::NfsOptions;

use super::embedded::Embedded;
use super::mount::Mount;
use super::nfs::{Ganesha, share};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `NFSv4.2`: late calls are fenced off, and a rename is tied to what is meant.
    V4,
    /// The same in `NFSv4.1`, by a server that speaks no other: the client comes with 4.2, and falls back.
    V4Minor1,
    /// `NFSv4.1` by a server of other people's making, see [`super::embedded`]. It has no exports and asks nobody who they are:
    /// the tests of squashed, read-only and privileged shares and of users that are not root are not for it.
    Embedded,
    /// `NFSv3`.
    V3,
    /// A file system in memory, mounted for Bindery. It has no server: the tests of outages and denials are not for it.
    Mounted,
}

/// What a test needs of the server besides the client: four shares, and the directories behind them.
pub trait Server {
    /// `/export`, `/squashed` (root is nobody), `/readonly` or `/privileged` (wants a source port below 1024).
    fn share(&self, path: &str) -> Share;
    /// Where it listens, for a relay.
    fn address(&self) -> IpAddr;
    /// The directory behind one of them, by its name without the slash.
    fn dir_of(&self, export: &str) -> PathBuf;
    /// The directory behind `/export`.
    fn export_dir(&self) -> PathBuf {
        self.dir_of("export")
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
        assert_eq!(export, "export", "there is no other");
        self.path().to_owned()
    }
}

impl Kind {
    /// A server, and a client that is root there.
    pub fn start(self) -> (Box<dyn Server>, Storages) {
        self.start_as(0)
    }

    /// A server, and a client that is this user there.
    pub fn start_as(self, uid: u32) -> (Box<dyn Server>, Storages) {
        match self {
            Self::Mounted => {
                let mount = Mount::memory();
                let storage = mount.storage();
                (Box::new(mount), client_as(uid).with_mounted(storage))
            }
            Self::Embedded => (Box::new(Embedded::start()), client_as(uid)),
            Self::V4 | Self::V4Minor1 | Self::V3 => (Box::new(self.ganesha()), client_as(uid)),
        }
    }

    /// A server that can be killed, frozen and started again.
    pub fn ganesha(self) -> Ganesha {
        match self {
            Self::V4 => Ganesha::start(),
            Self::V4Minor1 => Ganesha::start_v4_1(),
            Self::V3 => Ganesha::start_v3(),
            Self::Embedded | Self::Mounted => self.no_server(),
        }
    }

    /// For tests of what only a server can do.
    pub fn no_server(self) -> ! {
        panic!("{self:?} has no server here")
    }

    /// A share of a server that the test plays itself.
    pub fn share(self, server: IpAddr, path: &str) -> Share {
        share(server, path).over(match self {
            Self::V4 | Self::V4Minor1 | Self::Embedded => NfsVersion::V4,
            Self::Mounted => self.no_server(),
            Self::V3 => NfsVersion::V3,
        })
    }

    /// The port that a client comes to first.
    pub fn first_port(self) -> u16 {
        match self {
            Self::V4 | Self::V4Minor1 | Self::Embedded => 2049,
            Self::Mounted => self.no_server(),
            Self::V3 => 111,
        }
    }

    /// A status as messages spell it.
    pub fn status(self, name: &str) -> String {
        match (self, name) {
            (Self::Mounted, "ACCESS") => "EACCES".to_owned(),
            (Self::Mounted, name) => format!("E{name}"),
            (Self::V4 | Self::V4Minor1 | Self::Embedded, name) => format!("NFS4ERR_{name}"),
            (Self::V3, "ACCESS") => "NFS3ERR_ACCES".to_owned(),
            (Self::V3, "DELAY") => "NFS3ERR_JUKEBOX".to_owned(),
            (Self::V3, name) => format!("NFS3ERR_{name}"),
        }
    }
}

/// What a denial says about the port of a client that comes from a privileged one.
pub const CHANGED_PORT: &str = "Many exports turn source ports above 1023 away: Bindery came from one below, but a network \
                                plugin may have changed it on the way. Export with insecure, or run Bindery with hostNetwork.";

/// A client of every kind.
pub fn client_as(uid: u32) -> Storages {
    Storages::new(options(uid))
}

/// Who it is.
pub fn options(uid: u32) -> NfsOptions {
    NfsOptions {
        uid,
        gid: uid,
        machine: "test".to_owned(),
        privileged_port: true,
    }
}

/// Makes a test for each kind and each function: `kept_by!([v4, v3] this, that; on_threads: those)`. The last ones run on
/// two threads.
macro_rules! kept_by {
    ([$($kind:ident),*] $tests:tt) => { $($crate::support::kind::kept_by!(@$kind $tests);)* };
    (@v4 $tests:tt) => { mod v4 { $crate::support::kind::kept_by!(@tests V4 $tests); } };
    (@v4_1 $tests:tt) => { mod v4_1 { $crate::support::kind::kept_by!(@tests V4Minor1 $tests); } };
    (@embedded $tests:tt) => { mod embedded { $crate::support::kind::kept_by!(@tests Embedded $tests); } };
    (@v3 $tests:tt) => { mod v3 { $crate::support::kind::kept_by!(@tests V3 $tests); } };
    (@mounted $tests:tt) => { mod mounted { $crate::support::kind::kept_by!(@tests Mounted $tests); } };
    (@tests $kind:ident { $($test:ident,)* $(; on_threads: $($threads:ident,)*)? }) => {
        $(
            #[tokio::test]
            async fn $test() {
                super::$test($crate::support::kind::Kind::$kind).await;
            }
        )*
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $threads() {
                super::$threads($crate::support::kind::Kind::$kind).await;
            }
        )*)?
    };
}
pub(crate) use kept_by;
