//! The agent's process: what client libraries show as `process_*`, under a name of its own, so
//! that it does not meet the applications' own.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;

use super::{OwnMetric, one};

/// What the system says of the process; 0 where it says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessFacts {
    /// Time on processors, user and system, seconds.
    pub cpu_s: f64,
    /// Memory in use.
    pub resident_bytes: u64,
    /// Memory mapped.
    pub virtual_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Descriptors in use.
    pub open_fds: u64,
    /// Descriptors that there may be.
    pub max_fds: u64,
    /// When it started, seconds since 1970.
    pub start_unix_s: f64,
}

impl ProcessFacts {
    /// What it is now.
    pub fn read(start_unix_s: f64) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        let cpu_us = getrusage(UsageWho::RUSAGE_SELF)
            .map_or(0, |usage| (usage.user_time() + usage.system_time()).num_microseconds());
        // Opening the directory takes one itself.
        let fds = fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count().saturating_sub(1));
        Self {
            cpu_s: cpu_us as f64 / 1e6,
            resident_bytes: field("VmRSS:").saturating_mul(1024),
            virtual_bytes: field("VmSize:").saturating_mul(1024),
            threads: field("Threads:"),
            open_fds: fds as u64,
            max_fds: getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |limits| limits.0),
            start_unix_s,
        }
    }
}

/// In the order of their names.
pub(super) const PROCESS_METRICS: &[OwnMetric] = &[
    OwnMetric::seconds(
        "ringmeter_agent_process_cpu_seconds_total",
        "Time that the agent spent on processors, user and system.",
        |facts| facts.process.cpu_s,
    ),
    OwnMetric::gauge(
        "ringmeter_agent_process_max_fds",
        "",
        "Descriptors that the agent may have open.",
        |facts| one(facts.process.max_fds as f64),
    ),
    OwnMetric::gauge(
        "ringmeter_agent_process_open_fds",
        "",
        "Descriptors that the agent has open.",
        |facts| one(facts.process.open_fds as f64),
    ),
    OwnMetric::gauge(
        "ringmeter_agent_process_resident_memory_bytes",
        "",
        "Memory that the agent uses.",
        |facts| one(facts.process.resident_bytes as f64),
    ),
    OwnMetric::gauge(
        "ringmeter_agent_process_start_time_seconds",
        "",
        "When the agent started, in seconds since 1970.",
        |facts| one(facts.process.start_unix_s),
    ),
    OwnMetric::gauge("ringmeter_agent_process_threads", "", "Threads of the agent.", |facts| {
        one(facts.process.threads as f64)
    }),
    OwnMetric::gauge(
        "ringmeter_agent_process_virtual_memory_bytes",
        "",
        "Memory that the agent has mapped.",
        |facts| one(facts.process.virtual_bytes as f64),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let facts = ProcessFacts::read(5.0);
        assert!(facts.resident_bytes > 1 << 20 && facts.virtual_bytes >= facts.resident_bytes);
        assert!(facts.threads >= 1 && facts.open_fds >= 3 && facts.max_fds >= facts.open_fds);
        assert!(facts.cpu_s > 0.0 && facts.start_unix_s == 5.0);
    }
}
