//! A configuration takes effect between two passes. No number changes with it.

use std::sync::Arc;

use super::Pipeline;
use crate::config::file::FileConfig;
use crate::context::Buffers;

impl Pipeline {
    /// What does not change while the agent runs; before anything is attached.
    pub fn set_up(&mut self, config: &FileConfig, shows_own: bool, start_unix_s: f64) {
        self.start_unix_s = start_unix_s;
        self.service_label = config.service_label.clone();
        self.aggregate.set_service_label(self.service_label.as_deref());
        self.shows_own = shows_own;
    }

    /// Goes on under this configuration, which was read at `unix_s`, in seconds since 1970.
    pub fn configure(&mut self, config: FileConfig, unix_s: f64, now_ns: u64) {
        if config.service_label != self.service_label {
            tracing::warn!("a change of service_label takes effect with the agent's next start");
        }
        let rules = Arc::new(config.rules);
        self.limits = config.limits;
        self.buffers = Buffers::new(&self.limits);
        self.aggregate.configure(self.limits.clone(), Arc::clone(&rules), now_ns);
        self.view.set_rules(rules);
        self.config.is_successful = true;
        self.config.success_unix_s = unix_s;
    }

    /// Takes note of a configuration that cannot be used.
    pub fn refuse_configuration(&mut self) {
        self.config.is_successful = false;
    }
}
