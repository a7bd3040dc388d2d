//! Packages moved over stores in memory. Some of the stores fail.

mod altered;
mod audits;
mod damage;
mod failing_stores;
mod healing;
mod moved;
mod pulling;
mod pushing;
mod round_trips;
mod support;
