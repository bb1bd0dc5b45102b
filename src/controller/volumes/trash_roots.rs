//! Trash and archives that do not lie in the share itself, and the signs that lead there.

use crate::controller::Volumes;
use crate::controller::error::Failure;
use crate::model::attributes::Attributes;
use crate::model::directory::{Depot, Directory, Share};
use crate::storage::Existing;

impl Volumes {
    /// The directory that everything is moved to before it is removed.
    pub(in crate::controller) async fn make_trash(&self, share: &Share, depot: &Depot) -> Result<(), Failure> {
        self.make_own(share, &depot.place(&Directory::trash())).await
    }

    /// Says at the share that something of ours lies in this depot.
    pub(in crate::controller) async fn make_sign(&self, share: &Share, depot: &Depot) -> Result<(), Failure> {
        match depot.sign(&self.us.instance) {
            Some(sign) => self.make_own(share, &sign).await,
            None => Ok(()),
        }
    }

    /// The share, and each of its directories that there is a sign for.
    pub(in crate::controller) async fn depots(&self, share: &Share) -> Result<Vec<Depot>, Failure> {
        let mut depots = vec![Depot::SHARE];
        let mut looked_at = 0;
        while let Some(depot) = depots.get(looked_at).cloned() {
            let signs = depot
                .sign(&self.us.instance)
                .unwrap_or_else(|| Depot::signs(&self.us.instance));
            let names = self.storage.list(share, Some(&signs), Self::soon()).await?;
            depots.extend(names.iter().filter_map(|name| depot.below(name)));
            looked_at += 1;
        }
        Ok(depots)
    }

    async fn make_own(&self, share: &Share, directory: &Directory) -> Result<(), Failure> {
        let attributes = Attributes {
            mode: 0o700,
            uid: None,
            gid: None,
        };
        self.storage
            .make(share, directory, attributes, Existing::LeaveAlone, Self::soon())
            .await?;
        Ok(())
    }
}
