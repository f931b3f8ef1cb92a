#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crossring_codec::transport::fuzzing::fuzz_websocket_deflate_client(data));
