//! A real NFS server for one test: nfs-ganesha, on an address that nothing else uses. A server for `NFSv4` only has a
//! loopback address. `NFSv3` needs a portmapper, and therefore a network namespace.

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bindery::model::directory::{NfsVersion, Share};
use tempfile::TempDir;

use super::bindfs::Bindfs;
use super::ceph::{self, CephShares};
use super::disk::Disk;
use super::network::Network;
use super::signals::{pause, resume};

/// The port of every NFS server.
pub const PORT: u16 = 2049;
/// The ports of an `NFSv3` server: portmapper, mountd and NFS.
pub const PORTS_OF_V3: [u16; 3] = [111, 20048, PORT];
/// The program number of mountd.
const MOUNT: u32 = 100_005;

/// A running server. Dropping this stops it and removes its files.
pub struct Ganesha {
    address: IpAddr,
    dir: TempDir,
    child: Option<Child>,
    /// The network namespace of an `NFSv3` server. It is dropped after the server.
    network: Option<Network>,
    /// The file system of `/export`, if that is a separate one.
    disk: Option<Disk>,
    bindfs: Option<Bindfs>,
    /// Lease time in seconds: after that time without a call, a client loses its sessions.
    lease: u32,
    /// The supported minor versions of `NFSv4`.
    minors: &'static str,
    /// The fsid of `/export`, if it is configured.
    pub fsid: Option<String>,
    /// The number of `/export`. With another one, the server does not know its earlier file handles any more.
    pub export_id: u16,
    /// The shares in `CephFS`, if it exports these. They may be changed while the server is stopped.
    pub ceph: Option<CephShares>,
}

/// The default of `tests/bed/nfs-server`.
const LEASE: u32 = 10;
/// The directory that `bindfs` shows as `/export`.
const BEHIND: &str = "behind";
const MINORS: &str = "0, 1, 2";

impl Ganesha {
    /// Starts a server and waits until it accepts connections.
    pub fn start() -> Self {
        Self::start_in(free_address(), None, LEASE, MINORS)
    }

    /// Starts a server at this address.
    pub fn start_at(address: IpAddr) -> Self {
        Self::start_in(address, None, LEASE, MINORS)
    }

    /// Starts a server with minor version 1 of `NFSv4` only.
    pub fn start_v4_1() -> Self {
        Self::start_in(free_address(), None, LEASE, "1")
    }

    /// Starts a server with minor version 0 of `NFSv4` only.
    pub fn start_v4_0() -> Self {
        Self::start_in(free_address(), None, LEASE, "0")
    }

    /// Starts a server with `NFSv3`, and with minor version 0 of `NFSv4` only.
    pub fn start_v3_and_v4_0() -> Self {
        let network = Network::new();
        Self::start_in(network.address(), Some(network), LEASE, "0")
    }

    /// Starts a server with a usual lease time, 90 s.
    pub fn start_with_usual_lease() -> Self {
        Self::start_in(free_address(), None, 90, MINORS)
    }

    /// Starts a server whose shares are used with `NFSv3`.
    pub fn start_v3() -> Self {
        let network = Network::new();
        Self::start_in(network.address(), Some(network), LEASE, MINORS)
    }

    /// Starts a server whose `/export` is a file system that can be frozen (see [`Ganesha::disk`]).
    pub fn start_on_disk() -> Self {
        Self::start().on_disk()
    }

    /// Starts the server again with a file system of its own as `/export`.
    pub fn on_disk(mut self) -> Self {
        self.kill();
        let disk = Disk::mount(&self.dir.path().join("disk"), &self.export_dir(), self.enter());
        self.disk = Some(disk);
        self.restart();
        self
    }

    /// Starts the server again with another lease time, in seconds.
    pub fn with_lease(mut self, seconds: u32) -> Self {
        self.kill();
        self.lease = seconds;
        self.restart();
        self
    }

