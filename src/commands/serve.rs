//! `bindery serve`: joins the parts, starts them, and stops them in order.

use std::net::TcpListener;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum_server::Handle;
use kube::Client;
use tokio::sync::{oneshot, watch};

use crate::breaker::Breaker;
use crate::certificate::{CertificateManager, Credentials};
use crate::cli;
use crate::cluster::Cluster;
use crate::cluster::client::{connect, instance, retry_while_unreachable};
use crate::cluster::lease::Candidate;
use crate::config::Config;
use crate::controller::{self, Context, Options};
use crate::model::volume::Installation;
use crate::ops::admin::{self, Readiness};
use crate::ops::listen::{self, Listen};
use crate::ops::logs;
use crate::ops::metrics::Metrics;
use crate::ops::tasks::{Tasks, shutdown_signal};
use crate::provision::Provisioner;
use crate::registration::{self, Registration};
use crate::storage::Storages;
use crate::storage::mounted::MountedStorage;
use crate::storage::nfs::NfsOptions;
use crate::webhook::handler::Handler;
use crate::webhook::server::Webhook;

/// What a loop may still need after the word to stop; above one call to an NFS server.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(22);
/// A review that comes just before the door closes has its whole deadline, and then some to be sent.
const REPLY_GRACE: Duration = Duration::from_secs(2);
/// Parts of readiness, as `/readyz` names them.
const API_SERVER: &str = "the API server";
const WATCHES: &str = "watches of classes, namespaces, volumes and claims";

/// Serves until the process is told to stop. An error means that it could not start, or lost what it cannot do without.
pub async fn serve(flags: cli::Serve) -> Result<()> {
    logs::start(&flags.log, flags.log_format)?;
    let kubeconfig = flags.installation.kubeconfig.clone();
    let config = Config::check(flags)?;
    // Listen before all else: an address in use is the administrator's to mend, and comes at once.
    let admin_listener = open(config.admin_listen, "--admin-listen")?;
    let listener = open(config.listen, "--listen")?;

    // The probes are answered from here on, also while the API server cannot be reached: a process that waits for it must
    // not be restarted for that.
    let metrics = Arc::new(Metrics::default());
    let readiness = Readiness::waiting_for([API_SERVER, WATCHES, registration::PART]);
    let admin = Handle::new();
    let routes = admin::routes(readiness.clone(), Arc::clone(&metrics));
    let admin_server = axum_server::from_tcp(admin_listener)?.handle(admin.clone());
    let admin_server = tokio::spawn(admin_server.serve(routes.into_make_service()));
    let mut signal = pin!(shutdown_signal());

    let tasks = Tasks::default();
    let (registered, stands) = watch::channel(String::new());
    let (selectors, exemptions) = watch::channel(None);
    let prepared = tokio::select! {
        prepared = prepare(&config, kubeconfig, &metrics, stands) => prepared?,
        signal = &mut signal => {
            tracing::info!(signal = signal?, "stopped before the start was complete");
            return Ok(());
        }
    };
    let Prepared {
        client,
        installation,
        namespace,
        replica,
        storages,
        certificates,
        credentials,
    } = prepared;
    readiness.set_ready(API_SERVER);

    let breaker = Breaker::new(Arc::clone(&storages) as _, Arc::clone(&metrics), tasks.clone());
    let outages = breaker.outages();
    let (cluster, watches) = Cluster::new(client.clone());
    tasks.spawn_until_stop(watches);
    let certificates = tasks.spawn_until_stop(certificates.run());
    let provisioner = Provisioner {
        cluster: cluster.clone(),
        storage: Arc::new(breaker),
        installation: Arc::clone(&installation),
        metrics: Arc::clone(&metrics),
        tasks: tasks.clone(),
    };
    let handler = Handler::new(provisioner.clone(), config.defaults.clone(), config.deadline);
    let webhook = Handle::new();
    let webhook_server = Webhook {
        handler: Arc::new(handler),
        credentials: credentials.clone(),
        metrics: Arc::clone(&metrics),
    };
    let mut webhook_server = tokio::spawn(webhook_server.serve(listener, webhook.clone()));

    let options = Options {
        delete_nested: config.takeover_delete_nested,
        binder: config.binder,
        orphan_grace: config.orphan_grace,
        retention_interval: config.retention_interval,
    };
    let context = Arc::new(Context::new(provisioner, outages, exemptions, config.defaults, options));
    let candidate = Candidate::new(client.clone(), &namespace, &config.lease, replica);
    let (begun, ready) = oneshot::channel();
    let registration = Registration {
        cluster: cluster.clone(),
        installation,
        name: config.webhook_configuration,
        credentials,
        registered,
        selectors,
        readiness: readiness.clone(),
    };
    let registration = tasks.spawn_until_stop({
        let readiness = readiness.clone();
        async move {
            // Only then is it right to be asked.
            cluster.ready().await;
            readiness.set_ready(WATCHES);
            let _ = begun.send(());
            registration.run().await;
        }
    });
    let stop = tasks.stop().clone();
    let loops = tasks.spawn(async move {
        if ready.await.is_ok() {
            let run = |term| Box::pin(controller::run(Arc::clone(&context), term));
            candidate.lead(stop, run).await;
        }
    });

    // Nothing of it ends by itself. A process that has lost a part is better started anew than half alive.
    let signal = tokio::select! {
        signal = signal => signal?,
        ended = certificates => bail!("the manager of the webhook's certificate ended: {ended:?}"),
        ended = registration => bail!("the registration of the webhook ended: {ended:?}"),
        ended = loops => bail!("the loops that look after volumes ended: {ended:?}"),
        ended = &mut webhook_server => bail!("the webhook's server ended: {ended:?}"),
        ended = admin_server => bail!("the admin port's server ended: {ended:?}"),
    };
    tracing::info!(signal, "stopping: what is under way is brought to its end");
    readiness.set_not_ready("the process is stopping");
    tasks.stop().cancel();
    webhook.graceful_shutdown(Some(config.deadline + REPLY_GRACE));
    let _ = webhook_server.await;
    finish(&tasks, &storages).await;
    admin.shutdown();
    tracing::info!("stopped");
    Ok(())
}

