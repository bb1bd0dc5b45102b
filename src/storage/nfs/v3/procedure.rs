//! The NFSv3 procedures that the verbs are made of (RFC 1813, 3.3), and their results, as values.
//!
//! A file handle is valid as long as its file exists, on any connection. Only the handle of the share's root is asked for
//! again with each connection ([`super::mount`]).

use nfs3_client::nfs3_types::nfs3::{
    FSSTAT3args, GETATTR3args, LOOKUP3args, MKDIR3args, Nfs3Option, Nfs3Result, READDIR3args, READDIRPLUS3args,
    REMOVE3args, RENAME3args, RMDIR3args, SETATTR3args, cookieverf3, diropargs3, fattr3, ftype3, nfs_fh3, nfsstat3,
    sattr3,
};
use nfs3_client::{Nfs3Client, RpcError};

use super::io::Records;
use crate::model::identity::Identity;
use crate::storage::attributes::Change;
use crate::storage::status::Status;
use crate::storage::verbs::protocol::{Entry, File, ObjectSize, Page, Position};
use crate::storage::{ChangeTime, FileSpace, Found, Space};

/// The largest page of a directory, in bytes.
const LARGEST_PAGE: u32 = 32 * 1024;
/// The most bytes of names in a page with attributes.
const NAMES_IN_PAGE: u32 = 8 * 1024;
/// The longest handle, in bytes (RFC 1813, 2.4).
const LONGEST_HANDLE: usize = 64;

/// A file handle.
pub(super) type Handle = nfs_fh3;

