//! See `ilm_pipe_fuzz::openp5`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ilm_pipe_fuzz::openp5(data));
