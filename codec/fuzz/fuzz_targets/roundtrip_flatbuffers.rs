#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crossring_codec::fuzzing::roundtrip_flatbuffers(data));
