//! `bindery serve`: creates the parts of the process, starts them, and stops them in order.

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
use crate::certificate::{CertificateManager, CertificateOptions, Files};
use crate::cli;
use crate::cluster::Cluster;
use crate::cluster::access::Access;
use crate::cluster::client::{connect, installation, retry_while_unreachable};
use crate::cluster::lease::Candidate;
use crate::config::Config;
use crate::controller::{self, Context, Options};
use crate::model::directory::Share;
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

/// How long background work may take to end. It is longer than one call to an NFS server.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(22);
/// How long the answer to a review may take after its deadline.
const REPLY_GRACE: Duration = Duration::from_secs(2);
/// The parts that `/readyz` waits for.
const API_SERVER: &str = "the API server";
const WATCHES: &str = "watches of classes, namespaces, volumes and claims";

/// Runs until a signal stops the process. Returns an error if the process cannot start, or if one of its parts ends.
pub async fn serve(flags: cli::Serve) -> Result<()> {
    logs::start(&flags.log, flags.log_format)?;
    let config = Config::check(&flags)?;
    // The ports come first, so that an address in use is reported at once.
    let admin_listener = open(flags.admin_listen, "--admin-listen")?;
    let listener = open(flags.listen, "--listen")?;

    // The probes are answered before the API server is reached. Otherwise the kubelet would restart a process that
    // waits for the API server.
    let metrics = Arc::new(Metrics::default());
    let readiness = Readiness::waiting_for([API_SERVER, WATCHES, registration::PART]);
    let admin = Handle::new();
    let routes = admin::routes(readiness.clone(), Arc::clone(&metrics));
    let admin_server = axum_server::from_tcp(admin_listener)?.handle(admin.clone());
    let admin_server = tokio::spawn(admin_server.serve(routes.into_make_service()));
    let mut signal = pin!(shutdown_signal());

    let tasks = Tasks::default();
    let (registered, registered_cas) = watch::channel(String::new());
    let (selectors, exemptions) = watch::channel(None);
    let prepared = tokio::select! {
        prepared = prepare(&flags, config.mounted, &metrics, registered_cas) => prepared?,
        signal = &mut signal => {
            tracing::info!(signal = signal?, "stopped before the start was complete");
            return Ok(());
        }
    };
    let Prepared {
        client,
        installation,
        candidate,
        storages,
        certificates,
    } = prepared;
    let credentials = certificates.subscribe();
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
        own_namespace: own_namespace(&flags, &client),
        metrics: Arc::clone(&metrics),
        tasks: tasks.clone(),
    };
    let handler = Handler::new(provisioner.clone(), config.defaults.clone(), flags.deadline);
    let webhook = Handle::new();
    let webhook_server = Webhook {
        handler: Arc::new(handler),
        credentials: credentials.clone(),
        metrics: Arc::clone(&metrics),
    };
    let mut webhook_server = tokio::spawn(webhook_server.serve(listener, webhook.clone()));

    let options = controller_options(&flags, &client);
    let context = Arc::new(Context::new(provisioner, outages, exemptions, config.defaults, options));
    let (caches_filled, may_lead) = oneshot::channel();
    let registration = Registration {
        cluster: cluster.clone(),
        installation,
        name: flags.webhook_configuration,
        credentials,
        registered,
        selectors,
        readiness: readiness.clone(),
    };
    let registration = tasks.spawn_until_stop({
        let readiness = readiness.clone();
        async move {
            // The webhook must not be registered before the caches are filled.
            cluster.ready().await;
            readiness.set_ready(WATCHES);
            let _ = caches_filled.send(());
            registration.run().await;
        }
    });
    let stop = tasks.stop().clone();
    let loops = tasks.spawn(async move {
        if may_lead.await.is_ok() {
            let run = |term| Box::pin(controller::run(Arc::clone(&context), term));
            candidate.lead(stop, run).await;
        }
    });

    // None of these ends by itself. If one does, the process ends, so that the kubelet restarts it.
    let signal = tokio::select! {
        signal = signal => signal?,
        ended = certificates => bail!("the manager of the webhook's certificate ended: {ended:?}"),
        ended = registration => bail!("the registration of the webhook ended: {ended:?}"),
        ended = loops => bail!("the controller ended: {ended:?}"),
        ended = &mut webhook_server => bail!("the webhook's server ended: {ended:?}"),
        ended = admin_server => bail!("the admin port's server ended: {ended:?}"),
    };
    tracing::info!(signal, "stopping after the work in progress is done");
    readiness.set_not_ready("the process is stopping");
    tasks.stop().cancel();
    webhook.graceful_shutdown(Some(flags.deadline + REPLY_GRACE));
    let _ = webhook_server.await;
    finish(&tasks, &storages).await;
    admin.shutdown();
    tracing::info!("stopped");
    Ok(())
}

