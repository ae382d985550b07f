//! Reading the configuration file again while the agent runs.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{Mutex, oneshot};

use super::drain_thread::{DrainThread, Order};
use crate::config::file::FileConfig;
use crate::{descriptor_limit, memory_limit};

/// Reads the file and hands it to the thread that drains; one reload at a time.
#[derive(Debug)]
pub(super) struct Reloader {
    path: Option<PathBuf>,
    turn: Mutex<()>,
}

impl Reloader {
    pub(super) fn new(path: Option<&Path>) -> Self {
        Self { path: path.map(Path::to_owned), turn: Mutex::new(()) }
    }

    /// Reads the file; completes when what it says is in force.
    ///
    /// # Errors
    /// Why it is not: what was in force before still is.
    pub(super) async fn reload(&self, drain: &DrainThread) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        let Some(path) = self.path.clone() else {
            return Err("there is no --config.file to read again".to_owned());
        };
        let shown = path.display().to_string();
        // A file can be large, or on a device that does not answer.
        let loaded = tokio::task::spawn_blocking(move || FileConfig::load(&path)).await;
        let error = match loaded {
            Ok(Ok(mut config)) => {
                fit(&mut config);
                in_force(drain, config).await?;
                tracing::info!(file = shown, "configuration read again");
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "reading it was broken off".to_owned(),
        };
        drain.order(Order::RefuseConfiguration);
        tracing::error!(file = shown, error, "the configuration before stays in force");
        Err(format!("{shown}: {error}"))
    }
}

fn in_force(
    drain: &DrainThread,
    config: FileConfig,
) -> impl Future<Output = Result<(), String>> + use<> {
    let (done, answer) = oneshot::channel();
    drain.order(Order::Configure { config: Box::new(config), unix_s: unix_seconds(), done });
    async { answer.await.map_err(|_| "the agent is stopping".to_owned()) }
}

/// What the file allows producers to take has to fit into this container and this process, too.
pub(super) fn fit(config: &mut FileConfig) {
    let limits = descriptor_limit::fit(std::mem::take(&mut config.limits));
    config.limits = memory_limit::fit(limits, memory_limit::container_limit_bytes());
}

/// The time of day.
pub(super) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
