//! Snapshots to bytes: pure, no I/O.

pub mod text;

use std::sync::Arc;

use crate::snapshot::Snapshot;

/// A rendering never keeps more than this many times the memory that it fills.
const SLACK_FACTOR_MAX: usize = 4;

/// Below this size, spare memory is not worth returning.
const SLACK_FREE_BYTES: usize = 64 * 1024;

/// Renders each snapshot once, however many scrapes ask for it, and reuses the memory of the
/// rendering before. Between scrapes it keeps the last one.
#[derive(Debug, Default)]
pub struct Renderer {
    latest: Option<Rendered>,
}

#[derive(Debug)]
struct Rendered {
    generation: u64,
    text: Arc<Vec<u8>>,
}

impl Renderer {
    /// The snapshot as text 0.0.4.
    pub fn text(&mut self, snapshot: &Snapshot) -> Arc<Vec<u8>> {
        if let Some(latest) = &self.latest
            && latest.generation == snapshot.generation()
        {
            return Arc::clone(&latest.text);
        }
        let mut buffer = self.buffer();
        text::encode(snapshot, &mut buffer);
        if buffer.capacity() > buffer.len().saturating_mul(SLACK_FACTOR_MAX) + SLACK_FREE_BYTES {
            buffer.shrink_to_fit();
        }
        let text = Arc::new(buffer);
        let generation = snapshot.generation();
        self.latest = Some(Rendered { generation, text: Arc::clone(&text) });
        text
    }

    /// An empty buffer with room for a text like the last: the last one's own, unless a slow
    /// reader still holds it.
    fn buffer(&mut self) -> Vec<u8> {
        let Some(latest) = self.latest.take() else { return Vec::new() };
        match Arc::try_unwrap(latest.text) {
            Ok(mut text) => {
                text.clear();
                text
            }
            Err(in_use) => Vec::with_capacity(in_use.len() + in_use.len() / 16),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::FamilyBlock;

    fn snapshot(generation: u64, value: u64) -> Snapshot {
        Snapshot::new(generation, vec![FamilyBlock::of_counters("a_total", "", &[(&[], value)])])
    }

    #[test]
    fn a_generation_is_rendered_once_and_its_memory_reused() {
        let mut renderer = Renderer::default();
        let first = renderer.text(&snapshot(1, 1));
        assert!(Arc::ptr_eq(&first, &renderer.text(&snapshot(1, 1))));
        let second = renderer.text(&snapshot(2, 2));
        assert_eq!(*first, b"# TYPE a_total counter\na_total 1\n");
        assert_eq!(*second, b"# TYPE a_total counter\na_total 2\n");
        let address = second.as_ptr();
        drop(second);
        assert_eq!(renderer.text(&snapshot(3, 3)).as_ptr(), address);
    }

    #[test]
    fn memory_of_a_large_text_is_returned() {
        let mut renderer = Renderer::default();
        let samples: Vec<String> = (0..10_000).map(|i| format!("value {i}")).collect();
        let labels: Vec<[(&str, &str); 1]> = samples.iter().map(|v| [("a", v.as_str())]).collect();
        let samples: Vec<(&[(&str, &str)], u64)> = labels.iter().map(|l| (&l[..], 1)).collect();
        let large = FamilyBlock::of_counters("a_total", "", &samples);
        drop(renderer.text(&Snapshot::new(1, vec![large])));
        assert!(renderer.text(&snapshot(2, 1)).capacity() < SLACK_FREE_BYTES);
    }
}
