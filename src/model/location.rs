//! The location of a directory, and whether two directories overlap: they are the same, or one is inside the other.
//!
//! A server may have several names, and a directory several paths: `nas1:/export` and `10.0.0.5:/export`, an export
//! inside another export, different paths in NFS versions 3 and 4. So names are compared first, then what the server
//! reports about itself, about the root of the share and about the directory. Two different directories can have equal
//! numbers (a copied disk, two servers with `fsid=0`). They are treated as one directory: the caller refuses the claim
//! or keeps the directory, and says why.

use std::fmt;

use super::directory::{Directory, NfsVersion, Share, is_same_name, is_same_without_case};
use crate::model::identity::Identity;
use crate::model::share_id::{Seen, ShareId, View, may_be_one_file};

/// The location of a directory, and what is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Location<'a> {
    /// Its share.
    pub share: &'a Share,
    /// Its path below the share.
    pub directory: &'a Directory,
    /// The identity of the share, if known.
    pub share_id: Option<ShareId>,
    /// Its identity on the server, if known.
    pub identity: Option<Identity>,
}

/// The relation of another directory to a first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The other directory is the same directory.
    Same,
    /// The other directory is inside the first one.
    Inside,
    /// The other directory is above the first one.
    Above,
}

/// The evidence that two directories overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Server and path have the same names.
    Names,
    /// The server names differ, but both servers report the same server owner.
    Server,
    /// The roots of the two shares have the same file system and file numbers.
    Root,
    /// The two directories have the same file system and file numbers.
    Numbers,
}

/// An overlap of two directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The relation of the other directory.
    pub relation: Relation,
    /// The evidence.
    pub evidence: Evidence,
}

impl Relation {
    /// The relation of the second path to the first.
    pub fn of<'a>(
        mut one: impl Iterator<Item = &'a str>,
        mut other: impl Iterator<Item = &'a str>,
        same: impl Fn(&str, &str) -> bool,
    ) -> Option<Self> {
        loop {
            match (one.next(), other.next()) {
                (None, None) => return Some(Self::Same),
                (None, Some(_)) => return Some(Self::Inside),
                (Some(_), None) => return Some(Self::Above),
                (Some(one), Some(other)) if same(one, other) => {}
                (Some(_), Some(_)) => return None,
            }
        }
    }
}

impl Location<'_> {
    /// Returns the overlap of another directory with this one, if the known facts show one.
    pub fn overlap_with(&self, other: &Location<'_>) -> Option<Overlap> {
        let overlap = |relation, evidence| Overlap { relation, evidence };
        let one_name = self.share.server() == other.share.server();
        if one_name && self.share.path() == other.share.path() {
            // The most frequent case. Within one share the names decide. If only the case of letters differs, the names are
            // two directories on a server that distinguishes case, and one directory on a server that does not: then the
            // numbers decide.
            let relation = self
                .relation_below(other)
                .map(|relation| overlap(relation, Evidence::Names));
            let same_name_without_case = || is_same_without_case(self.directory.as_str(), other.directory.as_str());
            return relation.or_else(|| self.same_numbers(other, true).filter(|_| same_name_without_case()));
        }
        let servers = self.server().zip(other.server());
        let one_server = one_name || servers.is_some_and(|(one, other)| one == other);
        let joined = || {
            let whole = |of: &Self| of.share.segments().chain(of.directory.segments());
            Relation::of(
                whole(self),
                other.share.segments().chain(other.directory.segments()),
                is_same_name,
            )
        };
        if one_server && let Some(relation) = joined() {
            return Some(overlap(
                relation,
                if one_name { Evidence::Names } else { Evidence::Server },
            ));
        }
        if let Some(one) = self.root()
            && let Some(other_root) = other.root()
            && may_be_one_file(one, other_root, one_server)
            && let Some(relation) = self.relation_below(other)
            && !(servers.is_some() && !one_server && relation == Relation::Same && self.differs(other))
        {
            return Some(overlap(relation, Evidence::Root));
        }
        // If both are one directory, both paths end in the same name.
        let (_, one) = self.directory.split_last();
        let (_, last) = other.directory.split_last();
        self.same_numbers(other, one_server)
            .filter(|_| is_same_without_case(one, last))
    }

    fn relation_below(&self, other: &Location<'_>) -> Option<Relation> {
        Relation::of(self.directory.segments(), other.directory.segments(), is_same_name)
    }

    fn same_numbers(&self, other: &Location<'_>, one_server: bool) -> Option<Overlap> {
        let (one, other) = (self.seen()?, other.seen()?);
        may_be_one_file(one, other, one_server).then_some(Overlap {
            relation: Relation::Same,
            evidence: Evidence::Numbers,
        })
    }

    /// Whether the two directories are known to be different.
    fn differs(&self, other: &Location<'_>) -> bool {
        let seen = self.seen().zip(other.seen());
        seen.is_some_and(|(one, other)| one.0 == other.0 && one.1 != other.1)
    }

    fn server(&self) -> Option<uuid::Uuid> {
        self.share_id?.server
    }

    fn root(&self) -> Option<Seen> {
        self.share_id.map(|id| (id.view, id.root))
    }

    fn seen(&self) -> Option<Seen> {
        Some((self.view(), self.identity?))
    }

    /// How the directory's numbers were read. A volume of an earlier version of Bindery does not record it: then the NFS
    /// version of the share decides.
    pub fn view(&self) -> View {
        let by_version = match self.share.version() {
            NfsVersion::V4 => View::V4,
            NfsVersion::V3 => View::V3,
        };
        self.share_id.map_or(by_version, |id| id.view)
    }
}

impl Overlap {
    /// Why two directories are treated as one although their servers or paths have different names, and what to do if
    /// they are different. `None` if the names are the same.
    pub fn why(&self) -> Option<&'static str> {
        match self.evidence {
            Evidence::Names => None,
            Evidence::Server => Some(
                "both names lead to servers with the same NFSv4 server owner. If they are two servers, give them \
                 different host names",
            ),
            Evidence::Root => Some(
                "the two shares have the same file system number and root. If they are two file systems (a copied disk, or \
                 fsid=0 on two servers), give one of the exports another fsid= or its disk another UUID. If they are two \
                 btrfs subvolumes, export each by itself, and nothing above it",
            ),
            Evidence::Numbers => Some(
                "the two directories have the same file system number and file number. If they are different \
                 directories (a copied disk, or one fsid= on two servers), give one of the exports another fsid= or its \
                 disk another UUID. If they are in two btrfs subvolumes, export each by itself, and nothing above it",
            ),
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "is the same directory",
            Self::Inside => "is in it",
            Self::Above => "is above it",
        })
    }
}

#[cfg(test)]
#[path = "location_tests.rs"]
mod tests;
