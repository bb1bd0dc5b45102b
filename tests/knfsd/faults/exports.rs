//! Exports that are withdrawn, given back, or made anew.

use bindery::storage::Fault;

use super::client::{Client, VERSIONS, reset};
use crate::support::{LATE, in_guest, share};
use crate::wait::eventually_within;

#[tokio::test]
async fn an_export_that_was_withdrawn_is_used_again_when_it_is_given_back() {
    reset();
    for disk in ["ext4", "xfs", "btrfs"] {
        for version in VERSIONS {
            in_guest(&format!("exports add /srv/{disk}/withdrawn"));
            let (client, share) = (Client::new("withdrawn"), share(disk, "withdrawn").over(version));
            let made = client.make(&share, "before").await.expect("a directory");
            in_guest(&format!("exports remove /srv/{disk}/withdrawn"));
            let error = client.make(&share, "meanwhile").await.unwrap_err();
            println!("{error}");
            assert_eq!(error.fault, Fault::NoSuchShare, "{error}");
            // A missing export is no missing directory: a cleanup must not take it for one.
            let error = client.find(&share, "before").await.unwrap_err();
            assert_eq!(error.fault, Fault::NoSuchShare, "{error}");
            in_guest(&format!("exports add /srv/{disk}/withdrawn"));
            assert_eq!(client.find(&share, "before").await, Ok(Some(made.identity)));
            client.make(&share, "after").await.expect("a directory");
            in_guest(&format!(
                "exports remove /srv/{disk}/withdrawn; rm -rf /srv/{disk}/withdrawn"
            ));
        }
    }
}

#[tokio::test]
async fn an_export_whose_directory_was_removed_is_missing_until_it_is_made_anew() {
    reset();
    for disk in ["ext4", "xfs", "btrfs"] {
        for version in VERSIONS {
            in_guest(&format!("exports add /srv/{disk}/removed"));
            let (client, share) = (Client::new("removed"), share(disk, "removed").over(version));
            client.make(&share, "before").await.expect("a directory");
            in_guest(&format!("rm -rf /srv/{disk}/removed"));
            let error = client.make(&share, "meanwhile").await.unwrap_err();
            println!("{disk} {version:?}: {error}");
            assert_eq!(error.fault, Fault::NoSuchShare, "{error}");
            in_guest(&format!("mkdir /srv/{disk}/removed; exportfs -ra; exportfs -f"));
            eventually_within(LATE, "the new directory is used", async || {
                client.make(&share, "after").await.ok()
            })
            .await;
            assert_eq!(in_guest(&format!("ls /srv/{disk}/removed")), "after");
            in_guest(&format!(
                "exports remove /srv/{disk}/removed; rm -rf /srv/{disk}/removed"
            ));
        }
    }
}
