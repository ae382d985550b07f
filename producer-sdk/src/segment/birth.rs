//! How a segment comes into the world: under a temporary name, locked, filled, then named.
//!
//! A process killed between any two steps leaves a temporary file without a lock, which
//! [`sweep`] removes later, and nothing that an agent would look at.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringmeter_layout::ack::{self, AckHeader};
use ringmeter_layout::directory::{Directory, Subdirectory, is_memory_backed, open_subdirectory};
use ringmeter_layout::file::{Identity, is_locked, lock_exclusive, open_foreign};
use ringmeter_layout::mapping::SharedMapping;
use ringmeter_layout::naming::SegmentName;
use ringmeter_layout::segment::{
    Birth, ChunkKind, HEADER_SIZE_BYTES, RawHeader, RawLive, VERSION_WORD_OFFSET_BYTES,
    version_word,
};

use super::{Parts, PathText, Segment, allocate, limits};
use crate::config::Config;
use crate::error::{ConfigError, OpenError};
use crate::os;

/// Mode of a segment: its owner writes, the directory's group (the agent) reads.
const SEGMENT_MODE: u32 = 0o640;
/// Temporary files younger than this may belong to a birth in progress.
const TEMPORARY_AGE_MIN: Duration = Duration::from_secs(60);
/// Most files that one sweep looks at.
const SWEEP_FILES_MAX: usize = 4096;

/// What a new segment starts with.
pub(crate) struct BirthPlan<'a> {
    pub(crate) incarnation: u64,
    pub(crate) config: &'a Config,
    pub(crate) directory: &'a Directory,
    pub(crate) segments_path: &'a Path,
    pub(crate) agent_path: &'a Path,
}

impl Segment {
    /// Makes this core a segment of this process: file, lock, name.
    ///
    /// `fill` writes what is registered already, before the file gets its name. An opening that
    /// failed half-way goes on where it stopped when the same core is opened again.
    pub(crate) fn open(
        &self,
        plan: &BirthPlan<'_>,
        fill: impl FnOnce() -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        if self.parts.get().is_none() {
            check_place(plan)?;
            self.begin(plan)?;
        }
        fill()?;
        let parts = self.parts.get().ok_or(OpenError::Unsupported)?;
        rename(&parts.temporary_path, &parts.path)
    }

    fn begin(&self, plan: &BirthPlan<'_>) -> Result<(), OpenError> {
        let id = os::random_id().ok_or(OpenError::NoRandomBytes)?;
        let name = SegmentName::new(&plan.config.service, id).map_err(|error| {
            let name = plan.config.service.clone();
            OpenError::Config(vec![ConfigError::Service { name, error }])
        })?;
        let paths = Paths {
            temporary: path_in(plan.segments_path, name.temporary_file().as_str())?,
            segment: path_in(plan.segments_path, name.segment_file().as_str())?,
            ack: path_in(plan.agent_path, name.ack_file().as_str())?,
        };
        let file = create(paths.temporary.as_path())?;
        let temporary = paths.temporary.clone();
        let made = self.make(plan, id, file, paths);
        if made.is_err() {
            // Best effort: a sweep finds what stays.
            let _ = std::fs::remove_file(temporary.as_path());
        }
        made
    }

    fn make(
        &self,
        plan: &BirthPlan<'_>,
        id: [u8; 16],
        file: File,
        paths: Paths,
    ) -> Result<(), OpenError> {
        let config = plan.config;
        lock_exclusive(&file).map_err(OpenError::io("fcntl(F_OFD_SETLK)"))?;
        limits::check(&file, HEADER_SIZE_BYTES.into(), HEADER_SIZE_BYTES.into())?;
        allocate(&file, 0, HEADER_SIZE_BYTES.into())?;
        // The mode of creation was cut by the umask.
        let permissions = std::fs::Permissions::from_mode(SEGMENT_MODE);
        file.set_permissions(permissions).map_err(OpenError::io("fchmod"))?;
        let identity = Identity::of(&file).map_err(OpenError::io("fstat"))?;
        let shared = SharedMapping::new(&file, config.segment_size_max_bytes)
            .map_err(OpenError::io("mmap"))?;
        shared.populate(0, HEADER_SIZE_BYTES.into());
        let header = RawHeader::new(&Birth {
            id,
            service: &config.service,
            created_unix_ns: unix_time_ns(),
            size_limit_bytes: config.segment_size_max_bytes,
            process_id: std::process::id(),
            lane_capacity: config.lane_capacity,
            spill_schema: config.spill_schema,
            lane_cells: config.lane_cells,
        });
        let memory = shared.keep();
        let version = memory
            .word(VERSION_WORD_OFFSET_BYTES)
            .filter(|_| memory.copy_in(0, bytemuck::bytes_of(&header)));
        let Some(version) = version else { return Err(OpenError::Unsupported) };
        // PAIRS WITH: `version`, the agent's first read of the header.
        version.store_release(version_word());
        let parts = Parts {
            incarnation: plan.incarnation,
            id,
            memory,
            file,
            identity,
            lane_capacity: config.lane_capacity,
            lanes_max: config.lanes_max,
            lane_cells: config.lane_cells,
            size_limit_bytes: config.segment_size_max_bytes,
            ack_path: paths.ack,
            path: paths.segment,
            temporary_path: paths.temporary,
        };
        self.parts.set(parts).map_err(|_| OpenError::Unsupported)
    }

