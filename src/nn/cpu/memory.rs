//! What the C library does with freed memory, and what the processor fetches in advance.

/// Numbers of a cache line.
pub(super) const LINE: usize = 16;

/// Keeps freed memory for the next step instead of giving it back to the system, from now on.
///
/// A step makes and frees its results in large pieces, hundreds of megabytes in training. By default each goes back to the system at once, and
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

/// Asks for the cache line of the numbers `distance` after `numbers`, which will be wanted soon. Any address will do.
#[inline(always)]
pub(super) fn fetch(numbers: *const f32, distance: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing: it may be of any address.
        #[expect(unsafe_code, reason = "there is no safe prefetch")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(numbers.wrapping_add(distance).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (numbers, distance);
}
