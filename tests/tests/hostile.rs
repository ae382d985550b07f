//! Files that lie, beside a producer that does not.
#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringmeter_layout::naming::SegmentName;
use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::process::wait_until;
use ringmeter_tests::random::Random;
use ringmeter_tests::worker::Worker;

const QUARANTINED: &str = "ringmeter_segments_quarantined";

/// The bytes of a segment that a real producer left.
fn honest_bytes(scenario: &str) -> Vec<u8> {
    let directory = Directory::new();
    let mut worker = Worker::start(directory.path(), scenario);
    worker.wait_until_done();
    let path = directory.segments().pop().expect("a segment");
    std::fs::read(path).expect("read the segment")
}

/// Gives bytes an id and a name of their own.
fn plant(directory: &Path, bytes: &mut [u8], number: u64) -> PathBuf {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    if let Some(place) = bytes.get_mut(80..96) {
        place.copy_from_slice(&id);
    }
    let name = SegmentName::new("worker", id).expect("a name");
    let path = directory.join("segments").join(name.segment_file().as_str());
    std::fs::write(&path, &*bytes).expect("plant a segment");
    path
}

fn rss_bytes(process_id: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process_id}/status")).expect("status");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib * 1024
}

#[test]
fn damaged_segments_are_refused_with_a_reason_and_harm_nobody() {
    let mut random = Random::seeded("damaged segments");
    let original = honest_bytes("observe --times 5000 --threads 2");
    let directory = Directory::new();
    let mut agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "count --times 1000");
    worker.wait_until_done();
    let mut expected = 1000.0;
    for number in 0..300_u64 {
        let mut bytes = original.clone();
        match number % 3 {
            0 => bytes.truncate(random.below(original.len())),
            1 => {
                for _ in 0..=random.below(20) {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 << random.below(8);
                }
            }
            _ => {
                // Damage where it is read first: header, live words, control lines, definitions.
                for _ in 0..=random.below(8) {
                    let at = random.below(140_000.min(bytes.len()));
                    bytes[at] = u8::try_from(random.below(256)).expect("a byte");
                }
            }
        }
        plant(directory.path(), &mut bytes, number);
        if number % 10 == 0 {
            worker.send("count 100");
            worker.wait_until_done();
            expected += 100.0;
            assert_eq!(agent.scrape().value("worker_count_total"), expected, "after {number}");
        }
    }
    wait_until("damage is shown", Duration::from_secs(10), || {
        agent.scrape().sum(QUARANTINED) > 50.0
    });
    let scrape = agent.scrape();
    let reasons: Vec<&str> = scrape.of(QUARANTINED).map(|(series, _)| series).collect();
    println!("{reasons:?}");
    assert!(reasons.iter().all(|series| series.contains("reason=")), "{reasons:?}");
    assert_eq!(scrape.value("worker_count_total"), expected);
    let rss = rss_bytes(agent.process().id());
    println!("resident: {rss} bytes");
    assert!(rss < 256 << 20, "{rss} bytes resident");
}

#[test]
fn random_bytes_and_things_that_are_no_files_are_passed_over() {
    let mut random = Random::seeded("random bytes");
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "count --times 1000");
    worker.wait_until_done();
    let segments = directory.path().join("segments");
    for number in 0..100_u64 {
        let length = random.below(200_000);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.next().to_le_bytes()[0]).collect();
        plant(directory.path(), &mut bytes, number);
    }
    let name = |byte: u8| {
        let name = SegmentName::new("worker", [byte; 16]).expect("a name");
        segments.join(name.segment_file().as_str())
    };
    symlink("/dev/zero", name(1)).expect("a link to an endless device");
    symlink(directory.segments().pop().expect("a segment"), name(2)).expect("a link");
    std::fs::create_dir(name(3)).expect("a directory");
    nix::unistd::mkfifo(&name(4), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let sparse = std::fs::File::create(name(5)).expect("a file");
    sparse.set_len(1 << 40).expect("a hole of a tebibyte");
    std::fs::write(segments.join("not a segment.seg"), b"x").expect("a bad name");
    std::fs::write(segments.join("..seg"), b"x").expect("a bad name");
    worker.send("count 500");
    worker.wait_until_done();
    let scrape = agent.scrape();
    assert_eq!(scrape.value("worker_count_total"), 1500.0);
    wait_until("refusals are shown", Duration::from_secs(5), || {
        agent.scrape().sum(QUARANTINED) >= 100.0
    });
}

#[test]
fn a_producer_that_rewrites_its_segment_under_the_agent_harms_only_itself() {
    let mut random = Random::seeded("rewriting");
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut liar = Worker::start(directory.path(), "observe --times 1000");
    liar.wait_until_done();
    let path = directory.segments().pop().expect("the liar's segment");
    let mut honest = Worker::start(directory.path(), "count --times 1000");
    honest.wait_until_done();
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("open as the liar");
    for round in 1..=200_u32 {
        let bytes = random.next().to_le_bytes();
        let at = random.below(usize::try_from(400_000).expect("fits")) / 8 * 8;
        std::os::unix::fs::FileExt::write_at(&file, &bytes, at as u64).expect("lie");
        if round % 20 == 0 {
            honest.send("count 50");
            honest.wait_until_done();
            let expected = 1000.0 + f64::from(round / 20) * 50.0;
            assert_eq!(agent.scrape().value("worker_count_total"), expected, "round {round}");
        }
    }
    file.set_len(1000).expect("cut the file off");
    honest.send("count 50");
    honest.wait_until_done();
    assert_eq!(agent.scrape().value("worker_count_total"), 1550.0);
    wait_until("the quarantine is shown", Duration::from_secs(5), || {
        agent.scrape().sum(QUARANTINED) >= 1.0
    });
}

/// Runs the program of `make hostile`; says whether it succeeded, and what it printed.
#[expect(clippy::print_stdout, reason = "the line is the result")]
fn hostile(arguments: &[&str]) -> (bool, String) {
    let output = std::process::Command::new(ringmeter_tests::process::binary("hostile"))
        .arg("run")
        .args(arguments)
        .output()
        .expect("run the hostile program");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn honest_totals_stay_exact_under_every_attack() {
    let (is_good, text) = hostile(&["--seconds", "6"]);
    assert!(is_good && text.contains("\nhostile: ") && text.contains("problems=0"), "{text}");
}

#[test]
fn the_hostile_program_notices_a_call_that_is_missing() {
    let (is_good, text) = hostile(&["--seconds", "3", "--withhold", "1"]);
    assert!(!is_good && text.contains("honest totals: integer"), "{text}");
}
