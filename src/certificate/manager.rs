//! Manages the certificate: reads and writes the Secret, reads the files, and publishes what the webhook serves.
//!
//! It acts when the Secret changes, when an action is due ([`super::schedule`]), and when a file changes. Every replica
//! does this. Each write has the version of the Secret that was read, so only one replica succeeds, and the others read
//! what it wrote. A deleted Secret is written again from memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::files::{FileContents, Files};
use super::issue::CertifiedKey;
use super::schedule::{Action, next_action};
use super::secret::{StoredCertificates, is_ours};
use super::{Credentials, Tokens, clients, pem};
use crate::cluster::api_error::describe;
use crate::cluster::patch::{is_conflict, is_not_found};
use crate::cluster::watch_object;
use crate::ops::metrics::Metrics;

/// The most attempts to write the Secret. Other replicas may write it at the same time.
const MAX_ATTEMPTS: usize = 5;
/// How often files are read.
const FILE_CHECK_PERIOD: Duration = Duration::from_secs(2);
/// The pause after an error.
const RETRY_PERIOD: Duration = Duration::from_secs(5);
/// The longest sleep, so that a changed clock is noticed.
const MAX_SLEEP: Duration = Duration::from_hours(1);

/// The options of the certificate.
#[derive(Clone, Debug)]
pub struct CertificateOptions {
    /// The name of the Secret.
    pub secret: String,
    /// The DNS names in the certificate.
    pub names: Vec<String>,
    /// How long a certificate is valid.
    pub lifetime: SignedDuration,
    /// Certificates in files.
    pub files: Files,
    /// The common names of allowed clients; empty for any.
    pub clients: Vec<String>,
}

/// Manages the certificate.
pub struct CertificateManager {
    options: CertificateOptions,
    secrets: Api<Secret>,
    metrics: Arc<Metrics>,
    state: StoredCertificates,
    contents: FileContents,
    published: watch::Sender<Credentials>,
    /// The CAs in the webhook configuration.
    registered: watch::Receiver<String>,
}

impl CertificateManager {
    /// Reads the Secret, and creates it if it does not exist.
    pub async fn start(
        client: Client,
        namespace: &str,
        options: &CertificateOptions,
        metrics: &Arc<Metrics>,
        registered: watch::Receiver<String>,
    ) -> Result<Self> {
        let secrets = Api::namespaced(client, namespace);
        let contents = options.files.read()?;
        let known = registered.borrow().clone();
        let (state, _) = options.reconcile(&secrets, None, &known).await?;
        let published = watch::Sender::new(options.credentials(&state, &contents)?);
        let manager = Self {
            options: options.clone(),
            secrets,
            metrics: Arc::clone(metrics),
            state,
            contents,
            published,
            registered,
        };
        manager.report_expiry();
        Ok(manager)
    }

    /// Returns a receiver of the current credentials.
    pub fn subscribe(&self) -> watch::Receiver<Credentials> {
        self.published.subscribe()
    }

    /// Runs the manager. Never ends.
    pub async fn run(mut self) {
        let mut changes = std::pin::pin!(watch_object(self.secrets.clone(), &self.options.secret));
        let mut files = tokio::time::interval(FILE_CHECK_PERIOD);
        let mut next = Instant::now();
        loop {
            tokio::select! {
                Some(_) = changes.next() => {}
                _ = files.tick(), if self.options.files != Files::default() => {
                    self.read_files();
                    continue;
                },
                result = self.registered.changed() => if result.is_err() {
                    // The registration has ended, so the process is stopping.
                    return;
                },
                () = sleep_until(next) => {}
            }
            next = Instant::now()
                + match self.update().await {
                    Ok(next) => Duration::try_from(next.duration_since(Timestamp::now()))
                        .unwrap_or_default()
                        .min(MAX_SLEEP),
                    Err(error) => {
                        tracing::warn!(
                            "the webhook's certificate could not be updated; Bindery keeps the current one and \
                             retries in {RETRY_PERIOD:?}: {}",
                            describe(&error)
                        );
                        RETRY_PERIOD
                    }
                };
        }
    }

    async fn update(&mut self) -> Result<Timestamp> {
        let registered = self.registered.borrow_and_update().clone();
        let reconciled = self.options.reconcile(&self.secrets, Some(&self.state), &registered);
        let (state, next) = reconciled.await?;
        self.state = state;
        self.publish()?;
        Ok(next)
    }

    fn read_files(&mut self) {
        let read = self.options.files.read().and_then(|contents| {
            if contents == self.contents {
                return Ok(());
            }
            let before = std::mem::replace(&mut self.contents, contents);
            self.publish().inspect_err(|_| self.contents = before)?;
            tracing::info!("the webhook serves the new certificates from its files");
            Ok(())
        });
        if let Err(error) = read {
            let why = describe(&error);
            tracing::warn!(
                "the certificate files could not be used; the webhook keeps the certificates that it read before: {why}"
            );
        }
    }

