//! From a file name to an attached segment, or to the reason why not.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::OFlag;
use ringmeter_layout::ack::{AckHeader, SIZE_MAX_BYTES, STATE_FINAL, STATE_OFFSET_BYTES};
use ringmeter_layout::file::{self, Identity};
use ringmeter_layout::naming::SegmentName;
use ringmeter_layout::segment::{Geometry, LIVE_OFFSET_BYTES};

use crate::limits::Limits;
use crate::quarantine::{Reason, Refusal};
use crate::segment::{Attachment, Before, Kept, Segment};
use crate::source::AckSink;

/// A segment whose header is good, before it is decided whether to attach it.
pub struct Candidate {
    /// Name of its file.
    pub name: SegmentName,
    /// The file.
    pub identity: Identity,
    /// The header.
    pub geometry: Geometry,
    /// Whether its process lives.
    pub is_alive: bool,
    file: File,
    /// Its ack file, where whoever looked into the segment has opened that too.
    ack: Option<io::Result<(File, Ack)>>,
}

/// What the agent knows of a segment before it is attached.
#[derive(Debug)]
pub struct Memory {
    /// Counts attachments.
    pub serial: u64,
    /// Its number in the ledger.
    pub number: u32,
    /// What the ledger remembers of it.
    pub kept: Option<Box<Kept>>,
    /// Whether the ledger says that everything was taken.
    pub is_final: bool,
    /// The ledger that acks are to carry.
    pub ledger_id: [u8; 16],
}

/// What became of a candidate.
pub enum Attached {
    /// It is to be drained.
    Segment(Box<Segment>),
    /// An agent before this one took everything in it.
    Final(Identity),
}

/// The two directories.
#[derive(Debug, Clone)]
pub struct Files {
    segments: PathBuf,
    acks: PathBuf,
}

impl Files {
    /// The directory of segments, which need not exist yet, and that of acks.
    pub fn new(segments: PathBuf, acks: PathBuf) -> Self {
        Self { segments, acks }
    }

    /// The directory of segments.
    pub fn segments(&self) -> &Path {
        &self.segments
    }

    /// Which file has the name of a segment now.
    ///
    /// # Errors
    /// What the system says.
    pub fn identity(&self, name: &SegmentName) -> io::Result<Identity> {
        let metadata = fs::symlink_metadata(self.segments.join(name.segment_file()))?;
        Ok(Identity::of_metadata(&metadata))
    }

    /// Opens a segment and checks its header, whatever the file is.
    ///
    /// # Errors
    /// Why it is none that this agent reads.
    pub fn inspect(&self, name: &SegmentName) -> Result<Candidate, Refusal> {
        let file = file::open_foreign(&self.segments.join(name.segment_file()))
            .map_err(|error| Refusal::of_open(&error))?;
        let read = |error: io::Error| Refusal::of_read(&error);
        let identity = Identity::of(&file).map_err(read)?;
        let mut page = [0; LIVE_OFFSET_BYTES as usize];
        // PAIRS WITH: `version`: nothing else of a file is looked at before its version.
        file.read_exact_at(&mut page, 0).map_err(read)?;
        let geometry = Geometry::parse(&page).map_err(|error| Refusal::of_header(&error))?;
        if geometry.id != name.id() || geometry.service != name.service() {
            let detail = format!("the header is that of a segment of {}", geometry.service);
            return Err(Refusal::new(Reason::Name, detail));
        }
        // A query that fails says nothing, and the living are read.
        let is_alive = file::is_locked(&file).unwrap_or(true);
        Ok(Candidate { name: *name, identity, geometry, is_alive, file, ack: None })
    }

    /// Opens or makes the ack file of a candidate that will be attached, which may take long.
    pub fn open_ack(&self, candidate: &mut Candidate) {
        candidate.ack = Some(self.ack_of(&candidate.name, candidate.geometry.id));
    }

    fn ack_of(&self, name: &SegmentName, segment_id: [u8; 16]) -> io::Result<(File, Ack)> {
        open_ack(&self.acks.join(name.ack_file()), segment_id)
    }

    /// Attaches a candidate: opens or makes its ack file, unless that was done.
    ///
    /// # Errors
    /// When the ack file cannot be used.
    pub fn attach(
        &self,
        candidate: Candidate,
        memory: Memory,
        limits: &Limits,
        now_ns: u64,
    ) -> Result<Attached, Refusal> {
        let Candidate { name, identity, geometry, is_alive, file, ack } = candidate;
        let refuse = |error| Refusal::new(Reason::Ack, format!("ack file: {error}"));
        let ack = ack.unwrap_or_else(|| self.ack_of(&name, geometry.id));
        let (mut ack, found) = ack.map_err(refuse)?;
        let Memory { serial, number, kept, is_final, ledger_id } = memory;
        if is_final || matches!(&found, Ack::Whole(header, _) if header.state == STATE_FINAL) {
            // Committed, and perhaps not told.
            AckSink::write(&mut ack, STATE_OFFSET_BYTES, &STATE_FINAL.to_le_bytes())
                .map_err(refuse)?;
            return Ok(Attached::Final(identity));
        }
        let has_ledger_id =
            matches!(&found, Ack::Whole(header, _) if header.ledger_id == ledger_id);
        let before = before(found, kept.as_deref());
        let kept = kept.filter(|kept| !kept.needs_baseline);
        let late_after = Duration::from_nanos(limits.spill_late_after_ns);
        let age = age(geometry.created_unix_ns);
        let attachment = Attachment {
            name,
            identity,
            geometry,
            source: Box::new(file),
            ack: Box::new(ack),
            has_ledger_id,
            before,
            kept,
            number,
            is_old: age > late_after,
            is_alive,
        };
        Ok(Attached::Segment(Box::new(Segment::new(attachment, serial, now_ns))))
    }

