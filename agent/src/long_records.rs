//! Long records, which take several slots of a lane, told apart from those of one slot.

use ringmeter_layout::exemplar::RECORD_SLOTS_MAX;
use ringmeter_layout::record::Record;

/// Whether each record takes one slot (or none, which is no record).
#[inline]
pub fn all_single(records: &[Record]) -> bool {
    records.iter().fold(0, |all, record| all | (record.shape() >> 9 & 0x7f)) == 0
}

/// Slots of a lane that are taken at once, a record as a whole or not at all.
#[derive(Debug, Clone, Copy)]
pub struct Slots<'a> {
    /// What was read: as many slots as were to be taken, and those behind them that may belong to
    /// the last record.
    pub read: &'a [Record],
    /// How many were to be taken. The last record may reach beyond.
    pub wanted: usize,
}

impl<'a> Slots<'a> {
    /// All that were read.
    pub fn all(read: &'a [Record]) -> Self {
        Self { read, wanted: read.len() }
    }
}

/// Takes records of one slot, and heads that cannot be right, into `kept`, and hands each record
/// of several slots to `take_long`. Returns how many slots were taken.
///
/// `skip` counts the slots that still belong to a record that said it was longer than the lane
/// was written: no honest tail stands in the middle of a record.
pub fn take_apart<'a>(
    slots: Slots<'a>,
    skip: &mut u32,
    kept: &mut Vec<Record>,
    mut take_long: impl FnMut(&'a [Record]),
) -> usize {
    kept.clear();
    let mut at = 0;
    while at < slots.wanted
        && let Some(rest) = slots.read.get(at..)
        && let Some(first) = rest.first()
    {
        if *skip > 0 {
            *skip -= 1;
            at += 1;
            continue;
        }
        let count = usize::from(first.slots()).max(1);
        let long = if count > 1 && count <= RECORD_SLOTS_MAX { rest.get(..count) } else { None };
        match long {
            Some(long) => {
                take_long(long);
                at += count;
            }
            None => {
                kept.push(*first);
                *skip = u32::from(first.slots().saturating_sub(1));
                at += 1;
            }
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringmeter_layout::record::{Operation, pack};

    use super::*;

    fn record(word: u64) -> Record {
        Record { word, value: word.rotate_left(7) }
    }

    /// A record that says it has so many slots.
    fn long(series: u32, slots: u64) -> Record {
        record((pack(series, Operation::AddU64) & !(0xff << 40)) | slots << 40)
    }

    /// What was taken of slots: how many, heads kept, and lengths of long records.
    fn taken(read: &[Record], wanted: usize, skip: &mut u32) -> (usize, Vec<Record>, Vec<usize>) {
        let (mut kept, mut lengths) = (Vec::new(), Vec::new());
        let slots = Slots { read, wanted };
        let count = take_apart(slots, skip, &mut kept, |long| lengths.push(long.len()));
        (count, kept, lengths)
    }

    #[test]
    fn a_long_record_is_taken_whole_beyond_what_was_wanted() {
        let single = record(pack(1, Operation::AddU64));
        assert!(all_single(&[single, record(0)]));
        assert!(!all_single(&[single, long(2, 4)]));
        let read = [single, long(2, 4), single, single, single, single, single];
        let mut skip = 0;
        assert_eq!(taken(&read, 1, &mut skip), (1, vec![single], vec![]));
        assert_eq!(taken(&read, 2, &mut skip), (5, vec![single], vec![4]));
        assert_eq!(taken(&read, 7, &mut skip), (7, vec![single; 3], vec![4]));
        assert_eq!(skip, 0);
    }

    #[test]
    fn a_record_longer_than_the_lane_is_written_is_kept_as_it_is_and_its_slots_skipped() {
        let single = record(pack(1, Operation::AddU64));
        let mut skip = 0;
        let cut_off = long(2, 5);
        assert_eq!(
            taken(&[single, cut_off, single], 3, &mut skip),
            (3, vec![single, cut_off], vec![])
        );
        assert_eq!(skip, 3);
        let next = [single, single, single, record(0)];
        assert_eq!(taken(&next, 4, &mut skip), (4, vec![record(0)], vec![]));
        let too_long = long(2, RECORD_SLOTS_MAX as u64 + 1);
        let read = [vec![too_long], vec![single; 60]].concat();
        assert_eq!(taken(&read, 1, &mut skip), (1, vec![too_long], vec![]));
        assert_eq!(usize::try_from(skip), Ok(RECORD_SLOTS_MAX));
    }

    proptest! {
        #[test]
        fn any_slots_are_taken_once_however_they_are_cut(
            lengths in prop::collection::vec(prop::option::weighted(0.3, 0u64..256), 1..200),
            cuts in prop::collection::vec(1usize..50, 1..50),
        ) {
            let read = lengths.iter().map(|length| long(1, length.unwrap_or(1)));
            let read: Vec<Record> = read.collect();
            let (mut at, mut skip, mut cuts) = (0, 0, cuts.iter().cycle());
            let mut all = (Vec::new(), Vec::new());
            while at < read.len() {
                let wanted = (*cuts.next().unwrap()).min(read.len() - at);
                let (count, kept, lengths) = taken(&read[at..], wanted, &mut skip);
                prop_assert!(count >= wanted && count < wanted + RECORD_SLOTS_MAX);
                at += count;
                all.0.extend(kept);
                all.1.extend(lengths);
            }
            prop_assert_eq!(at, read.len());
            let mut whole_skip = 0;
            let whole = taken(&read, read.len(), &mut whole_skip);
            prop_assert_eq!((whole.1, whole.2, whole_skip), (all.0, all.1, skip));
        }
    }
}
