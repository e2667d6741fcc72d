//! See `ilm_pipe_fuzz::weights`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ilm_pipe_fuzz::weights(data));
