//! A real NFS server of the test's own: nfs-ganesha on an address that nobody else uses. One that speaks version 4 alone has
//! a loopback address; version 3 needs a portmapper, and so a network of its own.

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bindery::model::directory::{NfsVersion, Share};
use tempfile::TempDir;

use super::disk::Disk;
use super::network::Network;

/// Where every NFS server listens.
pub const PORT: u16 = 2049;
/// The ports of all that a server of version 3 needs: the portmapper tells the others.
pub const PORTS_OF_V3: [u16; 3] = [111, 20048, PORT];
/// The program number of mountd.
const MOUNT: u32 = 100_005;

/// A running server; it and its files go when this is dropped.
pub struct Ganesha {
    address: IpAddr,
    dir: TempDir,
    child: Option<Child>,
    /// Of a server that speaks version 3, too. It goes after the server.
    network: Option<Network>,
    /// Of a server whose `/export` is a file system of its own.
    disk: Option<Disk>,
    /// In seconds: so long a client may be silent before it has lost its sessions.
    lease: u32,
    /// The minor versions of version 4 that it speaks.
    minors: &'static str,
    /// The number of the file system that `/export` shows, if not its own.
    pub fsid: Option<&'static str>,
}

/// As `tests/bed/nfs-server` has it.
const LEASE: u32 = 10;
const MINORS: &str = "0, 1, 2";

impl Ganesha {
    /// Starts a server and waits until it takes connections.
    pub fn start() -> Self {
        Self::start_in(free_address(), None, LEASE, MINORS)
    }

    /// Starts a server at this address.
    pub fn start_at(address: IpAddr) -> Self {
        Self::start_in(address, None, LEASE, MINORS)
    }

    /// Starts a server that speaks `NFSv4.1` alone.
    pub fn start_v4_1() -> Self {
        Self::start_in(free_address(), None, LEASE, "1")
    }

    /// Starts a server that remembers silent clients as long as servers usually do.
    pub fn start_patient() -> Self {
        Self::start_in(free_address(), None, 90, MINORS)
    }

    /// Starts a server whose shares are spoken to in version 3.
    pub fn start_v3() -> Self {
        let network = Network::new();
        Self::start_in(network.address(), Some(network), LEASE, MINORS)
    }

    /// Starts a server whose `/export` is a file system that can be frozen ([`Ganesha::disk`]).
    pub fn start_on_disk() -> Self {
        let mut server = Self::start();
        server.kill();
        let disk = Disk::mount(&server.dir.path().join("disk"), &server.export_dir());
        server.disk = Some(disk);
        server.restart();
        server
    }

    /// The file system behind `/export`.
    pub fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("a server on a disk of its own")
    }

    fn start_in(address: IpAddr, network: Option<Network>, lease: u32, minors: &'static str) -> Self {
        // Below the bed, whose folder goes with all in it, also when this process is killed.
        let below = std::env::var_os("BINDERY_BED").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::tempdir_in(below).expect("a directory for the server");
        let mut server = Self {
            address,
            dir,
            child: None,
            network,
            disk: None,
            lease,
            minors,
            fsid: None,
        };
        server.restart();
        server
    }

    /// Starts the server again after [`Ganesha::kill`], with what it had.
    pub fn restart(&mut self) {
        // The server goes with the thread that started it, however the test ends.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .env("NFS_LEASE", self.lease.to_string())
            .env("NFS_MINORS", self.minors)
            .env("NFS_FSID", self.fsid.unwrap_or_default());
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

    /// Ends the server as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server can be killed");
            child.wait().expect("the server ends");
        }
    }

    /// Stops the server where it stands: it takes connections and answers nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
        let tasks = format!("/proc/{}/task", self.pid());
        let stands = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.expect("a thread").path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
        };
        let late = Instant::now() + Duration::from_secs(10);
        while !std::fs::read_dir(&tasks).expect("its threads").all(stands) {
            assert!(Instant::now() < late, "the NFS server does not stand still");
            std::thread::yield_now();
        }
    }

    /// Lets a stopped server go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// One of its exports, by its path: `/export`, `/squashed`, `/readonly` or `/privileged`.
    pub fn share(&self, path: &str) -> Share {
        share(self.address, path).over(self.version())
    }

    /// How its shares are spoken to.
    pub fn version(&self) -> NfsVersion {
        self.network.as_ref().map_or(NfsVersion::V4, |_| NfsVersion::V3)
    }

    /// Mounts another file system, as only the server sees it, on a directory behind one of its exports. The server must
    /// not run: it looks at what is mounted when it starts.
    pub fn mount(&self, at: &Path) {
        let network = self.network.as_ref().expect("a server with a network of its own");
        let mut mount = Command::new("nsenter");
        mount
            .args(network.enter())
            .args(["mount", "-t", "tmpfs", "tmpfs"])
            .arg(at);
        assert!(mount.status().expect("nsenter runs").success());
    }

    /// Shows one directory at the place of another, likewise.
    pub fn bind(&self, from: &Path, at: &Path) {
        let network = self.network.as_ref().expect("a server with a network of its own");
        let mut mount = Command::new("nsenter");
        mount.args(network.enter()).args(["mount", "--bind"]).arg(from).arg(at);
        assert!(mount.status().expect("nsenter runs").success());
    }

    /// Takes away what [`Ganesha::mount`] has mounted last; the server must not run.
    pub fn unmount(&self, at: &Path) {
        let network = self.network.as_ref().expect("a server with a network of its own");
        let mut unmount = Command::new("nsenter");
        unmount.args(network.enter()).arg("umount").arg(at);
        assert!(unmount.status().expect("nsenter runs").success());
    }

    /// What the server sees at a path.
    pub fn seen(&self, path: &Path) -> PathBuf {
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

    /// The directory behind `/export`.
    pub fn export_dir(&self) -> PathBuf {
        self.dir_of("export")
    }

    /// The directory behind an export.
    pub fn dir_of(&self, export: &str) -> PathBuf {
        self.dir.path().join(export)
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("ganesha.log")).unwrap_or_default()
    }
}

impl Drop for Ganesha {
    fn drop(&mut self) {
        // A thread that waits for a frozen file system cannot be killed; and the disk goes before the directory that it is in.
        let disk = self.disk.take();
        if let Some(disk) = &disk {
            disk.thaw();
        }
        self.kill();
    }
}

pub fn share(address: IpAddr, path: &str) -> Share {
    Share::parse(&address.to_string(), path).expect("a share")
}

/// A loopback address on whose NFS port nobody listens.
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
