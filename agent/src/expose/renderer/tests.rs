use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::snapshot::{
    Exemplar, FamilyBlock, FamilyMeta, HistogramValues, LabelText, Native, NativeValues, Number,
    PlacedExemplar, SummaryValues, Values,
};

fn text() -> Want {
    Want { format: Format::Text, names: Vec::new(), gzip: false }
}

fn snapshot(generation: u64, value: u64) -> Snapshot {
    Snapshot::new(generation, vec![FamilyBlock::of_counters("a_total", "", &[(&[], value)])])
}

#[test]
fn a_generation_is_rendered_once_and_memory_reused() {
    let mut renderer = Renderer::new(RenderOptions::default());
    let first = renderer.page(&snapshot(1, 1), &text());
    assert!(Arc::ptr_eq(&first, &renderer.page(&snapshot(1, 1), &text())));
    assert_eq!(renderer.renders(), 1);
    assert_eq!(*first, b"# TYPE a_total counter\na_total 1\n");
    let address = first.as_ptr();
    drop(first);
    let second = renderer.page(&snapshot(2, 2), &text());
    assert_eq!(*second, b"# TYPE a_total counter\na_total 2\n");
    let third = renderer.page(&snapshot(3, 3), &text());
    assert_eq!((third.as_ptr(), renderer.renders()), (address, 3), "two buffers take turns");
}

#[test]
fn memory_of_a_large_page_is_returned() {
    let mut renderer = Renderer::new(RenderOptions::default());
    let samples: Vec<String> = (0..10_000).map(|i| format!("value {i}")).collect();
    let labels: Vec<[(&str, &str); 1]> = samples.iter().map(|v| [("a", v.as_str())]).collect();
    let samples: Vec<(&[(&str, &str)], u64)> = labels.iter().map(|l| (&l[..], 1)).collect();
    let large = FamilyBlock::of_counters("a_total", "", &samples);
    let length = renderer.page(&Snapshot::new(1, vec![large]), &text()).len();
    for generation in 2..4 {
        drop(renderer.page(&snapshot(generation, 1), &text()));
    }
    assert!(renderer.page(&snapshot(4, 1), &text()).capacity() < length / 2);
}

#[test]
fn a_page_is_compressed_once_and_reads_back() {
    let mut renderer = Renderer::new(RenderOptions::default());
    let want = Want { gzip: true, ..text() };
    let first = renderer.page(&snapshot(1, 1), &want);
    assert!(Arc::ptr_eq(&first, &renderer.page(&snapshot(1, 1), &want)));
    let plain = renderer.page(&snapshot(1, 1), &text());
    assert_eq!(renderer.renders(), 1, "the same page, compressed or not");
    let mut read = Vec::new();
    flate2::read::GzDecoder::new(&first[..]).read_to_end(&mut read).expect("gzip");
    assert_eq!(read, *plain);
}

#[test]
fn selections_are_kept_for_their_snapshot() {
    let mut renderer = Renderer::new(RenderOptions::default());
    let families = || {
        let names = ["a_total", "b_total", "c_total"];
        names.map(|name| FamilyBlock::of_counters(name, "", &[(&[], 1)])).to_vec()
    };
    let want = |names: &[&str]| Want {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..text()
    };
    let snapshot = Snapshot::new(1, families());
    let page = renderer.page(&snapshot, &want(&["a_total", "c_total", "nothing"]));
    assert_eq!(*page, b"# TYPE a_total counter\na_total 1\n# TYPE c_total counter\nc_total 1\n");
    let again = renderer.page(&snapshot, &want(&["a_total", "c_total", "nothing"]));
    assert!(Arc::ptr_eq(&page, &again));
    assert_eq!(*renderer.page(&snapshot, &want(&["b"])), b"\n");
    assert_eq!(renderer.renders(), 2);
    for name in ["u", "v", "w", "x", "y", "z"] {
        drop(renderer.page(&snapshot, &want(&[name])));
    }
    assert!(renderer.selections.len() <= SELECTIONS_MAX);
    drop(renderer.page(&Snapshot::new(2, families()), &want(&["b"])));
    assert_eq!(renderer.selections.len(), 1);
}

#[test]
fn what_did_not_change_is_not_formatted() {
    let mut renderer = Renderer::new(RenderOptions::default());
    let texts: Arc<[LabelText]> =
        ["x", "y"].iter().map(|label| LabelText::new(&[("l", label)])).collect();
    let metas = ["a", "b", "c"].map(|name| Arc::new(FamilyMeta::gauge(name, "Help.")));
    let block = |at: usize, values: [f64; 2]| {
        let values = Values::Gauge(values.to_vec());
        FamilyBlock::new(metas[at].clone(), texts.clone(), values).expect("fits")
    };
    let all = [block(0, [1.0, 2.0]), block(1, [3.0, 4.0]), block(2, [5.0, 6.0])];
    for format in Format::ALL {
        let want = Want { format, ..text() };
        drop(renderer.page(&Snapshot::new(1, all.to_vec()), &want));
        assert_eq!(renderer.made(format), Made { copied: 0, patched: 0, written: 3 });
        let changed = vec![all[0].clone(), block(1, [3.5, 4.0]), all[2].clone()];
        let next = Snapshot::new(2, changed);
        let page = renderer.page(&next, &want);
        assert_eq!(renderer.made(format), Made { copied: 2, patched: 1, written: 3 });
        assert_eq!(*page, fresh(&next, format, false), "{format:?}");
    }
}

