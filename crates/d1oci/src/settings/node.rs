//! What can be set for DataONE nodes, and what it changes.

use serde::Deserialize;

use super::units::{Attempts, Seconds};

/// What is set for all nodes: a package leads from one to others, whose names nobody knows beforehand.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(not(feature = "d1-client"), expect(dead_code, reason = "the file is checked all the same"))]
pub(crate) struct NodeSettings {
    connect_timeout: Option<Seconds>,
    answer_timeout: Option<Seconds>,
    silence_timeout: Option<Seconds>,
    attempts: Option<Attempts>,
}

#[cfg(feature = "d1-client")]
impl NodeSettings {
    /// Changes how to talk to nodes to what is set.
    pub(crate) fn apply(&self, options: &mut d1_client::ClientOptions) {
        let times = &mut options.times;
        Seconds::replace(self.connect_timeout, &mut times.connect);
        Seconds::replace(self.answer_timeout, &mut times.answer);
        Seconds::replace(self.silence_timeout, &mut times.silence);
        if let Some(attempts) = self.attempts {
            options.retry.attempts = attempts.0;
        }
    }
}
