//! A pass over the segments: a step of each after the other, so that none keeps others waiting.
//!
//! A segment may have a number of records read in a pass, and in a second. What it has published
//! beyond that waits in its lanes; when they are full, its app adds to cells, which are read once
//! the rest is. How far a pass is to read a lane is asked anew only when all of it was read up to
//! there; so a producer that appends faster than it is read gets its turn of cells and gauges, too.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::commit::RETRY_NS;
use super::{PassReport, Pipeline, Scope};
use crate::broken::{self, Break};
use crate::context::{Buffers, Context};
use crate::limits::Limits;
use crate::quarantine::{Reason, Refusal};
use crate::segment::{Phase, Segment};

/// A segment that is due so soon is visited with those that are.
const DUE_SLACK_NS: u64 = 50_000;
/// What is served and not committed may be this old: in broken builds only.
const LATE_NS: u64 = 300_000_000;
/// A scrape waits for more definitions than another pass reads: they are what it shows.
const DEFINING_FACTOR: u64 = 4;
/// How often it is looked for series whose time is over, which takes about 1 ms.
const EXPIRY_INTERVAL_NS: u64 = 1_000_000_000;
/// A pass of what is due begins no further step after this. Lanes of which it has read what it
/// found at its beginning go on filling: at a million records a second the usual one is full after
/// 4 ms. And whom this thread has woken may wait for its processor until it sleeps, or until the
/// scheduler's next tick.
const ROUNDS_MAX_NS: u64 = 1_000_000;
/// A segment that others leave no memory for is visited again after this.
const STARVED_NAP_NS: u64 = 1_000_000_000;

/// One segment in a pass.
struct Visit {
    index: usize,
    fill: f64,
    refusal: Option<Refusal>,
    /// Whether it is read up to where an earlier pass found it.
    is_stale: bool,
    /// Whether it may have more time for a scrape, which is over with its definitions.
    is_defining: bool,
    /// Whether its cells had to wait because the pass' time was over.
    is_put_off: bool,
}

