//! A certificate that somebody else keeps, in files: cert-manager, say, by way of a mounted Secret.
//!
//! The kubelet changes the files of a mounted Secret by swapping a symbolic link under all of them, of which notifications
//! tell nothing reliable. So the files are read every now and then; there is little in them. A certificate and a key that do
//! not belong together were read in the middle of a swap, and are read again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::issue::CertifiedKey;

/// Where they are.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The serving certificate and its key.
    pub serving: Option<(PathBuf, PathBuf)>,
    /// The CA that the API server is to trust.
    pub ca: Option<PathBuf>,
    /// The CA that clients must have a certificate of.
    pub client_ca: Option<PathBuf>,
}

/// What is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileContents {
    pub serving: Option<CertifiedKey>,
    pub ca: Option<String>,
    pub client_ca: Option<String>,
}

impl Files {
    /// Reads them.
    pub fn read(&self) -> Result<FileContents> {
        let text = |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
        let serving = self.serving.as_ref().map(|(chain, key)| {
            Ok::<_, anyhow::Error>(CertifiedKey {
                chain: text(chain)?,
                key: text(key)?,
            })
        });
        Ok(FileContents {
            serving: serving.transpose()?,
            ca: self.ca.as_deref().map(text).transpose()?,
            client_ca: self.client_ca.as_deref().map(text).transpose()?,
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.serving.is_none() && self.ca.is_none() && self.client_ca.is_none()
    }
}
