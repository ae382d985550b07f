//! From a listing to attached segments.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use ringmeter_layout::ack::STATE_FINAL;
use ringmeter_layout::file::Identity;
use ringmeter_layout::naming::SegmentName;

use super::inspection::{Findings, Inspection, Welcome};
use super::{ACKS_MAX, Known, Pipeline, own};
use crate::attach::{Attached, Candidate, Memory};
use crate::discover::Listing;
use crate::quarantine::Refusal;
use crate::segment::{Phase, Segment};

/// New files looked into at one listing: each takes about 10 µs.
const INSPECTIONS_MAX: usize = 128;
/// Refused files asked at one listing whether they are still the same, at about 2 µs.
const REVIEWS_MAX: usize = 256;
/// An eighth of both where the listing is one of many pieces: those come often.
const PIECE_DIVISOR: usize = 8;

/// A number that nobody outside can foresee.
#[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
fn some_number() -> usize {
    RandomState::new().build_hasher().finish() as usize
}

impl Pipeline {
    /// Follows a listing: attaches what is new, forgets what is gone. Says whether there is more
    /// to do at once.
    ///
    /// [`plan`](Self::plan), [`Inspection::carry_out`] and [`apply`](Self::apply) in one, for
    /// callers without a discovery thread.
    pub fn reconcile(&mut self, listing: &Listing, now_ns: u64) -> bool {
        let findings = self.plan(listing).carry_out();
        self.apply(findings, now_ns)
    }

    /// Forgets what a listing lacks, and says what of it is to be looked at. One inspection at a
    /// time: its findings are to be [applied](Self::apply) before the next is planned.
    pub fn plan(&mut self, listing: &Listing) -> Inspection {
        self.strangers = listing.strangers;
        let divisor = if listing.is_complete { 1 } else { PIECE_DIVISOR };
        let present = &*listing.names;
        debug_assert!(present.is_sorted_by(|a, b| a < b), "each name once, and in order");
        if listing.is_complete && !self.is_stuck() {
            self.forget_missing(present);
        }
        // Their acks are still to be removed.
        let gone: BTreeSet<&SegmentName> = self.gone.iter().map(|(name, _)| name).collect();
        let is_new = |name: &SegmentName| {
            !self.known.get(name).is_some_and(|known| known.is_attached)
                && !self.is_leaving(name)
                && !self.finals.contains_key(name)
                && !gone.contains(name)
                && !self.old_acks.contains(name)
        };
        // First those that are refused, of which there may be thousands.
        let mut fresh = self.refused.worth_a_look(present);
        fresh.retain(is_new);
        // In a circle, so that no number of bad files keeps a good one waiting for ever. Pieces
        // come in a circle of their own: of each, some that nobody can foresee.
        let from = if listing.is_complete {
            self.inspected.map_or(0, |last| fresh.partition_point(|name| *name <= last))
        } else {
            some_number().checked_rem(fresh.len()).unwrap_or(0)
        };
        fresh.rotate_left(from);
        // What is leaving has its descriptors until it is put away.
        let leaving = self.leaving.len() + self.waste.len() + self.unclosed.count();
        let open = self.segments.len() + leaving;
        let room = self.limits.segments_max.saturating_sub(open);
        let now = fresh.len().min(INSPECTIONS_MAX / divisor).min(room);
        let left = fresh.len() - now;
        fresh.truncate(now);
        self.inspected = fresh.last().copied();
        self.waiting = left as u64;
        self.is_listed = false;
        Inspection {
            files: self.files.clone(),
            finals: self.finals_to_remove(present),
            reviews: self.refused.next_to_review(REVIEWS_MAX / divisor),
            fresh,
            welcome: self.welcome(),
            has_more: left > 0 && now < room,
            is_all: listing.is_complete && left == 0,
        }
    }

    /// Applies what an inspection found: attaches what is good, refuses what is not. Says whether
    /// there is more to do at once.
    pub fn apply(&mut self, findings: Findings, now_ns: u64) -> bool {
        let Findings { reviewed, mut candidates, refused, has_more, is_all } = findings;
        for (name, found) in reviewed {
            self.refused.review(&name, found);
        }
        for (name, identity, refusal) in refused {
            self.refuse(name, identity, &refusal, now_ns);
        }
        // The first live service has the directory.
        candidates.sort_by_key(|c| (!c.is_alive, c.geometry.created_unix_ns, c.name));
        for candidate in candidates {
            self.attach(candidate, now_ns);
        }
        self.is_listed = is_all;
        has_more
    }

