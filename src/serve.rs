//! `bindery serve`: joins the parts, starts them, and stops them in order.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use k8s_openapi::api::core::v1::Namespace;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use tower::timeout::TimeoutLayer;

use crate::cli;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::controller::{self, Volumes, registration};
use crate::ops::admin::{self, Readiness};
use crate::ops::events::Events;
use crate::ops::logs;
use crate::ops::metrics::Metrics;
use crate::ops::tasks::{Tasks, told_to_stop};
use crate::policy::class::Defaults;
use crate::provision::Provisioner;
use crate::storage::mounted::MountedStorage;
use crate::storage::nfs::NfsOptions;
use crate::storage::{Storage, Storages};
use crate::volume::Us;
use crate::webhook::handler::Handler;
use crate::webhook::{server, tls::Serving};

/// What a loop may still need after the word to stop; above one call to an NFS server.
const LAST_STEPS: Duration = Duration::from_secs(22);
/// A review that comes just before the door closes has its whole deadline, and then some to be sent.
const GRACE: Duration = Duration::from_secs(2);
/// For one answer of the API server; for a watch, until it begins.
const API_CALL: Duration = Duration::from_secs(15);
const WATCHES: &str = "watches of classes and namespaces";

/// Serves until the process is told to stop. An error means that it could not start, or lost what it cannot do without.
pub async fn serve(flags: cli::Serve) -> Result<()> {
    logs::start(&flags.log, flags.log_format)?;
    let kubeconfig = flags.kubeconfig.clone();
    let config = Config::check(flags)?;
    // Listen before all else: an address in use is the administrator's to mend, and comes at once.
    let admin_listener = listen(config.admin_listen, "--admin-listen")?;
    let listener = listen(config.listen, "--listen")?;

    let client = connect(kubeconfig).await?;
    let us = Arc::new(Us {
        provisioner: config.provisioner.clone(),
        instance: instance(&config, &client).await?,
    });
    tracing::info!(
        provisioner = us.provisioner,
        instance = us.instance,
        version = env!("CARGO_PKG_VERSION"),
        "starting"
    );

    let tasks = Tasks::default();
    let metrics = Arc::new(Metrics::default());
    let nfs = NfsOptions {
        uid: config.nfs_user.0,
        gid: config.nfs_user.1,
        machine: machine(&us.instance),
        privileged_port: true,
    };
    let mounted = MountedStorage::new(config.mounted);
    // A mount that is missing is the administrator's to mend, too.
    mounted.check().await.context("--mounted")?;
    let storage: Arc<dyn Storage> = Arc::new(Storages::new(nfs).with_mounted(mounted));
    let readiness = Readiness::waiting_for([WATCHES, registration::PART]);
    let loops = controller::watch(client.clone());
    let (cluster, watches) = Cluster::new(client.clone(), loops.store());
    tasks.spawn_until_stop(watches);

    let admin = Handle::new();
    let routes = admin::routes(readiness.clone(), Arc::clone(&metrics));
    let admin_server = axum_server::from_tcp(admin_listener)?.handle(admin.clone());
    let admin_server = tokio::spawn(admin_server.serve(routes.into_make_service()));

    let serving = Serving::self_signed(&config.serving_names)?;
    let provisioner = Provisioner {
        cluster: cluster.clone(),
        storage: Arc::clone(&storage),
        us: Arc::clone(&us),
        metrics: Arc::clone(&metrics),
        tasks: tasks.clone(),
    };
    let handler = Arc::new(Handler {
        provisioner,
        defaults: Defaults {
            server: config.default_server,
            share: config.default_share,
        },
        deadline: config.deadline,
    });
    let webhook = Handle::new();
    let tls = RustlsConfig::from_config(serving.config);
    let webhook_server = axum_server::from_tcp_rustls(listener, tls)?.handle(webhook.clone());
    let mut webhook_server = tokio::spawn(webhook_server.serve(server::routes(handler).into_make_service()));

    let looking_after = Volumes {
        cluster: cluster.clone(),
        storage,
        us,
        events: Events::new(client.clone()),
        metrics,
        tasks: tasks.clone(),
        pauses: controller::Pauses::default(),
    };
    let loops = tasks.spawn(controller::run(loops, looking_after));
    let registered = registration::keep(client, config.webhook_configuration, serving.ca_pem, readiness.clone());
    tasks.spawn_until_stop({
        let readiness = readiness.clone();
        async move {
            // Only then is it right to be asked.
            cluster.ready().await;
            readiness.reached(WATCHES);
            registered.await;
        }
    });

    // Nothing of it ends by itself. A process that has lost a part is better started anew than half alive.
    let signal = tokio::select! {
        signal = told_to_stop() => signal?,
        ended = loops => bail!("the loops that look after volumes ended: {ended:?}"),
        ended = &mut webhook_server => bail!("the webhook's server ended: {ended:?}"),
        ended = admin_server => bail!("the admin port's server ended: {ended:?}"),
    };
    tracing::info!(
        signal,
        "stopping: reviews in flight are answered, loops end between steps"
    );
    readiness.lost("the process is stopping");
    tasks.stop().cancel();
    webhook.graceful_shutdown(Some(config.deadline + GRACE));
    let _ = webhook_server.await;
    if !tasks.drain(LAST_STEPS).await {
        tracing::warn!("some work did not end in time; the next start takes it up");
    }
    admin.shutdown();
    tracing::info!("stopped");
    Ok(())
}

fn listen(address: std::net::SocketAddr, flag: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("{flag} {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn connect(kubeconfig: Option<std::path::PathBuf>) -> Result<Client> {
    let config = match kubeconfig {
        Some(file) => {
            let read = Kubeconfig::read_from(&file).with_context(|| format!("--kubeconfig {}", file.display()))?;
            kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?
        }
        None => kube::Config::infer()
            .await
            .context("no cluster to talk to: set KUBECONFIG or run in a pod")?,
    };
    let client = ClientBuilder::try_from(config).context("the API server's address or certificates are of no use")?;
    Ok(client.with_layer(&TimeoutLayer::new(API_CALL)).build())
}

/// What NFS servers know this process by. A successor on the same host, such as the restarted container of a pod, ends
/// what it left; two processes that live at the same time must have two names.
fn machine(instance: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{} {instance}", host.trim())
}

/// The id of this installation: the flag, or the uid of namespace kube-system, which lives as long as the cluster.
async fn instance(config: &Config, client: &Client) -> Result<String> {
    if let Some(instance) = &config.instance {
        return Ok(instance.clone());
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = namespaces.get_metadata("kube-system").await;
    let system = system.context("the instance id could not be read from namespace kube-system; set --instance")?;
    system
        .metadata
        .uid
        .context("namespace kube-system has no uid; set --instance")
}