/// What the parts of the process share.
struct Prepared {
    client: Client,
    installation: Arc<Installation>,
    /// Where our own objects are.
    namespace: String,
    /// Our name among the replicas.
    replica: String,
    storages: Arc<Storages>,
    certificates: CertificateManager,
    credentials: watch::Receiver<Credentials>,
}

/// Connects to the API server, and waits as long as it cannot be reached.
async fn prepare(
    config: &Config,
    kubeconfig: Option<PathBuf>,
    metrics: &Arc<Metrics>,
    registered: watch::Receiver<String>,
) -> Result<Prepared> {
    let client = connect(kubeconfig).await?;
    let installation = Arc::new(retry_while_unreachable(|| installation(config, &client)).await?);
    let replica = config.replica.clone().unwrap_or_else(host);
    let namespace = config
        .namespace
        .clone()
        .unwrap_or_else(|| client.default_namespace().to_owned());
    // Two installations on one node may have the node's name as that of their replica.
    let machine = format!("{replica} {namespace}/{} {}", config.lease, installation.instance);
    let storages = storages(config, machine).await?;
    let certificates = || {
        CertificateManager::start(
            client.clone(),
            &namespace,
            &config.certificate,
            metrics,
            registered.clone(),
        )
    };
    let (certificates, credentials) = retry_while_unreachable(certificates).await?;
    Ok(Prepared {
        client,
        installation,
        namespace,
        replica,
        storages,
        certificates,
        credentials,
    })
}

/// Every kind of storage. `machine` is our name to NFS servers.
async fn storages(config: &Config, machine: String) -> Result<Arc<Storages>> {
    let nfs = NfsOptions {
        uid: config.nfs_user.0,
        gid: config.nfs_user.1,
        machine,
        privileged_port: true,
    };
    let mounted = MountedStorage::new(config.mounted.clone());
    // A mount that is missing is the administrator's to mend, too.
    mounted.check().await.context("--mounted")?;
    Ok(Arc::new(Storages::new(nfs).with_mounted(mounted)))
}

async fn finish(tasks: &Tasks, storages: &Storages) {
    if !tasks.drain(DRAIN_TIMEOUT).await {
        tracing::warn!("some work did not end in time; the next start takes it up");
    }
    // Nobody else can: after a restart of a server, a pod of another name cannot come back as this client.
    storages.leave().await;
}

fn open(on: Listen, flag: &str) -> Result<TcpListener> {
    listen::listen(on).with_context(|| format!("{flag} {on}"))
}

/// Who we are, also said in the log.
async fn installation(config: &Config, client: &Client) -> Result<Installation> {
    let installation = Installation {
        provisioner: config.provisioner.clone(),
        instance: instance(config.instance.clone(), client).await?,
    };
    tracing::info!(
        provisioner = installation.provisioner,
        instance = installation.instance,
        version = env!("CARGO_PKG_VERSION"),
        "starting"
    );
    Ok(installation)
}

/// The host's name; in a pod, the pod's.
fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.trim().to_owned()
}