/// Runs a step of a segment; a panic in it ends the segment and not the agent.
fn guarded<S>(
    segment: &mut S,
    context: &mut Context<'_>,
    step: impl FnOnce(&mut S, &mut Context<'_>) -> Result<(), Refusal>,
) -> Option<Refusal> {
    // What the step leaves half done is the segment's own, and the buffers, which are replaced.
    match catch_unwind(AssertUnwindSafe(|| step(segment, context))) {
        Ok(result) => result.err(),
        Err(_) => {
            *context.buffers = Buffers::new(context.limits);
            context.counts.panics = context.counts.panics.saturating_add(1);
            Some(Refusal::new(Reason::Panic, "a bug in the agent; please report it"))
        }
    }
}

/// How much of a segment's lanes a scrape waits for: all that it has published, or if that is more
/// than a scrape may read, as good as nothing. It is not whole then in any case, and everybody
/// would wait for a part that says nothing.
fn limit_for_scrape(segment: &mut Segment, published: u64, limits: &Limits) {
    let is_too_much = published > limits.records_per_scrape;
    segment.pace.limit(if is_too_much {
        limits.records_per_round
    } else {
        limits.records_per_scrape
    });
}

impl Pipeline {
    /// Reads segments, a step of each after the other, until all that may be read is, or the time
    /// is over.
    pub fn pass(&mut self, scope: Scope, clock: &impl Fn() -> u64) -> PassReport {
        self.pass_unless(scope, clock, &|| false)
    }

    /// As [`pass`](Self::pass), and begins no further step once the time `is_wanted` for something
    /// else.
    pub fn pass_unless(
        &mut self,
        scope: Scope,
        clock: &impl Fn() -> u64,
        is_wanted: &impl Fn() -> bool,
    ) -> PassReport {
        let begin_ns = clock();
        if self.is_stuck() && !self.retry() {
            return PassReport { is_complete: false, next_ns: begin_ns.saturating_add(RETRY_NS) };
        }
        let limit_ns = match scope {
            Scope::Due => self.limits.pass_duration_max_ns,
            Scope::All | Scope::Start => self.limits.scrape_duration_max_ns,
        };
        let deadline_ns = begin_ns.saturating_add(limit_ns);
        let mut visits = self.begin(scope, begin_ns);
        // From here on: many segments can take longer to look at.
        let rounds_max_ns = match scope {
            Scope::Due => ROUNDS_MAX_NS.max(self.timing.commit_ns),
            Scope::All | Scope::Start => limit_ns,
        };
        let over_ns = deadline_ns.min(clock().saturating_add(rounds_max_ns));
        self.rounds(scope, &mut visits, clock, over_ns, is_wanted);
        let is_complete = self.end(scope, &mut visits, deadline_ns, clock);
        // Those that wait for memory have not said yet which series are theirs.
        let is_starved = self.segments.iter().any(|own| own.definitions.was_starved());
        if is_complete && self.is_listed && !is_starved {
            self.aggregate.registry().settle();
        }
        self.tell_conflicts(clock());
        self.settle(visits, clock());
        self.expire(clock());
        self.timing.passes = self.timing.passes.saturating_add(1);
        let commit_ns = clock();
        let written_before = self.ledger.written_bytes();
        let is_late = broken::is(Break::ServeUncommitted) && commit_ns < self.late_until_ns;
        let is_committed = is_late || self.commit(scope);
        if !is_late {
            self.late_until_ns = commit_ns.saturating_add(LATE_NS);
        }
        let end_ns = clock();
        self.timing.commit_bytes = self.ledger.written_bytes().saturating_sub(written_before);
        self.timing.commit_ns = end_ns.saturating_sub(commit_ns);
        self.note_timing(end_ns.saturating_sub(begin_ns));
        let dues = self.segments.iter().map(|segment| segment.pace.due_ns());
        let next_ns = dues.min().unwrap_or(u64::MAX);
        PassReport { is_complete: is_complete && is_committed, next_ns }
    }

    fn begin(&mut self, scope: Scope, now_ns: u64) -> Vec<Visit> {
        let Self { segments, aggregate, limits, buffers, counts, timing, .. } = self;
        (timing.lag_records, timing.lag_ns) = (0, 0);
        let mut visits = Vec::new();
        let is_waiting = |segment: &&mut Segment| {
            segment.definitions.was_starved() && segment.phase == Phase::Dying
        };
        // In turn: what is left may not be enough for the first.
        let waiting = segments.iter_mut().filter(is_waiting).count() as u64;
        let turn = timing.passes.checked_rem(waiting).and_then(|turn| usize::try_from(turn).ok());
        if let Some(segment) =
            turn.and_then(|turn| segments.iter_mut().filter(is_waiting).nth(turn))
        {
            segment.definitions.hurry();
        }
        for (index, segment) in segments.iter_mut().enumerate() {
            let is_due = scope != Scope::Due || segment.pace.due_ns() <= now_ns + DUE_SLACK_NS;
            if !is_due || segment.definitions.is_starved(now_ns) {
                continue;
            }
            let is_stale = !segment.is_caught_up() && !segment.definitions.was_starved();
            let mut context = Context { aggregate, limits, buffers, counts, now_ns };
            let refusal = if is_stale {
                segment.is_visited = true;
                None
            } else {
                guarded(segment, &mut context, Segment::begin)
            };
            let is_defining = scope != Scope::Due && !segment.definitions.is_complete();
            let factor = if is_defining { DEFINING_FACTOR } else { 1 };
            let per_pass = limits.records_per_pass.saturating_mul(factor);
            segment.pace.allow(per_pass, limits.records_per_second, now_ns);
            let refusal = match scope {
                Scope::All if refusal.is_none() && !is_defining => {
                    guarded(segment, &mut context, |segment, context| {
                        // What is published is known, unless it is that of an earlier pass.
                        let all =
                            if is_stale { segment.published(context)? } else { segment.backlog() };
                        limit_for_scrape(segment, all, context.limits);
                        Ok(())
                    })
                }
                _ => refusal,
            };
            let fill = segment.fill();
            timing.lag_records = timing.lag_records.saturating_add(segment.backlog());
            timing.fill_max = timing.fill_max.max(fill);
            if segment.backlog() > 0 {
                timing.lag_ns = timing.lag_ns.max(now_ns.saturating_sub(segment.visited_ns));
            }
            let is_defining = is_defining && scope == Scope::All;
            visits.push(Visit { index, fill, refusal, is_stale, is_defining, is_put_off: false });
        }
        visits
    }

    fn rounds(
        &mut self,
        scope: Scope,
        visits: &mut [Visit],
        clock: &impl Fn() -> u64,
        over_ns: u64,
        is_wanted: &impl Fn() -> bool,
    ) {
        let Self { segments, aggregate, limits, buffers, counts, next_serial, .. } = self;
        let serial = |visit: &Visit| segments.get(visit.index).map(|segment| segment.serial);
        // Where the last pass ended, lest those at the end come too short.
        let first = visits.iter().position(|visit| serial(visit) == Some(*next_serial));
        let (first, count) = (first.unwrap_or(0), visits.len());
        let mut is_begun = false;
        loop {
            let mut is_left = false;
            for number in 0..count {
                let Some(visit) = visits.get_mut((first + number) % count) else { continue };
                let Some(segment) = segments.get_mut(visit.index) else { continue };
                let now_ns = clock();
                let is_done = segment.is_caught_up() && !visit.is_stale;
                let has_to_wait =
                    segment.pace.allowance() == 0 || segment.definitions.is_starved(now_ns);
                if visit.refusal.is_some() || is_done || has_to_wait {
                    continue;
                }
                // At least one round, or a slow machine would read no records.
                if is_begun && now_ns > over_ns || is_wanted() {
                    *next_serial = segment.serial;
                    return;
                }
                is_begun = true;
                let mut context = Context { aggregate, limits, buffers, counts, now_ns };
                visit.refusal = if segment.is_caught_up() {
                    visit.is_stale = false;
                    let refusal = guarded(segment, &mut context, Segment::begin);
                    if scope == Scope::All && !segment.definitions.is_complete() {
                        // Published since the pass that left something.
                        visit.is_defining = true;
                        let per_pass = limits.records_per_pass.saturating_mul(DEFINING_FACTOR);
                        segment.pace.allow(per_pass, limits.records_per_second, now_ns);
                    }
                    refusal
                } else {
                    guarded(segment, &mut context, Segment::step)
                };
                if visit.is_defining && segment.definitions.is_complete() {
                    visit.is_defining = false;
                    limit_for_scrape(segment, segment.backlog(), limits);
                }
                is_left |= visit.refusal.is_none();
            }
            if !is_left {
                return;
            }
        }
    }

    /// Reads cells and gauges, and plans the next visits. What the time does not suffice for comes
    /// first in the next pass: a segment can make its cells large, but not keep others waiting.
    fn end(
        &mut self,
        scope: Scope,
        visits: &mut [Visit],
        deadline_ns: u64,
        clock: &impl Fn() -> u64,
    ) -> bool {
        let Self { segments, aggregate, limits, buffers, counts, turn, .. } = self;
        let mut is_complete = true;
        let count = visits.len();
        let first = turn.checked_rem(count).unwrap_or(0);
        for number in 0..count {
            let Some(visit) = visits.get_mut((first + number) % count) else { continue };
            let Some(segment) = segments.get_mut(visit.index) else { continue };
            if let Some(refusal) = &visit.refusal {
                is_complete &= !refusal.reason.is_passing();
                continue;
            }
            let now_ns = clock();
            if segment.definitions.is_starved(now_ns) {
                segment.pace.wait_until(now_ns.saturating_add(STARVED_NAP_NS));
                continue;
            }
            // At least one, or a slow machine would read none.
            if number > 0 && now_ns > deadline_ns {
                visit.is_put_off = true;
                segment.pace.hurry(now_ns);
                if is_complete {
                    *turn = first + number;
                }
                is_complete = false;
                continue;
            }
            let mut context = Context { aggregate, limits, buffers, counts, now_ns };
            let finish = |segment: &mut Segment, context: &mut Context<'_>| {
                segment.finish(scope != Scope::Due, context)
            };
            visit.refusal = guarded(segment, &mut context, finish);
            let slept_ns = now_ns.saturating_sub(segment.visited_ns);
            segment.visited_ns = now_ns;
            let is_caught_up = segment.is_caught_up() && !visit.is_stale;
            segment.pace.plan(visit.fill, slept_ns, is_caught_up, now_ns);
            is_complete &= is_caught_up;
        }
        is_complete
    }

    /// Parts with segments that were refused, and with those whose last record is in.
    fn settle(&mut self, visits: Vec<Visit>, now_ns: u64) {
        self.finalise_early();
        // From behind, because removal moves the last into the gap.
        for visit in visits.into_iter().rev() {
            let Some(segment) = self.segments.get_mut(visit.index) else { continue };
            if let Some(refusal) = visit.refusal.as_ref().filter(|r| r.reason.is_passing()) {
                // What was taken is marked, so a later visit goes on from there: to give the
                // segment up would leave out what its cells hold.
                let slept_ns = now_ns.saturating_sub(segment.visited_ns);
                segment.visited_ns = now_ns;
                segment.pace.plan(0.0, slept_ns, true, now_ns);
                let (name, identity) = (segment.name, segment.identity);
                self.refuse(name, Some(identity), refusal, now_ns);
            } else if let Some(refusal) = visit.refusal {
                // A tail that lies is not believed, so this is at most what the lanes hold.
                let lost = segment.backlog();
                self.counts.dropped = self.counts.dropped.saturating_add(lost);
                let mut segment = self.segments.swap_remove(visit.index);
                if refusal.reason == Reason::Panic {
                    // Some of it may be counted: it must not be read again after a restart.
                    segment.lanes.iter_mut().for_each(|lane| lane.position = lane.target);
                }
                self.refuse(segment.name, Some(segment.identity), &refusal, now_ns);
                self.leave(segment, false, now_ns);
            } else if segment.phase == Phase::Dying && segment.is_caught_up() && !visit.is_put_off {
                let segment = self.segments.swap_remove(visit.index);
                if self.log_limit.allows(now_ns) {
                    let name = segment.name.segment_file();
                    tracing::info!(segment = name.as_str(), "process ended, all taken");
                }
                self.refused.remove(&segment.name);
                self.leave(segment, true, now_ns);
            } else {
                self.refused.remove(&segment.name);
            }
        }
    }

    /// Asks for life when all has been read: in broken builds only. What a process records between
    /// that and its death is never read then.
    fn finalise_early(&mut self) {
        if broken::is(Break::FinaliseEarly) {
            broken::linger();
            for segment in &mut self.segments {
                if matches!(segment.source.is_alive(), Ok(false)) {
                    segment.phase = Phase::Dying;
                }
            }
        }
    }

    fn expire(&mut self, now_ns: u64) {
        if now_ns >= self.expiry_ns {
            self.expiry_ns = now_ns.saturating_add(EXPIRY_INTERVAL_NS);
            self.aggregate.expire(now_ns);
        }
    }

    fn note_timing(&mut self, pass_ns: u64) {
        let timing = &mut self.timing;
        timing.pass_ns = pass_ns;
        timing.pass_max_ns = timing.pass_max_ns.max(pass_ns);
        let naps = self.segments.iter().map(|segment| segment.pace.nap_ns());
        timing.nap_ns = naps.min().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Aggregate;
    use crate::context::Counts;

    #[test]
    fn a_panic_ends_the_segment_and_leaves_the_buffers_whole() {
        let limits = Limits::default();
        let (mut aggregate, mut buffers) = (Aggregate::new(limits.clone()), Buffers::new(&limits));
        let mut counts = Counts::default();
        let mut context = Context {
            aggregate: &mut aggregate,
            limits: &limits,
            buffers: &mut buffers,
            counts: &mut counts,
            now_ns: 1,
        };
        let refusal = guarded(&mut (), &mut context, |(), context| {
            context.buffers.words.clear();
            panic!("on purpose")
        });
        assert_eq!(refusal.map(|refusal| refusal.reason), Some(Reason::Panic));
        assert_eq!((counts.panics, buffers.words.is_empty()), (1, false));
    }
}