fn fresh(snapshot: &Snapshot, format: Format, created: bool) -> Vec<u8> {
    let mut page = Vec::new();
    match format {
        Format::Text => text::encode(snapshot, &mut page),
        Format::OpenMetrics => openmetrics::encode(snapshot, created, &mut page),
        Format::Protobuf => protobuf::encode(snapshot, &mut page),
    }
    page
}

/// A family whose numbers come from `seeds`.
struct Drawn {
    meta: Arc<FamilyMeta>,
    texts: Arc<[LabelText]>,
    starts: Arc<[u64]>,
    exemplars: Arc<[PlacedExemplar]>,
}

fn family(index: usize, kind: u8, series: usize, has_exemplars: bool) -> Drawn {
    let name = format!("f{index}_total");
    let meta = match kind {
        0 => FamilyMeta::counter(&name, "A \"b\".").with_unit("total"),
        1 => FamilyMeta::gauge(&name, ""),
        2 => FamilyMeta::histogram(&name, "h", &[0.5, 1.0]),
        _ => FamilyMeta::summary(&name, "s", &[0.5, 0.99]),
    };
    let texts: Arc<[LabelText]> =
        (0..series).map(|at| LabelText::new(&[("l", &"\n\"".repeat(at))])).collect();
    let starts = (0..series as u64).map(|at| at * 500).collect();
    let exemplar = Exemplar::new(&[("id", "\"x\"")], 0.75, 1_234).expect("an exemplar");
    let placed = PlacedExemplar { series: 0, edge: if kind == 2 { 1 } else { 0 }, exemplar };
    let is_shown = has_exemplars && series > 0 && matches!(kind, 0 | 2);
    let exemplars = is_shown.then_some(placed).into_iter().collect();
    Drawn { meta: Arc::new(meta), texts, starts, exemplars }
}

impl Drawn {
    fn block(&self, seeds: &[u64], has_exemplars: bool) -> FamilyBlock {
        let series = self.texts.len();
        let seed = |at: usize| seeds[at % seeds.len()];
        let float = |at: usize| f64::from_bits(seed(at));
        let values = match self.meta.metric_type() {
            crate::snapshot::MetricType::Counter => {
                Values::Counter((0..series).map(|at| Number::U64(seed(at))).collect())
            }
            crate::snapshot::MetricType::Gauge => Values::Gauge((0..series).map(float).collect()),
            crate::snapshot::MetricType::Histogram => {
                let mut values = HistogramValues::new(3);
                let mut native = NativeValues::default();
                for at in 0..series {
                    let counts = [seed(at) >> 40, seed(at + 1) >> 40, seed(at + 2) >> 40];
                    values.push(&counts, float(at + 3)).expect("three");
                    native.push(Native {
                        schema: 3,
                        zero_threshold: 1e-30,
                        zero_count: seed(at) >> 50,
                        negative: &[],
                        positive: &[(3, seed(at) >> 45), (9, 4)],
                    });
                }
                if seed(0) % 2 == 0 {
                    values.set_native(native);
                }
                Values::Histogram(values)
            }
            crate::snapshot::MetricType::Summary => {
                let mut values = SummaryValues::new(2);
                for at in 0..series {
                    values.push(&[float(at), float(at + 1)], float(at + 2), seed(at)).expect("2");
                }
                Values::Summary(values)
            }
        };
        let block = FamilyBlock::new(self.meta.clone(), self.texts.clone(), values).expect("fits");
        let block = block.with_starts(self.starts.clone()).expect("as many");
        if has_exemplars { block.with_exemplars(self.exemplars.clone()) } else { block }
    }
}

/// Few different numbers, so that many stay the same, of many lengths.
fn seed() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1_f64.to_bits()),
        Just((-2.5_f64).to_bits()),
        Just(f64::NAN.to_bits()),
        Just(u64::MAX),
        any::<u64>()
    ]
}

proptest! {
    /// Whatever a page is made from, it is the same as one written from scratch.
    #[test]
    fn a_page_made_from_the_last_is_the_page(
        kinds in prop::collection::vec((0u8..4, 0usize..4, any::<bool>()), 1..5),
        rounds in prop::collection::vec(
            prop::collection::vec((prop::collection::vec(seed(), 1..5), 0u8..8), 4),
            1..8,
        ),
        created in any::<bool>(),
        gap in 1u64..100,
    ) {
        let families: Vec<Drawn> = kinds
            .iter()
            .enumerate()
            .map(|(index, (kind, series, has))| family(index, *kind, *series, *has))
            .collect();
        let mut renderer = Renderer::new(RenderOptions { created_samples: created });
        let mut last: Vec<Option<FamilyBlock>> = vec![None; families.len()];
        for (round, draws) in (1u64..).zip(rounds) {
            let mut blocks = Vec::new();
            for ((family, last), (seeds, what)) in families.iter().zip(&mut last).zip(&draws) {
                // Now and then the block is the last one, or the family is not there.
                let block = match (what, &last) {
                    (0, Some(last)) => last.clone(),
                    (1, _) => continue,
                    _ => family.block(seeds, *what > 2),
                };
                *last = Some(block.clone());
                blocks.push(block);
            }
            let snapshot = Snapshot::new(round * gap, blocks);
            for format in Format::ALL {
                let page = renderer.page(&snapshot, &Want { format, ..text() });
                let expected = fresh(&snapshot, format, created);
                prop_assert_eq!(
                    String::from_utf8_lossy(&page),
                    String::from_utf8_lossy(&expected),
                    "{:?} in round {}", format, round
                );
                prop_assert!(*page == expected);
            }
        }
    }
}
