//! What computes: the CPU or an NVIDIA GPU, and whether the latter's driver is there at all.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What was chosen to compute.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Device {
    /// A GPU where there is one and a worker built for it, else the CPU.
    #[default]
    Auto,
    Cpu,
    /// The GPU with this number.
    Cuda(usize),
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{name}` is no device; valid are auto, cpu and cuda:0, cuda:1 and so on")]
pub struct UnknownDevice {
    name: String,
}

#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("could not open {name}, the GPU's driver")]
    Driver { name: &'static str, source: libloading::Error },
    #[error("the device cuda:{number} is not built in; a build with the feature cuda has it")]
    NotBuiltIn { number: usize },
    #[error("could not use GPU {number}")]
    Gpu { number: usize, source: candle_core::Error },
}

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let number = || name.strip_prefix("cuda:")?.parse().ok();
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => number().map(Self::Cuda).ok_or_else(|| UnknownDevice { name: name.chars().take(40).collect() }),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Device {
    /// The device as models take it. A build without the `cuda` feature has no GPU, whatever the machine has; with `auto` it
    /// then computes on the CPU.
    pub fn open(self) -> Result<candle_core::Device, DeviceError> {
        match self {
            Self::Cpu => Ok(candle_core::Device::Cpu),
            Self::Auto => Ok(open_gpu(0).unwrap_or(candle_core::Device::Cpu)),
            Self::Cuda(number) => open_gpu(number),
        }
    }
}

fn open_gpu(number: usize) -> Result<candle_core::Device, DeviceError> {
    if !cfg!(feature = "cuda") {
        return Err(DeviceError::NotBuiltIn { number });
    }
    candle_core::Device::new_cuda(number).map_err(|source| DeviceError::Gpu { number, source })
}

/// Something that knows whether the GPU's driver is there.
pub type Probe = fn() -> Result<(), DeviceError>;

/// Whether the GPU's driver can be opened. A worker built for GPUs does not even start without it.
#[allow(unsafe_code)]
pub fn probe() -> Result<(), DeviceError> {
    const DRIVER: &str = "libcuda.so.1";
    // SAFETY: opening runs the initializers of NVIDIA's driver library, which are made for this; no symbol of it is used, and
    // it is closed again at once.
    let library = unsafe { libloading::Library::new(DRIVER) };
    library.map(drop).map_err(|source| DeviceError::Driver { name: DRIVER, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names_and_other_names_are_refused() {
        for (name, device) in [("auto", Device::Auto), ("cpu", Device::Cpu), ("cuda:3", Device::Cuda(3))] {
            assert_eq!(name.parse(), Ok(device));
            assert_eq!(device.to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for name in ["", "gpu", "cuda:", "cuda:-1", "CPU"] {
            assert!(name.parse::<Device>().is_err(), "{name}");
        }
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert!(Device::Cpu.open().is_ok_and(|device| device.is_cpu()));
        assert!(Device::Auto.open().is_ok());
    }
}
