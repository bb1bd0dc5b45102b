//! The controller of csi-driver-nfs. Its own parts are played (see `tests/bed/csi-driver`); csi-resizer is that of the
//! Kubernetes project. It sees all volumes of the driver in the cluster.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::sync::Mutex;

use super::bed::Bed;

/// The name of the driver.
pub const DRIVER: &str = "nfs.csi.k8s.io";

/// Tests of the driver's controller run one after the other: it sees the volumes of all tests. So does a Bindery that takes
/// them over.
pub static ALONE: Mutex<()> = Mutex::const_new(());

/// The part of the controller that expands volumes. Dropping this ends it.
pub struct Resizer {
    folder: TempDir,
    _processes: [Process; 2],
}

impl Resizer {
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (socket, hold) = (path("socket"), path("hold"));
        let controller = Process::start(
            "CSI_DRIVER",
            &["controller", &socket, &hold],
            &folder.path().join("calls"),
        );
        let kubeconfig = format!("--kubeconfig={}", Bed::get().kubeconfig.display());
        let address = format!("--csi-address={socket}");
        let patient = [
            "--timeout=10m",
            "--retry-interval-start=100ms",
            "--retry-interval-max=1s",
        ];
        let arguments = [&[&*kubeconfig, &*address], &patient[..]].concat();
        let resizer = Process::start("CSI_RESIZER", &arguments, &folder.path().join("log"));
        Self {
            folder,
            _processes: [controller, resizer],
        }
    }

    /// From now on, expansions wait for [`Self::release`].
    pub fn hold(&self) {
        File::create(self.folder.path().join("hold")).expect("a file");
    }

    pub fn release(&self) {
        std::fs::remove_file(self.folder.path().join("hold")).expect("it is held");
    }

    /// Whether the driver was asked to expand the volume with this id to this size.
    pub fn has_expanded(&self, id: &str, bytes: u64) -> bool {
        let calls = std::fs::read_to_string(self.folder.path().join("calls")).expect("the calls");
        calls.lines().any(|call| call == format!("expand {id} {bytes}"))
    }
}

/// The part of the controller that creates and deletes volumes. Dropping this ends it.
pub struct Provisioner {
    folder: TempDir,
    _process: Process,
}

impl Provisioner {
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let bed = Bed::get();
        let [kubeconfig, export] = [&bed.kubeconfig, &bed.export].map(|path| path.display().to_string());
        let arguments = ["provisioner", &kubeconfig, &export];
        let process = Process::start("CSI_DRIVER", &arguments, &folder.path().join("calls"));
        Self {
            folder,
            _process: process,
        }
    }

    /// The ids of the volumes that it was asked to delete, perhaps more than once.
    pub fn deleted(&self) -> BTreeSet<String> {
        let calls = std::fs::read_to_string(self.folder.path().join("calls")).expect("the calls");
        let ids = calls.lines().filter_map(|call| call.strip_prefix("delete "));
        ids.map(str::to_owned).collect()
    }
}

/// A process that is killed when this is dropped, and when the thread that started it ends.
struct Process(Child);

impl Process {
    /// Starts the program that a variable of the bed names. Its output is written to a file.
    fn start(program: &str, arguments: &[&str], output: &Path) -> Self {
        let output = File::create(output).expect("a file");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(std::env::var(program).expect("run `make test`"))
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(output.try_clone().expect("a file"))
            .stdout(output)
            .spawn();
        Self(child.expect("the program starts"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
