//! The memory limit of the agent's own container: what producers offer must not get the agent
//! killed, so its budget fits into the limit.

use std::fs;
use std::path::{Path, PathBuf};

use crate::limits::Limits;

/// What an agent takes that has no series yet, and what serving scrapes takes.
const BASE_BYTES: u64 = 6 << 20;
/// Below this an agent with a few series has no room to serve them.
const LIMIT_MIN_BYTES: u64 = 16 << 20;
/// For each byte of the budget: the byte itself with what its allocation wastes, its copy in the
/// ledger, and that one's in the journal (both on tmpfs, which counts), and rendered text.
const BYTES_PER_BUDGET_BYTE: u64 = 4;
/// A limit from here on is none: cgroup v1 writes the largest multiple of a page.
const UNLIMITED_BYTES: u64 = 1 << 60;
/// Where limits are in a container: its own group is the root of what it sees.
const FILES: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// The memory limit of this container or service, if it has one that can be read.
pub fn container_limit_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own_file(&groups);
    let limit = |path: &Path| limit_in(&fs::read_to_string(path).ok()?);
    own.and_then(|path| limit(&path)).or_else(|| FILES.iter().find_map(|path| limit(path.as_ref())))
}

/// Outside of containers, such as in a systemd unit, the group has a path.
fn own_file(groups: &str) -> Option<PathBuf> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new("/sys/fs/cgroup").join(path).join("memory.max"))
}

fn limit_in(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < UNLIMITED_BYTES)
}

/// The limit under which producers may have `detail_bytes` of the agent's memory.
pub const fn needed_bytes(detail_bytes: u64) -> u64 {
    // Half of the budget is left for others; see `Budget`.
    let needed = BASE_BYTES.saturating_add(detail_bytes.saturating_mul(2 * BYTES_PER_BUDGET_BYTE));
    if needed > LIMIT_MIN_BYTES { needed } else { LIMIT_MIN_BYTES }
}

/// Lowers the budget of memory to what fits under the limit of the container, and says so.
pub fn fit(limits: Limits, limit_bytes: Option<u64>) -> Limits {
    let Some(limit_bytes) = limit_bytes else { return limits };
    let fitting = limit_bytes.saturating_sub(BASE_BYTES) / BYTES_PER_BUDGET_BYTE;
    let memory_max_bytes = limits.memory_max_bytes.min(fitting);
    if limit_bytes < LIMIT_MIN_BYTES {
        tracing::warn!(
            memory_limit_bytes = limit_bytes,
            needed_bytes = LIMIT_MIN_BYTES,
            "the memory limit of this container is too small: segments that do not fit into it \
             are not read until it is raised; `ringmeter size` calculates what is needed"
        );
    } else if memory_max_bytes < limits.memory_max_bytes {
        tracing::info!(
            memory_limit_bytes = limit_bytes,
            memory_max_bytes,
            "what is held on behalf of producers is fitted to the memory limit of this container"
        );
    }
    let segment_memory_max_bytes = limits.segment_memory_max_bytes.min(memory_max_bytes);
    Limits { memory_max_bytes, segment_memory_max_bytes, ..limits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_fits_into_the_limit() {
        let fitted = |limit_bytes| fit(Limits::default(), limit_bytes).memory_max_bytes;
        assert_eq!(fitted(None), Limits::default().memory_max_bytes);
        assert_eq!(fitted(Some(1 << 40)), Limits::default().memory_max_bytes);
        assert_eq!(fitted(Some(70 << 20)), 16 << 20);
        assert_eq!(fitted(Some(1 << 20)), 0);
    }

    #[test]
    fn what_is_needed_leaves_room_for_it() {
        assert_eq!(needed_bytes(0), LIMIT_MIN_BYTES);
        let limits = fit(Limits::default(), Some(needed_bytes(30 << 20)));
        let mut budget = crate::budget::Budget::new(limits.memory_max_bytes);
        assert!(budget.take_for_buckets(30 << 20));
    }

    #[test]
    fn a_unit_has_a_group_of_its_own() {
        let path = own_file("1:name=x:/a\n0::/system.slice/ringmeter.service\n");
        let expected = "/sys/fs/cgroup/system.slice/ringmeter.service/memory.max";
        assert_eq!(path.as_deref(), Some(Path::new(expected)));
        assert_eq!(own_file("9:memory:/a\n"), None);
    }

    #[test]
    fn both_versions_are_read() {
        assert_eq!(limit_in("67108864\n"), Some(64 << 20));
        assert_eq!(limit_in("max\n"), None);
        assert_eq!(limit_in("9223372036854771712\n"), None);
    }
}