    /// Removes a segment from which everything was taken, unless another file has its name now.
    ///
    /// # Errors
    /// What the system says, such as that the directory is read-only here.
    pub fn remove_segment(&self, name: &SegmentName, identity: Identity) -> io::Result<()> {
        match self.identity(name) {
            Ok(found) if found == identity => {
                fs::remove_file(self.segments.join(name.segment_file()))
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes an ack file whose segment is gone.
    ///
    /// # Errors
    /// What the system says; that there is none is no error.
    pub fn remove_ack(&self, name: &SegmentName) -> io::Result<()> {
        match fs::remove_file(self.acks.join(name.ack_file())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Every ack file that can be read, at most `limit`.
    ///
    /// # Errors
    /// What the system says.
    pub fn acks(&self, limit: usize) -> io::Result<Vec<(SegmentName, AckHeader, Vec<u64>)>> {
        let mut acks = Vec::new();
        for entry in fs::read_dir(&self.acks)?.take(limit) {
            let file_name = entry?.file_name();
            let name = file_name.to_str().and_then(|name| SegmentName::parse_ack(name).ok());
            let Some(name) = name else { continue };
            let Ok(file) = file::open_foreign(&self.acks.join(&file_name)) else { continue };
            let mut bytes = Vec::new();
            if file.take(SIZE_MAX_BYTES).read_to_end(&mut bytes).is_err() {
                continue;
            }
            if let Some((header, positions)) = parse_ack(&bytes, &name.id()) {
                acks.push((name, header, positions));
            }
        }
        Ok(acks)
    }
}

fn age(created_unix_ns: u64) -> Duration {
    let created = UNIX_EPOCH.checked_add(Duration::from_nanos(created_unix_ns));
    created.and_then(|created| SystemTime::now().duration_since(created).ok()).unwrap_or_default()
}

/// What an ack file held.
#[derive(Debug)]
enum Ack {
    /// Nothing; it was made.
    New,
    /// Head and positions.
    Whole(AckHeader, Vec<u64>),
    /// Bytes that are none; it was made anew.
    Broken,
}

/// What was taken before. The ledger knows best; without it, what was acked was taken.
fn before(ack: Ack, kept: Option<&Kept>) -> Before {
    match (kept, ack) {
        (Some(kept), _) if kept.needs_baseline => Before::Positions(kept.positions()),
        (Some(kept), _) => Before::Kept(kept.lanes.clone()),
        (None, Ack::New) => Before::Nothing,
        (None, Ack::Broken) => Before::Unknown,
        (None, Ack::Whole(header, positions)) => {
            // Made by an agent that ended before its first commit.
            let is_unused = header.ledger_id == [0; 16] && positions.iter().all(|at| *at == 0);
            if is_unused { Before::Nothing } else { Before::Positions(positions) }
        }
    }
}

/// Opens the ack file, or makes it.
fn open_ack(path: &Path, segment_id: [u8; 16]) -> io::Result<(File, Ack)> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(flags.bits())
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let length = usize::try_from(metadata.len().min(SIZE_MAX_BYTES)).unwrap_or(0);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    if let Some((header, positions)) = parse_ack(&bytes, &segment_id) {
        return Ok((file, Ack::Whole(header, positions)));
    }
    // The app reads it whatever the umask of this process is.
    file.set_permissions(Permissions::from_mode(0o644))?;
    let mut fresh = vec![0; usize::try_from(SIZE_MAX_BYTES).unwrap_or(0)];
    let header = AckHeader::new(segment_id, [0; 16]);
    let head = bytemuck::bytes_of(&header);
    if let Some(target) = fresh.get_mut(..head.len()) {
        target.copy_from_slice(head);
    }
    file.write_all_at(&fresh, 0)?;
    Ok((file, if length == 0 { Ack::New } else { Ack::Broken }))
}

fn parse_ack(bytes: &[u8], segment_id: &[u8; 16]) -> Option<(AckHeader, Vec<u64>)> {
    let header = AckHeader::parse(bytes, segment_id)?;
    let positions = bytes.get(size_of::<AckHeader>()..).unwrap_or_default();
    Some((header, positions.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect()))
}
