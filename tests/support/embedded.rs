//! A second server for `NFSv4.1`, by another implementation: the crate `embednfs`, in this process. The file system of that
//! crate is in memory, where a test cannot see it. Therefore this module serves a local directory, with the few calls that
//! Bindery uses.
//!
//! It does not support exports, users and permissions, names that are not UTF-8, and file handles that survive a restart.
//! The lists at the top of the test files leave out those tests.

use std::collections::HashMap;
use std::fs::{self, Metadata, Permissions};
use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use embednfs::{
    AccessMask, Attrs, CreateKind, CreateRequest, CreateResult, DirEntry, DirPage, FileSystem, FsError, FsResult,
    FsStats, NfsServer, ObjectType, ReadResult, RequestContext, SetAttrs, WriteResult, WriteStability,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::nfs::{PORT, free_address};

/// A name that no listing contains, as CephFS does with the snapshots of a directory. The directory is still not empty.
pub const UNLISTED: &str = ".snap";

/// A running server. Dropping this stops it and removes its files.
pub struct Embedded {
    address: IpAddr,
    dir: TempDir,
    /// Dropping this stops the server.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts a server in its own thread, so that it works while a test blocks.
    pub fn start() -> Self {
        let below = std::env::var_os("BINDERY_BED").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::tempdir_in(below).expect("a directory for the server");
        fs::create_dir(dir.path().join("export")).expect("a directory to serve");
        let address = free_address();
        let listener = TcpListener::bind((address, PORT)).expect("an address for the server");
        listener.set_nonblocking(true).expect("a socket");
        let (stop, stopped) = oneshot::channel::<()>();
        let server = NfsServer::new(Tree::new(dir.path().to_owned()));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                tokio::select! {
                    end = server.serve(listener) => panic!("the server ended: {end:?}"),
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            dir,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the directory that the server exports as its root.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A directory as a file system. The handle of a file is its inode number.
struct Tree {
    root: u64,
    /// The last known path of each file.
    seen: Mutex<HashMap<u64, PathBuf>>,
}

impl Tree {
    fn new(top: PathBuf) -> Self {
        let root = fs::metadata(&top).expect("a directory").ino();
        Self {
            root,
            seen: Mutex::new(HashMap::from([(root, top)])),
        }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<u64, PathBuf>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns path and metadata of a file, if it is still at its last known path.
    fn find(&self, file: u64) -> FsResult<(PathBuf, Metadata)> {
        let path = self.seen().get(&file).cloned().ok_or(FsError::Stale)?;
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.ino() == file => Ok((path, metadata)),
            _ => Err(FsError::Stale),
        }
    }

    fn path(&self, file: u64) -> FsResult<PathBuf> {
        Ok(self.find(file)?.0)
    }

    /// Returns the handle of the file at a path, and records the path.
    fn see(&self, path: PathBuf) -> FsResult<u64> {
        let file = fs::symlink_metadata(&path).map_err(fault)?.ino();
        self.seen().insert(file, path);
        Ok(file)
    }
}

#[async_trait]
impl FileSystem for Tree {
    type Handle = u64;

    fn root(&self) -> u64 {
        self.root
    }

    async fn statfs(&self, _: &RequestContext) -> FsResult<FsStats> {
        Ok(FsStats::default())
    }

    async fn getattr(&self, _: &RequestContext, file: &u64) -> FsResult<Attrs> {
        Ok(attributes(&self.find(*file)?.1))
    }

    async fn access(&self, _: &RequestContext, _: &u64, requested: AccessMask) -> FsResult<AccessMask> {
        Ok(requested)
    }

    async fn lookup(&self, _: &RequestContext, parent: &u64, name: &str) -> FsResult<u64> {
        self.see(self.path(*parent)?.join(name))
    }

    async fn parent(&self, _: &RequestContext, directory: &u64) -> FsResult<Option<u64>> {
        if *directory == self.root {
            return Ok(None);
        }
        let path = self.path(*directory)?;
        path.parent().map(|above| self.see(above.to_owned())).transpose()
    }

    async fn readdir(
        &self,
        _: &RequestContext,
        directory: &u64,
        cookie: u64,
        most: u32,
        _: bool,
    ) -> FsResult<DirPage<u64>> {
        let path = self.path(*directory)?;
        let mut names: Vec<_> = fs::read_dir(&path)
            .map_err(fault)?
            .filter_map(|entry| {
                let entry = entry.ok().filter(|entry| entry.file_name() != UNLISTED)?;
                Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?))
            })
            .collect();
        names.sort_by(|(one, _), (other, _)| one.cmp(other));
        // A cookie is the position of the next entry. 1 and 2 are reserved.
        let begin = usize::try_from(cookie.saturating_sub(2)).unwrap_or(usize::MAX);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut seen = self.seen();
        let page: Vec<_> = (3 + cookie.saturating_sub(2)..)
            .zip(names.iter().skip(begin).take(most))
            .map(|(cookie, (name, metadata))| {
                seen.insert(metadata.ino(), path.join(name));
                DirEntry {
                    name: name.clone(),
                    handle: metadata.ino(),
                    cookie,
                    attrs: Some(attributes(metadata)),
                }
            })
            .collect();
        Ok(DirPage {
            eof: begin.saturating_add(page.len()) >= names.len(),
            entries: page,
        })
    }

    async fn read(&self, _: &RequestContext, _: &u64, _: u64, _: u32) -> FsResult<ReadResult> {
        Err(FsError::Unsupported)
    }

    async fn write(&self, _: &RequestContext, _: &u64, _: u64, _: Bytes, _: WriteStability) -> FsResult<WriteResult> {
        Err(FsError::Unsupported)
    }

    async fn create(
        &self,
        context: &RequestContext,
        parent: &u64,
        name: &str,
        request: CreateRequest,
    ) -> FsResult<CreateResult<u64>> {
        if request.kind != CreateKind::Directory {
            return Err(FsError::Unsupported);
        }
        let path = self.path(*parent)?.join(name);
        fs::create_dir(&path).map_err(fault)?;
        let handle = self.see(path)?;
        let attrs = self.setattr(context, &handle, &request.attrs).await?;
        Ok(CreateResult { handle, attrs })
    }

    async fn remove(&self, _: &RequestContext, parent: &u64, name: &str) -> FsResult<()> {
        let path = self.path(*parent)?.join(name);
        let is_directory = fs::symlink_metadata(&path).map_err(fault)?.is_dir();
        let removed = if is_directory {
            fs::remove_dir(path)
        } else {
            fs::remove_file(path)
        };
        removed.map_err(fault)
    }

    async fn rename(&self, _: &RequestContext, from: &u64, name: &str, to: &u64, new_name: &str) -> FsResult<()> {
        let (from, to) = (self.path(*from)?.join(name), self.path(*to)?.join(new_name));
        fs::rename(&from, &to).map_err(fault)?;
        // Update the paths of the directory and of everything below it.
        for path in self.seen().values_mut() {
            if *path == from {
                path.clone_from(&to);
            } else if let Ok(below) = path.strip_prefix(&from) {
                *path = to.join(below);
            }
        }
        Ok(())
    }

    async fn setattr(&self, _: &RequestContext, file: &u64, wanted: &SetAttrs) -> FsResult<Attrs> {
        let path = self.path(*file)?;
        if wanted.uid.or(wanted.gid).is_some() {
            lchown(&path, wanted.uid, wanted.gid).map_err(fault)?;
        }
        if let Some(mode) = wanted.mode {
            fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(fault)?;
        }
        Ok(attributes(&self.find(*file)?.1))
    }
}

fn attributes(metadata: &Metadata) -> Attrs {
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => ObjectType::Directory,
        kind if kind.is_symlink() => ObjectType::Symlink,
        _ => ObjectType::File,
    };
    let mut attributes = Attrs::new(kind, metadata.ino());
    // Clients that read a directory in pages detect changes by this attribute.
    attributes.change = (metadata.ctime() * 1_000_000_000 + metadata.ctime_nsec()).unsigned_abs();
    attributes.mode = metadata.mode() & 0o7777;
    (attributes.uid, attributes.gid) = (metadata.uid(), metadata.gid());
    attributes
}

fn fault(error: std::io::Error) -> FsError {
    match error.kind() {
        ErrorKind::NotFound => FsError::NotFound,
        ErrorKind::AlreadyExists => FsError::AlreadyExists,
        ErrorKind::NotADirectory => FsError::NotDirectory,
        ErrorKind::IsADirectory => FsError::IsDirectory,
        ErrorKind::DirectoryNotEmpty => FsError::NotEmpty,
        ErrorKind::InvalidFilename => FsError::NameTooLong,
        _ => FsError::Io,
    }
}
