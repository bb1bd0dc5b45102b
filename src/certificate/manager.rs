//! Keeps the Secret and the files, and tells listener and registration what is to be served.
//!
//! Trigger: the Secret changes or goes, something is due ([`super::schedule`]), or a file has changed. Every replica does this:
//! each write is made on the very Secret that was judged, so of several that are due at the same time one wins, and the
//! others read what it wrote. A Secret that is lost is written again, as it is remembered.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::files::{FileContents, Files};
use super::issue::CertifiedKey;
use super::schedule::{Action, next_action};
use super::secret::{StoredCertificates, is_ours};
use super::{Credentials, Tokens, clients, pem};
use crate::cluster::api_error::{ApiFault, describe};
use crate::cluster::patch::{is_conflict, is_not_found};
use crate::ops::metrics::Metrics;

/// Others may be making it at the same time; one of them comes first.
const MAX_ATTEMPTS: usize = 5;
/// How often files are read.
const FILE_CHECK_PERIOD: Duration = Duration::from_secs(2);
/// After what went wrong.
const RETRY_PERIOD: Duration = Duration::from_secs(5);
/// A sleep that is no longer than this meets a clock that was set.
const MAX_SLEEP: Duration = Duration::from_hours(1);

/// What is kept.
#[derive(Clone, Debug)]
pub struct CertificateOptions {
    /// What it is called.
    pub secret: String,
    /// The names in the certificate.
    pub names: Vec<String>,
    /// How long a certificate is valid.
    pub lifetime: SignedDuration,
    /// What comes from files.
    pub files: Files,
    /// Common names of clients that may call; any if there are none.
    pub clients: Vec<String>,
}

/// See the module.
pub struct CertificateManager {
    options: CertificateOptions,
    secrets: Api<Secret>,
    metrics: Arc<Metrics>,
    state: StoredCertificates,
    contents: FileContents,
    published: watch::Sender<Credentials>,
    /// The CAs that the API server is told to trust.
    registered: watch::Receiver<String>,
}

impl CertificateManager {
    /// Reads what is there, and makes what is not. From then on the receiver has what is to be served.
    pub async fn start(
        client: Client,
        namespace: &str,
        options: &CertificateOptions,
        metrics: &Arc<Metrics>,
        registered: watch::Receiver<String>,
    ) -> Result<(Self, watch::Receiver<Credentials>)> {
        let secrets = Api::namespaced(client, namespace);
        let contents = options.files.read()?;
        let state = options
            .reconcile(&secrets, None, &registered.borrow().clone(), true)
            .await?
            .0;
        let (published, receiver) = watch::channel(options.credentials(&state, &contents)?);
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
        Ok((manager, receiver))
    }

    /// Keeps them. Never ends.
    pub async fn run(mut self) {
        let only = watcher::Config::default().fields(&format!("metadata.name={}", self.options.secret));
        let mut changes = std::pin::pin!(watcher(self.secrets.clone(), only).default_backoff());
        let mut files = tokio::time::interval(FILE_CHECK_PERIOD);
        let mut next = Instant::now();
        loop {
            tokio::select! {
                change = changes.next() => if let Some(Err(error)) = change {
                    let fault = ApiFault::from(&error);
                    tracing::warn!(secret = self.options.secret, "the watch of the webhook's Secret broke, and is begun again: {fault}");
                    continue;
                },
                _ = files.tick(), if !self.options.files.is_empty() => {
                    self.read_files();
                    continue;
                },
                heard = self.registered.changed() => if heard.is_err() {
                    // The registration is gone: the process is ending.
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
                            "the webhook goes on with the certificate that it has; it is tried again: {}",
                            describe(&error)
                        );
                        RETRY_PERIOD
                    }
                };
        }
    }

    async fn update(&mut self) -> Result<Timestamp> {
        let registered = self.registered.borrow_and_update().clone();
        let reconciled = self
            .options
            .reconcile(&self.secrets, Some(&self.state), &registered, false);
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
            tracing::info!("serves the certificates that its files have by now");
            Ok(())
        });
        if let Err(error) = read {
            let why = describe(&error);
            tracing::warn!("the webhook goes on with the files as it has read them before: {why}");
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
    /// The Secret as it is to be, written if it was not so; and when to look again. `first`: also one for other names is
    /// replaced. Later it is left to the replica with those names, which is newer.
    async fn reconcile(
        &self,
        secrets: &Api<Secret>,
        before: Option<&StoredCertificates>,
        registered: &str,
        first: bool,
    ) -> Result<(StoredCertificates, Timestamp)> {
        let about = || format!("Secret {}, which keeps the webhook's certificate", self.secret);
        for _ in 0..MAX_ATTEMPTS {
            let found = secrets.get_opt(&self.secret).await.with_context(about)?;
            if found.as_ref().is_some_and(|found| !is_ours(found)) {
                bail!(
                    "{} is somebody else's: name another with --tls-secret, or delete it",
                    about()
                );
            }
            let read = found.as_ref().and_then(StoredCertificates::read);
            // What was lost is remembered here: the API server trusts it still.
            let known = if found.is_none() { before.cloned() } else { read.clone() };
            let of_names = |state: &StoredCertificates| !first || state.names == self.names.join(",");
            let state = known.filter(|state| of_names(state) && self.config(&state.serving, None).is_ok());
            let now = Timestamp::now();
            let serving = state.as_ref().and_then(|state| state.serving.validity());
            let next = state.as_ref().and_then(|state| state.next.as_ref()?.0.validity());
            // Whoever brings a certificate of their own keeps the CAs, too, or waits for nobody.
            let announced =
                self.files.serving.is_some() || state.as_ref().is_none_or(|state| state.announced(registered));
            let (made, what) = match (next_action(serving, next, announced, now), state) {
                (Action::WaitUntil(at), Some(state)) if found.is_some() => return Ok((state, at)),
                (Action::WaitUntil(_), Some(state)) => {
                    (state, "wrote the webhook's certificate down again: its Secret was gone")
                }
                (Action::Stage, Some(state)) => (
                    state.stage(self.lifetime, now)?,
                    "announced the webhook's next certificate",
                ),
                (Action::Promote, Some(state)) => (state.promote(), "serves the webhook's next certificate"),
                (Action::Create, _) | (_, None) => {
                    let before = read.as_ref().or(before);
                    (
                        StoredCertificates::new(&self.names, self.lifetime, now, before)?,
                        "made the webhook's certificate",
                    )
                }
            };
            let (secret, parameters) = (made.secret(&self.secret, found.as_ref()), PostParams::default());
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
        bail!("{} is changed all the time by something else", about())
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
            .context("the webhook's certificate and its key do not belong together")?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}