    fn publish(&self) -> Result<()> {
        let credentials = self.options.credentials(&self.state, &self.contents)?;
        self.published.send_replace(credentials);
        self.report_expiry();
        Ok(())
    }

    fn report_expiry(&self) {
        let served = self.contents.serving.as_ref().unwrap_or(&self.state.serving);
        if let Some(validity) = served.validity() {
            self.metrics.certificate_ends(validity.until);
        }
    }
}

impl CertificateOptions {
    /// Updates the Secret if necessary. Returns its content, and when to do that again. `before` is the content that
    /// this process read last. The first time, a certificate for other DNS names is replaced. Later it is kept, because
    /// a newer replica has written it.
    async fn reconcile(
        &self,
        secrets: &Api<Secret>,
        before: Option<&StoredCertificates>,
        registered: &str,
    ) -> Result<(StoredCertificates, Timestamp)> {
        let about = || format!("Secret {}, which has the webhook's certificate", self.secret);
        for _ in 0..MAX_ATTEMPTS {
            let found = secrets.get_opt(&self.secret).await.with_context(about)?;
            if found.as_ref().is_some_and(|found| !is_ours(found)) {
                bail!(
                    "{}, was not created by Bindery; name another Secret with --tls-secret, or delete this one",
                    about()
                );
            }
            let read = found.as_ref().and_then(StoredCertificates::read);
            // If the Secret was deleted, the certificate in memory is used: the API server still trusts its CA.
            let known = if found.is_none() { before.cloned() } else { read.clone() };
            let of_names = |state: &StoredCertificates| before.is_some() || state.names == self.names.join(",");
            let state = known.filter(|state| of_names(state) && self.config(&state.serving, None).is_ok());
            let now = Timestamp::now();
            let serving = state.as_ref().and_then(|state| state.serving.validity());
            let next = state.as_ref().and_then(|state| state.next.as_ref()?.0.validity());
            // With a certificate from files, the CA in the webhook configuration is not that of the Secret.
            let announced =
                self.files.serving.is_some() || state.as_ref().is_none_or(|state| state.announced(registered));
            let (new, what) = match (next_action(serving, next, announced, now), state) {
                (Action::WaitUntil(at), Some(state)) if found.is_some() => return Ok((state, at)),
                (Action::WaitUntil(_), Some(state)) => (
                    state,
                    "the Secret with the webhook's certificate was deleted; wrote it again",
                ),
                (Action::Stage, Some(state)) => (
                    state.stage(self.lifetime, now)?,
                    "issued the webhook's next certificate and published its CA",
                ),
                (Action::Promote, Some(state)) => (state.promote(), "the webhook serves its next certificate"),
                (Action::Create, _) | (_, None) => {
                    let before = read.as_ref().or(before);
                    (
                        StoredCertificates::new(&self.names, self.lifetime, now, before)?,
                        "issued the webhook's certificate",
                    )
                }
            };
            let (secret, parameters) = (new.secret(&self.secret, found.as_ref()), PostParams::default());
            let written = match found {
                Some(_) => secrets.replace(&self.secret, &parameters, &secret).await,
                None => secrets.create(&parameters, &secret).await,
            };
            match written {
                Ok(_) => tracing::info!(secret = self.secret, "{what}"),
                Err(error) if is_conflict(&error) || is_not_found(&error) => {}
                Err(error) => return Err(error).with_context(about),
            }
        }
        bail!("{}, is changed by another program all the time", about())
    }

    fn credentials(&self, state: &StoredCertificates, contents: &FileContents) -> Result<Credentials> {
        let serving = contents.serving.as_ref().unwrap_or(&state.serving);
        Ok(Credentials {
            config: Arc::new(self.config(serving, contents.client_ca.as_deref())?),
            trusted: match (&self.files.serving, &contents.ca) {
                (Some(_), ca) => ca.clone(),
                (None, _) => Some(state.trusted.clone()),
            },
            tokens: Tokens::of(state),
        })
    }

    fn config(&self, serving: &CertifiedKey, client_ca: Option<&str>) -> Result<ServerConfig> {
        let builder = ServerConfig::builder();
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => builder.with_client_cert_verifier(clients::verifier(ca, &self.clients).context("--client-ca")?),
        };
        let chain = pem::parse_certificates(&serving.chain).context("the webhook's certificate")?;
        let key = pem::parse_key(&serving.key).context("the key of the webhook's certificate")?;
        let mut config = builder
            .with_single_cert(chain, key)
            .context("the webhook's certificate and its key do not match")?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}
