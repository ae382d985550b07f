#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| ringmeter_tests::fuzz::config(text));