    /// Starts the server again with an `/export` on which modes cannot be set: see [`Bindfs::mount`].
    pub fn with_bindfs(mut self, how: &str) -> Self {
        self.kill();
        let from = self.dir.path().join(BEHIND);
        std::fs::create_dir(&from).expect("a directory");
        self.bindfs = Some(Bindfs::mount(how, &from, &self.export_dir(), self.enter()));
        self.restart();
        self
    }

    /// Returns the command that enters the network of the server, if it has one.
    fn enter(&self) -> Vec<String> {
        self.network.as_ref().map_or_else(Vec::new, |network| {
            ["nsenter".to_owned()].into_iter().chain(network.enter()).collect()
        })
    }

    /// Returns the file system of `/export`.
    pub fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("a server on a disk of its own")
    }

    /// Starts a server that exports directories of `CephFS` (see [`super::ceph`]), with these minor versions of `NFSv4`.
    fn start_ceph_with(minors: &'static str) -> Self {
        Self::start_with(free_address(), None, LEASE, minors, Some(CephShares::new()))
    }

    /// Starts a server that exports directories of `CephFS`.
    pub fn start_ceph() -> Self {
        Self::start_ceph_with(MINORS)
    }

    /// Starts such a server with minor version 1 of `NFSv4` only.
    pub fn start_ceph_v4_1() -> Self {
        Self::start_ceph_with("1")
    }

    /// Starts such a server whose shares are used with `NFSv3`.
    pub fn start_ceph_v3() -> Self {
        let network = Network::new();
        Self::start_with(network.address(), Some(network), LEASE, MINORS, Some(CephShares::new()))
    }

    fn start_in(address: IpAddr, network: Option<Network>, lease: u32, minors: &'static str) -> Self {
        Self::start_with(address, network, lease, minors, None)
    }

    fn start_with(
        address: IpAddr,
        network: Option<Network>,
        lease: u32,
        minors: &'static str,
        ceph: Option<CephShares>,
    ) -> Self {
        // In the folder of the bed, which is removed even if this process is killed.
        let below = std::env::var_os("BINDERY_BED").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::tempdir_in(below).expect("a directory for the server");
        let mut server = Self {
            address,
            dir,
            child: None,
            network,
            disk: None,
            bindfs: None,
            lease,
            minors,
            fsid: None,
            export_id: 1,
            ceph,
        };
        server.restart();
        server
    }

    /// Starts the server again after [`Ganesha::kill`], with the same files.
    pub fn restart(&mut self) {
        // The server is killed when the thread that started it ends, also after a failed test.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .env("NFS_LEASE", self.lease.to_string())
            .env("NFS_MINORS", self.minors)
            .env("NFS_EXPORT_ID", self.export_id.to_string())
            .env("NFS_FSID", self.fsid.as_deref().unwrap_or_default())
            .env("NFS_CEPH", self.ceph.as_ref().map_or("", CephShares::path))
            .env("NFS_CEPH_HOST", self.ceph_host());
        if let Some(network) = &self.network {
            command.env("NFS_V3", "1").arg("nsenter").args(network.enter());
        }
        let child = command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/nfs-server"))
            .arg(self.dir.path())
            .arg(self.address.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("tests/bed/nfs-server starts");
        self.child = Some(child);
        let late = Instant::now() + Duration::from_secs(30);
        while !self.listens() {
            let child = self.child.as_mut().expect("just started");
            assert!(
                child.try_wait().expect("its state").is_none(),
                "the NFS server ended: {}",
                self.log()
            );
            assert!(Instant::now() < late, "the NFS server does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the name by which Ceph knows the server.
    pub fn ceph_host(&self) -> String {
        format!("ganesha-{}", self.address)
    }

    /// Kills the server, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server can be killed");
            child.wait().expect("the server ends");
        }
    }

    /// Pauses the server: the kernel still accepts connections, but nothing answers.
    pub fn freeze(&self) {
        pause(self.pid());
    }

    /// Resumes a paused server.
    pub fn thaw(&self) {
        resume(self.pid());
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns one of its shares, by its path: `/export`, `/squashed`, `/readonly` or `/privileged`.
    pub fn share(&self, path: &str) -> Share {
        share(self.address, path).over(self.version())
    }

    /// Returns the NFS version of its shares.
    pub fn version(&self) -> NfsVersion {
        self.network.as_ref().map_or(NfsVersion::V4, |_| NfsVersion::V3)
    }

    /// Mounts another file system, of 64 MB, on a directory of an export. Only the server sees it. The server must be stopped, since it
    /// reads the mounts when it starts.
    pub fn mount(&self, at: &Path) {
        let network = self.network.as_ref().expect("a server with a network of its own");
        let mut mount = Command::new("nsenter");
        mount
            .args(network.enter())
            .args(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(at);
        assert!(mount.status().expect("nsenter runs").success());
    }

    /// Bind-mounts a directory on another one. Only the server sees it. The server must be stopped.
    pub fn bind(&self, from: &Path, at: &Path) {
        let network = self.network.as_ref().expect("a server with a network of its own");
        let mut mount = Command::new("nsenter");
        mount.args(network.enter()).args(["mount", "--bind"]).arg(from).arg(at);
        assert!(mount.status().expect("nsenter runs").success());
    }

    /// Unmounts what [`Ganesha::mount`] has mounted. The server must be stopped.
    pub fn unmount(&self, at: &Path) {
        let network = self.network.as_ref().expect("a server with a network of its own");
        let mut unmount = Command::new("nsenter");
        unmount.args(network.enter()).arg("umount").arg(at);
        assert!(unmount.status().expect("nsenter runs").success());
    }

    /// Returns the path at which this process sees a path of the server's mount namespace.
    pub fn through_proc(&self, path: &Path) -> PathBuf {
        let relative = path.strip_prefix("/").expect("an absolute path");
        Path::new("/proc")
            .join(self.pid().to_string())
            .join("root")
            .join(relative)
    }

    fn listens(&self) -> bool {
        TcpStream::connect((self.address, PORT)).is_ok()
            && self.network.as_ref().is_none_or(|network| network.knows(MOUNT))
    }

    /// Returns the directory of `/export` on this machine.
    pub fn export_dir(&self) -> PathBuf {
        self.dir_of("export")
    }

    /// Returns the directory of an export on this machine.
    pub fn dir_of(&self, export: &str) -> PathBuf {
        if let Some(ceph) = &self.ceph {
            return ceph.dir_of(export);
        }
        let export = match &self.bindfs {
            Some(_) if export == "export" => BEHIND,
            _ => export,
        };
        self.dir.path().join(export)
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("ganesha.log")).unwrap_or_default()
    }
}

impl Drop for Ganesha {
    fn drop(&mut self) {
        // A thread that waits for a frozen file system cannot be killed, so thaw it first. The disk is dropped before the
        // directory that contains it.
        let disk = self.disk.take();
        if let Some(disk) = &disk {
            disk.thaw();
        }
        self.kill();
        drop(self.bindfs.take());
        // A server that starts again ends its own old sessions. This one does not.
        if self.ceph.is_some() && !std::thread::panicking() {
            ceph::end_sessions_of(&self.ceph_host());
        }
    }
}

/// Returns a file system number for an export. Each test has its own: Bindery treats equal numbers as one file system.
pub fn new_fsid() -> String {
    let [.., high, low] = *uuid::Uuid::new_v4().as_bytes();
    format!("7.{}", 1 + u32::from(u16::from_be_bytes([high, low])))
}

/// Returns the share of a server at this address.
pub fn share(address: IpAddr, path: &str) -> Share {
    Share::parse(&address.to_string(), path).expect("a share")
}

/// Returns a loopback address with a free NFS port.
pub fn free_address() -> IpAddr {
    for _ in 0..100 {
        let [.., a, b, c] = *uuid::Uuid::new_v4().as_bytes();
        let address = Ipv4Addr::new(127, a.clamp(1, 254), b.clamp(1, 254), c.clamp(1, 254));
        if TcpListener::bind((address, PORT)).is_ok() {
            return address.into();
        }
    }
    panic!("no free loopback address: does something listen on port 2049 of every address (ss -ltn)?");
}
