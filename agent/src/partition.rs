//! A batch of records sorted by what they do, so that each loop that applies them does one thing.

use ringmeter_layout::record::{Operation, Record, shape_of};

/// Records that are partitioned at once: 16 KiB, which stays in the first-level cache.
pub const BATCH_RECORDS: usize = 1024;
const MASK: usize = BATCH_RECORDS - 1;
const ADD_U64: u32 = shape_of(Operation::AddU64);
const ADD_F64: u32 = shape_of(Operation::AddF64);
const OBSERVE_F64: u32 = shape_of(Operation::ObserveF64);
const EMPTY: Record = Record { word: 0, value: 0 };

const _: () = assert!(BATCH_RECORDS.is_power_of_two());

/// Room for one batch of each kind.
#[derive(Debug)]
pub struct Partition {
    add_u64: Box<[Record; BATCH_RECORDS]>,
    add_f64: Box<[Record; BATCH_RECORDS]>,
    observe_f64: Box<[Record; BATCH_RECORDS]>,
    other: Box<[Record; BATCH_RECORDS]>,
}

/// One batch, sorted.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Ordinary integer additions.
    pub add_u64: &'a [Record],
    /// Ordinary float additions.
    pub add_f64: &'a [Record],
    /// Ordinary observations.
    pub observe_f64: &'a [Record],
    /// Everything else.
    pub other: &'a [Record],
}

impl Default for Partition {
    fn default() -> Self {
        let room = || Box::new([EMPTY; BATCH_RECORDS]);
        Self { add_u64: room(), add_f64: room(), observe_f64: room(), other: room() }
    }
}

impl Partition {
    /// Sorts the first [`BATCH_RECORDS`] of `records`; keeps the order within a kind.
    #[inline]
    pub fn split(&mut self, records: &[Record]) -> Parts<'_> {
        let (mut adds, mut floats, mut observations, mut others) = (0, 0, 0, 0);
        // Every record is written to every part, and one part moves on: no branch to mispredict.
        for record in records.iter().take(BATCH_RECORDS) {
            let shape = record.shape();
            let is_add = shape == ADD_U64;
            let is_float = shape == ADD_F64;
            let is_observation = shape == OBSERVE_F64;
            self.add_u64[adds & MASK] = *record;
            self.add_f64[floats & MASK] = *record;
            self.observe_f64[observations & MASK] = *record;
            self.other[others & MASK] = *record;
            adds += usize::from(is_add);
            floats += usize::from(is_float);
            observations += usize::from(is_observation);
            others += usize::from(!(is_add | is_float | is_observation));
        }
        Parts {
            add_u64: self.add_u64.get(..adds).unwrap_or_default(),
            add_f64: self.add_f64.get(..floats).unwrap_or_default(),
            observe_f64: self.observe_f64.get(..observations).unwrap_or_default(),
            other: self.other.get(..others).unwrap_or_default(),
        }
    }
}

/// Whether each record takes one slot (or none, which is no record).
#[inline]
pub fn all_single(records: &[Record]) -> bool {
    records.iter().fold(0, |all, record| all | (record.shape() >> 9 & 0x7f)) == 0
}

/// Keeps the first slot of each record. `skip` counts the slots that still belong to the last
/// record, over batches.
pub fn first_slots(records: &[Record], skip: &mut u32, kept: &mut Vec<Record>) {
    kept.clear();
    for record in records {
        if *skip > 0 {
            *skip -= 1;
            continue;
        }
        *skip = u32::from(record.slots().saturating_sub(1));
        kept.push(*record);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringmeter_layout::record::pack;

    use super::*;

    fn record(word: u64) -> Record {
        Record { word, value: word.rotate_left(7) }
    }

    proptest! {
        #[test]
        fn each_record_lands_in_its_part_once_and_in_order(
            kinds in prop::collection::vec((0u32..1000, 0u8..6), 0..=BATCH_RECORDS),
        ) {
            let records: Vec<Record> = kinds
                .iter()
                .map(|(series, kind)| match kind {
                    0 => record(pack(*series, Operation::AddU64)),
                    1 => record(pack(*series, Operation::AddF64)),
                    2 => record(pack(*series, Operation::ObserveF64)),
                    3 => record(pack(*series, Operation::AddU64) | 1 << 48),
                    4 => record(pack(*series, Operation::AddU64) ^ 3 << 40),
                    _ => record(0),
                })
                .collect();
            let mut partition = Partition::default();
            let parts = partition.split(&records);
            let of = |kinds_wanted: &[u8]| -> Vec<Record> {
                let wanted = records.iter().zip(&kinds);
                wanted.filter(|(_, (_, k))| kinds_wanted.contains(k)).map(|(r, _)| *r).collect()
            };
            prop_assert_eq!(parts.add_u64, of(&[0]));
            prop_assert_eq!(parts.add_f64, of(&[1]));
            prop_assert_eq!(parts.observe_f64, of(&[2]));
            prop_assert_eq!(parts.other, of(&[3, 4, 5]));
        }
    }

    #[test]
    fn slots_of_long_records_are_skipped_across_batches() {
        let single = record(pack(1, Operation::AddU64));
        let long = record((pack(2, Operation::AddU64) & !(0xff << 40)) | 4 << 40);
        assert!(all_single(&[single, record(0)]));
        assert!(!all_single(&[single, long]));
        let (mut skip, mut kept) = (0, Vec::new());
        first_slots(&[single, long, single], &mut skip, &mut kept);
        assert_eq!((kept.as_slice(), skip), (&[single, long][..], 2));
        first_slots(&[single, single, single, record(0)], &mut skip, &mut kept);
        assert_eq!((kept.as_slice(), skip), (&[single, record(0)][..], 0));
    }
}
