//! Things that live until the process ends, found without a lock. One of three modules with
//! `unsafe`.
//!
//! Handles sit in statics and are used from destructors, signal handlers and forked children, so
//! what they point to is never freed. [`Leaked`] is a cell for one such reference;
//! [`AppendList`] is a list that only grows and can be read at any moment, also by a child that
//! was forked while another thread was appending.

#![allow(unsafe_code)]

use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::thread::LocalKey;

/// An atomic `Option<&'static T>`.
#[derive(Debug)]
pub(crate) struct Leaked<T: 'static>(AtomicPtr<T>);

impl<T> Leaked<T> {
    pub(crate) const fn empty() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// One that is set from the start.
    pub(crate) const fn of(value: &'static T) -> Self {
        Self(AtomicPtr::new(ptr::from_ref(value).cast_mut()))
    }

    /// What was set last.
    #[inline]
    pub(crate) fn get(&self) -> Option<&'static T> {
        // PAIRS WITH: `leaked`, the stores in `set` and `set_if`.
        let pointer = self.0.load(Ordering::Acquire);
        // SAFETY:
        // - The pointer is null or was made from a `&'static T`: nothing else is ever stored.
        // - What the reference's owner initialised is visible: acquire, see above.
        unsafe { pointer.as_ref() }
    }

    /// Replaces whatever is there.
    pub(crate) fn set(&self, value: &'static T) {
        // PAIRS WITH: `leaked`, the load in `get`.
        self.0.store(ptr::from_ref(value).cast_mut(), Ordering::Release);
    }

    /// Replaces `current`; says whether it was there.
    pub(crate) fn set_if(&self, current: Option<&'static T>, value: &'static T) -> bool {
        let current = current.map_or(ptr::null_mut(), |known| ptr::from_ref(known).cast_mut());
        let new = ptr::from_ref(value).cast_mut();
        // PAIRS WITH: `leaked`, the load in `get`.
        self.0.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Takes the reference out.
    pub(crate) fn take(&self) -> Option<&'static T> {
        let pointer = self.0.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: as in `get`.
        unsafe { pointer.as_ref() }
    }
}

/// A `&'static T` of one thread, which starts as one known to all.
///
/// Holds a pointer, because a constant may not hold a reference to memory that changes.
pub(crate) struct ThreadRef<T: 'static>(Cell<*const T>);

impl<T> ThreadRef<T> {
    pub(crate) const fn new(first: &'static T) -> Self {
        Self(Cell::new(ptr::from_ref(first)))
    }

    /// This thread's reference.
    ///
    /// The pointer leaves the closure as a pointer: `LocalKey` answers with a `Result`, and one
    /// of a reference would be told from an error by a test for null, at every record.
    #[inline(always)]
    pub(crate) fn of(key: &'static LocalKey<Self>) -> &'static T {
        let pointer = key.with(|cell| cell.0.get());
        // SAFETY:
        // - The pointer was made from a `&'static T`: nothing else is ever stored.
        unsafe { &*pointer }
    }

    pub(crate) fn set(&self, value: &'static T) {
        self.0.set(ptr::from_ref(value));
    }
}

/// Buckets of 64, 128, 256, … entries: 20 of them hold 67 million.
const BUCKETS: usize = 20;
const FIRST_BUCKET_LENGTH: usize = 64;

struct Bucket<T: 'static>(Box<[Leaked<T>]>);

/// A list that only grows. Readers need no lock; appending is serialised by the caller.
pub(crate) struct AppendList<T: 'static> {
    buckets: [Leaked<Bucket<T>>; BUCKETS],
    /// Entries below this are complete.
    length: AtomicUsize,
}

impl<T> AppendList<T> {
    pub(crate) const fn new() -> Self {
        Self { buckets: [const { Leaked::empty() }; BUCKETS], length: AtomicUsize::new(0) }
    }

    /// Which bucket entry `index` is in, and where.
    fn place(index: usize) -> (usize, usize) {
        let shifted = index + FIRST_BUCKET_LENGTH;
        let power = shifted.ilog2();
        let bucket = (power - FIRST_BUCKET_LENGTH.ilog2()) as usize;
        (bucket, shifted - (1 << power))
    }

    /// How many entries are complete.
    pub(crate) fn len(&self) -> usize {
        // PAIRS WITH: `append-list`, the store in `push`.
        self.length.load(Ordering::Acquire)
    }

    /// Entry `index`, if it is complete.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&'static T> {
        let (bucket, at) = Self::place(index);
        self.buckets.get(bucket)?.get()?.0.get(at)?.get()
    }

    /// Appends an entry, or gives up when the list has its 67 million.
    ///
    /// The caller holds the lock that serialises appending. A child forked in the middle finds
    /// the list without the entry and may append its own in the same place.
    pub(crate) fn push(&self, entry: &'static T) -> bool {
        let index = self.length.load(Ordering::Relaxed);
        let (bucket, at) = Self::place(index);
        let Some(cell) = self.buckets.get(bucket) else { return false };
        let slots = cell.get().unwrap_or_else(|| {
            let slots = (0..FIRST_BUCKET_LENGTH << bucket).map(|_| Leaked::empty()).collect();
            let new: &'static Bucket<T> = Box::leak(Box::new(Bucket(slots)));
            cell.set(new);
            new
        });
        slots.0[at].set(entry);
        // PAIRS WITH: `append-list`, the load in `len`.
        self.length.store(index + 1, Ordering::Release);
        true
    }

    /// The complete entries, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static T> + '_ {
        self.iter_from(0)
    }

    /// The complete entries from `first` on, in order.
    pub(crate) fn iter_from(&self, first: usize) -> impl Iterator<Item = &'static T> + '_ {
        (first..self.len()).map_while(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_places_over_many_buckets() {
        let list = AppendList::new();
        for number in 0..1000_usize {
            assert!(list.get(number).is_none());
            assert!(list.push(Box::leak(Box::new(number))));
        }
        assert_eq!(list.len(), 1000);
        assert!(list.iter().copied().eq(0..1000));
        assert!(list.get(1000).is_none());
    }

    #[test]
    fn a_cell_is_replaced_only_from_what_was_expected() {
        static ONE: u8 = 1;
        static TWO: u8 = 2;
        let cell = Leaked::empty();
        assert!(cell.set_if(None, &ONE));
        assert!(!cell.set_if(None, &TWO));
        assert!(cell.set_if(Some(&ONE), &TWO));
        assert_eq!(cell.take(), Some(&TWO));
        assert_eq!(cell.get(), None);
    }
}
