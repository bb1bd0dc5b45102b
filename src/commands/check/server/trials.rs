//! The steps of a check that use a share: each tries one thing that Bindery needs.

use std::fmt::Write;

use super::directories::Directories;
use super::report::{Finding, Line, Step};
use super::step::{deadline, step};
use crate::model::attributes::Attributes;
use crate::model::directory::Directory;
use crate::model::identity::Identity;
use crate::model::space::size;
use crate::storage::{Fault, Found, Made, Moved, Storage, StorageError, Storages};

/// The owner and group that a directory is given to. Any numbers but the client's own.
const OTHER_OWNER: u32 = 54321;
/// The mode that a directory gets: the default of a class, and a bit that servers drop in MKDIR.
const MODE: u32 = 0o2777;

impl Directories {
    /// Finds the share. Returns whether it is there.
    pub async fn find(&self, lines: &mut Vec<Line>) -> bool {
        let found = self.storage.identify(&self.share, deadline(self.timeout));
        let found = step(lines, Step::Share, found, |id| {
            (Finding::Ok, format!("its root has the identity {}", id.root))
        });
        found.await.is_some()
    }

    /// Finds the share from a port above 1023. `privileged`: the other steps use a port below 1024.
    pub async fn source_port(&self, from_any_port: &Storages, privileged: bool, lines: &mut Vec<Line>) {
        let found = from_any_port.identify(&self.share, deadline(self.timeout));
        let found = async { Ok(found.await.err()) };
        step(lines, Step::SourcePort, found, |error| {
            match error {
            None => (Finding::Ok, "any port can be used".to_owned()),
            Some(error) if error.unanswered() => (Finding::Limited, format!("from a port above 1023: {}", error.cause)),
            Some(error) if privileged && matches!(error.fault, Fault::Denied | Fault::NoSuchShare) => (
                Finding::Ok,
                "the share needs a port below 1024, and this process can use one; the network between the pods and the \
                 server must keep it"
                    .to_owned(),
            ),
            Some(error) => (Finding::Limited, format!("from a port above 1023: {}", error.cause)),
        }
        })
        .await;
    }

    /// Uses the share, until a step fails on which the others depend.
    pub async fn use_share(&self, lines: &mut Vec<Line>) {
        self.read_space(lines).await;
        let Some(data) = self.make(lines).await else { return };
        self.set_mode(lines).await;
        self.set_owner(lines).await;
        self.compare_identity(data, lines).await;
        self.rename(data.identity, lines).await;
        self.list(lines).await;
    }

    async fn read_space(&self, lines: &mut Vec<Line>) {
        let space = self.storage.space(&self.share, None, deadline(self.timeout));
        step(lines, Step::Space, space, |space| match space {
            Some(space) => {
                let (available, total) = (size(space.available), size(space.total));
                (Finding::Ok, format!("{available} of {total} are available"))
            }
            None => (Finding::Limited, "the server does not tell the free space".to_owned()),
        })
        .await;
    }

    /// Makes the directory of the run, and the directories of the later steps in it. Returns one that is to be moved.
    async fn make(&self, lines: &mut Vec<Line>) -> Option<Made> {
        let top = Directory::of_check(self.run);
        let made = async {
            let made = self.make_one(&top, owned(0o700)).await?;
            if !made.new {
                // Another program has made it: nothing in it belongs to this run.
                self.disown();
                return Err(self.failure("make a directory", "a directory of that name was there already."));
            }
            self.make_one(&self.inside("to"), owned(0o755)).await?;
            self.make_one(&self.inside("from/data"), owned(0o777)).await
        };
        let path = self.share.join(&top);
        step(lines, Step::Make, made, |_| (Finding::Ok, format!("in {path}"))).await
    }

    async fn set_mode(&self, lines: &mut Vec<Line>) {
        let directory = self.inside("mode");
        let made = self.make_one(&directory, owned(MODE));
        step(lines, Step::Mode, made, |made| {
            if made.mode == MODE {
                return (Finding::Ok, format!("{MODE:o} is kept"));
            }
            let text = format!(
                "the server keeps {:o} instead of {MODE:o}: directories do not get the mountPermissions of the class",
                made.mode
            );
            (Finding::Limited, text)
        })
        .await;
    }

