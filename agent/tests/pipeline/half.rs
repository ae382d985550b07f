//! A read that fails in the middle of the cells: what was taken before it is not taken again.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringmeter_agent::aggregate::Aggregate;
use ringmeter_agent::context::{Buffers, Context, Counts};
use ringmeter_agent::limits::Limits;
use ringmeter_agent::segment::{Attachment, Before, Segment};
use ringmeter_agent::snapshot::Number;
use ringmeter_agent::source::{AckSink, Source};
use ringmeter_layout::file::Identity;
use ringmeter_layout::naming::Kind;
use ringmeter_layout::segment::Geometry;

use crate::scratch::Scratch;
use crate::writer::{Writer, family};

/// A file that cannot be read from an offset on.
struct Failing {
    file: fs::File,
    from: Arc<AtomicU64>,
}

impl Source for Failing {
    fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        if at >= self.from.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.file.read_exact_at(buffer, at)
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn is_alive(&self) -> io::Result<bool> {
        Ok(true)
    }
}

struct NoAck;

impl AckSink for NoAck {
    fn write(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

fn attach(app: &Writer, from: &Arc<AtomicU64>) -> Segment {
    let mut page = vec![0_u64; 512];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut page);
    app.file.read_exact_at(bytes, 0).expect("a header");
    let file = fs::File::open(&app.path).expect("the segment");
    let attachment = Attachment {
        name: app.name,
        identity: Identity::of(&file).expect("an identity"),
        geometry: Geometry::parse(bytes).expect("a header"),
        source: Box::new(Failing { file, from: Arc::clone(from) }),
        ack: Box::new(NoAck),
        has_ledger_id: true,
        before: Before::Nothing,
        kept: None,
        number: 0,
        is_old: false,
        is_alive: true,
    };
    Segment::new(attachment, 1, 1_000_000_000)
}

#[test]
fn what_was_taken_before_an_error_is_not_taken_again() {
    let scratch = Scratch::new();
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let counters = app.family(family(Kind::Counter, "n_total", &[]));
    let counter = app.series(counters, &[]);
    // 21 MB of cells: they are read every 105 ms at most, the cells of lanes every 100 ms.
    let histograms = app.family(family(Kind::Histogram, "h", &["l"]));
    for number in 0..10_000 {
        let _ = app.series(histograms, &[&number.to_string()]);
    }
    let from = Arc::new(AtomicU64::new(u64::MAX));
    let mut segment = attach(&app, &from);
    let limits = Limits::default();
    let (mut aggregate, mut buffers) = (Aggregate::new(limits.clone()), Buffers::new(&limits));
    let mut counts = Counts::default();
    let mut visit = |after_ms: u64, is_scrape: bool| {
        let mut context = Context {
            aggregate: &mut aggregate,
            limits: &limits,
            buffers: &mut buffers,
            counts: &mut counts,
            now_ns: 1_000_000_000 + after_ms * 1_000_000,
        };
        segment.pace.allow(u64::MAX / 4, u64::MAX / 4, context.now_ns);
        segment.begin(&mut context).expect("a good segment");
        while !segment.is_caught_up() {
            segment.step(&mut context).expect("good definitions");
        }
        let is_whole = segment.finish(is_scrape, &mut context).is_ok();
        // The overflow series has the slot before.
        (is_whole, context.aggregate.parts().1.counter(2))
    };
    assert_eq!(visit(0, true), (true, Number::U64(0)));
    app.hold_in_lane(0, 1, 5);
    app.spill_add(counter, 1);
    from.store(app.cells[5000].offset, Ordering::Relaxed);
    assert!(!visit(2, true).0, "the error is told");
    from.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(visit(102, false), (true, Number::U64(6)));
    assert_eq!(visit(1000, true), (true, Number::U64(6)));
}
