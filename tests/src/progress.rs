//! How far a recorder got, in a file that outlives it: for each of its threads and kinds of
//! record, how many calls it began and how many it completed; and how it is told to pause.
//!
//! A call that was in flight when its process was killed may count or not, so a total is right
//! from the completed to the begun calls, and exactly right where no call was in flight.
//!
//! ```text
//! word   what                                                            written by
//!    0   command: odd to pause, another even number to go on             supervisor
//!    1   1: everything is registered                                     recorder
//!    2   1: nothing that was counted is in private memory                recorder
//!    4   the command by which each thread pauses                         its thread
//!    8   calls begun and completed, for each thread and kind             its thread
//! ```

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// Threads of a recorder, at most.
pub const THREADS_MAX: usize = 4;
/// What a recorder records, one call of each after the other.
pub const KINDS: usize = 8;
/// Word of the supervisor's command.
pub const COMMAND: usize = 0;
/// Word that says that everything is registered.
pub const IS_READY: usize = 1;
/// Word that says that nothing counted would die with the process.
pub const IS_SHARED: usize = 2;
/// First word of those by which threads say that they pause.
pub const PAUSED: usize = 4;
const CALLS: usize = PAUSED + THREADS_MAX;
/// Words of the file.
pub const WORDS: usize = CALLS + THREADS_MAX * KINDS * 2;

/// Additions of one to an integer counter.
pub const INTEGER: usize = 0;
/// Additions of [`FLOAT_STEP`] to a counter.
pub const FLOAT: usize = 1;
/// Observations of [`VALUES`] in turn by a histogram.
pub const HISTOGRAM: usize = 2;
/// Observations of [`VALUES`] in turn by a summary.
pub const SUMMARY: usize = 3;
/// Additions to [`TURNS`] in turn of a family of counters.
pub const LABELLED: usize = 4;
/// Additions by way of a handle for signal handlers.
pub const SAFE: usize = 5;
/// Additions of one to a gauge.
pub const LEVEL: usize = 6;
/// Settings of all other gauges to [`gauge_value`], by the first thread only.
pub const SET: usize = 7;

/// What a float counter grows by with a call.
pub const FLOAT_STEP: f64 = 0.5;
/// What distributions observe. Sums of these are exact.
pub const VALUES: [f64; 4] = [0.25, 0.75, 1.5, 3.0];
/// Bounds of the histogram.
pub const BOUNDS: [f64; 3] = [0.5, 1.0, 2.0];
/// Label values.
pub const TURNS: [&str; 3] = ["a", "b", "c"];

/// The word with the calls begun by a thread; the next one holds those completed.
#[must_use]
pub const fn word(thread: usize, kind: usize) -> usize {
    CALLS + (thread * KINDS + kind) * 2
}

/// What a recorder's gauges are set to by the call with this number; before the first they are 0.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub const fn gauge_value(seed: u64, calls: u64) -> f64 {
    if calls == 0 { 0.0 } else { ((calls.wrapping_mul(31).wrapping_add(seed)) % 1009) as f64 }
}

/// The calls of one thread by kind.
pub type Calls = [u64; KINDS];

/// The words of a progress file, as its process writes them.
pub type Words = [AtomicU64; WORDS];

/// Maps a progress file, for ever.
///
/// # Panics
/// When it is not there.
#[must_use]
#[allow(unsafe_code)]
#[expect(clippy::expect_used, reason = "a test without its file is no test")]
pub fn map(path: &Path) -> &'static Words {
    let file = File::options().read(true).write(true).open(path).expect("a progress file");
    // SAFETY:
    // - The kernel chooses the address; the file stays open until the call is over.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size_of::<Words>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    assert!(address != libc::MAP_FAILED, "map the progress file");
    // SAFETY:
    // - The mapping is as long as the array, aligned to a page, and never unmapped.
    // - All words are atomics, and whoever else writes to the file writes whole words.
    unsafe { &*address.cast() }
}

/// What a progress file says.
#[derive(Debug, Clone)]
pub struct Progress {
    words: Vec<u64>,
}

impl Progress {
    /// Makes a file of zeros.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path) -> io::Result<File> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(WORDS as u64 * 8)?;
        Ok(file)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(file: &File) -> io::Result<Self> {
        let mut words = vec![0; WORDS];
        file.read_exact_at(bytemuck::cast_slice_mut(&mut words), 0)?;
        Ok(Self { words })
    }

    /// Tells the recorder something.
    ///
    /// # Errors
    /// What the system says.
    pub fn command(file: &File, command: u64) -> io::Result<()> {
        file.write_all_at(&command.to_ne_bytes(), COMMAND as u64 * 8)
    }

    /// A word.
    #[must_use]
    pub fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or(0)
    }

    /// Calls that a thread completed.
    #[must_use]
    pub fn completed(&self, thread: usize) -> Calls {
        std::array::from_fn(|kind| self.word(word(thread, kind) + 1))
    }

    /// Calls that a thread began.
    #[must_use]
    pub fn begun(&self, thread: usize) -> Calls {
        std::array::from_fn(|kind| self.word(word(thread, kind)))
    }

    /// Whether this many threads pause by this command.
    #[must_use]
    pub fn is_paused(&self, threads: usize, command: u64) -> bool {
        (0..threads).all(|thread| self.word(PAUSED + thread) == command)
    }
}
