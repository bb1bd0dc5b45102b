//! Reads a certificate from files, which another program such as cert-manager renews.
//!
//! The kubelet updates a mounted Secret by replacing a symbolic link, for which file notifications are not reliable. So
//! the files are read every 2 seconds. If the certificate and the key do not match, they were read during an update,
//! and are read again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::issue::CertifiedKey;

/// The paths of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The serving certificate and its key.
    pub serving: Option<(PathBuf, PathBuf)>,
    /// The CA of the serving certificate.
    pub ca: Option<PathBuf>,
    /// The CA of client certificates.
    pub client_ca: Option<PathBuf>,
}

/// The contents of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileContents {
    pub serving: Option<CertifiedKey>,
    pub ca: Option<String>,
    pub client_ca: Option<String>,
}

impl Files {
    /// Reads the files.
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
}
