//! What the C library does with freed memory.

/// Keeps freed memory for the next step instead of giving it back to the system, from now on.
///
/// A training step makes and frees hundreds of megabytes in large pieces. By default each goes back to the system at once, and
/// the next step pays for mapping, clearing and faulting in the same pages again. Only glibc is told; others decide for themselves.
pub(in crate::nn) fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::sync::Once;
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            // SAFETY: `mallopt` may be called at any time; it takes the locks of the allocator. 32 MiB is the greatest threshold that it
            // takes; a refusal changes nothing but speed.
            #[expect(unsafe_code, reason = "the C library has no safe interface")]
            unsafe {
                libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
                libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
            }
        });
    }
}
