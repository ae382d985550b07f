//! Writes the golden files of the current layout into `tests/fixtures/`.

use ringmeter_tests::golden;

fn main() -> std::io::Result<()> {
    std::fs::write(golden::path(golden::SEGMENT_FILE), golden::segment())?;
    std::fs::write(golden::path(golden::ACK_FILE), golden::ack())
}
