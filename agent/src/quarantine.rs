//! Why the agent refuses a segment. Its other files are not affected.

use std::io;

use ringmeter_layout::definition::DefinitionError;
use ringmeter_layout::file::OpenError;
use ringmeter_layout::segment::SegmentError;

/// Why a segment is not read, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The file cannot be opened; tried again at every listing.
    Open,
    /// It is no plain file with one name.
    NotRegular,
    /// The file ends before its contents do.
    Short,
    /// The system cannot read it; tried again at every visit.
    Io,
    /// A layout that this agent does not know.
    Version,
    /// The header is none.
    Header,
    /// The header carries another id or service than the file's name.
    Name,
    /// Another service has the directory; tried again when that is gone.
    OtherService,
    /// The live words or the chunk table are wrong.
    Chunks,
    /// A lane is not where it may be.
    Lanes,
    /// A tail went back, or further than its lane is long.
    Tail,
    /// A definition is wrong.
    Definitions,
    /// Its definitions take more memory than one segment may.
    Memory,
    /// The ack file cannot be made; tried again at every listing.
    Ack,
    /// Others have the memory that its definitions need; it goes on as soon as there is some, and
    /// counts into its cells until then.
    Starved,
    /// Reading it made the agent panic, which is a bug.
    Panic,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 16] = [
        Self::Open,
        Self::NotRegular,
        Self::Short,
        Self::Io,
        Self::Version,
        Self::Header,
        Self::Name,
        Self::OtherService,
        Self::Chunks,
        Self::Lanes,
        Self::Tail,
        Self::Definitions,
        Self::Memory,
        Self::Ack,
        Self::Starved,
        Self::Panic,
    ];

    /// The reason as a label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::NotRegular => "not_regular",
            Self::Short => "short",
            Self::Io => "io",
            Self::Version => "version",
            Self::Header => "header",
            Self::Name => "name",
            Self::OtherService => "other_service",
            Self::Chunks => "chunks",
            Self::Lanes => "lanes",
            Self::Tail => "tail",
            Self::Definitions => "definitions",
            Self::Memory => "memory",
            Self::Ack => "ack",
            Self::Starved => "starved",
            Self::Panic => "panic",
        }
    }

    /// Whether the same file may be good at a later time.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Open | Self::Io | Self::Ack)
    }
}

/// What is missing where the agent may not read a segment.
const NO_GROUP: &str = "; the agent has to be in the file's group, which is the setgid \
                        directory's: give app and agent a group in common (in Kubernetes one \
                        fsGroup)";

/// Names in a file may be long, and the log has to stay small.
const DETAIL_MAX_BYTES: usize = 240;

/// A refusal: the reason, and the particulars for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// What exactly is wrong.
    pub detail: String,
}

impl Refusal {
    /// A refusal for `reason`.
    pub fn new(reason: Reason, detail: impl ToString) -> Self {
        let mut detail = detail.to_string();
        if detail.len() > DETAIL_MAX_BYTES {
            let is_end = |at: &usize| detail.is_char_boundary(*at);
            detail.truncate((0..=DETAIL_MAX_BYTES).rev().find(is_end).unwrap_or(0));
            detail.push('…');
        }
        Self { reason, detail }
    }

    /// A segment of another service than the one that has the directory. It says all that can be
    /// done, whole: both names are bounded.
    pub fn of_other_service(service: &str, is_running: bool, other: &str) -> Self {
        let idle = if is_running { "" } else { " (no process of it is running)" };
        let detail = format!(
            "if {service}, whose totals this agent keeps{idle}, is no more: stop the agent and \
             remove its ledger (agent/ledger in the directory, unless --ledger.path says where); \
             else give {other} a RINGMETER_DIR and an agent of its own, or both the same \
             RINGMETER_SERVICE, or set service_label in the agent's configuration"
        );
        Self { reason: Reason::OtherService, detail }
    }

    /// A read that failed.
    pub fn of_read(error: &io::Error) -> Self {
        let is_short = error.kind() == io::ErrorKind::UnexpectedEof;
        Self::new(if is_short { Reason::Short } else { Reason::Io }, error)
    }

    /// A header that is none.
    pub fn of_header(error: &SegmentError) -> Self {
        let reason = match error {
            SegmentError::Version { .. } | SegmentError::Features { .. } => Reason::Version,
            SegmentError::Short { .. } => Reason::Short,
            _ => Reason::Header,
        };
        Self::new(reason, error)
    }

    /// A file that was not opened.
    pub fn of_open(error: &OpenError) -> Self {
        let reason = match error {
            // A symbolic link, which is not followed.
            OpenError::Io(io) if io.raw_os_error() == Some(nix::libc::ELOOP) => Reason::NotRegular,
            OpenError::Io(_) => Reason::Open,
            OpenError::NotRegular | OpenError::Linked { .. } => Reason::NotRegular,
        };
        let is_denied =
            matches!(error, OpenError::Io(io) if io.kind() == io::ErrorKind::PermissionDenied);
        let advice = if is_denied { NO_GROUP } else { "" };
        Self::new(reason, format!("{error}{advice}"))
    }
}

impl From<DefinitionError> for Refusal {
    fn from(error: DefinitionError) -> Self {
        Self::new(Reason::Definitions, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_is_said_and_never_cut() {
        let (longest, other) = ("s".repeat(64), "o".repeat(64));
        for is_running in [true, false] {
            let detail = Refusal::of_other_service(&longest, is_running, &other).detail;
            for part in [&*longest, &*other, "agent/ledger", "service_label in the agent's conf"] {
                assert!(detail.contains(part), "{part} in {detail}");
            }
            assert_eq!(detail.contains("no process of it is running"), !is_running);
            assert!(detail.ends_with("configuration") && detail.len() < 500, "{}", detail.len());
        }
        let denied = OpenError::Io(io::Error::from_raw_os_error(nix::libc::EACCES));
        let refusal = Refusal::of_open(&denied);
        assert_eq!(refusal.reason, Reason::Open);
        assert!(refusal.detail.ends_with("(in Kubernetes one fsGroup)"), "{}", refusal.detail);
        let missing = OpenError::Io(io::Error::from_raw_os_error(nix::libc::ENOENT));
        assert!(!Refusal::of_open(&missing).detail.contains("group"));
        let cut = Refusal::new(Reason::Name, "n".repeat(500)).detail;
        assert!(cut.ends_with('…') && cut.len() < 250, "what a file says is cut");
    }
}
