//! Which of many things changed since the last commit.

/// A set of small numbers that is cheap to add to and to empty.
#[derive(Debug, Default)]
pub struct Dirty {
    is_marked: Vec<bool>,
    marked: Vec<u32>,
}

impl Dirty {
    /// Makes numbers below `count` known.
    pub fn grow(&mut self, count: usize) {
        if self.is_marked.len() < count {
            self.is_marked.resize(count, false);
        }
    }

    /// Adds a known number; one that is in it already costs a load and a branch.
    #[inline]
    pub fn mark(&mut self, number: u32) {
        if let Some(is_marked) = self.is_marked.get_mut(number as usize)
            && !*is_marked
        {
            *is_marked = true;
            self.marked.push(number);
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.marked.is_empty()
    }

    /// Empties it, each number into `each`.
    pub fn drain(&mut self, mut each: impl FnMut(u32)) {
        for number in self.marked.drain(..) {
            if let Some(is_marked) = self.is_marked.get_mut(number as usize) {
                *is_marked = false;
            }
            each(number);
        }
    }
}