    async fn set_owner(&self, lines: &mut Vec<Line>) {
        let directory = self.inside("owner");
        let attributes = Attributes {
            uid: Some(OTHER_OWNER),
            gid: Some(OTHER_OWNER),
            ..owned(0o770)
        };
        let found = async {
            match self.make_one(&directory, attributes).await {
                Ok(_) => Ok(Ok(self.existing(&directory).await?)),
                // Classes without uid and gid do not need it.
                Err(error) if error.fault == Fault::Denied => Ok(Err(error)),
                Err(error) => Err(error),
            }
        };
        step(lines, Step::Owner, found, |found| match found {
            Ok(Found {
                uid: Some(_),
                gid: Some(_),
                ..
            }) => (Finding::Ok, "owner and group can be set".to_owned()),
            Ok(_) => (
                Finding::Ok,
                "owner and group can be set; the server reports them as names, so Bindery cannot compare them"
                    .to_owned(),
            ),
            Err(error) => {
                let text = "Only StorageClasses without uid and gid can use the share until then.";
                (Finding::Limited, format!("{} {text}", error.cause))
            }
        })
        .await;
    }

    async fn compare_identity(&self, data: Made, lines: &mut Vec<Line>) {
        let found = async {
            let top = self.existing(&Directory::of_check(self.run)).await?;
            let found = self.existing(&self.inside("from/data")).await?;
            if found.identity != data.identity {
                let text = format!(
                    "the server reports the identity {} for a new directory, and then {}. Without a lasting identity \
                     Bindery cannot clean up: look for an option of the server for stable file numbers.",
                    data.identity, found.identity
                );
                return Err(self.failure("identify a directory", &text));
            }
            if found.identity == top.identity {
                let text = format!(
                    "the server reports the same identity {} for two directories.",
                    top.identity
                );
                return Err(self.failure("identify a directory", &text));
            }
            Ok(found.identity)
        };
        step(lines, Step::Identity, found, |identity| {
            (Finding::Ok, format!("{identity} for a new directory"))
        })
        .await;
    }

    /// Moves a directory to another parent. Then tries to move it back as another directory, which must be refused.
    async fn rename(&self, data: Identity, lines: &mut Vec<Line>) {
        let (from, to) = (self.inside("from/data"), self.inside("to/data"));
        let moved = async {
            let moved = self.rename_one(&from, data, &to).await?;
            if moved != Moved::Done || self.existing(&to).await?.identity != data {
                return Err(self.failure("move a directory", "the server says that it was moved, and it was not."));
            }
            let wrong = Identity {
                fileid: !data.fileid,
                ..data
            };
            match self.rename_one(&to, wrong, &from).await? {
                Moved::Another(found) if found == data => Ok(()),
                _ => Err(self.failure(
                    "move a directory",
                    "the server does not compare the identity of a directory before it moves it.",
                )),
            }
        };
        step(lines, Step::Rename, moved, |()| {
            let text = "a directory can be moved, and another one in its place is not moved";
            (Finding::Ok, text.to_owned())
        })
        .await;
    }

    async fn rename_one(&self, from: &Directory, expected: Identity, to: &Directory) -> Result<Moved, StorageError> {
        let deadline = deadline(self.timeout);
        self.storage.rename(&self.share, from, expected, to, deadline).await
    }

    async fn list(&self, lines: &mut Vec<Line>) {
        let top = Directory::of_check(self.run);
        let names = async {
            let root = self.storage.list(&self.share, None, deadline(self.timeout)).await?;
            let inside = self
                .storage
                .list(&self.share, Some(&top), deadline(self.timeout))
                .await?;
            let is_listed = |list: &[String], name: &str| list.iter().any(|listed| listed == name);
            let missing = ["from", "to"].into_iter().find(|name| !is_listed(&inside, name));
            let missing = missing.or_else(|| (!is_listed(&root, top.as_str())).then_some(top.as_str()));
            match missing {
                None => Ok(root),
                Some(name) => Err(self.failure("list a directory", &format!("the server does not list {name}."))),
            }
        };
        step(lines, Step::List, names, |names| {
            let own = top.as_str();
            let others = names.iter().filter(|name| Directory::is_of_check(name) && *name != own);
            let others: Vec<&str> = others.map(String::as_str).collect();
            let mut text = format!("{} names in the share", names.len() - 1);
            if !others.is_empty() {
                let _ = write!(
                    text,
                    "; directories of other checks are there, remove them if these checks have ended: {}",
                    others.join(", ")
                );
            }
            (Finding::Ok, text)
        })
        .await;
    }
}

/// The attributes of a directory that keeps the owner that the server chooses.
fn owned(mode: u32) -> Attributes {
    Attributes {
        mode: Some(mode),
        uid: None,
        gid: None,
    }
}
