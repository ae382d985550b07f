//! Random families with whatever names, labels and values there may be, and their samples.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringmeter_agent::snapshot::{
    Exemplar, FamilyBlock, FamilyMeta, HistogramValues, LabelText, Native, NativeValues, Number,
    PlacedExemplar, SummaryValues, Values,
};
use ringmeter_tests::random::Random;

/// Names that are valid and get in one another's way.
pub(crate) const NAMES: [&str; 24] = [
    "a",
    "a_total",
    "a_created",
    "a_count",
    "a_sum",
    "a_bucket",
    "a_info",
    "a_total_total",
    "b",
    "b_total",
    "b_seconds",
    "b_seconds_total",
    "total",
    "_total",
    "_",
    ":",
    "A:b_9",
    "le",
    "nan",
    "inf",
    "c_bytes_total",
    "c_bytes",
    "z_created_total",
    "eof",
];

const TEXTS: [&str; 18] = [
    "",
    "plain",
    "\\",
    "\"",
    "\n",
    "\\n",
    "\r",
    "{",
    "}",
    ",",
    "=",
    " ",
    "#",
    "é日🚀",
    "\0",
    "# EOF\n",
    "\u{2028}",
    "le=\"1\"",
];

/// One family with everything that can be told of it.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) name: &'static str,
    pub(crate) help: String,
    pub(crate) unit: &'static str,
    /// Bounds without `+Inf`, or quantiles.
    pub(crate) edges: Vec<f64>,
    pub(crate) block: FamilyBlock,
    /// Of each series its labels.
    pub(crate) labels: Vec<BTreeMap<String, String>>,
    pub(crate) starts: Vec<u64>,
    pub(crate) natives: Vec<DrawnNative>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct DrawnNative {
    pub(crate) schema: i8,
    pub(crate) zero_count: u64,
    pub(crate) negative: Vec<(i32, u64)>,
    pub(crate) positive: Vec<(i32, u64)>,
}

fn nasty(random: &mut Random) -> String {
    (0..random.below(4)).map(|_| TEXTS[random.below(TEXTS.len())]).collect()
}

fn count(random: &mut Random) -> u64 {
    // The last is the sum of a few without overflow.
    let limits = [1, 2, 1000, 1 << 40, u64::MAX >> 8];
    random.next() % limits[random.below(limits.len())]
}

fn float(random: &mut Random) -> f64 {
    let known = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        1e300,
        5e-324,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.1,
        9_007_199_254_740_993.0,
    ];
    match random.below(3) {
        0 => known[random.below(known.len())],
        1 => f64::from_bits(random.next()),
        _ => f64::from(u32::try_from(random.below(1000)).unwrap_or(0)) / 8.0,
    }
}

fn finite(random: &mut Random) -> f64 {
    let value = float(random);
    if value.is_finite() { value } else { 2.5 }
}

fn edges(random: &mut Random, low: f64, high: f64) -> Vec<f64> {
    let unit =
        |random: &mut Random| f64::from(u32::try_from(random.below(1_000_001)).unwrap_or(0)) / 1e6;
    let mut edges: Vec<f64> =
        (0..random.below(5)).map(|_| low + (high - low) * unit(random)).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    edges
}

fn native(random: &mut Random) -> DrawnNative {
    let mut buckets = |low: i32| -> Vec<(i32, u64)> {
        let mut index = low;
        (0..random.below(6))
            .map(|_| {
                index += 1 + i32::try_from(random.below(5)).unwrap_or(0);
                (index, 1 + count(random) / 32)
            })
            .collect()
    };
    let (negative, positive) = (buckets(-40), buckets(-4));
    let schema = i8::try_from(random.below(10)).unwrap_or(0) - 4;
    DrawnNative { schema, zero_count: count(random) / 32, negative, positive }
}

