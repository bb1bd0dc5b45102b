//! Clients of the server, and the verbs with the values that these tests use.

use std::time::Duration;

use bindery::model::attributes::Attributes;
use bindery::model::directory::{Directory, NfsVersion, Share};
use bindery::model::identity::Identity;
use bindery::storage::nfs::NfsOptions;
use bindery::storage::{Existing, Made, Moved, Storage, StorageError, Storages};
use tokio::time::Instant;

use crate::support::{LATE, in_guest};

/// The time that a review waits for a server.
pub const SOON: Duration = Duration::from_secs(5);

/// The versions with a client of their own.
pub const VERSIONS: [NfsVersion; 2] = [NfsVersion::V4, NfsVersion::V3];

/// A client for all versions.
pub struct Client {
    pub storage: Storages,
}

impl Client {
    /// Creates a client with a name that no other test uses. It is root on the server, and uses ports below 1024.
    pub fn new(machine: &str) -> Self {
        Self::with(options(machine))
    }

    /// Creates a client that acts as this user.
    pub fn of_user(machine: &str, uid: u32) -> Self {
        Self::with(NfsOptions {
            uid,
            gid: uid,
            ..options(machine)
        })
    }

    /// Creates a client that uses ports above 1023.
    pub fn unprivileged(machine: &str) -> Self {
        Self::with(NfsOptions {
            privileged_port: false,
            ..options(machine)
        })
    }

    fn with(options: NfsOptions) -> Self {
        Self {
            storage: Storages::new(options),
        }
    }

    /// Makes a directory with mode 0770.
    pub async fn make(&self, share: &Share, path: &str) -> Result<Made, StorageError> {
        self.make_within(LATE, share, path).await
    }

    /// Makes a directory with mode 0770 within this time.
    pub async fn make_within(&self, limit: Duration, share: &Share, path: &str) -> Result<Made, StorageError> {
        self.make_for(limit, share, path, None).await
    }

    /// Makes a directory with mode 0770 and this owner.
    pub async fn make_for(
        &self,
        limit: Duration,
        share: &Share,
        path: &str,
        uid: Option<u32>,
    ) -> Result<Made, StorageError> {
        let attributes = Attributes {
            mode: Some(0o770),
            uid,
            gid: None,
        };
        let deadline = Instant::now() + limit;
        self.storage
            .make(share, &directory(path), attributes, Existing::SetAttributes, deadline)
            .await
    }

    /// Renames a directory.
    pub async fn rename(&self, share: &Share, from: &str, is: Identity, to: &str) -> Result<Moved, StorageError> {
        let deadline = Instant::now() + LATE;
        self.storage
            .rename(share, &directory(from), is, &directory(to), deadline)
            .await
    }

    /// Returns the identity of a directory, if it exists.
    pub async fn find(&self, share: &Share, path: &str) -> Result<Option<Identity>, StorageError> {
        let deadline = Instant::now() + LATE;
        let found = self.storage.look_up(share, &directory(path), deadline).await?;
        Ok(found.map(|found| found.identity))
    }
}

fn options(machine: &str) -> NfsOptions {
    NfsOptions {
        uid: 0,
        gid: 0,
        machine: machine.to_owned(),
        privileged_port: true,
    }
}

pub fn directory(path: &str) -> Directory {
    Directory::parse(path).expect("a directory")
}

/// Gives the server its default settings, exports and disks, removes pods, and empties the shares.
pub fn reset() {
    stop_pod();
    in_guest(
        r#"[ ! -e /etc/knfsd.settings ] || knfsd restart defaults
knfsd continue
exports reset
exportfs -f
mounts() { awk '$2 ~ "^/srv/[^/]+/." || $2 == "/srv/disk" { print $2 }' /proc/mounts | sort -r; }
for at in $(mounts); do umount -l "$at"; done
mountpoint -q /srv/small || mount /dev/vde /srv/small
for disk in ext4 xfs btrfs small; do
  mount -o remount,rw /srv/$disk
  quotas off $disk 2>/dev/null
  chattr -R -i /srv/$disk/share 2>/dev/null
  rm -rf /srv/$disk/fill* /srv/$disk/share/* /srv/$disk/share/.[!.]*
done
true"#,
    );
}

/// Starts a pod's client, and waits until the server has recorded it: it has a file open.
pub fn start_pod() {
    in_guest("pod start && until [ $(pod count) -gt 0 ]; do sleep 0.1; done");
}

/// Stops a pod and its programs (`/run/pod.NAME.pid`), also if its network is down.
pub fn stop_pod() {
    in_guest(
        "for at in /run/pod.*.pid; do [ ! -e $at ] || { kill $(cat $at); rm $at; }; done 2>/dev/null; \
         ip link set to-pod up 2>/dev/null; umount -l /mnt/claim 2>/dev/null; \
         pod stop 2>/dev/null; ip link del to-pod 2>/dev/null; true",
    );
}

/// Restarts the server with these settings, which stay.
pub fn restart(settings: &str) {
    in_guest(&format!("knfsd restart {settings}"));
}