/// One call.
#[derive(Clone, Debug)]
pub(super) enum Call<'a> {
    GetAttr(&'a Handle),
    Lookup(&'a Handle, &'a [u8]),
    SetAttr(&'a Handle, Change),
    /// Makes a directory with this mode.
    MkDir(&'a Handle, &'a str, u32),
    Remove(&'a Handle, &'a [u8]),
    RmDir(&'a Handle, &'a [u8]),
    Rename([&'a Handle; 2], [&'a str; 2]),
    /// Reads names alone.
    ReadDir(&'a Handle, Position),
    /// Reads names with the attributes of each object.
    ReadDirPlus(&'a Handle, Position),
    /// Reads the space of the file system.
    FsStat(&'a Handle),
}

/// The result of a call that succeeded.
#[derive(Debug)]
pub(super) enum Reply {
    /// Attributes, if the server sent them.
    File(Option<File>),
    /// A handle, and attributes, if the server sent them.
    Object(Option<Handle>, Option<File>),
    Page(Page),
    Space(Space),
}

/// The server's answer to a call.
pub(super) type Answer = Result<Reply, Status>;

impl Call<'_> {
    /// Returns the handles that it uses. If it uses one, it is there twice.
    pub fn directories(&self) -> [&Handle; 2] {
        match self {
            Self::GetAttr(handle)
            | Self::Lookup(handle, _)
            | Self::SetAttr(handle, _)
            | Self::MkDir(handle, ..)
            | Self::Remove(handle, _)
            | Self::RmDir(handle, _)
            | Self::ReadDir(handle, _)
            | Self::ReadDirPlus(handle, _)
            | Self::FsStat(handle) => [handle, handle],
            Self::Rename(handles, _) => *handles,
        }
    }

    /// Returns whether it may change something on the server.
    pub fn changes(&self) -> bool {
        match self {
            Self::GetAttr(_) | Self::Lookup(..) | Self::ReadDir(..) | Self::ReadDirPlus(..) | Self::FsStat(_) => false,
            Self::SetAttr(..) | Self::MkDir(..) | Self::Remove(..) | Self::RmDir(..) | Self::Rename(..) => true,
        }
    }

    /// Sends it and waits for the answer. After an error, or if the future is dropped, the connection cannot be used any
    /// more.
    pub async fn send(&self, client: &mut Nfs3Client<Records>) -> Result<Answer, RpcError> {
        Ok(match *self {
            Self::GetAttr(handle) => {
                let args = GETATTR3args { object: handle.clone() };
                let answer = answer(client.getattr(&args).await?);
                answer.map(|ok| Reply::File(Some(ok.obj_attributes.into())))
            }
            Self::Lookup(directory, name) => {
                let args = LOOKUP3args {
                    what: at(directory, name),
                };
                let answer = answer(client.lookup(&args).await?);
                answer.map(|ok| Reply::Object(Some(ok.object), file(ok.obj_attributes)))
            }
            Self::SetAttr(handle, change) => {
                let args = SETATTR3args {
                    object: handle.clone(),
                    new_attributes: change.into(),
                    guard: Nfs3Option::None,
                };
                let answer = answer(client.setattr(&args).await?);
                answer.map(|ok| Reply::File(file(ok.obj_wcc.after)))
            }
            Self::MkDir(directory, name, mode) => {
                let args = MKDIR3args {
                    where_: at(directory, name.as_bytes()),
                    attributes: Change::mode(mode).into(),
                };
                let answer = answer(client.mkdir(&args).await?);
                answer.map(|ok| {
                    let handle = match ok.obj {
                        Nfs3Option::Some(handle) => Some(handle),
                        Nfs3Option::None => None,
                    };
                    Reply::Object(handle, file(ok.obj_attributes))
                })
            }
            Self::Remove(directory, name) => {
                let args = REMOVE3args {
                    object: at(directory, name),
                };
                answer(client.remove(&args).await?).map(|_| Reply::File(None))
            }
            Self::RmDir(directory, name) => {
                let args = RMDIR3args {
                    object: at(directory, name),
                };
                answer(client.rmdir(&args).await?).map(|_| Reply::File(None))
            }
            Self::Rename([from, to], [from_name, to_name]) => {
                let args = RENAME3args {
                    from: at(from, from_name.as_bytes()),
                    to: at(to, to_name.as_bytes()),
                };
                answer(client.rename(&args).await?).map(|_| Reply::File(None))
            }
            Self::ReadDir(directory, from) => {
                let args = READDIR3args {
                    dir: directory.clone(),
                    cookie: from.cookie,
                    cookieverf: cookieverf3(from.verifier),
                    count: LARGEST_PAGE,
                };
                answer(client.readdir(&args).await?).map(|ok| {
                    let entries = ok.reply.entries.into_inner().into_iter();
                    let entries = entries.map(|entry| (entry.name.0.into_owned(), entry.cookie, None::<File>));
                    Reply::Page(page(entries, ok.cookieverf, from, ok.reply.eof))
                })
            }
            Self::ReadDirPlus(directory, from) => {
                let args = READDIRPLUS3args {
                    dir: directory.clone(),
                    cookie: from.cookie,
                    cookieverf: cookieverf3(from.verifier),
                    dircount: NAMES_IN_PAGE,
                    maxcount: LARGEST_PAGE,
                };
                answer(client.readdirplus(&args).await?).map(|ok| {
                    let entries = ok.reply.entries.into_inner().into_iter();
                    let entries =
                        entries.map(|entry| (entry.name.0.into_owned(), entry.cookie, file(entry.name_attributes)));
                    Reply::Page(page(entries, ok.cookieverf, from, ok.reply.eof))
                })
            }
            Self::FsStat(handle) => {
                let args = FSSTAT3args { fsroot: handle.clone() };
                answer(client.fsstat(&args).await?).map(|ok| {
                    Reply::Space(Space {
                        total: ok.tbytes,
                        available: ok.abytes,
                        files: FileSpace::reported(ok.tfiles, ok.afiles),
                    })
                })
            }
        })
    }
}

impl From<Change> for sattr3 {
    fn from(change: Change) -> Self {
        let some = |value: Option<u32>| value.map_or(Nfs3Option::None, Nfs3Option::Some);
        Self {
            mode: some(change.mode),
            uid: some(change.uid),
            gid: some(change.gid),
            ..Self::default()
        }
    }
}

impl From<fattr3> for File {
    fn from(attributes: fattr3) -> Self {
        Self {
            is_directory: attributes.type_ == ftype3::NF3DIR,
            found: Found {
                identity: Identity {
                    // One number here, two in version 4.
                    fsid: (attributes.fsid, 0),
                    fileid: attributes.fileid,
                },
                mode: attributes.mode & 0o7777,
                uid: Some(attributes.uid),
                gid: Some(attributes.gid),
                changed: Some(ChangeTime {
                    seconds: attributes.ctime.seconds.into(),
                    nanoseconds: attributes.ctime.nseconds,
                }),
            },
            size: Some(ObjectSize {
                fsid: (attributes.fsid, 0),
                fileid: attributes.fileid,
                links: attributes.nlink,
                used: attributes.used,
                is_mounted: false,
            }),
        }
    }
}

/// Returns whether a handle has a valid length.
pub(super) fn has_valid_length(handle: &Handle) -> bool {
    (1..=LONGEST_HANDLE).contains(&handle.data.len())
}

fn at<'a>(directory: &Handle, name: &'a [u8]) -> diropargs3<'a> {
    diropargs3 {
        dir: directory.clone(),
        name: name.into(),
    }
}

fn answer<T, E>(result: Nfs3Result<T, E>) -> Result<T, Status> {
    match result {
        Nfs3Result::Ok(ok) => Ok(ok),
        Nfs3Result::Err((status, _)) => Err(numbered(status)),
    }
}

fn numbered(status: nfsstat3) -> Status {
    Status(status as u32)
}

fn file(attributes: Nfs3Option<fattr3>) -> Option<File> {
    match attributes {
        Nfs3Option::Some(attributes) => Some(attributes.into()),
        Nfs3Option::None => None,
    }
}

fn page(
    entries: impl Iterator<Item = (Vec<u8>, u64, Option<File>)>,
    verifier: cookieverf3,
    from: Position,
    last: bool,
) -> Page {
    let mut next = Position {
        verifier: verifier.0,
        ..from
    };
    let mut page = Vec::new();
    for (name, cookie, file) in entries {
        next.cookie = cookie;
        if name != b"." && name != b".." {
            page.push(Entry {
                name,
                is_directory: file.map(|file| file.is_directory),
                size: file.and_then(|file| file.size),
            });
        }
    }
    Page {
        entries: page,
        last,
        next,
    }
}
