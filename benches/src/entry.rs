//! What can be asked for by name.

/// A row, or a group of figures.
pub struct Entry<M> {
    /// What the ids of its results are or begin with.
    pub id: &'static str,
    /// Whether there is a goal in it, so that it is part of a quick run.
    pub is_quick: bool,
    /// Makes the row, or measures the figures.
    pub make: M,
}

/// Part of every run.
pub(crate) const fn quick<M: Copy>(id: &'static str, make: M) -> Entry<M> {
    Entry { id, is_quick: true, make }
}

/// In `make bench` only.
pub(crate) const fn long<M: Copy>(id: &'static str, make: M) -> Entry<M> {
    Entry { id, is_quick: false, make }
}
