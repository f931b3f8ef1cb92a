#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crossring_codec::fuzzing::decode_flatbuffers(data));
