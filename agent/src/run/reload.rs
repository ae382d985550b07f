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
    /// The memory limit of the container, which may be changed while it runs.
    limit_bytes: fn() -> Option<u64>,
    turn: Mutex<()>,
}

impl Reloader {
    pub(super) fn new(path: Option<&Path>) -> Self {
        Self {
            path: path.map(Path::to_owned),
            limit_bytes: memory_limit::container_limit_bytes,
            turn: Mutex::new(()),
        }
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
        let error = match self.load(path).await {
            Ok(config) => {
                in_force(drain, config).await?;
                tracing::info!(file = shown, "configuration read again");
                return Ok(());
            }
            Err(error) => error,
        };
        drain.order(Order::RefuseConfiguration);
        tracing::error!(file = shown, error, "the configuration before stays in force");
        Err(format!("{shown}: {error}"))
    }

    /// What the file says now, fitted to the container as it is now.
    async fn load(&self, path: PathBuf) -> Result<FileConfig, String> {
        // A file can be large, or on a device that does not answer.
        let loaded = tokio::task::spawn_blocking(move || FileConfig::load(&path)).await;
        let loaded = loaded.map_err(|_| "reading it was broken off".to_owned())?;
        let mut config = loaded.map_err(|error| error.to_string())?;
        fit(&mut config, (self.limit_bytes)());
        Ok(config)
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
pub(super) fn fit(config: &mut FileConfig, limit_bytes: Option<u64>) {
    let limits = descriptor_limit::fit(std::mem::take(&mut config.limits));
    config.limits = memory_limit::fit(limits, limit_bytes);
}

/// The time of day.
pub(super) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_again_is_fitted_to_the_container_as_it_is_now() {
        let name = format!("ringmeter-fit-{}.yml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let text = "limits: {memory_max: 300MiB, segment_memory_max: 200MiB}\n";
        std::fs::write(&path, text).unwrap();
        let mut reloader = Reloader::new(Some(&path));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut limits = Vec::new();
        let containers: [fn() -> Option<u64>; 3] = [|| None, || Some(70 << 20), || Some(1 << 40)];
        for limit_bytes in containers {
            reloader.limit_bytes = limit_bytes;
            let config = runtime.block_on(reloader.load(path.clone())).unwrap();
            limits.push((config.limits.memory_max_bytes, config.limits.segment_memory_max_bytes));
        }
        std::fs::remove_file(&path).unwrap();
        let written = (300 << 20, 200 << 20);
        assert_eq!(limits, [written, (16 << 20, 16 << 20), written]);
    }
}
