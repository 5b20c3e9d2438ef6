//! What the system description says of one PD.
//!
//! `make` derives it from `microkit.system` (with the `strait-system` tool),
//! encodes it with postcard and places it in a prefilled memory region of the
//! PD. So region names, sizes and channel numbers stand in one file only, and
//! both worlds read the same bytes.

use alloc::{string::String, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

use crate::Channel;

/// Version of the encoding; it is the first byte.
pub const CONFIG_VERSION: u8 = 2;

/// The configuration of one PD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The PD's name in the system description.
    pub name: String,
    /// The memory regions mapped into it.
    pub regions: Vec<RegionConfig>,
    /// Its channels.
    pub channels: Vec<ChannelConfig>,
    /// Its interrupts: name of the device (the `setvar_id` of the `irq`
    /// element) and channel number.
    pub irqs: Vec<(String, u8)>,
    /// The PDs nested in it, whose faults it is told of; see
    /// [`Component::fault`](crate::Component::fault).
    pub children: Vec<ChildConfig>,
    /// What `strait.toml` says for this PD: dotted keys and their values as
    /// text, e.g. `("ipv4.address", "10.0.2.15/24")`.
    pub settings: Vec<(String, String)>,
}

/// One mapped memory region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionConfig {
    /// The `name` of the `memory_region`.
    pub name: String,
    /// Where it is mapped.
    pub vaddr: u64,
    /// Its size in bytes.
    pub size: u64,
    /// How many of them come from its `prefill_path` file; 0 without one.
    pub prefill: u64,
    /// Whether this PD may write to it.
    pub writable: bool,
}

/// One channel end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelConfig {
    /// Name of the PD at the other end.
    pub peer: String,
    /// The channel's number here.
    pub id: u8,
    /// Whether this PD may make protected procedure calls over it.
    pub can_call: bool,
}

/// One PD nested in another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildConfig {
    /// Its name.
    pub name: String,
    /// Its number at its parent.
    pub id: u8,
}

/// Why a configuration is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The bytes are not a configuration, or one of another version.
    Malformed,
    /// No region of this name is mapped into the PD: add a `map` for it.
    NoRegion(String),
    /// No channel joins the PD to this one: add a `channel`.
    NoChannel(String),
    /// The PD has no such interrupt.
    NoIrq(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => write!(
                f,
                "the configuration region does not hold version {CONFIG_VERSION} of the format; rebuild the image"
            ),
            Self::NoRegion(name) => {
                write!(f, "no memory region `{name}` is mapped into this PD; add a <map> to microkit.system")
            }
            Self::NoChannel(peer) => write!(f, "no channel leads to `{peer}`; add a <channel> to microkit.system"),
            Self::NoIrq(name) => write!(f, "no interrupt `{name}`; add an <irq> to microkit.system"),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Reads an encoded configuration; what follows it is ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, ConfigError> {
        match bytes.split_first() {
            Some((&CONFIG_VERSION, rest)) => {
                postcard::take_from_bytes(rest).map(|(c, _)| c).map_err(|_| ConfigError::Malformed)
            }
            _ => Err(ConfigError::Malformed),
        }
    }

    /// Encodes it.
    pub fn encode(&self) -> Result<Vec<u8>, ConfigError> {
        postcard::to_extend(self, alloc::vec![CONFIG_VERSION]).map_err(|_| ConfigError::Malformed)
    }

    /// The region called `name`.
    pub fn region(&self, name: &str) -> Result<&RegionConfig, ConfigError> {
        self.regions.iter().find(|r| r.name == name).ok_or_else(|| ConfigError::NoRegion(name.into()))
    }

    /// The channel to the PD called `peer`.
    pub fn channel(&self, peer: &str) -> Result<Channel, ConfigError> {
        self.channels
            .iter()
            .find(|c| c.peer == peer)
            .and_then(|c| Channel::new(c.id))
            .ok_or_else(|| ConfigError::NoChannel(peer.into()))
    }

    /// The interrupt called `name`.
    pub fn irq(&self, name: &str) -> Result<Channel, ConfigError> {
        self.irqs
            .iter()
            .find(|(n, _)| n == name)
            .and_then(|(_, id)| Channel::new(*id))
            .ok_or_else(|| ConfigError::NoIrq(name.into()))
    }

    /// The setting `key`, if given.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn sample() -> Config {
        Config {
            name: "echo".into(),
            regions: vec![RegionConfig {
                name: "echo_net".into(),
                vaddr: 0x10_0000_0000,
                size: 0x20_0000,
                prefill: 0,
                writable: true,
            }],
            channels: vec![ChannelConfig { peer: "net_server".into(), id: 3, can_call: true }],
            irqs: vec![("virtio_net".into(), 1)],
            children: vec![ChildConfig { name: "greet".into(), id: 2 }],
            settings: vec![("k".into(), "v".into())],
        }
    }

    #[test]
    fn round_trip_ignores_padding() {
        let mut bytes = sample().encode().unwrap();
        bytes.resize(4096, 0);
        let c = Config::decode(&bytes).unwrap();
        assert_eq!(c, sample());
        assert_eq!(c.channel("net_server").unwrap().index(), 3);
        assert!(matches!(c.channel("x"), Err(ConfigError::NoChannel(_))));
    }

    #[test]
    fn other_versions_and_noise_are_refused() {
        assert_eq!(Config::decode(&[]), Err(ConfigError::Malformed));
        let mut bytes = sample().encode().unwrap();
        bytes[0] = CONFIG_VERSION + 1;
        assert_eq!(Config::decode(&bytes), Err(ConfigError::Malformed));
        assert_eq!(Config::decode(&[CONFIG_VERSION, 255, 255, 255]), Err(ConfigError::Malformed));
    }
}
