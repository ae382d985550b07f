//! The limit of open descriptors: segments must not use up those that scrapes are answered with.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::limits::Limits;

/// The file and its ack.
const PER_SEGMENT: u64 = 2;
/// Connections (256 of scrapers, 16 of probes), listeners, the ledger, and what is open for a
/// moment.
const OTHERS: u64 = 320;

/// Raises the limit as far as the system lets us: 1024 are usual, too few for 1,024 segments.
pub fn raise() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, soft, hard, "cannot raise the limit of descriptors");
    }
}

/// Lowers the number of segments attached at once to what descriptors allow, and says so. The
/// others wait for their turn, and nothing of theirs is lost.
pub fn fit(limits: Limits) -> Limits {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) => fit_to(limits, soft),
        Err(_) => limits,
    }
}

fn fit_to(limits: Limits, descriptors: u64) -> Limits {
    let fitting = descriptors.saturating_sub(OTHERS.min(descriptors / 2)) / PER_SEGMENT;
    let fitting = usize::try_from(fitting).unwrap_or(usize::MAX).max(1);
    if fitting >= limits.segments_max {
        return limits;
    }
    let wanted = (limits.segments_max as u64).saturating_mul(PER_SEGMENT).saturating_add(OTHERS);
    tracing::warn!(
        descriptors,
        wanted,
        segments_max = fitting,
        "few descriptors: segments beyond this wait until others have left; raise RLIMIT_NOFILE \
         (`ulimit -n`, LimitNOFILE=) to read all at once"
    );
    Limits { segments_max: fitting, ..limits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_leave_descriptors_for_scrapes() {
        let fitted = |descriptors| fit_to(Limits::default(), descriptors).segments_max;
        assert_eq!(fitted(0), 1);
        assert_eq!(fitted(56), 14);
        assert_eq!(fitted(1024), 352);
        assert_eq!(fitted(1 << 20), Limits::default().segments_max);
        assert_eq!(fitted(u64::MAX), Limits::default().segments_max);
    }
}
