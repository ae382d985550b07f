//! Writes the golden files of the current layouts into `tests/fixtures/`.

use ringmeter_tests::{golden, ledger};

fn main() -> std::io::Result<()> {
    std::fs::write(golden::path(golden::SEGMENT_FILE), golden::segment())?;
    std::fs::write(golden::path(golden::ACK_FILE), golden::ack())?;
    let (bytes, journal) = ledger::golden();
    std::fs::write(golden::path(ledger::LEDGER_FILE), bytes)?;
    std::fs::write(golden::path(ledger::JOURNAL_FILE), journal)?;
    let (bytes, journal) = ledger::golden_expired();
    std::fs::write(golden::path(ledger::EXPIRED_LEDGER_FILE), bytes)?;
    std::fs::write(golden::path(ledger::EXPIRED_JOURNAL_FILE), journal)?;
    let (bytes, journal) = ledger::golden_starts();
    std::fs::write(golden::path(ledger::STARTS_LEDGER_FILE), bytes)?;
    std::fs::write(golden::path(ledger::STARTS_JOURNAL_FILE), journal)
}