    /// Drops what the complete listing lacks. Entries and acks go only now: a file that is still
    /// there would be read from its beginning without them.
    fn forget_missing(&mut self, present: &[SegmentName]) {
        let is_present = |name: &SegmentName| present.binary_search(name).is_ok();
        self.refused.forget_missing(present);
        if !self.is_swept {
            self.is_swept = true;
            // Left over by an agent before this one, between entry and ack.
            let acks = self.files.acks(ACKS_MAX).unwrap_or_default();
            for (name, header, _) in acks {
                let is_final = header.state == STATE_FINAL;
                if is_final && !is_present(&name) && !self.known.contains_key(&name) {
                    let _ = self.files.remove_ack(&name);
                }
            }
        }
        let is_gone =
            |(name, known): &(&SegmentName, &Known)| !known.is_attached && !is_present(name);
        let gone: Vec<SegmentName> = self.known.iter().filter(is_gone).map(|k| *k.0).collect();
        for name in gone.into_iter().filter(|name| !self.is_leaving(name)).collect::<Vec<_>>() {
            self.forget(&name);
        }
    }

    /// Files that should be gone, and are listed.
    fn finals_to_remove(&self, present: &[SegmentName]) -> Vec<(SegmentName, Identity)> {
        if self.unclosed.count() > 0 {
            // Some of them are being removed.
            return Vec::new();
        }
        let is_there = |(name, _): &(&SegmentName, &Identity)| present.binary_search(name).is_ok();
        self.finals.iter().filter(is_there).map(|(name, identity)| (*name, *identity)).collect()
    }

    fn welcome(&self) -> Welcome {
        match (&self.service_label, &self.service) {
            (Some(_), _) => Welcome::All,
            (None, Some(service)) => Welcome::Service(service.clone()),
            (None, None) => Welcome::First,
        }
    }

    fn attach(&mut self, candidate: Candidate, now_ns: u64) {
        let (name, identity) = (candidate.name, candidate.identity);
        // Series of two services may have the same names: the totals of one must never be added to
        // those of the other, also when no process of the first is left.
        if self.service.is_none() {
            own::put_service(&candidate.geometry.service, &mut self.ledger);
        }
        let service = self.service.get_or_insert_with(|| candidate.geometry.service.clone());
        if self.service_label.is_none() && *service != candidate.geometry.service {
            let is_own = |own: &&Segment| own.geometry.service == *service;
            let is_running =
                self.segments.iter().filter(is_own).any(|own| own.phase == Phase::Live);
            let other = &candidate.geometry.service;
            let refusal = Refusal::of_other_service(service, is_running, other);
            return self.refuse(name, Some(identity), &refusal, now_ns);
        }
        self.serial += 1;
        let number = self.known.get(&name).map(|known| known.entry.number);
        let number = number.unwrap_or_else(|| self.number());
        let known = self.known.entry(name).or_insert_with(|| Known::new(number));
        if known.kept.is_none() && !known.is_final {
            // Another file under the name of one that was given up: what is remembered of that one
            // is nothing to go on from, and nobody would remove it later.
            known.entry.remove(&mut self.ledger);
        }
        known.is_attached = true;
        let (serial, ledger_id) = (self.serial, self.ledger.id());
        let (kept, is_final) = (known.kept.clone(), known.is_final);
        let memory = Memory { serial, number, kept, is_final, ledger_id };
        match self.files.attach(candidate, memory, &self.limits, now_ns) {
            Ok(Attached::Segment(segment)) => {
                if let Some(known) = self.known.get_mut(&name) {
                    known.kept = None;
                }
                if self.log_limit.allows(now_ns) {
                    let segment = name.segment_file();
                    tracing::info!(segment = segment.as_str(), "attached");
                }
                self.refused.remove(&name);
                self.segments.push(*segment);
            }
            Ok(Attached::Final(identity)) => {
                self.refused.remove(&name);
                self.finals.insert(name, identity);
                self.detach(&name);
            }
            Err(refusal) => {
                self.refuse(name, Some(identity), &refusal, now_ns);
                self.detach(&name);
            }
        }
    }

    fn detach(&mut self, name: &SegmentName) {
        if let Some(known) = self.known.get_mut(name) {
            known.is_attached = false;
        }
    }
}
