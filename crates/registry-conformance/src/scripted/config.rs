//! What a scripted registry is started with.

use super::{Auth, Behaviour, Fault, Preset};

/// What a scripted registry is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it behaves.
    pub behaviour: Behaviour,
    /// Whom it lets in.
    pub auth: Auth,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// The port on 127.0.0.1; 0 takes any that is free.
    pub port: u16,
}

impl Config {
    /// Returns the configuration of a registry that lets everybody in and works.
    pub fn new(preset: Preset) -> Self {
        Self { behaviour: preset.behaviour(), auth: Auth::None, faults: Vec::new(), port: 0 }
    }

    /// Returns the configuration with this authentication.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Returns the configuration with one more fault.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Returns the configuration with its behaviour changed.
    #[must_use]
    pub fn with_behaviour(mut self, change: impl FnOnce(&mut Behaviour)) -> Self {
        change(&mut self.behaviour);
        self
    }
}
