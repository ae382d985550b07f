//! Files that are not read, and why. How many there are of each reason is known without looking
//! at each: somebody may plant thousands, and every scrape shows the numbers.

use std::collections::BTreeMap;
use std::ops::Bound;

use ringmeter_layout::file::Identity;
use ringmeter_layout::naming::SegmentName;

use crate::quarantine::Reason;

/// Refused files that are remembered, at about 200 bytes. Further ones are looked into again.
const FILES_MAX: usize = 65_536;

/// Looking a name up takes about as long as going through so many.
const SEARCH_DIVISOR: usize = 16;

/// A segment that is not read.
#[derive(Debug)]
pub(super) struct Refused {
    /// The file that was refused; `None` if it could not be asked.
    pub(super) identity: Option<Identity>,
    pub(super) reason: Reason,
    /// It is to be looked at again.
    pub(super) is_doubtful: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct RefusedFiles {
    files: BTreeMap<SegmentName, Refused>,
    counts: [u64; Reason::ALL.len()],
    /// Where the review of refused files goes on.
    reviewed: Option<SegmentName>,
}

impl RefusedFiles {
    pub(super) fn get(&self, name: &SegmentName) -> Option<&Refused> {
        self.files.get(name)
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// How many there are of each reason.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().zip(self.counts)
    }

    /// Remembers one, if there is room.
    pub(super) fn insert(&mut self, name: SegmentName, refused: Refused) {
        if self.files.len() >= FILES_MAX && !self.files.contains_key(&name) {
            return;
        }
        self.count(refused.reason, |count| count.saturating_add(1));
        if let Some(before) = self.files.insert(name, refused) {
            self.count(before.reason, |count| count.saturating_sub(1));
        }
    }

    pub(super) fn remove(&mut self, name: &SegmentName) {
        if let Some(refused) = self.files.remove(name) {
            self.count(refused.reason, |count| count.saturating_sub(1));
        }
    }

    /// Of these names, which are sorted, those that are not refused, or may be good now.
    pub(super) fn worth_a_look(&self, names: &[SegmentName]) -> Vec<SegmentName> {
        let is_good = |refused: Option<&Refused>| refused.is_none_or(|refused| refused.is_doubtful);
        if names.len() < self.files.len() / SEARCH_DIVISOR {
            return names.iter().filter(|name| is_good(self.files.get(name))).copied().collect();
        }
        let mut files = self.files.iter().peekable();
        let is_worth_it = |name: &&SegmentName| {
            while files.next_if(|(own, _)| *own < *name).is_some() {}
            is_good(files.next_if(|(own, _)| *own == *name).map(|(_, refused)| refused))
        };
        names.iter().filter(is_worth_it).copied().collect()
    }

    /// Forgets those that are not there any more. `present` is sorted.
    pub(super) fn forget_missing(&mut self, present: &[SegmentName]) {
        let Self { files, counts, .. } = self;
        let mut present = present.iter().peekable();
        files.retain(|name, refused| {
            while present.next_if(|own| *own < name).is_some() {}
            let is_there = present.next_if(|own| *own == name).is_some();
            if let Some(count) = counts.get_mut(refused.reason as usize).filter(|_| !is_there) {
                *count = count.saturating_sub(1);
            }
            is_there
        });
    }

    /// Some of them, each time others, to be asked whether they are still the same.
    pub(super) fn next_to_review(&mut self, count_max: usize) -> Vec<SegmentName> {
        let from = self.reviewed.map_or(Bound::Unbounded, Bound::Excluded);
        let some: Vec<SegmentName> =
            self.files.range((from, Bound::Unbounded)).take(count_max).map(|own| *own.0).collect();
        self.reviewed = some.last().copied().filter(|_| some.len() == count_max);
        some
    }

    /// Whether a file is there, and which one it is now, decides whether it gets another chance.
    /// The same file does where the reason may pass, another file under its name always.
    pub(super) fn review(&mut self, name: &SegmentName, found: Result<Option<Identity>, Gone>) {
        let Ok(found) = found else { return self.remove(name) };
        if let Some(refused) = self.files.get_mut(name) {
            let is_same = found == refused.identity;
            refused.is_doubtful = refused.reason.is_passing() || !is_same;
        }
    }

    fn count(&mut self, reason: Reason, change: impl FnOnce(u64) -> u64) {
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count = change(*count);
        }
    }
}

