//! A gateway over packages that a scripted node had, asked on raw sockets.

mod attacks;
mod changes;
mod clients;
mod files;
mod member_node;
mod support;
mod zips;