    /// While filling: gives cells the place that they have in every segment of this line.
    pub(crate) fn place_cells(
        &self,
        kind: ChunkKind,
        offset_bytes: u64,
        length_bytes: u64,
    ) -> Result<(), OpenError> {
        let mut growth = self.lock_growth();
        self.place(&mut growth, kind, offset_bytes, length_bytes)?;
        growth.cell_chunk_count += 1;
        Ok(())
    }

    /// How many of the registry's cell chunks are placed: the first ones.
    pub(crate) fn cell_chunk_count(&self) -> usize {
        self.lock_growth().cell_chunk_count as usize
    }

    /// How many definitions are published.
    pub(crate) fn definition_count(&self) -> usize {
        let count = self.live(core::mem::offset_of!(RawLive, definition_count));
        // PAIRS WITH: `definition-count`, the store in `define`.
        count.map_or(0, |count| usize::try_from(count.load_acquire()).unwrap_or(usize::MAX))
    }
}

struct Paths {
    temporary: PathText,
    segment: PathText,
    ack: PathText,
}

fn check_place(plan: &BirthPlan<'_>) -> Result<(), OpenError> {
    let config = plan.config;
    // In the hardened deployment only the subdirectories are volumes.
    let (memory, path) = match is_memory_backed(plan.segments_path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            (is_memory_backed(plan.directory.path()), plan.directory.path())
        }
        known => (known, plan.segments_path),
    };
    if !memory.map_err(OpenError::io("statfs"))? && !config.allow_any_filesystem {
        return Err(OpenError::NotMemoryBacked { path: path.to_owned() });
    }
    // Opened by path first: that allocates nothing, which matters in a forked child.
    let segments = match File::open(plan.segments_path) {
        Ok(segments) => segments,
        Err(_) => open_subdirectory(plan.directory, Subdirectory::Segments)
            .map_err(OpenError::Directory)?,
    };
    let limit = config.segments_max;
    let count = os::count_entries(&segments, b".seg", limit).map_err(OpenError::io("getdents"))?;
    if count >= limit { Err(OpenError::TooManySegments { limit }) } else { Ok(()) }
}

fn path_in(directory: &Path, name: &str) -> Result<PathText, OpenError> {
    let too_long = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
    PathText::join(directory, name).ok_or_else(|| OpenError::io("path")(too_long()))
}

fn create(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(SEGMENT_MODE)
        .custom_flags(nix::libc::O_CLOEXEC | nix::libc::O_NOFOLLOW)
        .open(path)
        .map_err(OpenError::io("open"))
}

fn rename(from: &PathText, to: &PathText) -> Result<(), OpenError> {
    os::rename_new(from.as_path(), to.as_path()).map_err(OpenError::io("renameat2"))
}

/// Wall clock for display; 0 before 1970.
fn unix_time_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Closes a file that is borrowed for ever, by number.
///
/// Only called after `fstat` has shown that the number still is this file's, in a forked child
/// whose parent keeps its own descriptor.
pub(super) fn close(file: &File) {
    use std::os::fd::AsRawFd;
    let _ = nix::unistd::close(file.as_raw_fd());
}

/// Removes what ended processes left: segments of which everything was taken, and temporary
/// files whose maker died.
///
/// Only files that nobody locks, and segments only on the agent's word FINAL.
pub(crate) fn sweep(directory: &Directory) {
    let Ok(entries) = std::fs::read_dir(directory.segments_path()) else { return };
    for entry in entries.take(SWEEP_FILES_MAX).flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = entry.path();
        let removable = if let Ok(segment) = SegmentName::parse(name) {
            is_final(directory, &segment)
        } else {
            SegmentName::parse_temporary(name).is_ok() && is_old(&path)
        };
        if removable && open_foreign(&path).is_ok_and(|file| matches!(is_locked(&file), Ok(false)))
        {
            let _ = std::fs::remove_file(&path);
        }
    }
}

fn is_final(directory: &Directory, segment: &SegmentName) -> bool {
    let path = directory.agent_path().join(segment.ack_file().as_str());
    let Ok(file) = open_foreign(&path) else { return false };
    let mut bytes = [0; size_of::<AckHeader>()];
    file.read_exact_at(&mut bytes, 0).is_ok()
        && AckHeader::parse(&bytes, &segment.id())
            .is_some_and(|header| header.state == ack::STATE_FINAL)
}

fn is_old(path: &Path) -> bool {
    let modified = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > TEMPORARY_AGE_MIN))
}
