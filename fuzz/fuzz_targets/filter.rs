#![no_main]
libfuzzer_sys::fuzz_target!(
    |data: &[u8]| queenright_properties::filter::any_query_over_any_row(data)
);