fn controller_options(flags: &cli::Serve, client: &Client) -> Options {
    Options {
        own_namespace: own_namespace(flags, client),
        delete_nested: flags.takeover_delete_nested,
        take_over_driver: flags.takeover.is_some(),
        binder: flags.binder,
        orphan_grace: flags.orphan_grace,
        retention_interval: flags.retention_interval,
        space_interval: flags.space_interval,
        usage_interval: flags.usage_interval,
        usage_rate: flags.usage_rate,
        shares_record: format!("{}-shares", flags.lease),
    }
}

fn own_namespace(flags: &cli::Serve, client: &Client) -> String {
    let named = flags.namespace.clone();
    named.unwrap_or_else(|| client.default_namespace().to_owned())
}

/// The parts that can be created only if the API server answers.
struct Prepared {
    client: Client,
    installation: Arc<Installation>,
    candidate: Candidate,
    storages: Arc<Storages>,
    certificates: CertificateManager,
}

/// Connects to the API server. Waits while it cannot be reached.
async fn prepare(
    flags: &cli::Serve,
    mounted: Vec<(Share, PathBuf)>,
    metrics: &Arc<Metrics>,
    registered: watch::Receiver<String>,
) -> Result<Prepared> {
    let shared = &flags.installation;
    let client = connect(&Access::of_file(flags.kubeconfig.clone())).await?;
    let installation = || installation(shared.provisioner_name.clone(), shared.instance.clone(), &client);
    let installation = Arc::new(retry_while_unreachable(installation).await?);
    tracing::info!(
        provisioner = installation.provisioner,
        instance = installation.instance,
        version = env!("CARGO_PKG_VERSION"),
        "starting"
    );
    let replica = flags.replica.clone().unwrap_or_else(host_name);
    let namespace = own_namespace(flags, &client);
    // With hostNetwork, two installations on one node may have replicas of the same name.
    let machine = format!("{replica} {namespace}/{} {}", flags.lease, installation.instance);
    let nfs = NfsOptions {
        uid: flags.nfs_user.nfs_uid,
        gid: flags.nfs_user.nfs_gid,
        machine,
        privileged_port: true,
    };
    // Some mounts do not support chmod. There a directory keeps the mode with which it is created.
    rustix::process::umask(rustix::fs::Mode::empty());
    let mounted = MountedStorage::new(mounted);
    // A missing mount stops the start.
    mounted.check().await.context("--mounted")?;
    let certificate = CertificateOptions {
        secret: flags.tls_secret.clone(),
        names: flags.serving_names.clone(),
        lifetime: flags.certificate_lifetime,
        files: Files {
            serving: flags.tls_cert.clone().zip(flags.tls_key.clone()),
            ca: flags.tls_ca.clone(),
            client_ca: flags.client_ca.clone(),
        },
        clients: flags.client_names.clone(),
    };
    let certificates =
        || CertificateManager::start(client.clone(), &namespace, &certificate, metrics, registered.clone());
    Ok(Prepared {
        certificates: retry_while_unreachable(certificates).await?,
        candidate: Candidate::new(client.clone(), &namespace, &flags.lease, replica),
        client,
        installation,
        storages: Arc::new(Storages::new(nfs).with_mounted(mounted)),
    })
}

async fn finish(tasks: &Tasks, storages: &Storages) {
    if !tasks.drain(DRAIN_TIMEOUT).await {
        tracing::warn!("some work did not end in time; the next replica that leads continues it");
    }
    // Only this process can end its NFS sessions: a pod with another name is another client.
    storages.shut_down().await;
}

fn open(address: Listen, flag: &str) -> Result<TcpListener> {
    listen::listen(address).with_context(|| format!("{flag} {address}"))
}

/// Returns the host name, which in a pod is the name of the pod.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
