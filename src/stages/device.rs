//! Running a stage on the device that it is given.

use super::StageError;

/// Runs an expression on the device of a context: the same code, once for each kind of device.
///
/// `on_device!(context, self.batch, |device| self.run_on(device, context))`: where a GPU has too little memory, the error names half of
/// the batch.
macro_rules! on_device {
    ($context:expr, $batch:expr, |$device:ident| $body:expr) => {
        match $crate::stages::device::parsed(&$context.device)? {
            $crate::nn::device::Device::Cpu => {
                let $device = &dfdx::tensor::Cpu::default();
                $body
            }
            #[cfg(feature = "cuda")]
            $crate::nn::device::Device::Cuda(ordinal) => {
                let opened = $crate::stages::device::cuda(ordinal)?;
                let $device = &opened;
                $crate::stages::device::guarded($batch, || $body)
            }
            #[cfg(not(feature = "cuda"))]
            $crate::nn::device::Device::Cuda(_) => {
                Err($crate::stages::device::without_cuda(&$context.device))
            }
        }
    };
}

pub(super) use on_device;

use crate::nn::device::Device;

/// The device of a context.
pub(super) fn parsed(device: &str) -> Result<Device, StageError> {
    device
        .parse()
        .map_err(|error: String| StageError::message(error).lasting())
}

/// Why a stage cannot run on CUDA in this build.
#[cfg(not(feature = "cuda"))]
pub(super) fn without_cuda(device: &str) -> StageError {
    match parsed(device) {
        Ok(device) => StageError::from(crate::nn::device::without_cuda(device)).lasting(),
        Err(error) => error,
    }
}

/// Opens a GPU.
#[cfg(feature = "cuda")]
pub(super) fn cuda(ordinal: usize) -> Result<dfdx::tensor::Cuda, StageError> {
    let (device, _) =
        crate::nn::cuda::open(ordinal).map_err(|error| StageError::from(error).lasting())?;
    Ok(device)
}

/// Runs a stage on a GPU, where a lack of memory may also be a panic: dfdx copies tensors without a way to fail.
#[cfg(feature = "cuda")]
pub(super) fn guarded<T>(
    batch: usize,
    stage: impl FnOnce() -> Result<T, StageError>,
) -> Result<T, StageError> {
    use crate::nn::NnError;
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(stage));
    let panic = match ended {
        Ok(result) => return result.map_err(|error| error.of_batch(batch)),
        Err(panic) => panic,
    };
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default();
    match NnError::device(text) {
        error @ NnError::OutOfMemory { .. } => Err(StageError::from(error).of_batch(batch)),
        _ => std::panic::resume_unwind(panic),
    }
}