/// Families of different names, in the order of their names.
pub(crate) fn families(random: &mut Random) -> Vec<Drawn> {
    let mut names: Vec<&'static str> =
        (0..1 + random.below(9)).map(|_| NAMES[random.below(NAMES.len())]).collect();
    names.sort_unstable();
    names.dedup();
    names.iter().enumerate().map(|(index, name)| family(random, index, name)).collect()
}

fn family(random: &mut Random, index: usize, name: &'static str) -> Drawn {
    let help = nasty(random);
    let unit = ["", "seconds", "bytes", "total"][random.below(4)];
    let kind = random.below(4);
    let edges = match kind {
        2 if random.below(4) == 0 => edges(random, -10.0, 10.0),
        2 => edges(random, 0.0, 1e7),
        3 => edges(random, 0.0, 1.0),
        _ => Vec::new(),
    };
    // The first label tells families apart whose samples have the same names.
    let mut labels: Vec<BTreeMap<String, String>> = (0..1 + random.below(4))
        .map(|series| {
            let mut own = BTreeMap::from([("f".to_owned(), format!("{index}.{series}"))]);
            for name in ["g", "_x", "A9", "zz"].iter().take(random.below(5)) {
                own.insert((*name).to_owned(), nasty(random));
            }
            own
        })
        .collect();
    labels.sort_by_key(|own| own.get("f").cloned());
    let meta = match kind {
        0 => FamilyMeta::counter(name, &help),
        1 => FamilyMeta::gauge(name, &help),
        2 => FamilyMeta::histogram(name, &help, &edges),
        _ => FamilyMeta::summary(name, &help, &edges),
    };
    let natives: Vec<DrawnNative> = labels.iter().map(|_| native(random)).collect();
    let values = values(random, kind, &edges, &natives);
    let texts: Arc<[LabelText]> = labels.iter().map(label_text).collect();
    let starts: Vec<u64> =
        labels.iter().map(|_| [0, random.next() >> 24][random.below(2)]).collect();
    let block = FamilyBlock::new(Arc::new(meta.with_unit(unit)), texts, values).expect("fits");
    let block = block.with_starts(starts.clone().into()).expect("as many as series");
    let exemplars = if matches!(kind, 0 | 2) { exemplars(random, &block) } else { Vec::new() };
    let block = block.with_exemplars(exemplars.into());
    Drawn { name, help, unit, edges, block, labels, starts, natives }
}

fn label_text(labels: &BTreeMap<String, String>) -> LabelText {
    let pairs: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    LabelText::new(&pairs)
}

fn values(random: &mut Random, kind: usize, edges: &[f64], natives: &[DrawnNative]) -> Values {
    let series = natives.len();
    match kind {
        0 => Values::Counter(
            (0..series)
                .map(|_| match random.below(2) {
                    0 => Number::U64(count(random)),
                    _ => Number::F64(finite(random).abs()),
                })
                .collect(),
        ),
        1 => Values::Gauge((0..series).map(|_| float(random)).collect()),
        2 => {
            let mut values = HistogramValues::new(edges.len() + 1);
            let mut all = NativeValues::default();
            for native in natives {
                let counts: Vec<u64> = (0..=edges.len()).map(|_| count(random)).collect();
                values.push(&counts, finite(random)).expect("as many as edges");
                all.push(Native {
                    schema: native.schema,
                    zero_threshold: 1e-30,
                    zero_count: native.zero_count,
                    negative: &native.negative,
                    positive: &native.positive,
                });
            }
            if random.below(2) == 0 {
                values.set_native(all);
            }
            Values::Histogram(values)
        }
        _ => {
            let mut values = SummaryValues::new(edges.len());
            // Most windows have nothing below zero.
            let is_plain = random.below(3) > 0;
            for _ in 0..series {
                let one = |random: &mut Random| match (is_plain, float(random)) {
                    (true, value) => value.abs(),
                    (false, value) => value,
                };
                let estimates: Vec<f64> = edges.iter().map(|_| one(random)).collect();
                let sum = if is_plain { finite(random).abs() } else { finite(random) };
                values.push(&estimates, sum, count(random)).expect("as many as edges");
            }
            Values::Summary(values)
        }
    }
}

