//! CUDA's libraries, found when they are first needed and not when the program starts.
//!
//! cudarc 0.9 links against the driver, cuBLAS and the run-time compiler, and a program that names a library that is not there does not
//! start at all: not on a machine without a GPU, where it would compute on the processor, and not to say what is missing. So every
//! function that cudarc calls is defined here, as a jump through a table. The linker takes these definitions and, since nothing
//! else is wanted of the libraries, does not name them in the program. [`load`] opens them and fills the table; before that every
//! function returns an error. A function that is not in the list still comes from its library, which the program then names as before:
//! the list is that of `nm -D --undefined-only` on a program without this file.

#![expect(
    unsafe_code,
    reason = "the functions of C libraries are defined, found and jumped to here"
)]

use crate::nn::NnError;
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A library: the names of its file, the newest first, and its functions with their places in the table.
struct Library {
    files: &'static [&'static str],
    functions: &'static [(usize, &'static CStr)],
    hint: &'static str,
}

/// Where a CUDA toolkit is when the loader does not know it.
const FOLDERS: [&str; 2] = ["", "/usr/local/cuda/lib64/"];

const COUNT: usize = 50;

/// What each function jumps to.
static TABLE: [AtomicPtr<c_void>; COUNT] = {
    let mut table = [const { AtomicPtr::new(std::ptr::null_mut()) }; COUNT];
    let mut at = 0;
    while at < COUNT {
        table[at] = AtomicPtr::new(missing as *mut c_void);
        at += 1;
    }
    table
};

/// In the place of every function of a library that is not open: `CUDA_ERROR_STUB_LIBRARY`, which is no success in cuBLAS or
/// the compiler either.
extern "C" fn missing() -> i32 {
    34
}

macro_rules! jumps {
    ($($library:ident: $files:expr, $hint:literal, { $($place:literal $name:ident,)+ })+) => {
        $(
            $(
                #[cfg(target_arch = "x86_64")]
                std::arch::global_asm!(
                    concat!(".globl ", stringify!($name)),
                    concat!(".type ", stringify!($name), ",@function"),
                    concat!(stringify!($name), ":"),
                    concat!("jmp qword ptr [rip + {table} + 8 * ", $place, "]"),
                    table = sym TABLE,
                );
                #[cfg(target_arch = "aarch64")]
                std::arch::global_asm!(
                    concat!(".globl ", stringify!($name)),
                    concat!(".type ", stringify!($name), ",%function"),
                    concat!(stringify!($name), ":"),
                    concat!("adrp x16, {table} + 8 * ", $place),
                    concat!("ldr x16, [x16, :lo12:{table} + 8 * ", $place, "]"),
                    "br x16",
                    table = sym TABLE,
                );
            )+
            const $library: Library = Library {
                files: $files,
                functions: &[$(($place, {
                    const NAME: &str = concat!(stringify!($name), "\0");
                    match CStr::from_bytes_with_nul(NAME.as_bytes()) {
                        Ok(name) => name,
                        Err(_) => unreachable!(),
                    }
                }),)+],
                hint: $hint,
            };
        )+
    };
}

jumps! {
    DRIVER: &["libcuda.so.1"], "the NVIDIA driver is not installed here", {
        0 cuCtxSetCurrent,
        1 cuDeviceGet,
        2 cuDeviceGetAttribute,
        3 cuDeviceGetCount,
        4 cuDeviceGetDefaultMemPool,
        5 cuDeviceGetName,
        6 cuDevicePrimaryCtxRelease_v2,
        7 cuDevicePrimaryCtxRetain,
        8 cuDeviceTotalMem_v2,
        9 cuDriverGetVersion,
        10 cuEventCreate,
        11 cuEventDestroy_v2,
        12 cuEventRecord,
        13 cuGetErrorString,
        14 cuInit,
        15 cuLaunchKernel,
        16 cuMemAllocAsync,
        17 cuMemAlloc_v2,
        18 cuMemFreeAsync,
        19 cuMemFree_v2,
        20 cuMemPoolGetAttribute,
        21 cuMemPoolSetAttribute,
        22 cuMemcpyDtoDAsync_v2,
        23 cuMemcpyDtoD_v2,
        24 cuMemcpyDtoHAsync_v2,
        25 cuMemcpyDtoH_v2,
        26 cuMemcpyHtoDAsync_v2,
        27 cuMemcpyHtoD_v2,
        28 cuMemsetD8Async,
        29 cuMemsetD8_v2,
        30 cuModuleGetFunction,
        31 cuModuleLoad,
        32 cuModuleLoadData,
        33 cuModuleUnload,
        34 cuStreamCreate,
        35 cuStreamDestroy_v2,
        36 cuStreamSynchronize,
        37 cuStreamWaitEvent,
    }
    CUBLAS: &["libcublas.so.13", "libcublas.so.12", "libcublas.so.11"],
        "cuBLAS, a part of the CUDA toolkit, is not found; name its folder in LD_LIBRARY_PATH", {
        38 cublasCreate_v2,
        39 cublasDestroy_v2,
        40 cublasSetStream_v2,
        41 cublasSgemmStridedBatched,
        42 cublasSgemm_v2,
    }
    NVRTC: &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"],
        "NVRTC, a part of the CUDA toolkit, is not found; name its folder in LD_LIBRARY_PATH", {
        43 nvrtcCompileProgram,
        44 nvrtcCreateProgram,
        45 nvrtcDestroyProgram,
        46 nvrtcGetPTX,
        47 nvrtcGetPTXSize,
        48 nvrtcGetProgramLog,
        49 nvrtcGetProgramLogSize,
    }
}

/// Opens the libraries, once.
pub(super) fn load() -> Result<(), NnError> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED
        .get_or_init(|| [DRIVER, CUBLAS, NVRTC].iter().try_for_each(open))
        .clone()
        .map_err(|message| NnError::NoDevice {
            name: "cuda".to_owned(),
            message,
        })
}

fn open(library: &Library) -> Result<(), String> {
    let mut told = String::new();
    for folder in FOLDERS {
        for file in library.files {
            let Ok(path) = CString::new(format!("{folder}{file}")) else {
                continue;
            };
            // SAFETY: the path ends with a zero. What a library does when it is loaded is its own; these are NVIDIA's.
            let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
            if handle.is_null() {
                if told.is_empty() {
                    told = last_error();
                }
                continue;
            }
            for &(place, name) in library.functions {
                // SAFETY: `handle` is an open library, never closed, and the name ends with a zero.
                let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
                if found.is_null() {
                    return Err(format!(
                        "cannot be used: `{file}` has no `{}`; it is older than this program",
                        name.to_string_lossy()
                    ));
                }
                TABLE[place].store(found, Ordering::Release);
            }
            return Ok(());
        }
    }
    Err(format!("cannot be used: {} ({told})", library.hint))
}

fn last_error() -> String {
    // SAFETY: `dlerror` gives null or a text that ends with a zero and lives until the next call in this thread.
    let message: *const c_char = unsafe { libc::dlerror() };
    if message.is_null() {
        return String::new();
    }
    // SAFETY: as above.
    let message = unsafe { CStr::from_ptr(message) };
    message.to_string_lossy().into_owned()
}
