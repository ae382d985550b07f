//! Observations of many records, sorted by series: a distribution is then loaded once for all of
//! them, and what it does to one value it does to the next, with nothing to mispredict in between.

/// Observations that are gathered at most: 768 KiB, and 512 KiB for them once sorted, of which
/// no more is touched than there are.
const MOST: usize = 1 << 16;
const MASK: usize = MOST - 1;
const _: () = assert!(MOST.is_power_of_two());

/// Observations that are not in the totals yet.
#[derive(Debug)]
pub struct Gathered {
    slots: Box<[u32; MOST]>,
    values: Box<[u64; MOST]>,
    count: usize,
    /// When they were read.
    now_ns: u64,
    sorted: Vec<f64>,
    /// By slot: how many there are of it, then where the next of it goes. Zero between two uses.
    ends: Vec<u32>,
    /// Slots of which there is one.
    touched: Vec<u32>,
}

/// Zeros that take no memory before they are used.
fn zeros<T: Copy + Default>() -> Box<[T; MOST]> {
    let zeros = vec![T::default(); MOST].into_boxed_slice();
    zeros.try_into().unwrap_or_else(|_| Box::new([T::default(); MOST]))
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            slots: zeros(),
            values: zeros(),
            count: 0,
            now_ns: 0,
            sorted: Vec::new(),
            ends: Vec::new(),
            touched: Vec::new(),
        }
    }
}

/// Where observations are added, for a while.
pub struct Gatherer<'a> {
    slots: &'a mut [u32; MOST],
    values: &'a mut [u64; MOST],
    count: &'a mut usize,
    at: usize,
}

impl Gatherer<'_> {
    /// Adds an observation of a distribution if it is one, without a branch. There must be room.
    #[inline]
    pub fn add(&mut self, is_observation: bool, slot: u32, value: u64) {
        self.slots[self.at & MASK] = slot;
        self.values[self.at & MASK] = value;
        self.at += usize::from(is_observation);
    }
}

impl Drop for Gatherer<'_> {
    fn drop(&mut self) {
        *self.count = self.at.min(MOST);
    }
}

impl Gathered {
    /// Whether there is room for so many more.
    pub fn has_room(&self, more: usize) -> bool {
        self.count + more <= MOST
    }

    /// To add observations, which count when it is dropped. All that are drained together are of
    /// the last moment given: none is older than a pass.
    pub fn gatherer(&mut self, now_ns: u64) -> Gatherer<'_> {
        self.now_ns = now_ns;
        let Self { slots, values, count, .. } = self;
        let at = *count;
        Gatherer { slots, values, count, at }
    }

    /// Empties it: hands each slot below `slots` its values, in the order in which they came, and
    /// the time.
    #[expect(clippy::cast_possible_truncation, reason = "counts are at most MOST")]
    pub fn drain(&mut self, slots: usize, mut take: impl FnMut(u32, &[f64], u64)) {
        let count = std::mem::take(&mut self.count);
        let Self { slots: of, values, now_ns, sorted, ends, touched, .. } = self;
        // Left over where a panic ended the last one.
        touched.drain(..).for_each(|slot| ends[slot as usize] = 0);
        if count == 0 {
            return;
        }
        if ends.len() < slots {
            ends.resize(slots, 0);
        }
        let (of, values) = (&of[..count], &values[..count]);
        for slot in of {
            if let Some(end) = ends.get_mut(*slot as usize) {
                if *end == 0 {
                    touched.push(*slot);
                }
                *end += 1;
            }
        }
        let mut start = 0;
        for slot in &*touched {
            let own = std::mem::replace(&mut ends[*slot as usize], start as u32);
            start += own as usize;
        }
        if sorted.len() < start {
            sorted.resize(start, 0.0);
        }
        for (slot, value) in of.iter().zip(values) {
            if let Some(end) = ends.get_mut(*slot as usize)
                && let Some(place) = sorted.get_mut(*end as usize)
            {
                *place = f64::from_bits(*value);
                *end += 1;
            }
        }
        let mut start = 0;
        for slot in &*touched {
            let end = ends[*slot as usize] as usize;
            take(*slot, &sorted[start..end], *now_ns);
            start = end;
        }
        touched.drain(..).for_each(|slot| ends[slot as usize] = 0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use proptest::prelude::*;

    use super::*;

    /// What comes out, by slot.
    fn drained(gathered: &mut Gathered, slots: usize) -> BTreeMap<u32, Vec<f64>> {
        let mut found = BTreeMap::new();
        gathered.drain(slots, |slot, values, now_ns| {
            assert_eq!(now_ns, 7);
            assert!(found.insert(slot, values.to_vec()).is_none(), "each slot once");
        });
        found
    }

    /// Whether each is an observation, and its slot.
    fn some() -> impl Strategy<Value = Vec<(bool, u32)>> {
        prop::collection::vec((any::<bool>(), 1u32..9), 0..200)
    }

    proptest! {
        #[test]
        fn each_slot_gets_its_values_once_and_in_order(
            all in prop::collection::vec(some(), 1..4),
            panics_at in 0u32..20,
        ) {
            let mut gathered = Gathered::default();
            for some in all {
                let mut expected: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
                prop_assert!(gathered.has_room(some.len()));
                let mut gatherer = gathered.gatherer(7);
                for (value, (is_one, slot)) in (0u32..).zip(some) {
                    gatherer.add(is_one, slot, f64::from(value).to_bits());
                    if is_one {
                        expected.entry(slot).or_default().push(f64::from(value));
                    }
                }
                drop(gatherer);
                prop_assert_eq!(drained(&mut gathered, 9), expected);
                // A panic loses what was on its way, and nothing of what comes later.
                prop_assert!(gathered.has_room(1));
                gathered.gatherer(7).add(true, 3, 0);
                let panics = AssertUnwindSafe(|| gathered.drain(9, |slot, _, _| {
                    assert_ne!(slot, panics_at);
                }));
                prop_assert_eq!(catch_unwind(panics).is_err(), panics_at == 3);
            }
        }
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut gathered = Gathered::default();
        assert!(gathered.has_room(MOST) && !gathered.has_room(MOST + 1));
        gathered.gatherer(1).add(true, 1, 0);
        assert!(gathered.has_room(MOST - 1) && !gathered.has_room(MOST));
        gathered.drain(2, |_, _, _| ());
        assert!(gathered.has_room(MOST));
    }
}
