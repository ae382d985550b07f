//! Limits that kill instead of refusing, and room that is the agent's, looked at before the file
//! grows.
//!
//! `fallocate` beyond RLIMIT_FSIZE raises SIGXFSZ, and beyond the memory limit of the container
//! it gets the application killed: pages of tmpfs are charged to who touches them first. Both
//! are asked about first. A limit of the pod as a whole cannot be seen from inside a container.
//!
//! Whoever fills the file system up to the last byte leaves no room for acks and the ledger: an
//! agent that comes later could take nothing, and so never remove anything.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::fstatvfs;

use super::PathText;
use crate::error::OpenError;

/// Bytes that are left free below the memory limit, for everybody else.
const MEMORY_RESERVE_BYTES: u64 = 1 << 20;
/// The part of the file system that is left to the agent: 4 MiB of 64 MiB,
const AGENT_SHARE: u64 = 16;
/// and no more than this, which is the ledger of some 100,000 counters and their acks.
const AGENT_SHARE_MAX_BYTES: u64 = 8 << 20;
/// A limit from here on is none: cgroup v1 writes the largest multiple of a page.
const UNLIMITED_BYTES: u64 = 1 << 60;

/// Whether a file may grow to `size_bytes`, `new_bytes` of them new.
///
/// What cannot be read does not refuse: then there is no such limit, or no way to know it.
pub(super) fn check(file: &File, size_bytes: u64, new_bytes: u64) -> Result<(), OpenError> {
    let (limit_bytes, _) = getrlimit(Resource::RLIMIT_FSIZE)
        .map_err(|error| OpenError::io("getrlimit")(error.into()))?;
    if size_bytes > limit_bytes {
        return Err(OpenError::FileSizeLimit { needed_bytes: size_bytes, limit_bytes });
    }
    if let Some(left_bytes) = space_left_bytes(file) {
        if new_bytes > left_bytes {
            return Err(OpenError::FileSystemFull { needed_bytes: new_bytes, left_bytes });
        }
    }
    let Some(left_bytes) = memory_left_bytes() else { return Ok(()) };
    if new_bytes.saturating_add(MEMORY_RESERVE_BYTES) > left_bytes {
        return Err(OpenError::MemoryLimit { needed_bytes: new_bytes, left_bytes });
    }
    Ok(())
}

/// What producers may still take of a file system; `None` where it has no limit of its own.
fn space_left_bytes(file: &File) -> Option<u64> {
    let found = fstatvfs(file).ok()?;
    // Integers of another width on other systems.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    let (blocks, free, unit) =
        (found.blocks() as u64, found.blocks_available() as u64, found.fragment_size() as u64);
    let share = (blocks.checked_mul(unit)? / AGENT_SHARE).min(AGENT_SHARE_MAX_BYTES);
    (blocks > 0).then(|| free.saturating_mul(unit).saturating_sub(share))
}

/// The files of one version of control groups.
struct Version {
    mount: &'static str,
    /// What stands before the group's path in `/proc/self/cgroup`.
    line: &'static [u8],
    limit: &'static str,
    usage: &'static str,
    cache: &'static [u8],
}

const VERSIONS: [Version; 2] = [
    Version {
        mount: "/sys/fs/cgroup",
        line: b"0::",
        limit: "memory.max",
        usage: "memory.current",
        cache: b"inactive_file ",
    },
    Version {
        mount: "/sys/fs/cgroup/memory",
        line: b":memory:",
        limit: "memory.limit_in_bytes",
        usage: "memory.usage_in_bytes",
        cache: b"total_inactive_file ",
    },
];

/// What is left of the memory limit of this process' control group, file cache counted as free.
fn memory_left_bytes() -> Option<u64> {
    let mut bytes = [0; 2048];
    let length = read(Path::new("/proc/self/cgroup"), &mut bytes).unwrap_or(0);
    VERSIONS.iter().find_map(|version| {
        // In a container with a group namespace of its own the group's path is `/`; where the
        // path is the host's, only the mount itself is there.
        let own = group_path(&bytes[..length], version.line)
            .and_then(|path| PathText::join(Path::new(version.mount), path.trim_matches('/')));
        own.and_then(|group| version.left_bytes(group.as_path()))
            .or_else(|| version.left_bytes(Path::new(version.mount)))
    })
}

impl Version {
    fn left_bytes(&self, group: &Path) -> Option<u64> {
        let number = |name| read_number(PathText::join(group, name)?.as_path());
        let limit = number(self.limit).filter(|limit| *limit < UNLIMITED_BYTES)?;
        let usage = number(self.usage)?;
        let cache = self.cache_bytes(group).unwrap_or(0);
        Some(limit.saturating_sub(usage.saturating_sub(cache)))
    }

    fn cache_bytes(&self, group: &Path) -> Option<u64> {
        let mut bytes = [0; 4096];
        let length = read(PathText::join(group, "memory.stat")?.as_path(), &mut bytes)?;
        number_after(&bytes[..length], self.cache)
    }
}

/// The path on the line of `/proc/self/cgroup` that has `mark` behind (v1) or as (v2) its number.
fn group_path<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a str> {
    let path = text.split(|byte| *byte == b'\n').find_map(|line| {
        let at = line.windows(mark.len()).position(|window| window == mark)?;
        line.get(at + mark.len()..)
    })?;
    core::str::from_utf8(path).ok()
}

/// Reads the start of a small file into a fixed buffer.
fn read(path: &Path, bytes: &mut [u8]) -> Option<usize> {
    File::open(path).ok()?.read_at(bytes, 0).ok()
}

/// The number that a file holds; `None` for `max`, or when it cannot be read.
fn read_number(path: &Path) -> Option<u64> {
    let mut bytes = [0; 32];
    let length = read(path, &mut bytes)?;
    core::str::from_utf8(&bytes[..length]).ok()?.trim().parse().ok()
}

/// The number behind `name` at the start of a line.
fn number_after(text: &[u8], name: &[u8]) -> Option<u64> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
    core::str::from_utf8(line).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_by_whole_names() {
        let text = b"cache 5\ntotal_inactive_file 7\ninactive_file 6\n";
        assert_eq!(number_after(text, b"inactive_file "), Some(6));
        assert_eq!(number_after(text, b"total_inactive_file "), Some(7));
        assert_eq!(number_after(text, b"missing "), None);
    }

    #[test]
    fn the_group_is_found_in_both_versions() {
        let v1 = b"9:cpu:/a\n4:memory:/pod/app\n0::/\n";
        assert_eq!(group_path(v1, b":memory:"), Some("/pod/app"));
        assert_eq!(group_path(b"0::/system.slice/x\n", b"0::"), Some("/system.slice/x"));
        assert_eq!(group_path(b"0::/x\n", b":memory:"), None);
    }
}
