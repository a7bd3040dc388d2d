//! What the clients of several nodes share: connections, settings, and one budget for each host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;

use crate::budget::Budget;
use crate::context::Context;
use crate::error::Result;
use crate::options::ClientOptions;
use crate::retry::{Failures, NodeRetries};
use crate::transport::Transport;

/// How many budgets are kept before those that nobody uses are dropped: lists of locations may name any host.
const MOST_BUDGETS: usize = 256;

/// Connections, settings and budgets.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) transport: Transport,
    pub(crate) options: ClientOptions,
    budgets: Mutex<HashMap<String, Arc<Budget>>>,
}

impl Connections {
    pub(crate) fn new(options: &ClientOptions, context: &Context) -> Result<Self> {
        Ok(Self {
            transport: Transport::new(options, context)?,
            options: options.clone(),
            budgets: Mutex::default(),
        })
    }

    /// Returns the budget of the host that a URL names.
    pub(crate) fn budget(&self, url: &Url) -> Arc<Budget> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if budgets.len() >= MOST_BUDGETS {
            budgets.retain(|_, budget| Arc::strong_count(budget) > 1);
        }
        let origin = url.origin().ascii_serialization();
        budgets.entry(origin).or_insert_with(|| Arc::new(Budget::new(self.options.budget))).clone()
    }

    /// Starts to count failures.
    pub(crate) fn failures(&self) -> Failures {
        let rules = self.options.retry.clone();
        Failures::new(NodeRetries { rules, progress: self.options.progress.clone() })
    }
}