fn exemplars(random: &mut Random, block: &FamilyBlock) -> Vec<PlacedExemplar> {
    let edges = block.meta().edges().len().max(1);
    let mut placed = Vec::new();
    for series in 0..block.series().len() {
        for edge in 0..edges {
            if random.below(4) == 0 {
                // The reference parser pairs quotes here without regard to escapes.
                let text = nasty(random).replace('"', "\"\"");
                let labels = [("trace_id", text.as_str()), ("span_id", "00f067aa0ba902b7")];
                let value = finite(random);
                let exemplar = Exemplar::new(&labels, value, random.next() >> 24);
                let series = u32::try_from(series).expect("few");
                let edge = u32::try_from(edge).expect("few");
                placed.push(PlacedExemplar { series, edge, exemplar: exemplar.expect("short") });
            }
        }
    }
    placed
}

/// One sample as a reader finds it: name, labels, bits of the value, and its exemplar.
pub(crate) type Sample =
    (String, BTreeMap<String, String>, u64, Option<(BTreeMap<String, String>, u64)>);

/// The bits of a value, with one kind of NaN.
pub(crate) fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

impl Drawn {
    /// All samples of both text formats, without `_created`.
    #[expect(clippy::cast_precision_loss, reason = "readers see floats")]
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let mut all = Vec::new();
        let mut push = |series: usize, suffix: &str, edge: Option<(usize, &str)>, value: f64| {
            let mut labels = self.labels[series].clone();
            let mut own = None;
            if let Some((at, name)) = edge {
                labels.insert(name.to_owned(), self.edge_text(at));
            }
            if suffix == "_bucket" || self.edges.is_empty() && suffix.is_empty() {
                let at = edge.map_or(0, |edge| edge.0);
                own = self.exemplar(series, at);
            }
            all.push((format!("{}{suffix}", self.name), labels, bits(value), own));
        };
        match self.block.values() {
            Values::Counter(numbers) => {
                numbers.iter().enumerate().for_each(|(at, n)| push(at, "", None, n.as_f64()));
            }
            Values::Gauge(numbers) => {
                numbers.iter().enumerate().for_each(|(at, n)| push(at, "", None, *n));
            }
            Values::Histogram(values) => {
                for (at, (buckets, sum)) in values.iter().enumerate() {
                    for (edge, bucket) in buckets.iter().enumerate() {
                        push(at, "_bucket", Some((edge, "le")), *bucket as f64);
                    }
                    push(at, "_sum", None, sum);
                    push(at, "_count", None, *buckets.last().expect("+Inf") as f64);
                }
            }
            Values::Summary(values) => {
                for (at, (estimates, sum, count)) in values.iter().enumerate() {
                    for (edge, estimate) in estimates.iter().enumerate() {
                        push(at, "", Some((edge, "quantile")), *estimate);
                    }
                    push(at, "_sum", None, sum);
                    push(at, "_count", None, count as f64);
                }
            }
        }
        all
    }

    fn edge_text(&self, at: usize) -> String {
        let label = self.block.meta().edges()[at].label();
        label.split('"').nth(1).expect("a value").to_owned()
    }

    /// Labels and value of the exemplar at a place.
    pub(crate) fn exemplar(
        &self,
        series: usize,
        edge: usize,
    ) -> Option<(BTreeMap<String, String>, u64)> {
        let own = self.block.exemplars().iter();
        let placed = own
            .filter(|placed| (placed.series as usize, placed.edge as usize) == (series, edge))
            .collect::<Vec<_>>();
        assert!(placed.len() < 2);
        let exemplar = &placed.first()?.exemplar;
        let pairs = exemplar.labels().pairs();
        let labels = pairs.map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
        Some((labels, bits(exemplar.value())))
    }
}
