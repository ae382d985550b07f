//! Where an attack takes place: a directory, a deadline, and segments that are made and broken.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use ringmeter_layout::definition::FamilyDefinition;
use ringmeter_layout::file::lock_exclusive;
use ringmeter_layout::lane::Capacity;
use ringmeter_layout::naming::{Kind, SegmentName};
use ringmeter_layout::record::{Operation, pack};
use ringmeter_layout::segment::{Birth, control_offset_bytes};
use ringmeter_tests::golden;
use ringmeter_tests::image::Image;
use ringmeter_tests::random::Random;

/// The service of the honest producers, too: else nobody would read what is planted.
const SERVICE: &str = "worker";

/// One attack's place and time.
pub(crate) struct Site {
    pub(crate) segments: PathBuf,
    pub(crate) agent: PathBuf,
    pub(crate) random: Random,
    until: Instant,
    /// Of one processor, what this thread may use; infinite if it is as much as it can get.
    share: f64,
    /// What it had used when it last rested.
    used: Option<Duration>,
    garbage: Vec<PathBuf>,
}

/// A file that was planted; it is removed when the attack ends.
pub(crate) struct Planted {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) name: SegmentName,
}

impl Drop for Planted {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Planted {
    /// Writes where the layout does not want it.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) {
        // A hole or a file cut off meanwhile is part of the attack.
        let _ = self.file.write_at(bytes, at);
    }

    pub(crate) fn put(&self, at: u64, word: u64) {
        self.write(at, &word.to_le_bytes());
    }

    pub(crate) fn set_tail(&self, lane: u32, tail: u64) {
        self.put(control_offset_bytes(lane), tail);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for path in &self.garbage {
            // The agent may have been faster with what looked dead.
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
    }
}

impl Site {
    pub(crate) fn new(directory: &Path, seed: u64, time: Duration, share: f64) -> Self {
        Self {
            segments: directory.join("segments"),
            agent: directory.join("agent"),
            random: Random::new(seed),
            until: Instant::now() + time,
            share,
            used: None,
            garbage: Vec::new(),
        }
    }

    /// Rests for a moment, and for as long as its share of a processor demands, so that the machine
    /// is not what is attacked; says whether there is time for more. What was used before the first
    /// rest is for preparations, and does not count.
    pub(crate) fn goes_on(&mut self) -> bool {
        let used = thread_time();
        let since = self.used.replace(used).map_or(Duration::ZERO, |before| used - before);
        let moment = Duration::from_micros(500 + self.random.below(2000) as u64);
        let rest = since.mul_f64((1.0 / self.share - 1.0).max(0.0));
        let left = self.until.saturating_duration_since(Instant::now());
        std::thread::sleep(rest.min(left).max(moment));
        Instant::now() < self.until
    }

    /// Rests for some moments, in which the agent looks at what was done.
    pub(crate) fn wait(&mut self, moments: u32) {
        for _ in 0..moments {
            self.goes_on();
        }
    }

    pub(crate) fn name(&mut self) -> SegmentName {
        let id = [self.random.next(), self.random.next()];
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(id.iter().flat_map(|word| word.to_le_bytes())).for_each(
            |(to, from)| {
                *to = from;
            },
        );
        SegmentName::new(SERVICE, bytes).expect("a name")
    }

    /// A path that is removed in the end, whatever is made there.
    pub(crate) fn garbage(&mut self, file_name: &str) -> PathBuf {
        let path = self.segments.join(file_name);
        self.garbage.push(path.clone());
        path
    }

    /// An image with a counter, a histogram and a lane, and a record of each.
    pub(crate) fn image(&mut self, name: SegmentName, capacity: u32) -> Image {
        let mut image = self.bare(name, capacity);
        let counters = image.family(family("hostile_total", Kind::Counter, &["l"]));
        let counter = image.series(counters, &["v"], false);
        let mut histograms = family("hostile_seconds", Kind::Histogram, &["l"]);
        histograms.bounds = vec![0.5, 1.0];
        let histograms = image.family(histograms);
        let histogram = image.series(histograms, &["v"], false);
        let lane = image.add_lane();
        image.record(lane, pack(counter, Operation::AddU64), 1);
        image.record(lane, pack(histogram, Operation::ObserveF64), f64::to_bits(0.75));
        image
    }

    /// An image without definitions and lanes.
    pub(crate) fn bare(&mut self, name: SegmentName, capacity: u32) -> Image {
        self.bare_with(name, capacity, 64)
    }

    /// As `bare`, with so many cells in each lane.
    #[expect(clippy::unused_self, reason = "as the others")]
    pub(crate) fn bare_with(&mut self, name: SegmentName, capacity: u32, cells: u32) -> Image {
        Image::new(&Birth {
            id: name.id(),
            service: SERVICE,
            created_unix_ns: 1,
            size_limit_bytes: 1 << 30,
            process_id: 1,
            lane_capacity: Capacity::new(capacity).expect("a capacity"),
            lane_cells: cells,
            spill_schema: 2,
        })
    }

    /// Plants bytes under a name, as a producer does it: a dead one unless `is_alive`.
    pub(crate) fn plant(&mut self, name: SegmentName, bytes: &[u8], is_alive: bool) -> Planted {
        let temporary = self.segments.join(name.temporary_file().as_str());
        let path = self.segments.join(name.segment_file().as_str());
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true);
        let file = file.open(&temporary).expect("a temporary file");
        if is_alive {
            lock_exclusive(&file).expect("the lock");
        }
        file.write_all_at(bytes, 0).expect("write a segment");
        fs::rename(&temporary, &path).expect("plant a segment");
        Planted { file, path, name }
    }

    /// Plants an image that is alive.
    pub(crate) fn alive(&mut self, capacity: u32) -> Planted {
        let name = self.name();
        let image = self.image(name, capacity);
        self.plant(name, &image.bytes(), true)
    }

    /// What the agent acknowledged of a lane.
    pub(crate) fn acked(&self, planted: &Planted, lane: u32) -> u64 {
        let path = self.agent.join(planted.name.ack_file().as_str());
        let mut word = [0; 8];
        let read = File::open(path).and_then(|file| {
            file.read_exact_at(&mut word, ringmeter_layout::ack::position_offset_bytes(lane))
        });
        read.map_or(0, |()| u64::from_le_bytes(word))
    }
}

/// Processor time that this thread has used.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of each thread").into()
}

/// A family with a name, a kind and labels.
pub(crate) fn family(name: &str, kind: Kind, labels: &[&str]) -> FamilyDefinition {
    golden::family(name, kind, labels)
}
