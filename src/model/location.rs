//! Where a directory is, and whether two of them meet: are the same, or one in the other.
//!
//! A server may have several names, and a directory several paths: `nas1:/export` and `10.0.0.5:/export`, an export inside an
//! export, the path of version 3 and that of version 4. So names are compared first, and then what the server says of
//! itself, of the share's root and of the directory. Numbers that are equal by chance (copies of one disk, two servers whose
//! exports say `fsid=0`) make two directories count as one: whoever asks refuses or keeps, and says why.

use std::fmt;

use super::directory::{Directory, NfsVersion, Share};
use crate::model::identity::Identity;
use crate::model::share_id::{Seen, ShareId, View, may_be_one_file};

/// Where a directory is, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Location<'a> {
    /// Where it is.
    pub share: &'a Share,
    /// What it is called there.
    pub directory: &'a Directory,
    /// Which file system the share is.
    pub share_id: Option<ShareId>,
    /// Which directory it is.
    pub identity: Option<Identity>,
}

/// How another directory lies to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It is the same.
    Same,
    /// It lies in it.
    Inside,
    /// It lies above it.
    Above,
}

/// What tells that two directories meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Server and path have the same names.
    Names,
    /// Two names of a server lead to servers that call themselves the same.
    Server,
    /// The roots of the two shares have the same numbers.
    Root,
    /// The two directories have the same numbers.
    Numbers,
}

/// Two directories meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// How the other lies.
    pub relation: Relation,
    /// How that is known.
    pub evidence: Evidence,
}

impl Relation {
    /// How the second path lies to the first.
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
    /// Whether this directory and another one meet, as far as is known.
    pub fn meets(&self, other: &Location<'_>) -> Option<Meeting> {
        let meets = |relation, evidence| Meeting { relation, evidence };
        let one_name = self.share.server() == other.share.server();
        if one_name && self.share.path() == other.share.path() {
            // Nearly all of them, and there may be very many. In one share the names tell: a server that tells apart upper
            // and lower case in names shows two directories, and another one shows one.
            let relation = self
                .relation_below(other)
                .map(|relation| meets(relation, Evidence::Names));
            let one_case = || self.directory.as_str().eq_ignore_ascii_case(other.directory.as_str());
            return relation.or_else(|| self.same_numbers(other, true).filter(|_| one_case()));
        }
        let servers = self.server().zip(other.server());
        let one_server = one_name || servers.is_some_and(|(one, other)| one == other);
        let joined = || {
            let whole = |of: &Self| of.share.segments().chain(of.directory.segments());
            Relation::of(
                whole(self),
                other.share.segments().chain(other.directory.segments()),
                str::eq,
            )
        };
        if one_server && let Some(relation) = joined() {
            return Some(meets(
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
            return Some(meets(relation, Evidence::Root));
        }
        // Both lie below their shares, so both end with the directory's own name.
        let last = |of: &Directory| of.split_last().1.to_ascii_lowercase();
        self.same_numbers(other, one_server)
            .filter(|_| last(self.directory) == last(other.directory))
    }

    fn relation_below(&self, other: &Location<'_>) -> Option<Relation> {
        Relation::of(self.directory.segments(), other.directory.segments(), str::eq)
    }

    fn same_numbers(&self, other: &Location<'_>, one_server: bool) -> Option<Meeting> {
        let (one, other) = (self.seen()?, other.seen()?);
        may_be_one_file(one, other, one_server).then_some(Meeting {
            relation: Relation::Same,
            evidence: Evidence::Numbers,
        })
    }

    /// Whether the two directories are known to be two.
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

    /// How the directory was looked at. A volume of an earlier version of Bindery does not say it.
    pub fn view(&self) -> View {
        let by_version = match self.share.version() {
            NfsVersion::V4 => View::V4,
            NfsVersion::V3 => View::V3,
        };
        self.share_id.map_or(by_version, |id| id.view)
    }
}

impl Meeting {
    /// Why two directories count as one although their servers or paths are named differently, and what to do if they are
    /// not. Nothing where the names tell.
    pub fn why(&self) -> Option<&'static str> {
        match self.evidence {
            Evidence::Names => None,
            Evidence::Server => Some(
                "both names lead to servers with the same NFSv4 server owner. If they are two servers, give them different host \
                 names",
            ),
            Evidence::Root => Some(
                "the two shares have the same file system number and root. If they are two file systems (a copied disk, or \
                 fsid=0 on two servers), give one of the exports another fsid= or its disk another UUID",
            ),
            Evidence::Numbers => Some(
                "the two have the same file system number and file number. If they are two directories (a copied disk, or one \
                 fsid= on two servers), give one of the exports another fsid= or its disk another UUID",
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
