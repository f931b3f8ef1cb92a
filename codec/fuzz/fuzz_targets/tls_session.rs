#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crossring::tls::fuzzing::fuzz_server_session(data));
