//! File systems that a test mounts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bindery::model::directory::Share;
use bindery::storage::mounted::MountedStorage;
use tempfile::TempDir;

use super::ceph::{self, CephShares};

/// A mounted file system. Dropping this unmounts it.
pub struct Mount {
    path: PathBuf,
    frozen: bool,
    /// The FUSE connection of a file system that never answers.
    server: Option<File>,
    /// The mount point, if this type has created it.
    dir: Option<TempDir>,
    /// Where tests see the mounted directory without this mount, if they can.
    behind: Option<PathBuf>,
}

impl Mount {
    /// Mounts an empty file system in memory.
    pub fn memory() -> Self {
        Self::memory_with("mode=755")
    }

    /// Mounts an empty file system in memory with these options.
    pub fn memory_with(options: &str) -> Self {
        Self::in_new_directory(|path| run("mount", &["-t", "tmpfs", "-o", options, "none"], path))
    }

    /// Mounts a file system in memory on an existing directory.
    pub fn memory_on(path: &Path, options: &str) -> Self {
        run("mount", &["-t", "tmpfs", "-o", options, "none"], path);
        Self::on(path.to_owned())
    }

    /// Bind-mounts a directory on another one.
    pub fn bind(what: &Path, on: &Path) -> Self {
        run("mount", &["--bind", what.to_str().expect("a path")], on);
        Self::on(on.to_owned())
    }

    /// Mounts a file system on which modes cannot be set: see [`super::bindfs::Bindfs::mount`].
    pub fn bindfs(how: &str) -> Self {
        Self::in_new_directory(|path| {
            let behind = path.with_extension("behind");
            std::fs::create_dir(&behind).expect("a directory");
            run("bindfs", &[how, behind.to_str().expect("a path")], path);
        })
    }

    /// Mounts an empty directory of `CephFS` with the user of Bindery, see [`super::ceph`]. Also returns its path in `CephFS`.
    pub fn ceph() -> (Self, String) {
        let shares = CephShares::new();
        let path = format!("{}/export", shares.path());
        let mut mount = ceph::mount("client.bindery", &path).expect("ceph-fuse");
        mount.behind = Some(shares.dir_of("export"));
        (mount, path)
    }

    /// Mounts a directory of `CephFS` again at the same place, after its program has died or lost its session.
    pub fn mount_ceph_again(&mut self, path: &str) {
        run("umount", &["--lazy"], &self.path);
        ceph::mount_at("client.bindery", path, &[], &self.path).expect("ceph-fuse");
    }

    /// Takes over what a test has mounted in a directory of its own.
    pub fn existing(path: PathBuf, dir: TempDir) -> Self {
        let mut mount = Self::on(path);
        mount.dir = Some(dir);
        mount
    }

    /// Mounts a file system on a loop device, which can be frozen.
    pub fn disk() -> Self {
        Self::in_new_directory(|path| {
            let image = path.with_extension("image");
            File::create(&image)
                .and_then(|file| file.set_len(16 << 20))
                .expect("an image");
            run("mkfs.ext4", &["-q"], &image);
            run("mount", &["-o", "loop", image.to_str().expect("a path")], path);
            // The mount keeps the file open.
            std::fs::remove_file(image).expect("the image");
        })
    }

    /// Mounts a file system that never answers.
    pub fn silent() -> Self {
        let server = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .expect("/dev/fuse");
        let its = server.try_clone().expect("a descriptor");
        let mut mount = Self::in_new_directory(|path| {
            let mounted = Command::new("mount")
                .args([
                    "-i",
                    "-t",
                    "fuse",
                    "-o",
                    "fd=0,rootmode=40000,user_id=0,group_id=0",
                    "none",
                ])
                .arg(path)
                .stdin(Stdio::from(its))
                .status();
            assert!(mounted.expect("mount runs").success());
        });
        mount.server = Some(server);
        mount
    }

    /// Closes the FUSE connection: all waiting calls fail.
    pub fn close_connection(&mut self) {
        self.server = None;
    }

    /// Freezes the file system: from now on all changes wait.
    pub fn freeze(&mut self) {
        run("fsfreeze", &["-f"], &self.path);
        self.frozen = true;
    }

    /// Thaws the file system: waiting changes continue.
    pub fn thaw(&mut self) {
        self.frozen = false;
        run("fsfreeze", &["-u"], &self.path);
    }

    /// Returns a storage with two shares: `/export`, which is this mount, and `/nothing`, whose mount is missing.
    pub fn storage(&self) -> MountedStorage {
        MountedStorage::new(vec![
            (Self::share("/export"), self.path.clone()),
            (Self::share("/nothing"), self.path.join("nothing")),
        ])
    }

    pub fn share(path: &str) -> Share {
        Share::parse("nas", path).expect("a share")
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where tests see the mounted directory: as another client of the file system if that is possible.
    pub fn behind(&self) -> &Path {
        self.behind.as_deref().unwrap_or(&self.path)
    }

    fn in_new_directory(mount: impl FnOnce(&Path)) -> Self {
        let below = std::env::var_os("BINDERY_BED").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::tempdir_in(below).expect("a directory");
        let path = dir.path().join("mount");
        std::fs::create_dir(&path).expect("a directory");
        mount(&path);
        Self::existing(path, dir)
    }

    fn on(path: PathBuf) -> Self {
        Self {
            path,
            frozen: false,
            server: None,
            dir: None,
            behind: None,
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.close_connection();
        if self.frozen {
            self.thaw();
        }
        // This also works while a file in it is open.
        run("umount", &["--lazy"], &self.path);
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    let status = Command::new(program).args(arguments).arg(path).status();
    assert!(
        status.expect("it runs").success(),
        "{program} {arguments:?} {}",
        path.display()
    );
}
