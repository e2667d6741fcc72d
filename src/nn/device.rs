//! Which device networks compute on.

use super::NnError;
use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

/// Whether this program was built for CUDA.
pub const HAS_CUDA: bool = cfg!(feature = "cuda");

/// The device that was opened last in this process; see [`used`].
static USED: Mutex<Option<String>> = Mutex::new(None);

/// A device, as people name it: `cpu`, `cuda` or `cuda:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU: its place among those that CUDA shows, from 0.
    Cuda(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no device; there are `cpu`, `cuda` and `cuda:1`");
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let ordinal = text.strip_prefix("cuda:").ok_or_else(wrong)?;
                ordinal.parse().map(Self::Cuda).map_err(|_| wrong())
            }
        }
    }
}

/// Why CUDA cannot be used in a program that was built without it.
pub fn without_cuda(device: Device) -> NnError {
    NnError::NoDevice {
        name: device.to_string(),
        message: "is not in this program, which was built without CUDA; use `--device cpu`, or build it with \
                  `cargo build --release --features cuda`"
            .to_owned(),
    }
}

/// Notes the device that a stage computes on.
#[cfg(feature = "cuda")]
pub(super) fn note_use(device: String) {
    *USED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(device);
}

/// The device other than the processor that this process opened last, with its name: `cuda: NVIDIA H100 80GB HBM3`.
pub fn used() -> Option<String> {
    USED.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for text in ["cpu", "cuda", "cuda:1", "cuda:13"] {
            assert_eq!(
                text.parse::<Device>().map(|d| d.to_string()),
                Ok(text.into())
            );
        }
        assert_eq!("cuda:0".parse(), Ok(Device::Cuda(0)));
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CUDA"] {
            assert_eq!(
                text.parse::<Device>(),
                Err(format!(
                    "`{text}` is no device; there are `cpu`, `cuda` and `cuda:1`"
                ))
            );
        }
    }
}
