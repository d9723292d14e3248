#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| queenright_properties::egress::request(data));
