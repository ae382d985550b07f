#![no_main]

libfuzzer_sys::fuzz_target!(|recipe: &[u8]| ringmeter_tests::fuzz::ledger(recipe));
