//! What a listing leaves to be done with files: new ones are looked into and their acks opened,
//! refused ones asked whether they are still the same, those that should be gone removed.
//!
//! Whoever creates or removes files holds the directory meanwhile, and everybody who looks a name
//! up, lists or makes a file waits; on a busy machine for milliseconds. So what is to be done is
//! put together first, by the thread that has all totals, then done by whoever has the time, and
//! what was found is applied at last.

use std::io;

use ringmeter_layout::file::Identity;
use ringmeter_layout::naming::SegmentName;

use super::refused::Gone;
use crate::attach::{Candidate, Files};
use crate::quarantine::Refusal;

/// Whose segments will be attached, so that their acks can be opened beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Welcome {
    /// Those of every service.
    All,
    /// Those of this one.
    Service(String),
    /// Nobody knows yet: that of the first one that is found.
    First,
}

impl Welcome {
    fn includes(&self, service: &str) -> bool {
        match self {
            Self::All => true,
            Self::Service(own) => own == service,
            // It is chosen when all are known, and an ack is made for no other.
            Self::First => false,
        }
    }
}

/// What is to be done with files.
pub struct Inspection {
    pub(super) files: Files,
    /// Everything was taken from them: they are to be removed.
    pub(super) finals: Vec<(SegmentName, Identity)>,
    /// Refused ones: are they still the same?
    pub(super) reviews: Vec<SegmentName>,
    /// New ones: what is in them?
    pub(super) fresh: Vec<SegmentName>,
    pub(super) welcome: Welcome,
    /// Whether there are more new files than these, to be looked into at once.
    pub(super) has_more: bool,
    /// Whether these are all that a complete listing found.
    pub(super) is_all: bool,
}

/// What was found.
pub struct Findings {
    /// What is under each name: a file, one that cannot be asked (`None`), or nothing.
    pub(super) reviewed: Vec<(SegmentName, Result<Option<Identity>, Gone>)>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) refused: Vec<(SegmentName, Option<Identity>, Refusal)>,
    pub(super) has_more: bool,
    pub(super) is_all: bool,
}

impl Inspection {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.finals.is_empty() && self.reviews.is_empty() && self.fresh.is_empty()
    }

    /// Asks the system, opens acks, removes files. This may take long, and touches no totals.
    pub fn carry_out(self) -> Findings {
        let Self { files, finals, reviews, fresh, welcome, has_more, is_all } = self;
        for (name, identity) in finals {
            // Where the directory is read-only here, the next start of an SDK removes it.
            let _ = files.remove_segment(&name, identity);
        }
        let identity = |name: SegmentName| match files.identity(&name) {
            Ok(identity) => (name, Ok(Some(identity))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (name, Err(Gone)),
            Err(_) => (name, Ok(None)),
        };
        let reviewed = reviews.into_iter().map(identity).collect();
        let (mut candidates, mut refused) = (Vec::new(), Vec::new());
        for name in fresh {
            match files.inspect(&name) {
                Ok(mut candidate) => {
                    if welcome.includes(&candidate.geometry.service) {
                        files.open_ack(&mut candidate);
                    }
                    candidates.push(candidate);
                }
                Err(refusal) => refused.push((name, files.identity(&name).ok(), refusal)),
            }
        }
        Findings { reviewed, candidates, refused, has_more, is_all }
    }
}
