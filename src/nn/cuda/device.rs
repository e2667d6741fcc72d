//! Opening a CUDA device, and what can be known about it.

use crate::nn::NnError;
use crate::nn::device::{Device, note_use};
use cudarc::driver::{DriverError, result, sys};
use dfdx::tensor::Cuda;
use std::ffi::CStr;

/// A CUDA device.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CudaDevice {
    /// Its place among those that CUDA shows, from 0.
    pub ordinal: usize,
    /// For instance `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Memory in all, in bytes.
    pub memory: u64,
    /// For instance 9.0.
    pub compute_capability: String,
    /// The newest CUDA version that the driver knows, for instance 13.0.
    pub driver: String,
}

/// How many devices CUDA shows to this process; at least one. Takes no memory of theirs.
///
/// # Errors
/// [`NnError::NoDevice`] when a library is missing or the driver refuses.
pub fn count() -> Result<usize, NnError> {
    super::libraries::load()?;
    // dfdx and cudarc unwrap these, so they are asked first.
    result::init().map_err(|error| no_driver(&error))?;
    let count = result::device::get_count().map_err(|error| no_driver(&error))?;
    match usize::try_from(count) {
        Ok(0) | Err(_) => Err(no_driver(&DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE))),
        Ok(count) => Ok(count),
    }
}

/// Opens a device for dfdx.
///
/// # Errors
/// [`NnError::NoDevice`] when a library is missing, the driver refuses, or there are fewer devices.
pub fn open(ordinal: usize) -> Result<(Cuda, CudaDevice), NnError> {
    let count = count()?;
    if ordinal >= count {
        return Err(NnError::NoDevice {
            name: format!("cuda:{ordinal}"),
            message: format!("is not there: the driver shows {count} to this process"),
        });
    }
    let seen = describe(ordinal).map_err(|error| no_driver(&error))?;
    let device = Cuda::try_build(ordinal, 0).map_err(NnError::device)?;
    keep_freed(ordinal).map_err(|error| no_driver(&error))?;
    note_use(format!("{}: {}", Device::Cuda(ordinal), seen.name));
    Ok((device, seen))
}

fn no_driver(error: &DriverError) -> NnError {
    let hint = match error.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => "no NVIDIA GPU is visible to this process",
        sys::CUresult::CUDA_ERROR_STUB_LIBRARY => {
            "the NVIDIA driver (`libcuda.so.1`) is not installed here"
        }
        sys::CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
            "the driver's library and its kernel module differ; restart the machine"
        }
        _ => "the NVIDIA driver refused",
    };
    NnError::NoDevice {
        name: "cuda".to_owned(),
        message: format!("cannot be used: {hint} ({:?})", error.0),
    }
}

fn describe(ordinal: usize) -> Result<CudaDevice, DriverError> {
    use sys::CUdevice_attribute_enum::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
    };
    let device = result::device::get(ordinal as i32)?;
    let mut name = [0; 128];
    let mut driver = 0;
    // SAFETY: `device` is one that the driver gave, `name` has the length that is said, and `driver` is a place for one number.
    #[expect(unsafe_code, reason = "cudarc has no safe names for these")]
    let (memory, major, minor) = unsafe {
        sys::cuDeviceGetName(name.as_mut_ptr(), name.len() as i32, device).result()?;
        sys::cuDriverGetVersion(&raw mut driver).result()?;
        (
            result::device::total_mem(device)?,
            result::device::get_attribute(device, MAJOR)?,
            result::device::get_attribute(device, MINOR)?,
        )
    };
    let bytes = name.map(|letter| letter as u8);
    let name = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    Ok(CudaDevice {
        ordinal,
        name: name.to_string_lossy().into_owned(),
        memory: memory as u64,
        compute_capability: format!("{major}.{minor}"),
        driver: format!("{}.{}", driver / 1000, driver % 1000 / 10),
    })
}

/// Makes the driver keep freed memory for the next step instead of giving it back whenever the host waits for the device.
///
/// dfdx allocates and frees every intermediate result from the device's default pool.
fn keep_freed(ordinal: usize) -> Result<(), DriverError> {
    let device = result::device::get(ordinal as i32)?;
    let mut pool = std::ptr::null_mut();
    let mut everything = u64::MAX;
    // SAFETY: `device` is one that the driver gave; `pool` and `everything` are places of the types that CUDA documents for these calls.
    #[expect(unsafe_code, reason = "cudarc has no safe names for these")]
    unsafe {
        let pools = result::device::get_attribute(
            device,
            sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED,
        )?;
        if pools == 0 {
            return Ok(());
        }
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, device).result()?;
        sys::cuMemPoolSetAttribute(
            pool,
            sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            (&raw mut everything).cast(),
        )
        .result()
    }
}

/// The most memory in use on a device since it was opened or [`reset_peak`], in bytes, as the default pool counts it; `None` where
/// the device has no pools.
pub fn peak_memory(ordinal: usize) -> Result<Option<u64>, NnError> {
    let peak = || -> Result<Option<u64>, DriverError> {
        let device = result::device::get(ordinal as i32)?;
        let mut pool = std::ptr::null_mut();
        let mut peak = 0_u64;
        // SAFETY: as in `keep_freed`.
        #[expect(unsafe_code, reason = "cudarc has no safe names for these")]
        unsafe {
            if sys::cuDeviceGetDefaultMemPool(&raw mut pool, device)
                .result()
                .is_err()
            {
                return Ok(None);
            }
            sys::cuMemPoolGetAttribute(
                pool,
                sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
                (&raw mut peak).cast(),
            )
            .result()?;
        }
        Ok(Some(peak))
    };
    peak().map_err(NnError::device)
}

/// Starts [`peak_memory`] again from what is in use now.
pub fn reset_peak(ordinal: usize) -> Result<(), NnError> {
    let reset = || -> Result<(), DriverError> {
        let device = result::device::get(ordinal as i32)?;
        let mut pool = std::ptr::null_mut();
        let mut zero = 0_u64;
        // SAFETY: as in `keep_freed`; zero is the only value that CUDA takes here.
        #[expect(unsafe_code, reason = "cudarc has no safe names for these")]
        unsafe {
            if sys::cuDeviceGetDefaultMemPool(&raw mut pool, device)
                .result()
                .is_err()
            {
                return Ok(());
            }
            sys::cuMemPoolSetAttribute(
                pool,
                sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
                (&raw mut zero).cast(),
            )
            .result()
        }
    };
    reset().map_err(NnError::device)
}
