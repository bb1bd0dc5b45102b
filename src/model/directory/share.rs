//! An export of an NFS server in one canonical spelling, so that shares can be compared.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::Directory;
use super::check::{Shown, WrongPath, check_length, check_segment};
use crate::model::choices::choices;

/// An export of an NFS server.
///
/// Invariant: the server is a name in lower case or an address in its canonical form, without brackets (the kubelet
/// adds them to an IPv6 address when it mounts); the path is absolute, without `.`, `..`, empty segments or a trailing
/// slash (the root is `/`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share {
    server: String,
    path: String,
    version: NfsVersion,
}

choices! {
    /// The NFS version that Bindery uses for a share. Pods use the version in `mountOptions` of the class.
    #[derive(Default, Hash, PartialOrd, Ord)]
    NfsVersion, allowed: "4 (4.2, else 4.1) or 3; the version that pods use is set in mountOptions", {
        /// Version 4.2, or 4.1 if the server does not support 4.2.
        #[default]
        V4 = "4",
        /// Version 3.
        V3 = "3",
    }
}

impl Share {
    /// Reads a server and an export from a class or a flag. The error says what is wrong, without the key.
    pub fn parse(server: &str, path: &str) -> Result<Self, NotAShare> {
        let server = canonical(server)?;
        if !path.starts_with('/') {
            return Err(NotAShare::Relative(path.to_owned()));
        }
        let invalid = |error| NotAShare::Segment(path.to_owned(), error);
        check_length(path).map_err(invalid)?;
        let mut segments = Vec::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            check_segment(segment).map_err(invalid)?;
            segments.push(segment);
        }
        Ok(Self {
            server,
            path: format!("/{}", segments.join("/")),
            version: NfsVersion::default(),
        })
    }

    /// The same share, accessed with this NFS version.
    pub fn over(self, version: NfsVersion) -> Self {
        Self { version, ..self }
    }

    /// The NFS version with which it is accessed.
    pub fn version(&self) -> NfsVersion {
        self.version
    }

    /// The host name or address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The absolute path of the export.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The segments of the export's path; none for `/`.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        path_segments(&self.path)
    }

    /// The absolute path on the server of a directory of this share: the value of `spec.nfs.path` of a volume.
    pub fn join(&self, directory: &Directory) -> String {
        format!("{}/{directory}", self.path.trim_end_matches('/'))
    }

    /// The part of a path that is below this share; `None` if the path is not below it or is on another server.
    pub fn below<'a>(&self, server: &str, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.path.trim_end_matches('/'))?.strip_prefix('/')?;
        (!rest.is_empty() && self.is_on(server)).then_some(rest)
    }

    /// Whether a server, in any spelling, is the server of this share.
    pub fn is_on(&self, server: &str) -> bool {
        canonical(server).is_ok_and(|server| server == self.server)
    }
}

/// The canonical spelling of a server: `NAS1.` is `nas1`, `[fd00:0::1]` is `fd00::1`.
fn canonical(written: &str) -> Result<String, NotAShare> {
    let not_a_server = || NotAShare::Server(written.to_owned());
    let name = written.trim_end_matches('.').to_ascii_lowercase();
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let address = bracketed.map_or(name.as_str(), |(inside, _)| inside);
    if let Some((address, _)) = address.split_once('%')
        && let Ok(address) = address.parse::<Ipv6Addr>()
    {
        return Err(if address.is_unicast_link_local() {
            NotAShare::LinkLocal(written.to_owned())
        } else {
            NotAShare::Interface(written.to_owned())
        });
    }
    if let Ok(address) = address.parse::<IpAddr>() {
        return match bracketed {
            Some((_, port)) if port.starts_with(':') => Err(NotAShare::Port(written.to_owned())),
            Some((_, rest)) if !rest.is_empty() || address.is_ipv4() => Err(not_a_server()),
            // An IPv4 address mapped to IPv6 is the same server.
            _ => usable(address.to_canonical(), written),
        };
    }
    if let Some((_, port)) = name.split_once(':')
        && port.bytes().all(|c| c.is_ascii_digit())
    {
        return Err(NotAShare::Port(written.to_owned()));
    }
    // Resolvers read a name that ends in a number as an address, in several spellings (`010.0.0.5`, `0x0a000005`).
    let last = name.rsplit('.').next().unwrap_or_default();
    let digits = last.strip_prefix("0x").unwrap_or(last);
    let is_number = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit())
        || last.starts_with("0x") && digits.bytes().all(|c| c.is_ascii_hexdigit());
    let is_forbidden = |c: char| c.is_whitespace() || c.is_control() || "/:[]%".contains(c);
    if name.is_empty() || name.contains(is_forbidden) || is_number {
        return Err(not_a_server());
    }
    Ok(name)
}

/// Returns the address if it can be the address of a server and is the same host on every node.
fn usable(address: IpAddr, written: &str) -> Result<String, NotAShare> {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    match address {
        IpAddr::V6(address) if address.is_unicast_link_local() => Err(NotAShare::LinkLocal(written.to_owned())),
        _ if address.is_unspecified() || address.is_multicast() || broadcast => {
            Err(NotAShare::NoHost(written.to_owned()))
        }
        _ => Ok(address.to_string()),
    }
}

/// The segments of a path; none for `/`.
pub fn path_segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.server, self.path)
    }
}

/// Why a server and a path are not a [`Share`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAShare {
    /// The server's name is empty or contains a character that no host name has.
    #[error("server {:?} is not a host name or an address", Shown(.0))]
    Server(String),
    /// It has a port.
    #[error("server {:?} names a port; remove it, because Bindery and the nodes connect to port 2049", Shown(.0))]
    Port(String),
    /// The address is in `fe80::/10`.
    #[error(
        "server {:?} is a link-local address, which means another host on each node; use a global or unique local \
        address (such as fd00::5) or a host name",
        Shown(.0)
    )]
    LinkLocal(String),
    /// An address that is not link-local has a scope.
    #[error(
        "server {:?} names a network interface after the %, which nodes cannot mount; remove the % and what follows",
        Shown(.0)
    )]
    Interface(String),
    /// The address is unspecified, multicast or broadcast.
    #[error("server {:?} is not the address of one host; use the address or host name of the server", Shown(.0))]
    NoHost(String),
    /// The path does not begin with a slash.
    #[error("share {:?} is not an absolute path; write it as the server exports it, such as /export/volumes", Shown(.0))]
    Relative(String),
    /// The path, or one segment of it, cannot be used.
    #[error("share {shown:?} {1}", shown = Shown(.0))]
    Segment(String, WrongPath),
}