/// There is no file of that name.
#[derive(Debug)]
pub(super) struct Gone;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reviews some, of which the system says this.
    fn review(files: &mut RefusedFiles, count_max: usize, found: Option<Identity>) {
        for name in files.next_to_review(count_max) {
            files.review(&name, Ok(found));
        }
    }

    fn name(number: u8) -> SegmentName {
        SegmentName::new("shop", [number; 16]).unwrap()
    }

    fn refused(reason: Reason) -> Refused {
        Refused { identity: None, reason, is_doubtful: false }
    }

    /// The counts that are kept, without those that are zero.
    fn kept(files: &RefusedFiles) -> Vec<(Reason, u64)> {
        files.counts().filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn reasons_are_numbered_in_their_order() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }

    #[test]
    fn counts_are_those_of_the_files() {
        let mut files = RefusedFiles::default();
        for number in 0..6 {
            let reason = if number < 4 { Reason::Short } else { Reason::Tail };
            files.insert(name(number), refused(reason));
        }
        assert_eq!(kept(&files), [(Reason::Short, 4), (Reason::Tail, 2)]);
        files.insert(name(0), refused(Reason::Io));
        assert_eq!(kept(&files), [(Reason::Short, 3), (Reason::Io, 1), (Reason::Tail, 2)]);
        files.remove(&name(0));
        files.remove(&name(0));
        files.forget_missing(&[name(1), name(4), name(9)]);
        assert_eq!(kept(&files), [(Reason::Short, 1), (Reason::Tail, 1)]);
        assert_eq!(files.next_to_review(8), [name(1), name(4)]);
        files.review(&name(1), Err(Gone));
        assert_eq!((kept(&files), files.len()), (vec![(Reason::Tail, 1)], 1));
    }

    /// Whether they are looked up or all gone through.
    #[test]
    fn those_that_are_new_or_doubtful_are_worth_a_look() {
        let mut files = RefusedFiles::default();
        for number in (0..=u8::MAX).filter(|number| number % 4 > 0) {
            let is_doubtful = number % 4 == 1;
            files.insert(name(number), Refused { is_doubtful, ..refused(Reason::Short) });
        }
        for (first, count) in [(0, 256), (0, 3), (100, 8), (250, 6), (3, 12), (0, 0)] {
            let numbers = || (0..=u8::MAX).skip(first).take(count);
            let names: Vec<SegmentName> = numbers().map(name).collect();
            let expected: Vec<SegmentName> =
                numbers().filter(|number| number % 4 < 2).map(name).collect();
            assert_eq!(files.worth_a_look(&names), expected, "{count} from {first}");
        }
        assert_eq!(RefusedFiles::default().worth_a_look(&[name(7)]), [name(7)]);
    }

    #[test]
    fn what_is_listed_stays() {
        let mut files = RefusedFiles::default();
        (1..=9).for_each(|number| files.insert(name(number), refused(Reason::Short)));
        let present: Vec<SegmentName> = [0, 1, 3, 4, 9, 10].map(name).into();
        files.forget_missing(&present);
        assert_eq!(kept(&files), [(Reason::Short, 4)]);
        assert!([1, 3, 4, 9].into_iter().all(|number| files.get(&name(number)).is_some()));
        files.forget_missing(&[]);
        assert_eq!((kept(&files), files.len()), (Vec::new(), 0));
    }

    #[test]
    fn a_review_goes_round_and_doubts_what_may_have_changed() {
        let mut files = RefusedFiles::default();
        for number in 0..5 {
            let reason = if number == 3 { Reason::Io } else { Reason::Short };
            files.insert(name(number), refused(reason));
        }
        let doubtful = |files: &RefusedFiles| -> Vec<bool> {
            (0..5).map(|number| files.get(&name(number)).unwrap().is_doubtful).collect()
        };
        review(&mut files, 3, None);
        assert_eq!(doubtful(&files), [false; 5], "the same files, and not yet the fourth");
        review(&mut files, 3, None);
        assert_eq!(doubtful(&files), [false, false, false, true, false]);
        let other = Identity::of(&std::fs::File::open("/").unwrap()).unwrap();
        review(&mut files, 2, Some(other));
        assert_eq!(doubtful(&files), [true, true, false, true, false], "from the beginning");
    }
}
